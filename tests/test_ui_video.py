"""The Video page without a browser: clips, the form, frames, jobs, and what a look at the work updates."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import numpy as np
import pytest
from fake_aging import FakePipeline
from fake_video import FakeQueue, FakeVideo, facts_of, told
from PIL import Image

from pipelines.errors import DeviceError, InputError
from pipelines.jobs.job import Job
from pipelines.settings import load_settings
from pipelines.video.options import VideoOptions, video_options
from ui import video as page_module
from ui.age.people import Learnt
from ui.background import Task
from ui.jobs.words import NOT_WORKING
from ui.server import prepare
from ui.services import Run, Services
from ui.uploads import KEPT_S, forget_clip, sweep_clips
from ui.video import bind, follow, form, panels, queued, views, work
from ui.video.source import VideoSource
from ui.video.state import GROW, KEYS, ONE, Choices, Clip, Pick, Tab
from ui.widgets import Said

SENT = {"mode": ONE, "pick-1": "yes", "age-1": "70", "age-2": "20", "skip_unsure": "yes", "go": "start"}
MODELS = [("Embedded, 128 px", "heads"), ("A model <of> mine", "mine")]


@pytest.fixture
def queue(tmp_path: Path) -> FakeQueue:
    return FakeQueue(tmp_path)


@pytest.fixture
def services(tmp_path: Path, queue: FakeQueue) -> Services:
    settings = load_settings(data=tmp_path / "data")
    made = Services(settings, FakePipeline(), jobs=cast(Any, queue), video=FakeVideo())
    prepare(settings, made.served)
    made.worker = cast(Any, SimpleNamespace(alive=True))
    return made


@pytest.fixture
def page(services: Services) -> Iterator[bind.Page]:
    with gr.Blocks():
        yield bind.Page(services, panels.render(services))


def upload(services: Services, content: bytes = b"clip one", name: str = "my clip.mp4") -> Path:
    """A file as the browser hands it over."""
    path = services.new_file("x", "").parent / name
    path.write_bytes(content)
    return path


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def looked(services: Services, clip: Clip) -> Clip:
    """The clip with its people."""
    task = work.look(services, clip)
    assert task is not None
    until(lambda: task.ended is not None)
    assert isinstance(task.result, Clip), task.sentence
    return task.result


@pytest.fixture
def clip(services: Services) -> Clip:
    return looked(services, work.take(services, upload(services)))


def options(**more: Any) -> VideoOptions:
    return video_options({"subjects": [{"who": 1, "ages": [(0, 70)]}], **more})


# Clips


def test_an_upload_is_checked_and_kept_where_a_restart_finds_it(services: Services) -> None:
    given = upload(services)
    clip = work.take(services, given)
    kept = clip.facts.path
    assert kept.parent.parent == services.settings.data / "clips" and kept.name == "my clip.mp4" and not given.exists()
    assert kept.read_bytes() == b"clip one" and kept.parent.stat().st_mode & 0o077 == 0
    again = upload(services, name="other name.mp4")
    assert work.take(services, again).facts.path == kept and not again.exists()


def test_what_can_not_be_used_is_one_sentence_without_the_servers_path(services: Services) -> None:
    with pytest.raises(InputError, match=r"^bad\.mp4 is no video that can be read") as said:
        work.take(services, upload(services, b"text", "bad.mp4"))
    assert str(services.served) not in str(said.value)
    assert not list((services.settings.data).glob("clips/*/*"))


def test_only_uploads_are_moved(services: Services, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"clip")
    with pytest.raises(InputError, match="choose it again"):
        work.take(services, path)
    assert path.exists()


def test_a_video_of_this_computer_stays_where_it_lies(services: Services, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"clip")
    assert work.open_place(services, f' "{path}" ').facts.path == path and path.exists()
    services.settings = services.settings.model_copy(update={"host": "0.0.0.0", "password": "x" * 8})
    with pytest.raises(InputError, match="uploaded"):
        work.open_place(services, str(path))
    assert work.open_again(services, str(path)) is None


def test_uploads_that_no_job_needs_are_swept_after_days(services: Services, queue: FakeQueue) -> None:
    homes = []
    for name in ("needed", "left", "fresh"):
        home = services.settings.data / "clips" / name
        home.mkdir(parents=True)
        (home / "clip.mp4").write_bytes(b"clip")
        homes.append(home)
    queue.put("done", request={"source": str(homes[0] / "clip.mp4")})
    now = time.time()
    for home in homes[:2]:
        os.utime(home, (now - KEPT_S - 60,) * 2)
    sweep_clips(services, now)
    assert [home.exists() for home in homes] == [True, False, True]
    assert forget_clip(services, homes[2] / "clip.mp4") == [homes[2] / "clip.mp4"] and not homes[2].exists()
    assert forget_clip(services, homes[0] / "clip.mp4") == [] == forget_clip(services, Path("/etc/hostname"))


def test_the_clip_says_what_it_is(services: Services) -> None:
    facts = replace(facts_of(Path("/x/<a>.mp4"), rotation=90), audio=())
    html = views.clip(Clip(facts))
    assert "&lt;a&gt;.mp4" in html and "240 × 320" in html and "25 frames a second" in html and "no sound" in html
    assert "0:02, 240" in html


# Looking for people


def test_people_come_as_cards_and_the_first_is_chosen(services: Services, clip: Clip) -> None:
    learnt = [Learnt("Ada <3", "ada", (20, 60))]
    html = form.view(clip, Choices(age=66), learnt, MODELS)
    assert 'name="pick-1" value="yes" checked' in html and 'name="pick-2" value="yes">' in html
    assert "Looks about 34, in all of the video" in html and "Looks about 40, in 50 % of the video" in html
    assert html.count("data:image/jpeg") == 2 and 'name="age-1" min="0" max="100" step="1" value="66"' in html
    assert "Ada &lt;3&#x27;s own" in html and "A model &lt;of&gt; mine" in html and "<3" not in html
    assert "Whose aging" not in form.view(clip, Choices(), [], MODELS)
    assert f'value="{KEYS}" checked' in form.view(clip, Choices(mode=KEYS), [], MODELS)


def test_the_form_shows_the_settings_of_a_job_again(clip: Clip) -> None:
    growing = [{"who": 2, "ages": [(0.5, 20), (2, 80)], "person": "ada"}]
    written = {"codec": "hevc", "crf": 22, "ten_bit": False}
    made = options(subjects=growing, start=0.5, tune_steps=3, skip_unsure=False, **written)
    choices = Choices.of(made)
    assert choices.mode == GROW and choices.picks == (Pick(2, 20, 80, "0.5:20,2:80", "ada"),)
    html = form.view(clip, choices, [Learnt("Ada", "ada", (20, 60))], MODELS)
    assert 'name="pick-1" value="yes">' in html and 'name="pick-2" value="yes" checked' in html
    for part in ('name="first-2" min="0" max="100" step="1" value="20"', 'name="start" value="0.5"', 'value="22"'):
        assert part in html
    assert '<option value="hevc" selected>' in html and '<option value="no" selected>' in html
    assert '<option value="ada" selected>' in html and 'name="skip_unsure" value="yes">' in html
    assert Choices.of(options()).mode == ONE
    assert Choices.of(options(subjects=[{"who": 1, "ages": [(1, 20), (2, 30)]}])).mode == KEYS


def test_a_look_is_followed_by_all_and_another_waits(services: Services) -> None:
    slow = cast(FakeVideo, services.video)
    slow.steps = 10**9
    one, other = Clip(facts_of(upload(services))), Clip(replace(facts_of(upload(services)), sha256="cd" * 32))
    task = work.look(services, one)
    assert task is not None and work.look(services, one) is task and work.look(services, other) is None
    task.cancel.cancel()
    until(lambda: task.ended is not None)
    slow.steps = 1
    assert task.ended == "stopped" and work.look(services, other) is not task


def test_what_the_memory_holds_is_checked() -> None:
    first = Choices()
    good = {"mode": GROW, "age": 33, "codec": "av1", "crf": 30, "ten_bit": "no", "skip_unsure": False, "tune_steps": 5}
    assert first.updated(good) == replace(first, **cast(Any, good))
    bad = {"mode": "x", "age": 700, "codec": "gif", "crf": 2.5, "ten_bit": 3, "skip_unsure": "y", "tune_steps": True}
    assert first.updated(bad | {"picks": [1], "start": 3, "model": 5, "strength": "1"}) == first
    assert first.updated(replace(first, age=20, crf=None).memory()).age == 20
    assert "picks" not in first.memory() and "start" not in first.memory()


# The form


def test_a_form_gives_options(clip: Clip) -> None:
    more = {"pick-2": "yes", "person-2": "ada", "crf": "20", "strength": "1.2", "start": "0,5", "ten_bit": "no"}
    found, choices = form.read(SENT | more, clip)
    assert [(s.who, s.ages, s.person) for s in found.subjects] == [(1, ((0, 70),), ""), (2, ((0, 20),), "ada")]
    assert (found.start, found.end, found.crf, found.strength, found.ten_bit) == (0.5, None, 20, 1.2, False)
    assert found.skip_unsure and choices.picks[1].person == "ada" and choices.age == 70
    assert not form.read({k: v for k, v in SENT.items() if k != "skip_unsure"}, clip)[0].skip_unsure


def test_growing_older_spans_the_kept_part(clip: Clip) -> None:
    sent = SENT | {"mode": GROW, "first-1": "20", "age-1": "80"}
    assert form.read(sent, clip)[0].subjects[0].ages == ((0, 20), (2, 80))
    assert form.read(sent | {"start": "0.5", "end": "1.5"}, clip)[0].subjects[0].ages == ((0.5, 20), (1.5, 80))
    keys = SENT | {"mode": KEYS, "keys-1": "0:20, 1:80"}
    assert form.read(keys, clip)[0].subjects[0].ages == ((0, 20), (1, 80))


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"pick-1": ""}, "Choose at least one person"),
        ({"mode": KEYS, "keys-1": "0:old"}, "not '0:old'"),
        ({"start": "now"}, "beginning must be a number, not 'now'"),
        ({"start": "3", "end": "1"}, "end must come after the start"),
        ({"mode": GROW, "start": "9"}, "end must come after the beginning, which is at second 9"),
        ({"codec": "gif"}, "codec can't be used"),
        ({"age-1": "170"}, "between 0 and 100"),
        ({"crf": "60"}, "from 0 to 51"),
    ],
)
def test_what_is_wrong_in_a_form_is_named(clip: Clip, sent: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words.replace("(", r"\(")):
        form.read(SENT | sent, clip)


def test_a_form_without_a_clip_asks_for_one(clip: Clip) -> None:
    for nothing in (None, replace(clip, look=None)):
        with pytest.raises(InputError, match="First give a video"):
            form.read(SENT, nothing)


# One frame


def test_a_preview_comes_first_roughly(services: Services, clip: Clip) -> None:
    steps = list(work.preview(services, Run(), clip, options(), 1.0))
    shown = [step.stage for step in steps if step.stage]
    assert len(shown) == 2 and "Quick preview" in shown[0] and "Quick preview" not in shown[1]
    assert "Now · 1.0 s" in shown[1] and "At 70" in shown[1] and 'name="ea-video-view"' in shown[1]
    assert [step.busy for step in steps] == [True] * (len(steps) - 1) + [False] and "So the frame" in steps[-1].status


def test_a_frame_without_anybody_is_shown_as_it_is(services: Services, clip: Clip) -> None:
    last = [step for step in work.preview(services, Run(), clip, options(), 0.0) if step.stage][-1]
    assert last.stage and "ea-after" not in last.stage and "Now · 0.0 s" in last.stage


def test_previews_end_with_a_sentence(services: Services, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = cast(FakeVideo, services.video)
    run = Run()
    run.cancel.cancel()
    assert "Stopped." in list(work.preview(services, run, clip, options(), 1.0))[-1].status
    fake.error = DeviceError("The memory is full; choose a smaller model.")
    last = list(work.preview(services, Run(), clip, options(), 1.0))[-1]
    assert "The memory is full" in last.status and not last.busy
    monkeypatch.setattr(services, "report", lambda _: None)
    fake.error = ValueError("x")
    assert "ValueError" in list(work.preview(services, Run(), clip, options(), 1.0))[-1].status


def test_the_face_is_found_in_turned_frames(services: Services, clip: Clip) -> None:
    box = services.video.box(clip, 1, 1.0)
    assert box and box == pytest.approx((40 / 320, 60 / 240, 80 / 320, 80 / 240))
    turned = replace(clip, facts=facts_of(clip.facts.path, rotation=90))
    assert services.video.box(turned, 1, 1.0) == pytest.approx((1 - 140 / 240, 40 / 320, 80 / 240, 80 / 320))
    around = replace(clip, facts=facts_of(clip.facts.path, rotation=180))
    assert services.video.box(around, 1, 1.0) == pytest.approx((1 - 120 / 320, 1 - 140 / 240, 80 / 320, 80 / 240))
    assert services.video.box(clip, 1, 0.0) is None and services.video.box(clip, 7, 1.0) is None


def test_time_goes_to_the_last_frame(clip: Clip) -> None:
    html = views.time(clip, 5.0)
    assert 'max="1.980" step="0.0400"' in html and 'value="1.980"' in html and 'form="video-form"' in html


def test_the_real_source_speaks_to_the_pipeline(clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.events import CancelToken, Event
    from pipelines.video import look as look_module

    monkeypatch.setattr(
        look_module, "look_at", lambda *_: iter([Event("look", "a"), Event("done", "b", value=(clip.look, clip.index))])
    )
    monkeypatch.setattr(look_module, "thumbnail", lambda *_: Image.new("RGB", (8, 8)))
    source = VideoSource(cast(Any, None), tmp_path)
    *_, last = source.look(clip.facts, CancelToken())
    found = last.value
    assert [(seen.who, seen.age, seen.share) for seen in found.people] == [(1, 34, 0.8), (2, 40, 0.8)]
    assert found.people[0].best == 1.0 and found.index is clip.index
    with pytest.raises(InputError):
        source.frame(Clip(clip.facts), 0)


# Jobs


def test_the_video_is_put_into_the_queue(services: Services, queue: FakeQueue, clip: Clip) -> None:
    job = queued.start(services, clip, options(codec="hevc"))
    assert job.kind == "video" and job.request["source"] == str(clip.facts.path) and job.request["out"] is None
    assert queued.options_of(job) == options(codec="hevc") and queued.last(services) == job
    found = queued.clip_of(job)
    assert found and found.facts == clip.facts
    assert queued.clip_of(replace(job, request={})) is None is queued.options_of(replace(job, request={}))


def done(services: Services, queue: FakeQueue, clip: Clip, tmp_path: Path, **more: Any) -> Job:
    """A finished job."""
    path = tmp_path / "result at 70.mp4"
    path.write_bytes(b"film")
    job = queued.start(services, clip, options(**more))
    result = {"files": [str(path)], "frames": 1250, "aged": 1000, "notes": ["Subtitles <b> were left out."]}
    return queue.change(job.id, state="done", result=result)


def test_a_job_shows_how_far_it_is(services: Services, queue: FakeQueue, clip: Clip) -> None:
    queue.put("waiting")
    job = queue.get(queued.start(services, clip, options()).id)
    html = queued.going(services, job)
    assert "number 2 in the queue" in html and 'data-act="cancel"' in html and "You can close this tab" in html
    assert NOT_WORKING not in html
    services.worker = cast(Any, SimpleNamespace(alive=False))
    assert NOT_WORKING in queued.going(services, job)
    html = queued.going(services, queue.change(job.id, state="running", told=told()))
    assert 'aria-valuenow="25"' in html and "about 45 s left" in html
    assert "Go on" in queued.going(services, queue.change(job.id, state="cancelled"))
    html = queued.going(services, queue.change(job.id, state="failed", error="The disk is full <x>."))
    assert "Try again" in html and "full &lt;x&gt;." in html


def test_a_result_is_played_beside_its_source(services: Services, queue: FakeQueue, clip: Clip, tmp_path: Path) -> None:
    html = queued.going(services, done(services, queue, clip, tmp_path, start=0.5))
    assert html.count("<video") == 2 and 'data-start="0.500"' in html and "At 70" in html
    assert 'download="result at 70.mp4"' in html and "1,250 frames, 1,000 of them aged" in html
    assert "Subtitles &lt;b&gt;" in html
    served = [part.split('"')[0] for part in html.split('src="/gradio_api/file=')[1:]]
    assert [Path(path).read_bytes() for path in served] == [b"clip one", b"film"]
    assert all(Path(path).is_relative_to(services.served) for path in served)
    assert queued.going(services, queue.get("job1")) == html  # so that a player is not drawn anew


def test_without_its_source_a_result_is_played_alone(
    services: Services, queue: FakeQueue, clip: Clip, tmp_path: Path
) -> None:
    job = done(services, queue, clip, tmp_path)
    clip.facts.path.unlink()
    html = queued.going(services, job)
    assert html.count("<video") == 1 and "ea-alone" in html
    Path(cast(Any, job.result)["files"][0]).unlink()
    html = queued.going(services, job)
    assert "<video" not in html and "can&#x27;t be read" in html


@pytest.mark.parametrize(("given", "words"), [({"codec": "av1"}, "AV1 is not played"), ({}, "10 bit")])
def test_what_browsers_do_not_play_is_for_download(
    services: Services, queue: FakeQueue, clip: Clip, tmp_path: Path, given: dict[str, Any], words: str
) -> None:
    deep = replace(clip, facts=replace(clip.facts, bits=10))
    job = done(services, queue, deep, tmp_path, **given)
    job = replace(job, request=job.request | {"facts": deep.facts.as_dict()})
    html = queued.going(services, job)
    assert words in html and "<video" not in html and "Download" in html
    eight = replace(job, request=job.request | {"options": options(ten_bit=False).model_dump(mode="json")})
    assert "<video" in queued.going(services, eight)


def test_ages_in_words() -> None:
    many = options(subjects=[{"who": 1, "ages": [(0, 20), (3, 80)]}, {"who": 2, "ages": [(0, 40)]}])
    assert queued.ages(many) == "20 to 80 and 40"


# Coming back


def test_a_new_tab_finds_the_running_job_with_its_settings(services: Services, queue: FakeQueue, clip: Clip) -> None:
    job = queued.start(services, clip, options(strength=1.5))
    queue.put("waiting", kind="age")
    tab = queued.restore(services, {"clip": "", "strength": 0.5})
    assert tab.job == job.id and tab.choices.strength == 1.5
    assert tab.clip and tab.clip.facts == clip.facts and tab.clip.look is None


def test_else_the_clip_that_was_open_or_the_last_result(
    services: Services, queue: FakeQueue, clip: Clip, tmp_path: Path
) -> None:
    memory = {"clip": str(clip.facts.path), "age": 12}
    assert queued.restore(services, {}) == Tab() and queued.restore(services, {"age": 12}).choices.age == 12
    tab = queued.restore(services, memory)
    assert tab.clip and tab.clip.facts.path == clip.facts.path and tab.job == "" and tab.choices.age == 12
    job = done(services, queue, clip, tmp_path)
    assert queued.restore(services, memory).job == queued.restore(services, {}).job == job.id
    other = tmp_path / "clip two.mp4"
    other.write_bytes(b"clip two")
    tab = queued.restore(services, memory | {"clip": str(other)})
    assert tab.clip and tab.clip.facts.path == other and tab.job == ""
    for gone in ("/no/such.mp4", "relative.mp4", str(tmp_path), 7, "x" * 9999):
        assert queued.restore(services, {"clip": gone}).job == job.id


# Following


def tick(page: bind.Page, tab: Tab, seen: follow.Seen = follow.NOTHING) -> dict[Any, Any]:
    return follow.follow(page.services, page.panels, page.tab, page.seen, tab, seen)


def test_a_look_draws_the_form_when_it_ends(page: bind.Page, services: Services) -> None:
    tab = Tab(work.take(services, upload(services)))
    first = tick(page, tab)
    assert "data-poll" in first[page.panels.pulse]
    task = services.video_desk.task
    assert task is not None
    until(lambda: task.ended is not None)
    last = tick(page, tab, first[page.seen])
    found = last[page.tab].clip
    assert last[page.panels.pulse] == "" and found.people and 'name="pick-2"' in last[page.panels.form]
    assert "data:image" in last[page.panels.stage] and 'name="second"' in last[page.panels.time]
    assert tick(page, last[page.tab], last[page.seen]) == {page.panels.pulse: ""}
    assert cast(FakeVideo, services.video).looked == 1


def test_a_look_that_is_stopped_can_be_begun_again(page: bind.Page, services: Services) -> None:
    cast(FakeVideo, services.video).steps = 10**9
    tab = Tab(work.take(services, upload(services)))
    tick(page, tab)
    task = cast(Task, services.video_desk.task)
    until(lambda: task.version > 0)
    assert "Looking for people" in tick(page, tab)[page.panels.status]
    task.cancel.cancel()
    until(lambda: task.ended is not None)
    last = tick(page, tab)
    assert 'data-act="look"' in last[page.panels.form] and "Stopped" in last[page.panels.status]
    assert last[page.panels.pulse] == ""


def test_trouble_with_a_look_and_nobody_in_it_are_said(page: bind.Page, services: Services) -> None:
    for content, words in ((b"clip empty", "No face was found"), (b"clip full", "Something broke")):
        if words.startswith("Some"):
            cast(FakeVideo, services.video).error = InputError("Something broke; choose another.")
        services.video_desk.clear()
        tab = Tab(replace(Clip(facts_of(upload(services, content))), look=None))
        tick(page, tab)
        task = cast(Task, services.video_desk.task)
        until(lambda task=task: task.ended is not None)  # type: ignore[misc]
        last = tick(page, tab)
        assert words in last[page.panels.form] + last[page.panels.status]


def test_another_clip_waits_for_its_turn(page: bind.Page, services: Services) -> None:
    cast(FakeVideo, services.video).steps = 10**9
    work.look(services, Clip(facts_of(upload(services))))
    other = Tab(Clip(replace(facts_of(upload(services)), sha256="cd" * 32)))
    waiting = tick(page, other)
    assert "comes next" in waiting[page.panels.status] and "data-poll" in waiting[page.panels.pulse]
    running = cast(Task, services.video_desk.running)
    running.cancel.cancel()
    until(lambda: running.ended is not None)
    cast(FakeVideo, services.video).steps = 1
    tick(page, other)
    assert cast(Task, services.video_desk.task).subject == "cd" * 32


def test_a_running_job_looks_for_itself(page: bind.Page, services: Services, queue: FakeQueue) -> None:
    clip = work.take(services, upload(services))
    job = queued.start(services, clip, options())
    tab = Tab(clip, job=job.id)
    found = tick(page, tab)
    assert services.video_desk.task is None and "data-poll" in found[page.panels.pulse]
    queue.change(job.id, state="cancelled")
    tick(page, tab)
    assert services.video_desk.task is not None


def test_a_video_that_was_moved_since_is_said(
    page: bind.Page, services: Services, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any) -> Image.Image:
        raise InputError("The video was moved; put it back.")

    monkeypatch.setattr(services.video, "frame", gone)
    found = tick(page, Tab(replace(clip, look=None, people=())))
    assert "put it back" in found[page.panels.status] and 'name="pick-1"' in found[page.panels.form]
    assert found[page.panels.pulse] == ""


def test_a_job_is_drawn_when_it_changed(page: bind.Page, services: Services, queue: FakeQueue, clip: Clip) -> None:
    job = queued.start(services, clip, options())
    tab = Tab(clip, job=job.id)
    first = tick(page, tab)
    assert "number 1 in the queue" in first[page.panels.job] and "data-poll" in first[page.panels.pulse]
    assert page.panels.job not in tick(page, tab, first[page.seen])
    queue.change(job.id, state="failed", error="No.")
    last = tick(page, tab, first[page.seen])
    assert "Try again" in last[page.panels.job] and last[page.panels.pulse] == ""
    queue.delete(job.id)
    assert "There is no job" in page.guarded(lambda: tick(page, tab))[page.panels.status]


# Pressing


def run(handler: Iterator[dict[Any, Any]]) -> dict[Any, Any]:
    """Everything that a handler updates."""
    found: dict[Any, Any] = {}
    for updates in handler:
        found |= updates
    return found


def test_start_follows_the_new_job_and_stops_a_preview(page: bind.Page, services: Services, clip: Clip) -> None:
    mine = services.video_runs.start("tab")
    made, choices = form.read(SENT, clip)
    found = run(bind._start(page, Tab(clip, choices), made, Said(), "tab"))
    assert mine.replaced and found[page.tab].job == "job1" and "number 1" in found[page.panels.job]
    assert found[page.remembered]["clip"] == str(clip.facts.path) and found[page.remembered]["age"] == 70
    assert "data-poll" in found[page.panels.pulse]


def test_a_preview_is_asked_for_with_its_second(page: bind.Page, services: Services, clip: Clip) -> None:
    made, choices = form.read(SENT | {"go": "preview"}, clip)
    found = run(bind._preview(page, Tab(clip, choices), made, Said(fields={"second": "1.25"}), "tab"))
    assert found[page.tab].asked == (made, 1.25) and services.video_runs.get("tab") is not None


def test_the_page_is_built(services: Services) -> None:
    with gr.Blocks() as app, gr.Tab("Video") as tab:
        page_module.build(app, tab, services)
    ids = {block.elem_id for block in app.blocks.values()}
    assert {"video-file", "video-order", "video-stage", "video-job", "video-pulse"} <= ids


def test_another_clip_begins_anew(page: bind.Page) -> None:
    busy = Tab(clip, Choices(age=20, start=1.0, picks=(Pick(2, 1, 2),)), job="job1")
    fresh = busy.open(Clip(facts_of(Path("/x/new.mp4"))))
    assert fresh.job == "" and fresh.choices == Choices(age=20)
    shown = page.show(fresh)
    assert "new.mp4" in shown[page.panels.clip] and shown[page.panels.form] == shown[page.panels.job] == ""
    assert shown[page.remembered]["clip"] == "/x/new.mp4" and "data-poll" in shown[page.panels.pulse]


def test_defects_are_sentences_too(page: bind.Page, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Exception] = []
    monkeypatch.setattr(services, "report", seen.append)
    assert "ZeroDivisionError" in page.guarded(lambda: cast(Any, 1 / 0))[page.panels.status] and len(seen) == 1
    assert "is no" in page.trouble(InputError("That is no video."))[page.panels.status] and len(seen) == 1


def test_length_comes_from_the_frames(clip: Clip) -> None:
    assert clip.length == pytest.approx(2.0)
    index = replace(cast(Any, clip.index), pts=np.arange(0, 100, 2), duration=2)
    assert replace(clip, index=index).length == pytest.approx(4.0)
    assert Clip(facts_of(Path("x"))).length == 2.0 and clip.name == "my clip.mp4"
