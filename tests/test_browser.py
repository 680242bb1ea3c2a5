"""The served app in a real browser, the way a person uses it. Pictures of it go to $SCREENSHOTS, or are thrown away."""

from __future__ import annotations

import base64
import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from fake_aging import FakePipeline
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect

from photos.history import History
from photos.io import read_recipe
from pipelines.settings import load_settings
from ui.server import build, launch_options

ROOT = Path(__file__).resolve().parent.parent
DROP = """([type, name, data]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const list = new DataTransfer();
  list.items.add(new File([bytes], name, {type: "image/png"}));
  const event = type === "drop" ? new DragEvent("drop", {dataTransfer: list, bubbles: true, cancelable: true})
    : new ClipboardEvent("paste", {clipboardData: list, bubbles: true, cancelable: true});
  document.querySelector("h1").dispatchEvent(event);
}"""


expect.set_options(timeout=60_000)


class App:
    """A served app with its quick pipeline and its data folder."""

    def __init__(self, data: Path, port: int, pipeline: Any = None) -> None:
        self.settings = load_settings(data=data, port=port)
        self.pipeline = pipeline or FakePipeline(steps=4, pause=0.15)
        self.blocks = build(self.settings, self.pipeline)
        self.blocks.launch(**launch_options(self.settings), prevent_thread_lock=True)
        self.url = f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, free_port: int) -> Iterator[App]:
    served = App(tmp_path_factory.mktemp("data"), free_port)
    yield served
    served.blocks.close(verbose=False)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    context.set_default_timeout(60_000)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, app: App) -> Iterator[Page]:
    """The open page; a request to another machine or an error of the page's own script fails the test."""
    trouble: list[str] = []
    yield visit(context, app, trouble)
    assert trouble == []


