"""The browser app: Gradio pages over `pipelines` and `photos`, served from this machine alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import gradio as gr

    from pipelines.aging import AgingPipeline
    from pipelines.settings import Settings


def build_app(settings: Settings, pipeline: AgingPipeline | None = None) -> gr.Blocks:
    """The page, ready to be launched.

    `pipeline` replaces the real one (tests give a quick one); by default it is made on first use.
    """
    from ui.server import build

    return build(settings, pipeline)


def launch(settings: Settings) -> None:
    """Serve the app and stay until it is stopped. `InputError` if it would be open to others without a password."""
    from ui.server import serve

    serve(settings)
