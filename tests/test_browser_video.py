"""The Video and Jobs pages in a real browser, with the real worker and the embedded models, over a tiny real clip.

Pictures of it go to $SCREENSHOTS.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fake_aging import FakePipeline
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from pipelines.settings import Settings, load_settings
from ui.server import assemble, launch_options
from ui.services import Services

WAIT_MS = 120_000
FRAMES, RATE, SIDE = 24, 25, 256
ASKING = re.compile("/gradio_api/(queue/join|run/)")
DROP = """([name, text]) => {
  const list = new DataTransfer();
  list.items.add(new File([text], name, {type: "video/mp4"}));
  const event = new DragEvent("drop", {dataTransfer: list, bubbles: true, cancelable: true});
  document.querySelector("h1").dispatchEvent(event);
}"""
VIDEOS = """() => [...document.querySelectorAll('#video-job video')].map((v) =>
  ({ready: v.readyState, duration: v.duration, at: v.currentTime, paused: v.paused, width: v.videoWidth}))"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, astronaut: Path) -> Path:
    """A second of somebody's face, with a tone."""
    path = tmp_path_factory.mktemp("clip") / "moon day.mp4"
    photo = Image.open(astronaut).convert("RGB")
    with av.open(str(path), "w") as out:
        pictures = out.add_stream("libx264", rate=RATE, options={"crf": "20"})
        pictures.width = pictures.height = SIDE
        pictures.pix_fmt = "yuv420p"
        sound = out.add_stream("aac", rate=16000)
        for i in range(FRAMES):
            shown = photo.crop((60 + i, i // 2, 360 + i, 300 + i // 2)).resize((SIDE, SIDE))
            out.mux(pictures.encode(av.VideoFrame.from_image(shown)))
        out.mux(pictures.encode())
        for start in range(0, 16000 * FRAMES // RATE - 1024, 1024):
            tone = 0.2 * np.sin(np.arange(start, start + 1024, dtype=np.float32) / 6)
            block = av.AudioFrame.from_ndarray(tone[None].astype(np.float32), format="fltp", layout="mono")
            block.sample_rate, block.pts = 16000, start
            out.mux(sound.encode(block))
        out.mux(sound.encode())
    return path


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, free_port: int) -> Settings:
    return load_settings(data=tmp_path_factory.mktemp("video") / "data", port=free_port, device="cpu")


@pytest.fixture(scope="module")
def served(settings: Settings) -> Iterator[str]:
    services = Services(settings, FakePipeline(steps=2, pause=0.1))
    blocks = assemble(services)
    blocks.launch(**launch_options(settings), prevent_thread_lock=True)
    services.start_worker()
    yield f"http://127.0.0.1:{settings.port}"
    services.close()
    blocks.close(verbose=False)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    context.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    yield context
    context.close()


@pytest.fixture
def trouble() -> Iterator[list[str]]:
    """Requests elsewhere and errors of the pages' own script; any fails the test."""
    found: list[str] = []
    yield found
    assert found == []


def visit(context: BrowserContext, served: str, trouble: list[str], tab: str = "Video") -> Page:
    page = context.new_page()
    local = (f"{served}/", "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(local) else trouble.append(request.url))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.goto(served)
    page.get_by_role("tab", name=tab).click()
    page.wait_for_selector(
        "#video-file input[type=file]" if tab == "Video" else "#jobs-filters button", state="attached"
    )
    return page


def shot(page: Page, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def give(page: Page, clip: Path) -> None:
    page.set_input_files("#video-file input[type=file]", clip)
    expect(page.locator("#video-form")).to_be_visible()


def set_age(page: Page, age: int, steps: int = 0) -> None:
    """Move the first person's slider by keyboard, and learn the face for so many steps."""
    expert = page.locator("details[data-fold=video-expert]")
    if expert.get_attribute("open") is None:
        expert.locator("summary").click()
    page.locator("input[name=tune_steps]").fill(str(steps))
    slider = page.locator("input[name=age-1]")
    slider.focus()
    page.keyboard.press("Home")
    for _ in range(age):
        page.keyboard.press("ArrowRight")
    expect(page.locator(".ea-v-age.ea-v-one-grow output").first).to_have_text(str(age))


def row(page: Page, title: str) -> Locator:
    """A job on the Jobs page."""
    return page.locator(".ea-job", has_text=title)


def twice(button: Locator) -> None:
    """Press a button that asks first."""
    button.click()
    expect(button).to_contain_text("Really")
    button.click()


def test_from_a_clip_to_its_result_with_the_tab_closed_meanwhile(
    context: BrowserContext, served: str, trouble: list[str], clip: Path, settings: Settings, tmp_path: Path
) -> None:
    page = visit(context, served, trouble)
    shot(page, "video-start")
    give(page, clip)
    expect(page.locator("#video-clip")).to_contain_text("moon day.mp4")
    expect(page.locator("#video-clip")).to_contain_text("256 × 256, 25 frames a second, with sound")
    person = page.get_by_label("Person 1", exact=False).first
    expect(person).to_be_checked()
    expect(page.locator(".ea-v-who small")).to_contain_text("Looks about")

    set_age(page, 68)
    page.get_by_label("Time in the video").focus()
    frames = []
    for key, shown in (("End", "0.9 s"), ("Home", "0.0 s")):
        page.keyboard.press(key)
        expect(page.locator("#video-stage .ea-tag")).to_have_text(f"Now · {shown}")
        expect(page.locator(".ea-v-time output")).to_have_text(shown)
        frames.append(page.locator("#video-stage img").get_attribute("src"))
    assert frames[0] != frames[1]
    page.get_by_role("button", name="Preview this frame").press("Enter")
    expect(page.locator("#video-status .ea-good")).to_contain_text("So the frame will look")
    expect(page.locator("#video-stage .ea-whole .ea-tag-right")).to_have_text("At 68")
    old, new = page.locator("#video-stage .ea-near img").all()
    assert old.get_attribute("src") != new.get_attribute("src")
    shot(page, "video-preview")

    page.get_by_role("button", name="Age the video").press("Enter")
    expect(page.locator("#video-job h3")).to_have_text("moon day.mp4 at 68")
    expect(page.locator("#video-job")).to_contain_text("You can close this tab")
    page.close()

    page = visit(context, served, trouble)
    expect(page.locator("#video-job h3")).to_have_text("moon day.mp4 at 68")
    expect(page.locator("#video-job .ea-m-good")).to_have_text("Done")
    page.wait_for_function(f"() => ({VIDEOS})().length === 2 && ({VIDEOS})().every((v) => v.ready >= 2)")
    original, result = page.evaluate(VIDEOS)
    assert abs(result["duration"] - FRAMES / RATE) < 0.1 and result["width"] == original["width"] == SIDE
    expect(page.locator(".ea-clock")).to_have_text("0:00 / 0:01")
    page.get_by_role("button", name="Play").press("Enter")
    page.wait_for_function(f"() => ({VIDEOS})().every((v) => v.at > 0.3)")
    page.wait_for_function(f"() => ({VIDEOS})().every((v) => v.paused)")  # at the end
    divider = page.locator(".ea-player").get_by_label("place of the divider")
    divider.focus()
    page.keyboard.press("Home")
    assert page.locator(".ea-player").evaluate("e => e.style.getPropertyValue('--at')") == "0%"
    expect(page.locator("input[name=age-1]")).to_have_value("68")  # the settings are there again
    expect(page.locator("input[name=tune_steps]")).to_have_value("0")
    shot(page, "video-result")

    with page.expect_download() as waiting:
        page.locator("#video-job .ea-download").click()
    waiting.value.save_as(tmp_path / "kept.mp4")
    made = next((settings.data / "videos").glob("moon day-at-68-*.mp4"))
    assert (tmp_path / "kept.mp4").read_bytes() == made.read_bytes()
    with av.open(str(made)) as found:
        assert sum(1 for _ in found.decode(video=0)) == FRAMES and len(found.streams.audio) == 1

    page.get_by_role("tab", name="Jobs").click()
    job = row(page, "moon day.mp4 at 68")
    expect(job.locator(".ea-m-pill")).to_have_text("Done")
    expect(job.locator(".ea-j-picture img")).to_be_visible()
    job.get_by_role("button", name=re.compile("^Open")).click()
    expect(page.locator("#jobs-opened-part video")).to_be_visible()
    shot(page, "jobs-opened")
    page.get_by_role("button", name="Close moon day.mp4").click()
    twice(job.get_by_role("button", name=re.compile("with its files")))
    expect(page.locator("#jobs-status")).to_contain_text("is deleted")
    expect(job).to_have_count(0)
    assert not made.exists() and not list((settings.data / "clips").glob("*"))


def test_jobs_change_places_are_cancelled_go_on_and_are_deleted(
    context: BrowserContext, served: str, trouble: list[str], clip: Path, settings: Settings
) -> None:
    page = visit(context, served, trouble)
    give(page, clip)
    for age in (30, 31, 32):
        set_age(page, age, steps=300)  # long enough to be stopped
        page.get_by_role("button", name="Age the video").click()
        expect(page.locator("#video-job h3")).to_have_text(f"moon day.mp4 at {age}")
    page.get_by_role("tab", name="Jobs").click()
    expect(row(page, "at 30").locator(".ea-m-pill")).to_have_text("Running")
    titles = page.locator(".ea-job b")
    expect(titles).to_have_text([f"moon day.mp4 at {age}" for age in (30, 31, 32)])
    row(page, "at 32").get_by_role("button", name="To the front").click()
    expect(titles).to_have_text([f"moon day.mp4 at {age}" for age in (30, 32, 31)])
    shot(page, "jobs-list")

    with page.expect_request(ASKING):  # while somebody looks, and only then
        pass
    page.get_by_role("tab", name="Age").click()
    expect(page.locator("#photo")).to_be_visible()
    page.wait_for_timeout(500)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(2500)
    assert asked == []
    page.get_by_role("tab", name="Jobs").click()
    page.wait_for_event("request", lambda request: bool(ASKING.search(request.url)))

    for age in (31, 32):
        row(page, f"at {age}").get_by_role("button", name="Cancel").click()
        expect(row(page, f"at {age}").locator(".ea-m-pill")).to_have_text("Cancelled")
    row(page, "at 30").get_by_role("button", name="Cancel").click()
    expect(row(page, "at 30").locator(".ea-m-pill")).to_have_text("Cancelled")
    row(page, "at 30").get_by_role("button", name="Go on").click()
    expect(row(page, "at 30").locator(".ea-m-pill")).to_have_text("Running")
    row(page, "at 30").get_by_role("button", name="Cancel").click()
    page.locator("#jobs-filters").get_by_role("button", name="Cancelled").click()
    expect(titles).to_have_count(3)
    page.locator("#jobs-filters").get_by_role("button", name="Done").click()
    expect(page.locator("#jobs-list")).to_contain_text("No jobs of this kind")
    page.reload()
    page.get_by_role("tab", name="Jobs").click()
    for age in (30, 31, 32):
        twice(row(page, f"at {age}").get_by_role("button", name=re.compile("with its files")))
        expect(row(page, f"at {age}")).to_have_count(0)
    expect(page.locator("#jobs-list")).to_contain_text("Close the tab")
    expect(page.locator("#jobs-pulse [data-poll]")).to_have_count(0)
    assert not [path for path in (settings.data / "jobs" / "work").glob("*") if path.is_dir()]


def test_what_is_no_video_is_one_sentence(
    context: BrowserContext, served: str, trouble: list[str], settings: Settings
) -> None:
    page = visit(context, served, trouble)
    kept = list(settings.data.glob("clips/*"))
    page.evaluate(DROP, ["notes.mp4", "These are notes."])  # beside the field
    expect(page.locator("#video-note [role=alert]")).to_contain_text("notes.mp4")
    expect(page.locator("#video-form")).to_have_count(0)
    page.get_by_label("Or where it lies").fill("/no/such/film.mp4")
    page.keyboard.press("Enter")
    expect(page.locator("#video-note [role=alert]")).to_contain_text("/no/such/film.mp4")
    assert list(settings.data.glob("clips/*")) == kept


@pytest.mark.parametrize("width, height, scheme", [(390, 844, "light"), (390, 844, "dark"), (1280, 900, "dark")])
def test_other_screens(
    browser: Browser, served: str, trouble: list[str], clip: Path, width: int, height: int, scheme: Any
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=width < 500
    )
    context.set_default_timeout(WAIT_MS)
    page = visit(context, served, trouble)
    give(page, clip)  # looked through already, so at once
    page.locator("label:has(input[name=mode][value=grow])").click()
    expect(page.locator("input[name=first-1]")).to_be_visible()
    expect(page.locator("#video-stage img")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shot(page, f"video-{width}-{scheme}")
    page.get_by_role("tab", name="Jobs").click()
    expect(page.locator("#jobs-filters button")).to_have_count(6)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
