"""The Fine-tune page in a real browser, over a tiny model of random weights. Pictures of it go to $SCREENSHOTS."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny_diffusion
from fake_aging import FakePipeline
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from pipelines.settings import Settings, load_settings
from tests.near_worker import NearWorker
from ui.server import assemble, launch_options
from ui.services import Services

WAIT_MS = 60_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, and pictures to learn from."""
    place = tmp_path_factory.mktemp("home")
    tiny_diffusion.sd(place / "words").save_pretrained(place / "tiny", safe_serialization=True)
    (place / "foxes").mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(rng.integers(0, 90, (64, 64, 3), dtype=np.uint8)).save(place / "foxes" / f"{i}.png")
        (place / "foxes" / f"{i}.txt").write_text("a red fox")
    (place / "foxes" / "broken.png").write_bytes(b"no picture")
    return place


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, free_port: int) -> Settings:
    return load_settings(data=tmp_path_factory.mktemp("finetune") / "data", port=free_port, device="cpu")


@pytest.fixture(scope="module")
def served(settings: Settings) -> Iterator[str]:
    services = Services(settings, FakePipeline(steps=2, pause=0.1))
    blocks = assemble(services)
    services.worker = worker = NearWorker(services.jobs)  # type: ignore[assignment]
    blocks.launch(**launch_options(settings), prevent_thread_lock=True)
    yield f"http://127.0.0.1:{settings.port}"
    blocks.close(verbose=False)
    worker.close()


