"""The Models page: what it shows and does, as functions and in a real browser. Pictures go to $SCREENSHOTS."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_aging import FakePipeline
from fake_models import foreign_file, quick_convert, record
from naughty import Naughty, serving
from playwright.sync_api import Browser, Locator, Page, expect

from models import catalog, foreign
from pipelines.events import CancelToken
from pipelines.models import PRESETS, Entry, State, StoredModel, finish
from pipelines.models.download_job import DownloadJob
from pipelines.models.web import Manners
from pipelines.settings import load_settings
from tests.near_worker import NearWorker
from ui.models import add, shelf, views, words, work
from ui.models.work import Step
from ui.server import assemble, launch_options, prepare
from ui.services import Run, Services

QUICK = Manners(stall_s=1, tries=3, pause_s=0.01, max_pause_s=0.02, spare_bytes=0)


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    monkeypatch.setattr(foreign, "convert_safely", quick_convert)
    settings = load_settings(data=tmp_path / "data")
    made = Services(settings, FakePipeline())
    made.models.manners = QUICK
    prepare(settings, made.served)
    monkeypatch.setattr(DownloadJob, "store", lambda _: made.models)
    made.worker = worker = NearWorker(made.jobs)  # type: ignore[assignment]
    yield made
    worker.close()
    made.jobs.close()


def publish(monkeypatch: pytest.MonkeyPatch, *more: catalog.ModelRecord) -> None:
    known = (*catalog.records(), *more)
    monkeypatch.setattr(catalog, "records", lambda: known)
    monkeypatch.setattr(catalog, "find_record", lambda id: next((r for r in known if r.id == id), None))


def entry(services: Services, id: str) -> Entry:
    return services.models.get(id)


def done(steps: Iterator[Step]) -> Step:
    """The last step; every other says that the work goes on."""
    *before, last = list(steps)
    assert all(step.busy for step in before) and not last.busy
    return last


# What it shows


def test_the_list_has_every_model_under_its_purpose(services: Services) -> None:
    entries = services.models.list()
    shown = views.table(entries, "sam")
    assert shown.count('data-act="open"') == len(entries)
    assert re.findall(r'<details class="ea-m-group"( open)?><summary>([^<]+)<', shown) == [
        (" open", "Aging a face"),
        (" open", "One person&#x27;s own aging"),
        ("", "Faces and pictures from StyleGAN2"),
        ("", "Reading a photo into a generator"),
        ("", "Pictures from words"),
        ("", "Reading age and likeness"),
        ("", "Part of the app"),
    ]
    assert shown.count('aria-pressed="true"') == 1 and "2.3 GB · 1024 px · Research only" in shown
    assert " open><summary>Pictures" in views.table(entries, "sdxl")
    assert views.table(entries, "stabilityai/stable-diffusion-xl-base-1.0").count('aria-pressed="true"') == 1


def test_a_licence_comes_before_the_download(services: Services) -> None:
    shown = views.detail(entry(services, "ffhq"), False)
    assert "NVIDIA Source Code License" in shown and "not commercial use" in shown
    assert 'data-act="accept"' in shown and re.search(r'data-act="download" data-id="ffhq" disabled', shown)
    assert 'href="https://nvlabs.github.io/stylegan2-ada-pytorch/license.html" target="_blank" rel="noopener' in shown
    done(work.act(services, Run(), "accept", "ffhq"))
    shown = views.detail(entry(services, "ffhq"), False)
    assert "You accepted it on" in shown and "disabled" not in shown and 'data-act="accept"' not in shown
    assert "Download from nvlabs-fi-cdn.nvidia.com" in shown
    assert "Read it on its page" in views.detail(entry(services, "sdxl"), False)
    assert "where that folder lies" in views.detail(entry(services, "sdxl"), True)
    shown = views.detail(entry(services, "ffhq"), True)
    assert 'data-act="download"' not in shown and "Add a file" in shown


def test_what_a_person_must_fetch_is_told_in_steps(services: Services) -> None:
    shown = views.detail(entry(services, "sam"), False)
    assert 'href="https://drive.google.com/file/d/' in shown and "<code>sam_ffhq_aging.pt</code> (2.3 GB)" in shown
    assert 'data-act="download"' not in shown
    assert "<code>" not in views.detail(entry(services, "mytm-al-pacino"), False)  # no name is known, none is made up


def test_what_ships_can_be_checked_but_not_removed(services: Services) -> None:
    shown = views.detail(entry(services, "heads-generator"), False)
    assert 'data-act="verify"' in shown and 'data-act="remove"' not in shown and 'data-act="accept"' not in shown


def test_presets_lead_to_what_is_lacking(services: Services) -> None:
    shown = views.presets(PRESETS, services.models.list())
    assert shown.count("Ready") == 1 and shown.count('data-act="open" data-id="sam"') == 2


def test_offline_is_said_at_the_top(services: Services) -> None:
    panel: Any = shelf.ShelfPanel("top", "table")  # type: ignore[arg-type]
    entries = services.models.list()
    assert "started offline" not in shelf.show(panel, services, entries, "")["top"]
    services.settings = load_settings(data=services.settings.data, offline=True)
    assert "started offline" in shelf.show(panel, services, entries, "")["top"]


def test_names_from_files_are_escaped(services: Services, tmp_path: Path) -> None:
    source = foreign_file(tmp_path / "a.pkl")
    finish(services.models.add(source, name="<img src=x onerror=alert(1)>"))
    entries = services.models.list()
    own = entries[-1]
    for shown in (views.table(entries, own.id), views.detail(own, False)):
        assert "<img" not in shown and "&lt;img src=x" in shown


def test_sizes_and_states_in_words(services: Services) -> None:
    assert [words.size(n) for n in (0, 310_000, 14_401_290, 2_270_547_237)] == ["0 kB", "310 kB", "14 MB", "2.3 GB"]
    assert words.day("2026-11-04T10:00:00+01:00") == "4 November 2026"
    sam = entry(services, "sam")
    assert words.state(sam) == "Can be added" and words.tone(sam) == "plain"
    assert words.state(replace(sam, arrived=1_135_273_619)) == "Paused at 50 %"
    damaged = replace(sam, state=State.DAMAGED, problem="the file x is missing")
    assert "The file x is missing. Remove it and add it again." in views.detail(damaged, False)


# What it does


def test_a_file_is_added_and_the_upload_is_gone(services: Services, tmp_path: Path) -> None:
    upload = services.new_file("net", ".pkl")
    foreign_file(upload)
    last = done(work.add(services, Run(), str(upload), "", add.MINE, "My Net"))
    assert last.selected == "my-net" and "My Net is here" in last.status and not upload.exists()
    assert entry(services, "my-net").state is State.READY
    place = foreign_file(tmp_path / "other.pkl")
    assert done(work.add(services, Run(), None, f' "{place}" ', add.NOT_SAID, "")).selected == "other"
    assert place.exists()  # not ours to delete
    assert done(work.add(services, Run(), None, str(foreign_file(tmp_path / "x.pkl")), "ffhq", "")).selected == "ffhq"
    assert "accept" in words.state(entry(services, "ffhq")).lower()


def test_what_goes_wrong_is_one_sentence_without_the_servers_paths(services: Services, tmp_path: Path) -> None:
    upload = services.new_file("junk", ".pkl")
    upload.write_bytes(b"junk")
    last = done(work.add(services, Run(), str(upload), "", add.NOT_SAID, ""))
    assert 'role="alert"' in last.status and "junk.pkl holds nothing" in last.status
    assert str(services.served) not in last.status and not upload.exists()
    for place, what, name, said in (
        ("", "", "", "First give a file"),
        (str(tmp_path / "no.pkl"), "", "", "nothing at"),
        (str(foreign_file(tmp_path / "a.pkl")), add.MINE, " ", "Give your model a name"),
    ):
        assert said in done(work.add(services, Run(), None, place, what, name)).status
    assert "can&#x27;t be downloaded by a program" in done(work.act(services, Run(), "download", "sam")).status


def test_files_of_a_shared_server_are_not_named_by_visitors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(data=tmp_path / "data", host="0.0.0.0", password="long enough")
    shared = Services(settings, FakePipeline())
    secret = foreign_file(tmp_path / "secret.pkl")
    assert "Only files that are uploaded" in done(work.add(shared, Run(), None, str(secret), "", "")).status
    assert not (shared.models.folder / "secret").exists()


def test_a_repository_of_the_hub_is_shown_first(services: Services) -> None:
    (step,) = work.add(services, Run(), None, "somebody/tiny-sd", add.NOT_SAID, "")
    assert step.selected == "somebody/tiny-sd"
    shown = views.detail(entry(services, "somebody/tiny-sd"), False)
    assert "Download from huggingface.co" in shown and shown.count('data-id="somebody/tiny-sd"') == 2
    done(work.act(services, Run(), "accept", "somebody/tiny-sd"))
    assert entry(services, "somebody/tiny-sd").accepted


def test_a_download_stops_goes_on_and_ends(services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = foreign_file(tmp_path / "net.pkl").read_bytes() + b" " * 500_000
    with serving() as server:
        publish(monkeypatch, record(server.put("/tiny.pkl", content), content))
        services.models.accept("tiny")
        run = Run()

        def halfway(handler: Any, whole: bytes) -> bool:
            handler.start(200, whole)
            for start in range(0, 200_000, 20_000):
                handler.send(whole[start : start + 20_000])
                time.sleep(0.15)
            run.cancel.cancel()
            while services.download_jobs.running is not None and services.download_jobs.running.job.state == "running":
                time.sleep(0.05)
            handler.send(whole[200_000:])
            return True

        server.tricks = [halfway]
        steps = list(work.act(services, run, "download", "tiny"))
        assert any('role="progressbar"' in step.status and " of 500 kB" in step.status for step in steps)
        assert "Stopped. What has arrived is kept" in steps[-1].status and entry(services, "tiny").arrived > 0
        assert "Go on with the download" in views.detail(entry(services, "tiny"), False)
        last = done(work.act(services, Run(), "download", "tiny"))
        assert last.selected == "tiny" and entry(services, "tiny").state is State.READY
        assert [job.state for job in services.jobs.list()] == ["done"]  # one job, stopped and gone on with
    assert server.bytes_sent < 2 * len(content)


def test_checking_and_removing(services: Services, tmp_path: Path) -> None:
    stored: StoredModel = finish(services.models.add(foreign_file(tmp_path / "a.pkl")))
    assert "Every file is as it should be" in done(work.act(services, Run(), "verify", "a")).status
    stored.path.write_bytes(b"x" * stored.files[0].bytes)
    last = done(work.act(services, Run(), "verify-all", ""))
    assert 'role="alert"' in last.status and "a: model.safetensors changed" in last.status and last.changed
    assert "a is removed" in done(work.act(services, Run(), "remove", "a")).status
    assert done(work.act(services, Run(), "remove", "a")).status.count('role="alert"') == 1


def test_a_replaced_run_is_silent(services: Services, tmp_path: Path) -> None:
    run = Run(CancelToken(), replaced=True)
    assert list(work.add(services, run, None, str(foreign_file(tmp_path / "a.pkl")), "", "")) == []


def test_a_defect_is_a_sentence_too(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services.models, "verify", lambda *_: 1 / 0)
    assert "Something went wrong (ZeroDivisionError)" in done(work.act(services, Run(), "verify-all", "")).status


# In the browser


class Served:
    """The app with its quick converter and a server to download from."""

    def __init__(self, data: Path, port: int, server: Naughty) -> None:
        self.settings, self.server = load_settings(data=data, port=port), server
        services = Services(self.settings, FakePipeline())
        self.blocks = assemble(services)
        self.worker = NearWorker(services.jobs)
        self.blocks.launch(**launch_options(self.settings), prevent_thread_lock=True)
        self.url = f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, free_port: int) -> Iterator[Served]:
    patch = pytest.MonkeyPatch()
    patch.setattr(foreign, "convert_safely", quick_convert)
    place = tmp_path_factory.mktemp("models")
    content = foreign_file(place / "tiny.pkl").read_bytes() + b" " * 3_000_000
    with serving() as server:
        publish(patch, record(server.put("/tiny.pkl", content), content, title="Tiny faces"))
        app = Served(place / "data", free_port, server)
        yield app
        app.blocks.close(verbose=False)
        app.worker.close()
    patch.undo()


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path_factory.mktemp("shots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    """The Models page; a request to another machine or an error of the page's own script fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    context.set_default_timeout(30_000)
    trouble: list[str] = []
    page = context.new_page()
    local = (f"{served.url}/", "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(local) else trouble.append(request.url))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    open_models(page, served)
    yield page
    assert trouble == []
    context.close()


def open_models(page: Page, served: Served) -> None:
    page.goto(served.url)
    expect(page.locator("#run")).to_be_visible(timeout=30_000)  # the Age page comes first
    page.get_by_role("tab", name="Models").click()
    expect(page.locator("#models-table .ea-m-row").first).to_be_visible(timeout=30_000)


def row(page: Page, id: str) -> Locator:
    return page.locator(f'#models-table [data-id="{id}"]')


def test_from_licence_to_ready_in_the_browser(page: Page, served: Served, shots: Path) -> None:
    page.screenshot(path=shots / "models-1-list.png", full_page=True)
    page.get_by_text("Faces and pictures from StyleGAN2").first.click()
    row(page, "tiny").press("Enter")
    expect(page.locator("#model-title")).to_have_text("Tiny faces")
    expect(page.locator("#model-title")).to_be_focused()
    expect(row(page, "tiny")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("[data-act=download]")).to_be_disabled()
    page.screenshot(path=shots / "models-2-licence.png")
    page.locator("[data-act=accept]").press("Enter")
    expect(page.locator("#model-view")).to_contain_text("You accepted it on")

    def slowly(handler: Any, content: bytes) -> bool:
        handler.start(206 if handler.first else 200, content)
        for start in range(handler.first, len(content), 100_000):
            handler.send(content[start : start + 100_000])
            time.sleep(0.3)
        return True

    served.server.tricks = [slowly]
    page.locator("[data-act=download]").press("Enter")
    expect(page.locator("#model-status [role=progressbar]")).to_be_visible()
    expect(page.locator("#model-status .ea-left")).to_contain_text("left")
    page.screenshot(path=shots / "models-3-download.png")
    page.reload()  # the download goes on, and the page follows it
    page.get_by_role("tab", name="Models").click()
    expect(page.locator("#model-status [role=progressbar]")).to_be_visible()
    expect(page.locator("#model-stop")).to_be_visible()
    expect(page.locator("#model-title")).to_have_text("Tiny faces")
    page.locator("#models-table summary", has_text="StyleGAN2").click()
    row(page, "ffhq").click()  # a look at another model, and its licence, leave the download alone
    page.locator("[data-act=accept]").click()
    expect(page.locator("#model-view")).to_contain_text("You accepted it on")
    page.click("#models-summary [data-act=verify-all]")
    expect(page.get_by_text("Something is being done already")).to_be_visible()
    expect(page.locator("#model-status [role=progressbar]")).to_be_visible()
    page.locator("#model-stop").press("Enter")
    expect(page.locator("#model-status")).to_contain_text("Stopped. What has arrived is kept")
    expect(page.locator("#model-title")).to_have_text("Tiny faces")
    expect(row(page, "tiny")).to_contain_text("Paused at")
    expect(page.locator("#model-stop")).to_be_hidden()
    page.locator("[data-act=download]").click()
    expect(page.locator("#model-status")).to_contain_text("is here")
    expect(row(page, "tiny")).to_contain_text("Ready")
    assert re.fullmatch(r"bytes=[1-9]\d+-", served.server.asked[-1].range or "")
    page.locator("#model-view [data-act=verify]").click()
    expect(page.locator("#model-status")).to_contain_text("Every file is as it should be")
    page.screenshot(path=shots / "models-4-ready.png", full_page=True)
    remove = page.locator("#model-view [data-act=remove]")
    remove.click()
    expect(remove).to_have_text("Really remove it?")
    remove.click()
    expect(page.locator("#model-status")).to_contain_text("is removed")
    expect(row(page, "tiny")).to_contain_text("Can be added")


def test_a_file_is_dropped_and_named(page: Page, served: Served, tmp_path: Path, shots: Path) -> None:
    page.set_input_files("#model-file input[type=file]", foreign_file(tmp_path / "grandma.pt", "everyage-adapter"))
    expect(page.locator("#model-file")).to_contain_text("grandma")
    page.get_by_label("It is").click()
    page.get_by_role("option", name="A model of my own").click()
    page.get_by_label("Name", exact=True).fill("Grandma")
    page.locator("#model-add-run").press("Enter")
    expect(page.locator("#model-status")).to_contain_text("Grandma is here")
    expect(row(page, "grandma")).to_contain_text("Ready")
    expect(page.locator("#model-title")).to_have_text("Grandma")
    page.screenshot(path=shots / "models-5-own.png", full_page=True)
    assert not [path for path in (served.settings.data / "served").rglob("*.pt") if path.is_file()]
    page.get_by_label("Or where it lies").fill(str(tmp_path / "missing.pkl"))
    page.click("#model-add-run")
    expect(page.locator("#model-status [role=alert]")).to_contain_text("There is nothing at")


def test_a_preset_leads_to_its_model(page: Page) -> None:
    page.locator("#models-summary [data-act=open]").first.click()
    expect(page.locator("#model-title")).to_have_text("SAM: aging at 1024 px")
    expect(row(page, "sam")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_label("It is")).to_have_value("SAM: aging at 1024 px")
    links = page.locator("#model-view a")
    assert {links.nth(i).get_attribute("rel") for i in range(links.count())} == {"noopener noreferrer"}


@pytest.mark.parametrize("width, height, scheme", [(390, 844, "light"), (1280, 900, "dark")])
def test_other_screens(browser: Browser, served: Served, shots: Path, width: int, height: int, scheme: Any) -> None:
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    open_models(page, served)
    row(page, "sam").click()
    expect(page.locator("#model-title")).to_have_text("SAM: aging at 1024 px")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.wait_for_timeout(700)  # scrolling
    assert page.locator("#model-title").evaluate("e => e.getBoundingClientRect().top < innerHeight")
    page.screenshot(path=shots / f"models-6-{width}-{scheme}.png", full_page=True)
    context.close()