def visit(context: BrowserContext, app: App, trouble: list[str]) -> Page:
    page = context.new_page()
    local = (f"{app.url}/", "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(local) else trouble.append(request.url))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.goto(app.url)
    page.wait_for_selector("#photo input[type=file]", state="attached")
    return page


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path_factory.mktemp("shots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def give(page: Page, path: Path) -> None:
    page.set_input_files("#photo input[type=file]", path)


def bring(page: Page, how: str, path: Path) -> None:
    """Drop or paste a file beside the upload field."""
    page.evaluate(DROP, [how, path.name, base64.b64encode(path.read_bytes()).decode()])


def download(page: Page, button: str, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.click(button)
    target = folder / waiting.value.suggested_filename
    waiting.value.save_as(target)
    return target


def age_to(page: Page, age: int) -> None:
    """Move the slider by keyboard alone."""
    slider = page.locator("#target input[type=range]")
    slider.focus()
    page.keyboard.press("Home")
    for _ in range(age):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#run")).to_have_text(f"Show at {age}")


def test_from_photo_to_result_and_back(page: Page, app: App, astronaut: Path, tmp_path: Path, shots: Path) -> None:
    page.screenshot(path=shots / "1-start.png")
    give(page, astronaut)
    expect(page.locator("#photo-note")).to_contain_text("One face, looks about 34")
    expect(page.locator("#present-age")).to_contain_text("about 34")
    age_to(page, 12)
    page.keyboard.press("End")
    for _ in range(28):
        page.keyboard.press("ArrowLeft")
    page.screenshot(path=shots / "2-photo.png")
    page.locator("#run").press("Enter")
    expect(page.locator(".ea-whole .ea-badge")).to_have_text("Quick preview")
    expect(page.locator("#status [role=progressbar]")).to_be_visible()
    expect(page.locator("#status .ea-left")).to_contain_text("left")
    page.screenshot(path=shots / "3-preview.png")
    expect(page.locator("#status")).to_contain_text("Done: age 72")
    expect(page.locator(".ea-badge")).to_have_count(0)
    expect(page.locator("#stop")).to_have_count(0)
    page.screenshot(path=shots / "4-result.png", full_page=True)

    divider = page.get_by_label("Compare before and after").first
    divider.focus()
    page.keyboard.press("Home")
    assert page.locator("#compare").evaluate("e => e.style.getPropertyValue('--at')") == "0%"
    page.locator(".ea-views input[value=whole]").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".ea-near")).to_be_visible()
    expect(page.locator(".ea-whole")).to_be_hidden()

    kept = download(page, "#download", tmp_path)
    assert kept.name == "astronaut-at-72.png"
    recipe = read_recipe(kept)
    assert recipe and recipe["target"] == 72 and recipe["photo"]["name"] == "astronaut.png"
    assert [entry.recipe for entry in History(app.settings.data).list()] == [recipe]
    expect(page.locator("#history [data-act=open]")).to_have_count(1)

    age_to(page, 30)
    page.reload()
    page.wait_for_selector("#photo input[type=file]", state="attached")
    expect(page.locator("#run")).to_have_text("Show at 30")  # remembered
    bring(page, "drop", kept)
    expect(page.locator("#photo-note")).to_contain_text("Settings restored from astronaut-at-72.png: age 72")
    expect(page.locator("#photo-note")).to_contain_text("is open again")
    expect(page.locator("#run")).to_have_text("Show at 72")
    expect(page.locator("#faces img")).to_be_visible()


def test_a_strip_of_ages(page: Page, app: App, astronaut: Path, tmp_path: Path, shots: Path) -> None:
    bring(page, "paste", astronaut)
    expect(page.locator("#present-age")).to_be_visible()
    page.click("#more button.label-wrap")
    page.get_by_label("Ages of the strip").fill("10, old")
    page.click("#run-strip")
    expect(page.locator("#status [role=alert]")).to_contain_text("'old'")
    page.get_by_label("Ages of the strip").fill("5, 20, 35, 50, 65, 80")
    page.click("#run-strip")
    expect(page.locator("#strip button")).to_have_count(6)
    expect(page.locator("#status")).to_contain_text("Done: ages 5, 20")
    page.wait_for_timeout(500)  # Gradio says the last step once more when a generator ends
    page.get_by_label("Show astronaut at 20").press("Enter")
    expect(page.locator(".ea-whole .ea-tag-right")).to_have_text("At 20")
    expect(page.locator("#download")).to_have_text("Download at 20")
    page.click("#more button.label-wrap")
    page.screenshot(path=shots / "5-strip.png", full_page=True)
    strip = download(page, "#download-strip", tmp_path)
    assert (read_recipe(strip) or {})["strip"] == [5, 20, 35, 50, 65, 80]
    assert (read_recipe(download(page, "#download", tmp_path)) or {})["target"] == 20


def test_stop_ends_the_work_and_keeps_the_earlier_result(page: Page, app: App, astronaut: Path) -> None:
    give(page, astronaut)
    expect(page.locator("#present-age")).to_be_visible()
    page.click("#run")
    expect(page.locator("#status")).to_contain_text("Done: age")
    first = page.locator(".ea-whole .ea-tag-right").inner_text()
    app.pipeline.pause, app.pipeline.ended = 1.0, []
    try:
        age_to(page, 9)
        page.click("#run")
        expect(page.locator(".ea-whole .ea-badge")).to_be_visible()
        page.locator("#stop").press("Enter")
        expect(page.locator("#status")).to_contain_text("Stopped.")
    finally:
        app.pipeline.pause = 0.15
    assert app.pipeline.ended == ["end"]
    expect(page.locator(".ea-whole .ea-tag-right")).to_have_text(first)
    expect(page.locator("#download")).to_be_visible()


def test_a_closed_tab_stops_its_work(context: BrowserContext, app: App, astronaut: Path) -> None:
    page, other = visit(context, app, []), visit(context, app, [])
    app.pipeline.pause, app.pipeline.steps, app.pipeline.ended = 0.3, 100, []
    try:
        give(page, astronaut)
        expect(page.locator("#present-age")).to_be_visible()
        page.click("#run")
        expect(page.locator(".ea-whole .ea-badge")).to_be_visible()
        expect(other.locator("#faces img")).to_have_count(0)  # tabs share nothing
        page.close()
        for _ in range(100):
            if app.pipeline.ended:
                break
            other.wait_for_timeout(100)
        assert app.pipeline.ended == ["end"]
    finally:
        app.pipeline.pause, app.pipeline.steps = 0.15, 4


def test_bad_files_are_one_sentence(page: Page, tmp_path: Path, no_face: Path, shots: Path) -> None:
    (tmp_path / "notes.png").write_text("These are notes.")
    Image.new("1", (13_000, 13_000)).save(tmp_path / "huge.png")
    Image.new("RGB", (90, 90)).save(tmp_path / "plain.png")
    for name, words in (("notes.png", "notes.png"), ("huge.png", "huge.png"), ("plain.png", "No face was found")):
        give(page, tmp_path / name)
        expect(page.locator("#photo-note [role=alert]")).to_contain_text(words)
    expect(page.locator("#faces img")).to_have_count(0)
    page.screenshot(path=shots / "6-bad-file.png")
    page.click("#run")
    expect(page.locator("#status [role=alert]")).to_contain_text("First give a photo")


def test_one_of_several_faces_is_chosen_by_keyboard(page: Page, tmp_path: Path, portraits: list[Path]) -> None:
    two = Image.new("RGB", (800, 400))
    for i, path in enumerate(portraits[:2]):
        two.paste(Image.open(path).convert("RGB").resize((400, 400)), (400 * i, 0))
    two.save(tmp_path / "two.png")
    give(page, tmp_path / "two.png")
    expect(page.locator("#photo-note")).to_contain_text("number 1 is chosen")
    page.get_by_label("Face 2 of 2").press("Enter")
    expect(page.locator("#photo-note")).to_contain_text("number 2 is chosen, looks about 40")
    expect(page.locator("#present-age")).to_contain_text("about 40")
    expect(page.get_by_label("Face 2 of 2")).to_have_attribute("aria-pressed", "true")


def test_the_camera_gives_a_photo(page: Page) -> None:
    page.get_by_label("Capture from camera").click()
    page.get_by_title("grant webcam access").click()
    page.wait_for_function("() => document.querySelector('#photo video').readyState >= 2")
    page.get_by_label("capture photo").click()
    expect(page.locator("#photo-note")).to_contain_text("looks about")


def test_history_opens_again_and_removes(page: Page, app: App, astronaut: Path, shots: Path) -> None:
    give(page, astronaut)
    expect(page.locator("#present-age")).to_be_visible()
    page.click("#run")
    expect(page.locator("#status")).to_contain_text("Done: age")
    page.reload()
    cards = page.locator("#history [data-act=open]")
    expect(cards.first).to_be_visible()
    count = cards.count()
    cards.first.press("Enter")
    expect(page.locator("#status")).to_contain_text("Opened again")
    expect(page.locator("#faces img")).to_be_visible()
    expect(page.locator("#download")).to_be_visible()
    remove = page.locator("#history [data-act=remove]").first
    remove.press("Enter")
    expect(remove).to_have_text("Remove?")
    expect(cards).to_have_count(count)
    remove.press("Enter")
    expect(cards).to_have_count(count - 1)


@pytest.mark.parametrize("width, height, scheme", [(390, 844, "light"), (390, 844, "dark"), (1280, 900, "dark")])
def test_other_screens(
    browser: Browser, app: App, astronaut: Path, shots: Path, width: int, height: int, scheme: Any
) -> None:
    screen = {"width": width, "height": height}
    context = browser.new_context(viewport=screen, color_scheme=scheme, has_touch=width < 500)
    page = visit(context, app, [])
    give(page, astronaut)
    expect(page.locator("#present-age")).to_be_visible()
    page.click("#run")
    expect(page.locator("#status")).to_contain_text("Done: age")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=shots / f"7-{width}-{scheme}.png", full_page=True)
    context.close()