@pytest.fixture
def page(browser: Browser, served: str) -> Iterator[Page]:
    """The page; a request elsewhere or an error of the page's script fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    trouble: list[str] = []
    page = context.new_page()
    local = (f"{served}/", "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(local) else trouble.append(request.url))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.goto(served)
    page.get_by_role("tab", name="Fine-tune").click()
    expect(page.locator("#finetune-form form")).to_be_visible()
    expect(page.locator("#finetune-adapters")).to_contain_text("Your adapters")
    yield page
    assert trouble == []
    context.close()


def shot(page: Page, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def fill(page: Page, home: Path, steps: int, **more: str) -> None:
    """Give the pictures and the settings of a quick training."""
    form = page.locator("#finetune-form form")
    form.locator("input[data-part=files]").set_input_files([str(p) for p in sorted((home / "foxes").iterdir())])
    expect(form.locator("[data-part=said]")).to_contain_text("9 files chosen")
    if form.locator("details[data-fold=more]").get_attribute("open") is None:
        form.locator("details[data-fold=more] summary").click()
    form.locator("input[name=place_of_model]").fill(str(home / "tiny"))
    for name, value in {"steps": str(steps), "side": "16", "rate": "0.02", "sample_every": "3", **more}.items():
        form.locator(f"input[name={name}]").fill(value)


def test_from_pictures_to_a_picture_of_its_own(page: Page, home: Path, settings: Settings) -> None:
    fill(page, home, 6, title="Foxes")
    page.locator("#finetune-form label:has(input[name=strength][value=strong])").click()
    page.get_by_role("button", name="Only look at the pictures").click()
    expect(page.locator("#finetune-going h3")).to_have_text("4 pictures to learn from")
    expect(page.locator("#finetune-going")).to_contain_text("Needs about")
    expect(page.locator("#finetune-going")).to_contain_text("a red fox")
    expect(page.locator("#finetune-going")).to_contain_text("broken.png")
    assert not list(settings.data.glob("finetune/given-*"))
    shot(page, "finetune-looked")
    fill(page, home, 6, title="Foxes")
    page.locator("#finetune-form button[data-part=send]").click()
    expect(page.locator("#finetune-status .ea-good")).to_contain_text("Foxes is learnt")
    expect(page.locator("#finetune-stop")).to_be_hidden()
    card = page.locator("#finetune-adapters .ea-section", has_text="Foxes")
    expect(card.locator("img")).to_be_visible()
    expect(card).to_contain_text("SaRA")
    expect(card).to_contain_text("a red fox")
    shot(page, "finetune-done")
    assert (settings.data / "models/foxes/adapter/adapter_model.safetensors").is_file()
    assert not list(settings.data.glob("finetune/*/"))
    drawn = [picture(page, home, weight) for weight in (None, "0", "1")]
    assert drawn[0] == drawn[1] != drawn[2]
    page.get_by_role("tab", name="Fine-tune").click()
    card.get_by_role("button", name="Delete the adapter Foxes").click()
    card.get_by_role("button", name="Delete the adapter Foxes").click()
    expect(page.locator("#finetune-adapters")).not_to_contain_text("Foxes")
    assert not (settings.data / "models/foxes").exists()


def picture(page: Page, home: Path, weight: str | None) -> str:
    """The address (and so the pixels) of a picture on the Generate page, with the adapter at a weight or without."""
    page.get_by_role("tab", name="Generate").click()
    page.wait_for_timeout(800)
    page.locator("#g-model input").fill(str(home / "tiny"))
    page.keyboard.press("Enter")
    for fold in ("g-sampling", "g-adapters"):
        if not page.locator(f"#{fold} .label-wrap.open").count():
            page.locator(f"#{fold} > button").click()
            page.wait_for_timeout(500)
    for control, value in (("g-seed", "3"), ("g-steps", "3")):
        page.locator(f"#{control} input[type=number], #{control} input").first.fill(value)
        page.keyboard.press("Tab")
    if weight is not None:
        page.locator("#g-adapter-1 input").click()
        page.get_by_role("option", name="Foxes").click()
        page.locator("#g-weight-1 input[type=number]").fill(weight)
        page.keyboard.press("Tab")
    page.locator("#g-run").click()
    expect(page.locator("#g-status .ea-busy, #g-status .ea-progress")).to_be_visible()
    expect(page.locator("#g-status .ea-good")).to_be_visible()
    return str(page.locator("#g-stage img").get_attribute("src"))


def test_a_training_is_stopped_watched_and_gone_on_with(page: Page, home: Path, settings: Settings) -> None:
    fill(page, home, 3000, title="Long", sample_every="2")
    page.locator("#finetune-form button[data-part=send]").click()
    expect(page.locator("#finetune-going h3")).to_contain_text("Learning: step")
    expect(page.locator("#finetune-going figure img")).to_be_visible()
    expect(page.locator("#finetune-going .ea-curves polyline")).to_be_visible()
    expect(page.locator("#finetune-status")).to_contain_text("left")
    shot(page, "finetune-going")
    fill(page, home, 2, title="Next")  # one more waits for its turn
    page.locator("#finetune-form button[data-part=send]").click()
    expect(page.locator("#finetune-status")).to_contain_text("Next: 1 job before it")
    expect(page.locator("#finetune-form [data-part=said]")).to_be_empty()
    expect(page.locator("#finetune-going h3")).to_contain_text("Learning: step")
    page.reload()
    page.get_by_role("tab", name="Fine-tune").click()
    expect(page.locator("#finetune-going h3")).to_contain_text("Learning: step")
    page.locator("#finetune-stop").click()
    expect(page.locator("#finetune-status .ea-good")).to_contain_text("Next is learnt")
    expect(page.locator("#finetune-waiting")).to_contain_text("Long")
    reached = page.locator("#finetune-waiting li").inner_text()
    step = int(re.search(r"step ([\d,]+) of", reached).group(1).replace(",", ""))  # type: ignore[union-attr]
    shot(page, "finetune-stopped")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#finetune-going h3")).to_contain_text("Learning: step")
    page.wait_for_function(  # from there, not from the beginning
        """step => {
          const text = document.querySelector('#finetune-going h3')?.textContent ?? '';
          return Number((/step ([\\d,]+) of/.exec(text)?.[1] ?? '0').replace(',', '')) > step;
        }""",
        arg=step,
    )
    expect(page.locator("#finetune-status")).to_contain_text("left")
    page.locator("#finetune-stop").click()
    expect(page.locator("#finetune-status .ea-info")).to_contain_text("Stopped")
    remove = page.get_by_role("button", name="Delete the training Long")
    remove.click()
    remove.click()
    expect(page.locator("#finetune-waiting")).not_to_contain_text("Long")
    assert not list(settings.data.glob("finetune/*/"))


def test_what_is_missing_is_said(page: Page) -> None:
    page.locator("#finetune-form button[data-part=send]").click()
    expect(page.locator("#finetune-status .ea-error")).to_contain_text("First give pictures")
    page.locator("#finetune-form input[name=place]").fill("/no/such/folder")
    page.locator("#finetune-form button[data-part=send]").click()
    expect(page.locator("#finetune-status .ea-error")).to_contain_text("There is no folder")


def test_methods_side_by_side(page: Page, home: Path, settings: Settings) -> None:
    fill(page, home, 2, sample_every="0", title="Red foxes")
    form = page.locator("#finetune-form form")
    form.locator("details[data-fold=comparison] summary").click()
    for name in ("wara", "lora"):
        form.locator(f"input[name=against_{name}]").uncheck()
    form.get_by_role("button", name="Compare them").click()
    expect(page.locator("#finetune-status .ea-error")).to_contain_text("Tick two methods")
    form.locator("input[name=against_lora]").check()
    form.get_by_role("button", name="Compare them").click()
    expect(page.locator("#finetune-status .ea-good")).to_contain_text("The methods are compared")
    card = page.locator("#finetune-compared .ea-section", has_text="SaRA, LoRA on Red foxes")
    expect(card.locator("tbody th")).to_have_text(["SaRA", "LoRA"])
    expect(card.locator("figure img")).to_be_visible()
    numbers = card.locator("tbody tr").first.locator("td").all_inner_texts()
    assert len(numbers) == 6 and all(float(text.replace(",", "")) >= 0 for text in numbers[2:])
    shot(page, "finetune-compared")
    assert not list(settings.data.glob("finetune/given-*"))
    card.get_by_role("button", name="Keep LoRA").click()
    expect(page.locator("#finetune-status .ea-good")).to_contain_text("Kept. Choose")
    expect(page.locator("#finetune-adapters h3", has_text="Red foxes LoRA")).to_have_count(1)
    page.get_by_role("tab", name="Jobs").click()  # what was made stays when its job is not in the list any more
    remove = page.get_by_role("button", name="Remove Comparing SaRA, LoRA on Red foxes from the list")
    remove.click()
    remove.click()
    expect(remove).to_have_count(0)
    page.get_by_role("tab", name="Fine-tune").click()
    delete = card.get_by_role("button", name="Delete: SaRA, LoRA on Red foxes")
    delete.click()
    delete.click()
    expect(page.locator("#finetune-compared")).not_to_contain_text("Red foxes")
    assert not list(settings.data.glob("comparisons/*")) and not list(settings.data.glob("jobs/work/*/comparison"))
