"""Every page still opens, and says so in a sentence, where the list of jobs can't be opened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_aging import FakePipeline
from playwright.sync_api import Browser, Page, expect

from pipelines.settings import load_settings
from ui.server import build, launch_options

WAIT_MS = 60_000
LINES = {
    "Generate": "#g-status",
    "People": "#people-status",
    "Fine-tune": "#finetune-status",
    "Models": "#model-status",
    "Jobs": "#jobs-status",
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, free_port: int) -> Iterator[str]:
    data = tmp_path_factory.mktemp("home") / "data"
    settings = load_settings(data=data, port=free_port, device="cpu")
    data.mkdir()
    (data / "jobs").write_text("in the way")
    blocks = build(settings, FakePipeline(steps=2, pause=0.0))
    blocks.launch(**launch_options(settings), prevent_thread_lock=True)
    yield f"http://127.0.0.1:{free_port}"
    blocks.close(verbose=False)
    assert (data / "jobs").read_text() == "in the way"


@pytest.fixture
def page(browser: Browser, served: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.goto(served)
    yield page
    context.close()


@pytest.mark.parametrize("name", LINES)
def test_the_page_says_what_is_wrong(page: Page, name: str, tmp_path: Path) -> None:
    page.get_by_role("tab", name=name).click()
    said = page.locator(f"{LINES[name]} .ea-error").first
    expect(said).to_contain_text("jobs", timeout=WAIT_MS)
    assert "Traceback" not in said.inner_text() and "Something went wrong" not in said.inner_text()
    expect(page.locator(".toast-body.error")).to_have_count(0)
