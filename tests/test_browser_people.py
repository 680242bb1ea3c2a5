"""The People page in a real browser, from a folder of photos to an aged one. Pictures of it go to $SCREENSHOTS."""

from __future__ import annotations

import os
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_aging import FakePipeline
from fake_faces import picture
from fake_personal import LEARNERS, FakePersonalizer, stand_in
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from photos.io import read_recipe
from photos.library.tables import AgeSource
from pipelines.collection import Collection
from pipelines.runtime import Runtime
from pipelines.settings import load_settings
from tests.near_worker import NearWorker
from ui.server import assemble, launch_options
from ui.services import Services

AGES = (20, 28, 35, 44, 52, 61, 70)
WAIT_MS = 30_000
SLOW_MS = 300_000  # real networks on a busy machine
DROP = """async ([selector, names]) => {
  const list = new DataTransfer();
  const canvas = Object.assign(document.createElement("canvas"), {width: 90, height: 90});
  for (const name of names) {
    const blob = await new Promise((made) => canvas.toBlob(made, "image/png"));
    list.items.add(new File([blob], name, {type: "image/png"}));
  }
  document.querySelector(selector).dispatchEvent(
    new DragEvent("drop", {dataTransfer: list, bubbles: true, cancelable: true}));
}"""


class App:
    """A served app over a collection, with quick stand-ins for training and aging; the face networks are real."""

    def __init__(self, data: Path, port: int, real: bool = False) -> None:
        """real: without any stand-in."""
        self.settings = load_settings(data=data, port=port)
        self.collection = Collection(Runtime(self.settings), data)
        self.personalizer = FakePersonalizer(data, self.collection.people, pause=0.2)
        given: list[Any] = [FakePipeline(steps=2, pause=0.1), self.collection, self.personalizer]
        if real:
            del LEARNERS[data]
        services = Services(self.settings, *([] if real else given))
        self.blocks = assemble(services)
        services.worker = self.worker = NearWorker(services.jobs)  # type: ignore[assignment]
        self.blocks.launch(**launch_options(self.settings), prevent_thread_lock=True)
        self.url = f"http://127.0.0.1:{port}"

    def close(self) -> None:
        self.blocks.close(verbose=False)
        self.worker.close()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, free_port: int) -> Iterator[App]:
    patch = pytest.MonkeyPatch()
    stand_in(patch)
    served = App(tmp_path_factory.mktemp("people") / "data", free_port)
    yield served
    served.close()
    patch.undo()


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path_factory.mktemp("shots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def page(browser: Browser, app: App) -> Iterator[Page]:
    """The People page; a request to another machine or an error of the page's own script fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    trouble: list[str] = []
    yield visit(context, app, trouble)
    assert trouble == []
    context.close()


def visit(context: BrowserContext, app: App, trouble: list[str]) -> Page:
    context.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    page = context.new_page()
    local = (f"{app.url}/", "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(local) else trouble.append(request.url))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.goto(app.url)
    expect(page.locator("#run")).to_be_visible()
    page.get_by_role("tab", name="People").click()
    expect(page.locator("#people-list .ea-person").first).to_be_visible()
    return page


def faces_of(portrait: Path) -> list[Image.Image]:
    """Twelve photos of the made-up adult of a portrait: the tiles of their sheet of emotions."""
    with Image.open(portrait.with_name("emotions_sheet.jpg")) as sheet:
        corners = [(100 + 564 * column, 112 + 423 * row) for row in range(3) for column in range(4)]
        return [sheet.convert("RGB").crop((x, y, x + 510, y + 333)) for x, y in corners]


def album(folder: Path, portrait: Path, ages: tuple[int, ...] = AGES, stranger: Path | None = None) -> Path:
    """A folder of photos of one person, each with an age in its name, and one photo of a stranger among them."""
    folder.mkdir(parents=True)
    for index, (age, photo) in enumerate(zip(ages, faces_of(portrait), strict=False)):
        photo.save(folder / f"{age}_{index:04}.png")
    if stranger is not None:
        faces_of(stranger)[0].save(folder / "40_0040.png")
    return folder


def told(page: Page) -> Locator:
    return page.locator("#people-status")


def hand_in(page: Page, folder: Path, name: str = "", born: str = "") -> None:
    """Choose a folder in the form, say whose photos they are, and import them."""
    page.set_input_files("#people-drop [data-part=folder]", folder)
    expect(page.locator("#people-drop [data-part=said]")).to_contain_text("chosen")
    if name:
        page.get_by_label("Whose photos are they?").fill(name)
        page.locator("#people-drop [name=born]").fill(born)
        page.locator("#people-drop [name=consent]").check()
    page.get_by_role("button", name="Import").click()


def test_from_a_folder_of_photos_to_an_aged_one(
    page: Page, app: App, tmp_path: Path, portraits: list[Path], astronaut: Path, shots: Path
) -> None:
    page.screenshot(path=shots / "people-1-start.png", full_page=True)
    # A folder comes in, with a name, a birth date and consent. One photo shows somebody else.
    hand_in(page, album(tmp_path / "Oma", portraits[0], stranger=portraits[4]), "Oma Lene", "1941-03-02")
    expect(told(page)).to_contain_text("Imported: 8 new photos with 8 faces.")
    expect(page.locator("#people-title")).to_have_text("Oma Lene")
    expect(page.locator("#people-view")).to_contain_text("7 photos · ages 20 to 70 · born 2 March 1941")
    expect(page.locator("#people-drop [data-part=said]")).to_have_text("")
    given = app.collection.library.consent("Oma Lene")
    assert given and "Oma Lene agrees" in given.text
    page.screenshot(path=shots / "people-2-person.png", full_page=True)

    # Two ages are put right, by keyboard.
    page.locator("#people-faces [data-act=order]").select_option("age")
    fields = page.locator("#people-faces [data-act=age]")
    expect(fields.first).to_have_value("20")
    for old, new in (("20", "18.5"), ("70", "72")):
        field = page.locator(f'#people-faces [data-act=age][value="{old}"]')
        field.fill(new)
        field.press("Enter")
        expect(told(page)).to_contain_text("noted")
        expect(page.locator(f'#people-faces [data-act=age][value="{new}"]')).to_be_visible()
    expect(page.locator("#people-view")).to_contain_text("ages 18 to 72")
    typed = [face for face in app.collection.people.faces("Oma Lene") if face.age_source is AgeSource.TYPED]
    assert sorted(face.age or 0 for face in typed) == [18.5, 72]

    # Everyage learns; the tab may be closed meanwhile, and another one follows.
    page.locator("#people-learn").get_by_text("More").click()
    page.get_by_label("Steps").fill("8")
    app.personalizer.pause = 2.0
    page.get_by_role("button", name="Learn how Oma Lene ages").press("Enter")
    expect(page.locator("#people-status [role=progressbar]")).to_be_visible()
    expect(page.locator("#people-going .ea-preview img")).to_be_visible()
    expect(page.locator("#people-going .ea-curves svg")).to_have_count(2)
    page.screenshot(path=shots / "people-3-learning.png")
    page.reload()
    page.get_by_role("tab", name="People").click()
    expect(page.locator("#people-status .ea-left")).to_contain_text("left")
    page.locator("#people-stop").press("Enter")
    expect(told(page)).to_contain_text("Stopped. What is done is kept")
    app.personalizer.pause = 0.2
    page.get_by_role("button", name="Oma Lene").first.click()
    page.get_by_role("button", name="Go on from step").click()
    expect(told(page)).to_contain_text("Everyage knows how Oma Lene ages.")
    expect(page.locator("#people-learn")).to_contain_text("Ages learnt")
    page.screenshot(path=shots / "people-4-learnt.png", full_page=True)
    page.get_by_role("button", name="Measure how good it is").click()
    with page.expect_download() as waiting:
        page.locator("#people-report").click()
    assert waiting.value.suggested_filename == "How-Oma-Lene-ages.html"

    # Her photo, older, by her own aging beside everybody's.
    page.get_by_role("tab", name="Age").click()
    page.set_input_files("#photo input[type=file]", astronaut)
    expect(page.locator("#present-age")).to_be_visible()
    page.get_by_label("Person", exact=True).click()
    page.get_by_role("option", name="Oma Lene").click()
    expect(page.locator("#covered")).to_contain_text("Learnt from photos of Oma Lene at 18 to 72")
    page.get_by_label("Both side by side").check()
    slider = page.locator("#target input[type=range]")
    slider.focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    page.click("#run")
    expect(page.locator("#status")).to_contain_text("Done: age 99")
    expect(page.locator("#status")).to_contain_text("Extrapolated")
    expect(page.locator(".ea-whole .ea-tag-left")).to_have_text("Everybody's")
    expect(page.locator(".ea-whole .ea-tag-right")).to_have_text("Their own at 99")
    expect(page.locator(".ea-whole .ea-badge")).to_have_text("Beyond the learnt ages")
    page.screenshot(path=shots / "people-5-aged.png", full_page=True)
    with page.expect_download() as waiting:
        page.click("#download")
    recipe = read_recipe(waiting.value.path())
    assert recipe and recipe["options"]["person"] == app.collection.people.get("Oma Lene").folder


def test_faces_without_a_name_are_grouped_named_and_forgotten(
    page: Page, app: App, tmp_path: Path, portraits: list[Path], shots: Path
) -> None:
    folder = tmp_path / "zipped"
    folder.mkdir()
    for index, photo in enumerate(faces_of(portraits[2])[:4]):
        photo.save(folder / f"{index}.png")
    with zipfile.ZipFile(tmp_path / "album.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
        archive.writestr("../escape.png", b"no")
    page.get_by_label("Or where they lie").fill(str(tmp_path / "album.zip"))
    page.get_by_role("button", name="Import").press("Enter")
    expect(told(page)).to_contain_text("4 new photos")
    expect(told(page)).to_contain_text("1 file refused")
    page.get_by_role("button", name="Files that were refused").click()
    expect(page.locator("#people-title")).to_be_focused()
    expect(page.locator("#people-view")).to_contain_text("escape.png")

    page.get_by_role("button", name="Faces without a name").click()
    expect(page.locator("#people-title")).to_have_text("Faces without a name")
    page.get_by_role("button", name="Group the faces").click()  # without the tick: the browser asks for it
    expect(page.locator("#people-status [role=progressbar]")).to_have_count(0)
    page.locator("#people-view [name=consent]").check()
    page.get_by_role("button", name="Group the faces").press("Enter")
    expect(told(page)).to_contain_text("The faces are grouped")
    page.screenshot(path=shots / "people-6-groups.png", full_page=True)
    group = page.locator(".ea-groups > li").filter(has_text="4 faces")
    group.get_by_label("Who is it?").fill("Opa <b>")
    group.get_by_role("button", name="Name").click()
    expect(told(page)).to_contain_text("These are Opa <b> now.")
    page.locator("#people-undo").click()
    expect(told(page)).to_contain_text("Taken back: naming Opa <b>")
    expect(group).to_be_visible()
    group.get_by_label("Who is it?").fill("Opa")
    group.get_by_role("button", name="Name").click()

    page.get_by_role("button", name="Opa").first.click()
    expect(page.locator("#people-title")).to_have_text("Opa")
    boxes = page.locator("#people-faces [data-pick]")
    boxes.nth(0).check()
    boxes.nth(1).check()
    page.get_by_text("With ticked faces").click()
    page.get_by_label("They are somebody else").fill("Ada")
    page.get_by_role("button", name="Split off").click()
    expect(told(page)).to_contain_text("2 faces given to Ada.")
    expect(boxes).to_have_count(2)
    assert [box.is_checked() for box in boxes.all()] == [False, False]  # the places of ticked ones have other faces now

    page.get_by_text("Name, birth date, merge, forget").click()
    page.get_by_label("Opa is the same person as").select_option("Ada")
    page.get_by_role("button", name="Merge").click()
    expect(page.locator("#people-title")).to_have_text("Ada")
    expect(page.locator("#people-view")).to_contain_text("4 photos")
    forget = page.get_by_role("button", name="Forget Ada")
    forget.click()
    expect(page.get_by_role("button", name="Really forget Ada?")).to_be_visible()
    page.get_by_role("button", name="Really forget Ada?").click()
    expect(page.locator("#people-title")).to_have_text("Ada is forgotten")
    page.screenshot(path=shots / "people-7-forgotten.png", full_page=True)
    assert "Ada" not in {person.name for person in app.collection.people.list()}


def test_photos_are_dropped_anywhere_and_look_alikes_decided(page: Page, app: App, tmp_path: Path, shots: Path) -> None:
    page.evaluate(DROP, ["h1", ["one.png", "two.png", "notes.txt"]])
    said = page.locator("#people-drop [data-part=said]")
    expect(said).to_contain_text("2 files chosen")
    expect(said).to_contain_text("1 of another kind left out")
    page.get_by_role("button", name="Clear").click()
    expect(said).to_be_empty()
    folder = tmp_path / "twice"
    folder.mkdir()
    picture(200, 192, 192).save(folder / "large.png")
    picture(200, 192, 192).resize((96, 96), Image.Resampling.LANCZOS).save(folder / "small.png")
    hand_in(page, folder)
    expect(told(page)).to_contain_text("2 new photos")
    page.get_by_role("button", name="Photos that look alike").click()
    pair = page.locator(".ea-pairs > li").filter(has_text="large.png")
    expect(pair.locator("figure")).to_have_count(2)
    expect(pair.locator("figure").first).to_contain_text("large.png")
    page.screenshot(path=shots / "people-8-alike.png", full_page=True)
    before = app.collection.library.count()
    pair.get_by_role("button", name="Keep the left").click()
    expect(pair).to_have_count(0)
    assert app.collection.library.count() == before - 1


@pytest.mark.parametrize("width, height, scheme", [(390, 844, "light"), (390, 844, "dark"), (1280, 900, "dark")])
def test_other_screens(
    browser: Browser,
    app: App,
    tmp_path: Path,
    portraits: list[Path],
    shots: Path,
    width: int,
    height: int,
    scheme: Any,
) -> None:
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = visit(context, app, [])
    name = f"Tante {width} {scheme}"
    portrait = portraits[5 + 2 * (scheme == "dark") + (width > 1000)]  # each time somebody else
    hand_in(page, album(tmp_path / "tante", portrait, (30, 40, 50)), name)
    expect(page.locator("#people-title")).to_have_text(name)
    expect(page.locator("#people-faces .ea-faces > li")).to_have_count(3)
    page.get_by_text("With ticked faces").click()
    page.wait_for_timeout(700)  # scrolling
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#people-title").evaluate("e => e.getBoundingClientRect().top < innerHeight")
    page.screenshot(path=shots / f"people-9-{width}-{scheme}.png", full_page=True)
    context.close()


def test_the_real_networks_from_a_folder_to_an_aged_photo(
    browser: Browser, tmp_path: Path, portraits: list[Path], shots: Path
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    app = App(tmp_path / "data", port, real=True)
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    trouble: list[str] = []
    page = visit(context, app, trouble)
    page.set_default_timeout(SLOW_MS)
    folder = album(tmp_path / "Ada", portraits[0], (25, 32, 40, 51, 60))
    hand_in(page, folder, "Ada")
    expect(told(page)).to_contain_text("Imported: 5 new photos with 5 faces.", timeout=SLOW_MS)
    page.locator("#people-learn").get_by_text("More").click()
    page.get_by_label("Steps").fill("3")
    page.get_by_role("button", name="Learn how Ada ages").click()
    expect(page.locator("#people-going .ea-preview img")).to_be_visible(timeout=SLOW_MS)
    expect(told(page)).to_contain_text("Everyage knows how Ada ages.", timeout=SLOW_MS)
    page.screenshot(path=shots / "people-10-real.png", full_page=True)
    page.get_by_role("tab", name="Age").click()
    page.set_input_files("#photo input[type=file]", folder / "25_0000.png")
    expect(page.locator("#present-age")).to_be_visible(timeout=SLOW_MS)
    page.get_by_label("Person", exact=True).click()
    page.get_by_role("option", name="Ada").click()
    page.click("#more button.label-wrap")
    page.get_by_label("Quick").check()
    page.click("#run")
    expect(page.locator("#status")).to_contain_text("Done: age 70", timeout=SLOW_MS)
    expect(page.locator(".ea-whole .ea-badge")).to_have_text("Beyond the learnt ages")
    page.screenshot(path=shots / "people-11-real.png", full_page=True)
    assert trouble == []
    context.close()
    app.close()
