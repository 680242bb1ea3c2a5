"""The Jobs page without a browser: what it shows of a queue, and what its buttons do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest
from fake_aging import FakePipeline
from fake_video import NOON, FakeQueue, told
from filelock import FileLock
from PIL import Image

from pipelines.errors import EveryageError, InputError
from pipelines.jobs.job import Job
from pipelines.settings import Settings, load_settings
from ui import jobs as page_module
from ui.handout import address, hand_out
from ui.jobs import acts, bind, shown, views, words
from ui.jobs.shown import Choice
from ui.server import prepare, private_paths
from ui.services import Services
from ui.widgets import Said, live, plain, pulse


@pytest.fixture
def queue(tmp_path: Path) -> FakeQueue:
    return FakeQueue(tmp_path)


@pytest.fixture
def services(tmp_path: Path, queue: FakeQueue) -> Services:
    settings = load_settings(data=tmp_path / "data")
    made = Services(settings, FakePipeline(), jobs=cast(Any, queue))
    prepare(settings, made.served)
    made.worker = cast(Any, SimpleNamespace(alive=True))
    return made


@pytest.fixture
def page(services: Services) -> Iterator[bind.Page]:
    with gr.Blocks():
        parts = [live(), plain(), live(), live(), pulse("beat")]
        yield bind.Page(services, *parts)


def buttons(html: str, key: str) -> list[str]:
    """The acts that a job's buttons say, in order; a disabled one in brackets."""
    found = []
    for part in html.split("<button")[1:]:
        tag = part.split(">")[0]
        if f'data-id="{key}"' in tag:
            act = tag.split('data-act="')[1].split('"')[0]
            found.append(f"({act})" if " disabled" in tag else act)
    return found


# What is shown


def test_each_state_has_its_words_and_its_buttons(services: Services, queue: FakeQueue) -> None:
    queue.put("done", "One")
    queue.put("failed", "Two", error="The disk is full; make room.")
    queue.put("cancelled", "Three")
    queue.put("running", "Four", told=told())
    queue.put("waiting", "Five")
    queue.put("waiting", "Six")
    html = shown.jobs(services, Choice()).html
    titles = [part.split("</b>")[0] for part in html.split("<b>")[1:]]
    assert titles == ["Four", "Five", "Six", "Three", "Two", "One"]
    assert buttons(html, "job1") == ["open", "remove", "delete"]
    assert buttons(html, "job2") == ["resume", "delete"] and ">Try again<" in html
    assert buttons(html, "job3") == ["resume", "delete"] and ">Go on<" in html
    assert buttons(html, "job4") == ["cancel"]
    assert buttons(html, "job5") == ["(first)", "(up)", "down", "cancel"]
    assert buttons(html, "job6") == ["first", "up", "(down)", "cancel"]
    assert "The disk is full; make room." in html
    assert 'aria-valuenow="25"' in html and "Frames 97 to 144 of 576" in html and "about 45 s left" in html
    assert html.count("data-confirm") == 4  # one that removes, three that delete


def test_words_of_a_job_are_escaped(services: Services, queue: FakeQueue) -> None:
    queue.put("failed", "<b>x</b>.mp4", error="No <script>", kind="a<b")
    queue.put("running", "<i>", told=replace(told(), message="<u>"))
    html = shown.jobs(services, Choice()).html
    assert "<script>" not in html and "<u>" not in html and "<b>x" not in html and "A&lt;b" in html
    assert "<i>" not in html.replace('<i style="width:25%">', "")


def test_one_look_is_one_question_for_one_page(services: Services, queue: FakeQueue) -> None:
    for _ in range(120):
        queue.put("done")
    queue.asked.clear()
    first = shown.jobs(services, Choice())
    assert queue.asked == [(51, None)] and not first.busy
    assert first.html.count('class="ea-job ') == 50 and 'data-id="job120"' in first.html
    assert "Older jobs" in first.html and "Newer jobs" not in first.html and "1 to 50" in first.html
    third = shown.jobs(services, Choice().turn("2"))
    assert third.html.count('class="ea-job ') == 20 and "101 to 120" in third.html
    assert "Newer jobs" in third.html and "Older jobs" not in third.html


def test_a_filter_asks_for_one_state(services: Services, queue: FakeQueue) -> None:
    queue.put("done", "One")
    queue.put("failed", "Two", error="No.")
    html = shown.jobs(services, Choice(page=3).filter("failed")).html
    assert "Two" in html and "One" not in html and queue.asked[-1] == (51, ("failed",))
    assert "No jobs of this kind: cancelled" in shown.jobs(services, Choice("cancelled")).html
    assert Choice().filter("everything") == Choice() and Choice().turn("-1") == Choice().turn("x") == Choice()


def test_an_empty_queue_says_what_it_is_for(services: Services) -> None:
    found = shown.jobs(services, Choice())
    assert "Close the tab" in found.html and not found.busy