def status_of(url: str, host: str = "", origin: str = "", body: bytes | None = None) -> int:
    headers = {name: value for name, value in (("Host", host), ("Origin", origin)) if value}
    try:
        with urlopen(Request(url, data=body, headers=headers)) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def test_only_this_machine_is_served_and_only_what_it_may_see(app: App, astronaut: Path) -> None:
    assert status_of(app.url) == 200 and status_of(app.url, host="evil.example") == 403
    queue = f"{app.url}/gradio_api/queue/join"
    assert status_of(queue, origin="http://evil.example", body=b"{}") == 403
    assert status_of(queue, origin=app.url, body=b"{}") == 422
    secret = app.settings.data / "history" / "secret.png"
    shutil.copyfile(astronaut, secret)
    for path in (secret, astronaut, Path(__file__), app.settings.data / "served" / ".." / "history" / "secret.png"):
        assert status_of(f"{app.url}/gradio_api/file={path}") == 403
    secret.unlink()


def test_the_real_networks_from_photo_to_result(
    context: BrowserContext, tmp_path: Path, astronaut: Path, shots: Path
) -> None:
    from pipelines.aging import AgingPipeline
    from pipelines.runtime import Runtime

    class Brief(AgingPipeline):
        """The real thing, with a few steps of tuning."""

        def run(
            self, photo: Any, targets: Any, options: Any = None, face: int = 0, cancel: Any = None, style: Any = None
        ) -> Any:
            return super().run(photo, targets, replace(options, tune_steps=3), face, cancel, style)

    settings = load_settings(data=tmp_path / "data", device="cpu", port=unused_port())
    served = App(settings.data, settings.port, Brief(Runtime(settings), settings.data))
    try:
        page = visit(context, served, [])
        give(page, astronaut)
        expect(page.locator("#photo-note")).to_contain_text("looks about")
        page.click("#run")
        expect(page.locator(".ea-near .ea-badge")).to_have_text("Quick preview")
        expect(page.locator("#status")).to_contain_text("Done: age 70")
        page.screenshot(path=shots / "8-real.png", full_page=True)
        recipe = read_recipe(download(page, "#download", tmp_path)) or {}
        assert recipe["target"] == 70 and recipe["photo"]["name"] == "astronaut.png"
    finally:
        served.blocks.close(verbose=False)


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_reading_order_and_landmarks(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "ea-skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('#photo').contains(document.activeElement)")
    assert page.locator("h1").count() == page.locator("main").count() == 1
    assert page.evaluate("document.documentElement.lang") == "en"
    page.click(".ea-helplink")
    expect(page.locator("#help")).to_contain_text("Privacy.")
    dark = page.locator("body").evaluate("e => e.classList.contains('dark')")
    page.click(".ea-theme")
    page.reload()
    page.wait_for_function("(was) => document.body.classList.contains('dark') !== was", arg=dark)
