"""The Generate page in a real browser, over a tiny model of random weights. Pictures of it go to $SCREENSHOTS."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_diffusion
from fake_aging import FakePipeline
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from pipelines.generate.recipe import restore
from pipelines.settings import load_settings
from tests.near_worker import NearWorker
from ui.server import assemble, launch_options
from ui.services import Services

WAIT_MS = 60_000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_diffusion.sd(folder.parent).save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, free_port: int) -> Iterator[str]:
    settings = load_settings(data=tmp_path_factory.mktemp("generate") / "data", port=free_port)
    services = Services(settings, FakePipeline(steps=2, pause=0.1))
    blocks = assemble(services)
    services.worker = worker = NearWorker(services.jobs)  # type: ignore[assignment]
    blocks.launch(**launch_options(settings), prevent_thread_lock=True)
    yield f"http://127.0.0.1:{free_port}"
    blocks.close(verbose=False)
    worker.close()


@pytest.fixture
def page(browser: Browser, served: str, model: Path) -> Iterator[Page]:
    """The page with the tiny model chosen; a request elsewhere or an error of the page's script fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    trouble: list[str] = []
    page = context.new_page()
    local = (f"{served}/", "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(local) else trouble.append(request.url))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.goto(served)
    page.get_by_role("tab", name="Generate").click()
    expect(page.locator("#g-run")).to_be_visible()
    page.wait_for_timeout(800)  # what the browser remembered is put back
    page.locator("#g-model input").fill(str(model))
    page.keyboard.press("Enter")
    yield page
    assert trouble == []
    context.close()


def set_number(page: Page, control: str, value: object) -> None:
    page.locator(f"#{control} input[type=number]").fill(str(value))
    page.keyboard.press("Tab")


def unfold(page: Page, fold: str) -> None:
    """Open what is folded away. Its controls are made anew then, and what is typed meanwhile would be lost."""
    page.locator(f"#{fold} > button").click()
    page.wait_for_timeout(500)


def done(page: Page) -> None:
    expect(page.locator("#g-status .ea-good")).to_be_visible()
    expect(page.locator("#g-stop")).to_be_hidden()


def test_from_a_prompt_to_a_picture_and_back(page: Page, tmp_path: Path) -> None:
    page.get_by_role("button", name="Grandmother").click()
    expect(page.locator("#g-prompt textarea")).to_have_value(re.compile("very old woman"))
    page.locator("#g-prompt textarea").fill("an old man, grey hair")
    set_number(page, "g-scale", 9)
    page.get_by_label("Strong", exact=True).check()
    unfold(page, "g-expert")
    expect(page.locator("#g-momentum input[type=number]")).to_have_value("-0.75")
    unfold(page, "g-sampling")
    set_number(page, "g-steps", 6)
    page.locator("#g-run").click()
    done(page)
    figure = page.locator("#g-stage figure")
    expect(figure).to_have_count(1)
    expect(figure.locator("figcaption")).to_contain_text("saturation")
    page.locator("#g-probe summary").click()
    expect(page.locator("#g-probe rect")).to_have_count(6)
    with page.expect_download() as download:
        page.locator("#g-download").click()
    out = tmp_path / "made.png"
    download.value.save_as(out)
    settings = restore(out).settings
    assert (settings.prompt, settings.steps) == ("an old man, grey hair", 6)
    assert (settings.guidance.scale, settings.guidance.momentum, settings.guidance.eta) == (9, -0.75, 0)
    assert Image.open(out).size == (16, 16)
    seed = settings.seed
    # Everything is changed, and the dropped picture brings it back.
    page.locator("#g-prompt textarea").fill("something else")
    set_number(page, "g-scale", 2)
    unfold(page, "g-recipe-fold")
    page.locator("#g-recipe input[type=file]").set_input_files(out)
    expect(page.locator("#g-recipe-note .ea-good")).to_be_visible()
    expect(page.locator("#g-prompt textarea")).to_have_value("an old man, grey hair")
    expect(page.locator("#g-scale input[type=number]")).to_have_value("9")
    expect(page.locator("#g-seed input")).to_have_value(str(seed))
    page.locator("#g-recipe input[type=file]").set_input_files(_bare(tmp_path))
    expect(page.locator("#g-recipe-note .ea-error")).to_contain_text("bare.png carries no settings")


def _bare(folder: Path) -> Path:
    Image.new("RGB", (80, 80), "red").save(folder / "bare.png")
    return folder / "bare.png"


def test_a_preview_shows_and_escape_stops(page: Page) -> None:
    unfold(page, "g-sampling")
    set_number(page, "g-steps", 100)
    set_number(page, "g-count", 16)
    page.locator("#g-prompt textarea").click()
    page.keyboard.press("Control+Enter")
    expect(page.locator("#g-stage .ea-badge")).to_have_text("Still being made")
    expect(page.locator("#g-stage figure")).to_have_count(8)
    expect(page.locator("#g-status [role=progressbar]")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#g-status")).to_contain_text("Stopped.")
    expect(page.locator("#g-stage .ea-badge")).to_have_count(0)


def test_several_pictures_a_gallery_and_a_grid(page: Page) -> None:
    page.locator("#g-prompt textarea").fill("three quokkas")
    unfold(page, "g-sampling")
    set_number(page, "g-steps", 3)
    set_number(page, "g-count", 3)
    page.locator("#g-run").click()
    done(page)
    page.get_by_role("button", name="Choose picture 3").click()
    expect(page.get_by_role("button", name="Choose picture 3")).to_have_attribute("aria-pressed", "true")
    cards = page.locator("#g-gallery .ea-open")
    page.get_by_placeholder("Search prompts, models, settings").fill("quokkas")
    expect(cards).to_have_count(3)
    page.get_by_placeholder("Search prompts, models, settings").fill("nobody")
    expect(page.locator("#g-gallery")).to_contain_text("Nothing made here fits")
    page.get_by_placeholder("Search prompts, models, settings").fill("quokkas")
    expect(cards).to_have_count(3)
    page.locator("#g-prompt textarea").fill("something else")
    cards.first.click()
    expect(page.locator("#g-prompt textarea")).to_have_value("three quokkas")
    unfold(page, "g-compare")
    axes = page.locator("#g-axes textarea, #g-axes input").first
    page.get_by_role("button", name="At an equal push").click()
    expect(axes).to_have_value("guidance=apg,matched,cfg;scale=6,12")
    axes.fill("guidance=cfg,apg;scale=1,8")
    page.locator("#g-compare-run").click()
    expect(page.locator(".ea-g-sheet img")).to_be_visible()
    page.locator(".ea-g-table summary").click()
    rows = page.locator(".ea-g-table tbody tr")
    expect(rows).to_have_count(4)
    values = [row.locator("td").all_inner_texts() for row in rows.all()]
    assert values[0][2:] == values[1][2:]  # at scale 1 guidance is off
    assert values[2][2:] != values[3][2:]
    page.reload()  # the comparison is a job: it is there for every tab
    page.get_by_role("tab", name="Generate").click()
    unfold(page, "g-compare")
    expect(page.locator(".ea-g-sheet img")).to_be_visible()


def test_what_is_wrong_is_said_and_the_page_goes_on(page: Page) -> None:
    unfold(page, "g-expert")
    page.locator("#g-norm textarea, #g-norm input").first.fill("lots")
    page.keyboard.press("Tab")
    page.locator("#g-run").click()
    expect(page.locator("#g-status .ea-error")).to_contain_text("norm_threshold")
    page.locator("#g-norm textarea, #g-norm input").first.fill("0")
    page.keyboard.press("Tab")
    page.locator("#g-run").click()
    done(page)