def test_a_worker_that_does_not_run_is_named_where_somebody_waits(services: Services, queue: FakeQueue) -> None:
    services.worker = cast(Any, SimpleNamespace(alive=False))
    queue.put("done")
    assert words.NOT_WORKING not in shown.jobs(services, Choice()).html
    queue.put("waiting")
    assert words.NOT_WORKING in shown.jobs(services, Choice()).html
    services.worker = cast(Any, SimpleNamespace(alive=True))
    assert words.NOT_WORKING not in shown.jobs(services, Choice()).html


def test_another_process_that_works_counts(services: Services) -> None:
    services.worker = None
    assert not services.working
    from pipelines.jobs.worker import _lock_path

    path = _lock_path(services.settings.data)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        assert services.working


def test_the_present_picture_is_shown_and_follows_its_file(
    services: Services, queue: FakeQueue, tmp_path: Path
) -> None:
    path = tmp_path / "preview.png"
    Image.new("RGB", (800, 400), "red").save(path)
    queue.put("running", told=told(preview=path))
    first = shown.jobs(services, Choice()).html
    assert "data:image/jpeg" in first and first == shown.jobs(services, Choice()).html
    Image.new("RGB", (800, 400), "blue").save(path)
    os.utime(path, ns=(1, 1))
    assert shown.jobs(services, Choice()).html != first
    path.write_bytes(b"half a pict")
    os.utime(path, ns=(2, 2))
    assert "data:image" not in shown.jobs(services, Choice()).html
    assert shown.picture(None) == shown.picture(tmp_path / "none.png") == ""


def job(**more: Any) -> Job:
    return Job("a", "video", "t", more.pop("state", "done"), {}, NOON, **more)


def test_times_are_told_as_a_person_would() -> None:
    now = NOON.astimezone()
    early = now - timedelta(days=1)
    assert words.moment(now, now) == f"{now:%H:%M}"
    assert words.moment(early, now) == f"{early.day} {early:%B}, {early:%H:%M}"
    assert str(now.year - 1) in words.moment(now - timedelta(days=366), now)
    ended = job(started=NOON, ended=NOON + timedelta(minutes=125))
    assert words.when(ended, now) == f"started {now:%H:%M}, took 2 h 5 min"
    assert words.when(job(state="waiting", position=3), now).endswith("number 3 in the queue")
    assert [words.span(s) for s in (0.2, 61, 100, 3600)] == ["0 s", "61 s", "2 min", "60 min"]
    assert [words.clock(s) for s in (0, 7.6, 75, 3723)] == ["0:00", "0:08", "1:15", "1:02:03"]
    assert words.kind("age") == "Age" and words.kind("video_batch") == "Video batch"


# Results


def test_a_result_is_opened_with_picture_player_and_download(
    services: Services, queue: FakeQueue, tmp_path: Path
) -> None:
    Image.new("RGB", (40, 40), "red").save(tmp_path / "still.png")
    (tmp_path / "film <1>.mp4").write_bytes(b"film")
    (tmp_path / "notes.json").write_text("{}")
    made = [str(tmp_path / name) for name in ("still.png", "film <1>.mp4", "notes.json", "gone.png")]
    key = queue.put("done", "All <of> it", result={"files": made}).id
    html = shown.opened(services, key)
    assert "All &lt;of&gt; it" in html and "film &lt;1&gt;.mp4" in html and "<1>" not in html
    assert html.count("<img") == html.count("<video") == 1 and html.count(" download=") == 3
    assert "gone.png can&#x27;t be read" in html and 'role="alert"' in html
    assert str(tmp_path / "still.png") in html
    services.settings = services.settings.model_copy(update={"host": "0.0.0.0", "password": "x" * 8})
    assert str(tmp_path / "still.png") not in shown.opened(services, key)
    assert "made no files" in shown.opened(services, queue.put("done").id)
    with pytest.raises(InputError):
        shown.opened(services, "nonsense")


def test_a_file_is_handed_out_by_a_link_that_nobody_guesses(services: Services, tmp_path: Path) -> None:
    path = tmp_path / "my film.mp4"
    path.write_bytes(b"one")
    out = hand_out(services, path)
    assert out.is_relative_to(services.served) and out.samefile(path) and out.name == "my-film.mp4"
    assert len(out.parent.name) == 32 and hand_out(services, path) == out
    assert address(out).startswith("/gradio_api/file=/") and " " not in address(tmp_path / "a b")
    path.unlink()
    path.write_bytes(b"three")
    other = hand_out(services, path)
    assert other != out and other.read_bytes() == b"three" and out.read_bytes() == b"one"
    path.unlink()
    with pytest.raises(EveryageError, match="can't be read"):
        hand_out(services, path)
    with pytest.raises(EveryageError, match="is a folder"):
        hand_out(services, tmp_path)


