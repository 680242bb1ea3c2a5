"""Serving: a private folder for what browsers may read, no traffic to anywhere else, and no strangers."""

from __future__ import annotations

import hmac
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ui.guard import LocalOnly
from ui.services import Services

if TYPE_CHECKING:
    import gradio as gr

    from pipelines.aging import AgingPipeline
    from pipelines.settings import Settings

DAY = 86400
PRIVATE = (
    *("history", "generated", "originals", "cache", "models", "people", "finetune"),
    *("jobs", "clips", "videos", "photos", "uploads", "comparisons"),
)
MAX_UPLOAD = "16gb"  # videos; photos have limits of their own, and the file goes to the disk as it comes
QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DIFFUSERS_DISABLE_REMOTE_CODE": "1",
}


def prepare(settings: Settings, served: Path) -> None:
    """An empty folder, closed to other accounts, for uploads and downloads; must come before Gradio is imported.

    What an earlier run left there is thrown away: finished results live in the history.
    """
    settings.data.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(served, ignore_errors=True)
    served.mkdir(mode=0o700, parents=True)
    os.environ.update(QUIET, GRADIO_TEMP_DIR=str(served))


def build(settings: Settings, pipeline: AgingPipeline | None = None) -> gr.Blocks:
    """The app's pages in one `gr.Blocks`; see `ui.build_app`."""
    return assemble(Services(settings, pipeline))


def assemble(services: Services) -> gr.Blocks:
    """The pages over these services."""
    prepare(services.settings, services.served)

    import gradio as gr

    from ui import age, finetune, generate, jobs, models, people, video, views
    from ui.help import HELP
    from ui.widgets import plain

    with gr.Blocks(title="Everyage", analytics_enabled=False, delete_cache=(3600, DAY)) as app:
        plain(views.header(services.device()), elem_id="header")
        with gr.Tabs(elem_id="pages"):
            with gr.Tab("Age", id="age", elem_id="age-page") as tab:
                age.build(app, tab, services)
            with gr.Tab("People", id="people", elem_id="people-page") as tab:
                people.build(app, tab, services)
            with gr.Tab("Generate", id="generate", elem_id="generate-page") as tab:
                generate.build(app, tab, services)
            with gr.Tab("Fine-tune", id="finetune", elem_id="finetune-page") as tab:
                finetune.build(app, tab, services)
            with gr.Tab("Video", id="video", elem_id="video-page") as tab:
                video.build(app, tab, services)
            with gr.Tab("Models", id="models", elem_id="models-page") as tab:
                models.build(app, tab, services)
            with gr.Tab("Jobs", id="jobs", elem_id="jobs-page") as tab:
                jobs.build(tab, services)
        with gr.Accordion("Help", open=False, elem_id="help"):
            gr.Markdown(HELP)
    app.queue(default_concurrency_limit=4, max_size=64)
    return app


def launch_options(settings: Settings) -> dict[str, Any]:
    """Everything that `Blocks.launch` is told. Raises InputError if strangers could come in without a password."""
    from starlette.middleware import Middleware

    from ui.theme import look

    settings.check_serving()
    hosts = None if not settings.loopback else {"localhost", "127.0.0.1", "::1", settings.host.strip("[]")}
    return look() | {
        "server_name": settings.host,
        "server_port": settings.port,
        "auth": _password_check(settings.password) if settings.password else None,
        "auth_message": "Everyage asks for its password. Any name will do.",
        "app_kwargs": {"middleware": [Middleware(LocalOnly, hosts=hosts)], "docs_url": None, "redoc_url": None},
        "blocked_paths": [str(path) for path in private_paths(settings.data)],
        "max_file_size": MAX_UPLOAD,
        "share": False,
        "ssr_mode": False,
        "strict_cors": True,
        "run_history": False,
        "enable_monitoring": False,
        "footer_links": [],
        "favicon_path": str(Path(__file__).parent / "static" / "favicon.svg"),
        "quiet": True,
    }


def serve(settings: Settings) -> None:
    """Build, serve, and stay until Ctrl+C."""
    options = launch_options(settings)
    services = Services(settings)
    app = assemble(services)
    app.launch(**options, prevent_thread_lock=True)
    threading.Thread(target=services.warm, daemon=True).start()
    print(f"Everyage is at {app.local_url} (Ctrl+C stops it). Everything stays on this machine.", flush=True)
    try:
        services.start_worker()
        app.block_thread()
    finally:
        services.close()
        shutil.rmtree(services.served, ignore_errors=True)


def private_paths(data: Path) -> list[Path]:
    """Everything in the data folder that is no business of a browser, whether it is there yet or not."""
    known = {data / name for name in PRIVATE}
    found = {path for path in data.iterdir() if path.name != "served"} if data.is_dir() else set()
    return sorted(known | found)


def _password_check(password: str) -> Callable[[str, str], bool]:
    def check(_name: str, given: str) -> bool:
        return hmac.compare_digest(given.encode(), password.encode())

    return check