def test_where_links_are_impossible_small_files_are_copied(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refused)
    path = tmp_path / "film.mp4"
    path.write_bytes(b"film")
    out = hand_out(services, path)
    assert out.read_bytes() == b"film" and not out.samefile(path)
    monkeypatch.setattr("ui.handout.COPIED", 3)
    path.write_bytes(b"films")
    with pytest.raises(EveryageError, match="too large"):
        hand_out(services, path)


# Buttons


def test_buttons_do_what_they_say(services: Services, queue: FakeQueue) -> None:
    keys = [queue.put("waiting", name).id for name in "abc"]
    acts.act(services, "first", keys[2])
    acts.act(services, "down", keys[0])
    assert "".join(each.title for each in queue.list()) == "cba"
    assert "Cancelled" in acts.act(services, "cancel", keys[1])
    assert queue.get(keys[1]).state == "cancelled"
    acts.act(services, "resume", keys[1])
    assert queue.get(keys[1]).state == "waiting"
    with pytest.raises(InputError):
        acts.act(services, "cancel", "nonsense")


def test_removing_keeps_the_files_and_deleting_does_not(services: Services, queue: FakeQueue, tmp_path: Path) -> None:
    for act, stays in (("remove", True), ("delete", False)):
        path = tmp_path / f"{act}.mp4"
        path.write_bytes(b"film")
        key = queue.put("done", act, result={"files": [str(path)]}).id
        said = acts.act(services, act, key)
        assert path.exists() is stays and not queue.jobs
        assert ("stay where they are" in said) is stays and ("with 1 file." in said) is not stays


def test_an_uploaded_clip_goes_with_its_last_job(services: Services, queue: FakeQueue, tmp_path: Path) -> None:
    home = services.settings.data / "clips" / "abc"
    home.mkdir(parents=True)
    clip, own = home / "clip.mp4", tmp_path / "own.mp4"
    clip.write_bytes(b"clip")
    own.write_bytes(b"own")
    keys = [queue.put("done", request={"source": str(path)}).id for path in (clip, clip, own)]
    acts.act(services, "delete", keys[0])
    assert clip.exists()  # the other job may be done again
    acts.act(services, "remove", keys[2])
    acts.act(services, "delete", queue.put("failed", request={"source": str(own)}).id)
    assert own.exists()
    acts.act(services, "delete", keys[1])
    assert not home.exists()


def test_presses_update_the_page(page: bind.Page, queue: FakeQueue, services: Services) -> None:
    key = queue.put("waiting").id
    updates = bind.press(page, Said("cancel", key), Choice())
    assert "Cancelled. What is finished" in updates[page.status] and "ea-job-cancelled" in updates[page.list]
    assert updates[page.pulse] == ""
    updates = bind.press(page, Said("resume", key), Choice())
    assert "data-poll" in updates[page.pulse]
    updates = bind.press(page, Said("filter", "done"), Choice(page=2))
    assert updates[page.choice] == Choice("done") and 'data-id="done" aria-pressed="true"' in updates[page.filters]
    assert bind.press(page, Said("page", "1"), Choice())[page.choice] == Choice(page=1)
    assert "made no files" in bind.press(page, Said("open", key), Choice())[page.opened]
    assert bind.press(page, Said("close"), Choice())[page.opened] == ""
    assert bind.press(page, Said("delete", key), Choice())[page.opened] == ""


def test_a_look_that_finds_nothing_new_sends_nothing(page: bind.Page, queue: FakeQueue) -> None:
    key = queue.put("running", told=told(3)).id
    first = page.show(Choice())
    assert page.show(Choice(), first[page.drawn]) == {}
    queue.change(key, told=told(4))
    second = page.show(Choice(), first[page.drawn])
    assert "33" in second[page.list] and "data-poll" in second[page.pulse]


def test_trouble_is_a_sentence_and_ends_the_polling(
    page: bind.Page, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    updates = page.guarded(lambda: bind.press(page, Said("cancel", "nonsense"), Choice()))
    assert "There is no job nonsense" in updates[page.status] and updates[page.pulse] == ""
    seen: list[Exception] = []
    monkeypatch.setattr(services, "report", seen.append)
    updates = page.guarded(lambda: cast(Any, 1 / 0))
    assert "ZeroDivisionError" in updates[page.status] and len(seen) == 1


def test_the_page_is_built_and_its_folders_are_private(services: Services, settings: Settings) -> None:
    with gr.Blocks() as app, gr.Tab("Jobs") as tab:
        page_module.build(tab, services)
    assert {block.elem_id for block in app.blocks.values()} >= {"jobs-list", "jobs-filters", "jobs-pulse"}
    names = {path.name for path in private_paths(settings.data)}
    assert {"jobs", "clips", "videos"} <= names


@pytest.fixture
def settings(services: Services) -> Settings:
    return services.settings


def test_filters_mark_the_chosen_one() -> None:
    html = views.filters("failed")
    assert html.count("<button") == 6 and html.count('aria-pressed="true"') == 1
