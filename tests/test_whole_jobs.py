"""Trainings, imports, downloads and grids as jobs: done once, gone on with after a stop, drawn by pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from fake_models import foreign_file, quick_convert, record
from naughty import serving
from PIL import Image

from models import catalog, foreign
from models.errors import Cancelled, EveryageError, InputError
from photos.library import Library
from photos.people import People
from pipelines.collection_job import GroupJob, ImportJob
from pipelines.events import CancelToken, Event
from pipelines.finetune.comparison import stored
from pipelines.finetune.job import FinetuneJob
from pipelines.generate.axes import parse_axes
from pipelines.generate.compare import grid
from pipelines.generate.generator import ImageGenerator
from pipelines.generate.grid_job import GridJob
from pipelines.generate.settings import settings_from
from pipelines.jobs import whole
from pipelines.jobs.kinds import KINDS, make_kind
from pipelines.jobs.queue import JobQueue
from pipelines.jobs.whole import DONE, View, WholeJob, read_view, thinned
from pipelines.models.download_job import DownloadJob
from pipelines.personalize.job import EvaluateJob, PersonalizeJob
from pipelines.runtime import Runtime
from pipelines.settings import Settings
from tests import tiny_diffusion
from tests.fake_faces import NETS, fake_networks, picture
from tests.fake_personal import STEPS, FakePersonalizer, stand_in
from tests.whole_jobs import do_chunks, do_job

pytestmark = pytest.mark.filterwarnings("ignore:SaRA's authors advise")
NAME = "Zyxalinde Quorx"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data", device="cpu")


def never() -> Runtime:
    raise AssertionError("a request was checked with the networks")


@contextmanager
def killed_at_the_end() -> Iterator[None]:
    """The process dies when all is done, before that is written down."""
    written = whole.write_file

    def write(path: Path, content: bytes) -> None:
        if path.name == DONE:
            raise KeyboardInterrupt
        written(path, content)

    with patch.object(whole, "write_file", write), pytest.raises(KeyboardInterrupt):
        yield


# What all of them share


class Count(WholeJob):
    """Counts to request["to"], from where it was; its count is a file."""

    name = "count"
    STAGES = {"ready": (0.0, 0.2), "count": (0.2, 1.0)}  # noqa: RUF012

    def check(self, request: dict[str, Any]) -> dict[str, Any]:
        return request

    def title(self, request: dict[str, Any]) -> str:
        return "Counting"

    def events(self, request: dict[str, Any], folder: Path, cancel: CancelToken) -> Iterator[Event]:
        yield Event("ready", "Getting ready", 1, 1, 99.0)
        state = self.settings.data / "count.txt"
        began = int(state.read_text()) if state.exists() else 0
        for number in range(began + 1, request["to"] + 1):
            cancel.check()
            state.write_text(str(number))
            shown = Image.new("RGB", (8, 8), (number, 0, 0)) if number % 2 == 0 else None
            yield Event("count", f"At {number}", number, request["to"], 1.0, value=(number, shown))
        yield Event("done", "Counted", value=request["to"])
        state.unlink(missing_ok=True)

    def show(self, event: Event, view: View) -> None:
        if event.stage == "count":
            number, shown = event.value
            if shown is not None:
                view.picture("shown", shown)
            view.put(number=number)

    def outcome(self, request: dict[str, Any], value: Any) -> dict[str, Any]:
        return {"files": [], "counted": value}


@pytest.fixture
def count(settings: Settings) -> Count:
    settings.data.mkdir()
    return Count(settings, never)


def test_one_chunk_its_progress_and_what_it_drew(count: Count, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    result, told = do_job(count, {"to": 5}, folder)
    assert result == {"files": [], "counted": 5} and count.of({"to": 5}, folder) == 1
    places = [round(event.done / event.total, 3) for event in told]
    assert places == [0.2, 0.36, 0.52, 0.68, 0.84, 1.0]
    assert [event.seconds_left for event in told] == [None, 1.0, 1.0, 1.0, 1.0, 1.0]  # a stage alone is not the whole
    assert read_view(folder) == {"number": 5, "shown": "shown.png"}
    assert Image.open(folder / "shown.png").getpixel((0, 0)) == (4, 0, 0)
    assert not (count.settings.data / "count.txt").exists()  # tidied up after its end
    assert sorted(path.name for path in folder.iterdir()) == [DONE, "shown.png", whole.VIEW]


def test_a_stop_keeps_the_state_and_what_was_drawn(count: Count, tmp_path: Path) -> None:
    folder, cancel, told = tmp_path / "job", CancelToken(), list[Event]()
    folder.mkdir()

    def tell(event: Event) -> None:
        told.append(event)
        if event.message == "At 3":
            cancel.cancel()

    with pytest.raises(Cancelled):
        count.work({"to": 5}, folder, "all", tell, cancel)
    assert count.chunks({"to": 5}, folder) == ["all"] and read_view(folder) == {"number": 3, "shown": "shown.png"}
    done, more = do_chunks(count, {"to": 5}, folder)
    assert done == ["all"] and [event.message for event in more] == ["Getting ready", "At 4", "At 5"]


def test_what_is_done_is_not_done_again(count: Count, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    do_chunks(count, {"to": 2}, folder)
    with patch.object(Count, "events", side_effect=AssertionError):
        count.work({"to": 2}, folder, "all", print, CancelToken())
    assert count.finish({"to": 2}, folder, print, CancelToken())["counted"] == 2


def test_work_that_says_nothing_is_no_success(count: Count, tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    with patch.object(Count, "events", return_value=iter([])), pytest.raises(EveryageError, match="without a result"):
        count.work({"to": 2}, tmp_path / "job", "all", print, CancelToken())
    assert count.chunks({"to": 2}, tmp_path / "job") == ["all"]


def test_the_view_is_not_written_at_every_step(tmp_path: Path) -> None:
    view = View(tmp_path, every_s=60)
    for step in range(100):
        view.put(step=step)
    assert read_view(tmp_path) == {"step": 0}
    view.write()
    assert read_view(tmp_path) == {"step": 99}
    assert thinned([1.0] * 3 + [3.0] * 3, 2) == [1.0, 3.0] and thinned([]) == [] and thinned([0.5]) == [0.5]
    assert len(thinned(list(map(float, range(5000))))) == whole.POINTS


def test_every_kind_can_be_made(settings: Settings) -> None:
    for name in KINDS:
        kind = make_kind(name, settings, runtime=never)
        assert kind.name == name
        if isinstance(kind, WholeJob | GridJob):
            with pytest.raises(InputError, match="knows no 'colour'"):
                kind.check({"colour": "red"})


# A person's photos


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    folder.mkdir()
    for seed in range(4):
        picture(seed).save(folder / f"{20 + 10 * seed}_{seed:04d}.png")
    return folder


@pytest.fixture
def people(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[People]:
    monkeypatch.setattr("pipelines.collection.Collection.nets", lambda self: NETS)
    with fake_networks():
        yield People(Library(settings.data))


def an_import(settings: Settings) -> ImportJob:
    return ImportJob(settings, lambda: Runtime(settings))


def test_an_import(people: People, settings: Settings, album: Path, tmp_path: Path) -> None:
    job, shown = an_import(settings), "I was asked."
    asked = {"sources": [album], "person": NAME, "born": "1970-06-15", "consent": shown}
    checked = job.check(asked)
    person = people.get(NAME)
    assert checked["person"] == person.folder and NAME not in json.dumps(checked)
    assert str(person.born) == "1970-06-15"
    given = people.library.consent(NAME)
    assert given is not None and given.text == shown
    assert job.title(checked) == f"Importing photos of {NAME} from album"
    result, told = do_job(job, asked, tmp_path / "job")
    assert (result["added"], result["refused"], result["faces"]) == (4, 0, 4) and "4 new photos" in result["sentence"]
    assert [event.done for event in told] == sorted(event.done for event in told)
    assert people.get(NAME).faces == 4
    again, _ = do_job(job, asked, tmp_path / "again")
    assert (again["added"], again["known"]) == (0, 4)


def test_handed_over_photos_go_when_it_is_written_down(people: People, settings: Settings, album: Path) -> None:
    home = settings.data / "uploads" / "abc"
    home.parent.mkdir()
    album.rename(home)
    others = settings.data / "uploads" / "def"
    others.mkdir()
    job, folder = an_import(settings), settings.data / "job"
    checked = job.check({"sources": sorted(home.iterdir()), "keep": True})
    do_chunks(job, checked, folder)
    assert len(list(home.iterdir())) == 4
    job.finish(checked, folder, print, CancelToken())
    assert not home.exists() and others.is_dir() and people.library.count() == 4
    job.finish(checked, folder, print, CancelToken())  # once more, after a kill


def test_a_renamed_person_is_the_same(people: People, settings: Settings, album: Path, tmp_path: Path) -> None:
    job = an_import(settings)
    checked = job.check({"sources": [str(album)], "person": NAME})
    people.rename(NAME, "Otto")
    do_chunks(job, checked, tmp_path / "job")
    assert [(person.name, person.faces) for person in people.list()] == [("Otto", 4)]


def test_withdrawn_consent_is_not_given_again(people: People, settings: Settings, album: Path, tmp_path: Path) -> None:
    job = an_import(settings)
    checked = job.check({"sources": [str(album)], "person": NAME})
    people.library.withdraw_consent(NAME)
    do_chunks(job, checked, tmp_path / "job")
    assert people.library.consent(NAME) is None


def test_what_can_not_be_imported(people: People, settings: Settings, album: Path) -> None:
    job = ImportJob(settings, never)
    for asked, said in (
        ({"sources": []}, "nothing to import"),
        ({"sources": [album / "no"], "person": NAME}, "no file or folder"),
        ({"sources": [album], "born": "1970-01-01"}, "needs a name"),
        ({"sources": [album], "person": NAME, "born": "2999-01-01"}, "still to come"),
        ({"sources": [album], "person": NAME, "born": "soon"}, "no date"),
    ):
        with pytest.raises(InputError, match=said):
            job.check(asked)
    assert people.list() == []  # and nobody was added


def test_grouping(people: People, settings: Settings, album: Path, tmp_path: Path) -> None:
    job = GroupJob(settings, lambda: Runtime(settings))
    with pytest.raises(InputError, match="needs consent"):
        job.check({})
    people.library.give_consent()
    do_job(an_import(settings), {"sources": [album]}, tmp_path / "import")
    result, told = do_job(job, {}, tmp_path / "group")
    assert result["groups"] == len(people.groups()) and told[-1].message == "Sorting the faces"


# A person's own aging


@pytest.fixture
def learner(people: People, settings: Settings, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Somebody with photos, and a quick training."""
    do_job(an_import(settings), {"sources": [album], "person": NAME}, tmp_path / "import")
    stand_in(monkeypatch)
    return FakePersonalizer(settings.data, people)


def test_learning_a_person(learner: FakePersonalizer, settings: Settings, tmp_path: Path) -> None:
    job, folder = PersonalizeJob(settings, never), tmp_path / "0a1b2c"
    checked = job.check({"person": NAME.upper(), "options": {"seed": 3}})
    assert NAME not in json.dumps(checked) and job.title(checked) == f"Learning how {NAME} ages"
    result, told = do_job(job, checked, folder)
    assert result["card"]["mark"] == "0a1b2c" and Path(result["adapter"]).is_file() and result["files"] == []
    assert learner.asked[-1].seed == 3
    view = read_view(folder)
    assert (view["step"], view["steps"]) == (STEPS, STEPS) and len(view["losses"]["personal"]) == STEPS
    assert Image.open(folder / view["preview"]).size == (144, 144)
    assert sum(isinstance(event.value, Image.Image) for event in told) == STEPS // 2
    assert told[-1].done == told[-1].total


def test_a_kill_after_the_training_does_not_train_again(
    learner: FakePersonalizer, settings: Settings, tmp_path: Path
) -> None:
    job, folder = PersonalizeJob(settings, never), tmp_path / "job"
    folder.mkdir()
    checked = job.check({"person": NAME})
    with killed_at_the_end():
        job.work(checked, folder, "all", lambda event: None, CancelToken())
    asked = len(learner.asked)
    _, told = do_chunks(job, checked, folder)
    assert len(learner.asked) == asked + 1 and [event for event in told if event.stage == "train"] == []


def test_a_report_on_a_person(learner: FakePersonalizer, settings: Settings, tmp_path: Path) -> None:
    job = EvaluateJob(settings, never)
    with pytest.raises(InputError, match="has not been learnt yet"):
        job.check({"person": NAME})
    do_job(PersonalizeJob(settings, never), {"person": NAME}, tmp_path / "learn")
    result, _ = do_job(job, {"person": NAME}, tmp_path / "measure")
    assert Path(result["report"]).read_text() == f"<h1>How {NAME} ages</h1>"


def test_who_can_not_be_learnt(people: People, settings: Settings) -> None:
    people.add("Otto")
    job = PersonalizeJob(settings, never)
    for asked, said in (
        ({"person": "Nobody"}, "nobody named 'Nobody'"),
        ({"person": "Otto"}, "Otto"),
        ({"person": "Otto", "options": {"steps": 0}}, "steps must be"),
        ({"person": "Otto", "options": {"colour": 1}}, "another version"),
    ):
        with pytest.raises(InputError, match=said):
            job.check(asked)


# An adapter out of pictures


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model and some pictures."""
    place = tmp_path_factory.mktemp("home")
    tiny_diffusion.KINDS["sd1"](place / "words").save_pretrained(place / "tiny")
    (place / "pictures").mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(rng.integers(0, 99, (64, 64, 3), dtype=np.uint8)).save(place / "pictures" / f"{i} red fox.png")
    return place


def quick(home: Path, **more: Any) -> dict[str, Any]:
    return {"strength": "strong", "steps": 4, "batch": 2, "side": 16, "rate": 0.02, "sample_every": 2, "save_every": 1,
            "model": str(home / "tiny")} | more  # fmt: skip


def a_training(settings: Settings) -> FinetuneJob:
    runtime = Runtime(settings)
    return FinetuneJob(settings, lambda: runtime)


def adapters(settings: Settings) -> list[str]:
    return sorted(path.parent.name for path in (settings.data / "models").glob("*/adapter"))


def test_an_adapter(settings: Settings, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = settings.data / "finetune" / "given-1"
    given.mkdir(parents=True)
    for path in (home / "pictures").iterdir():
        (given / path.name).write_bytes(path.read_bytes())
    (given / "bad.png").write_text("no picture")
    job, folder = a_training(settings), tmp_path / "job"
    result, told = do_job(job, {"folder": given, "settings": quick(home)}, folder)
    assert (result["id"], result["title"], result["files"]) == ("my-pictures", "My pictures", [])
    assert adapters(settings) == ["my-pictures"] and not given.exists()
    assert any("bad.png" in words for words in result["problems"])
    view = read_view(folder)
    assert (view["step"], view["pictures"], len(view["losses"]["loss"])) == (4, 4, 4)
    assert Image.open(folder / view["strip"]).width > 90 and "bad.png" in view["problems"][0]
    assert told[-2].done == 1000 and [event.done for event in told] == sorted(event.done for event in told)


def test_pictures_that_were_handed_over_go_with_the_last_job_that_needs_them(settings: Settings, home: Path) -> None:
    given, own = settings.data / "finetune" / "given-1", home / "pictures"
    given.mkdir(parents=True)
    for path in own.iterdir():
        (given / path.name).write_bytes(path.read_bytes())
    queue = JobQueue(settings)
    asked = {"folder": str(given), "settings": quick(home)}
    compared = queue.add("finetune", asked | {"compare": ["sara", "lora"]})
    trained, of_own = queue.add("finetune", asked), queue.add("finetune", asked | {"folder": str(own)})
    queue.delete(compared.id)
    assert given.exists()  # for the other job
    job, folder, cancel = a_training(settings), settings.data / "job", CancelToken()
    folder.mkdir()

    def stop(event: Event) -> None:
        if event.stage == "train" and event.done > 500:
            cancel.cancel()

    with pytest.raises(Cancelled):
        job.work(trained.request, folder, "all", stop, cancel)
    queue.delete(trained.id)
    assert given.exists()  # the training can still go on
    tuner = job.finetuner()
    again = queue.add("finetune", asked)
    tuner.forget(tuner.unfinished()[0].key)
    queue.delete(again.id)
    assert not given.exists()
    queue.delete(of_own.id)
    assert len(list(own.iterdir())) == 4
    queue.close()


def test_a_killed_training_leaves_one_adapter(settings: Settings, home: Path, tmp_path: Path) -> None:
    """Stopped half-way, then killed between the adapter and the note of it, then done."""
    job, folder, cancel = a_training(settings), tmp_path / "job", CancelToken()
    folder.mkdir()
    checked = job.check({"folder": home / "pictures", "title": "Foxes", "settings": quick(home)})

    def stop(event: Event) -> None:
        if event.stage == "train" and event.done > 500:
            cancel.cancel()

    with pytest.raises(Cancelled):
        job.work(checked, folder, "all", stop, cancel)
    assert adapters(settings) == [] and job.finetuner().unfinished()[0].step >= 2
    told: list[Event] = []
    with killed_at_the_end():
        job.work(checked, folder, "all", told.append, CancelToken())
    assert adapters(settings) == ["foxes"]
    assert any(event.message.startswith("Going on from step") for event in told)
    _, told = do_chunks(job, checked, folder)
    assert adapters(settings) == ["foxes"] and "train" not in {event.stage for event in told}
    assert job.finish(checked, folder, told.append, CancelToken())["id"] == "foxes"
    do_job(job, checked, tmp_path / "another")  # another job with the same wish makes another
    assert adapters(settings) == ["foxes", "foxes-2"]


def test_an_adapter_in_a_folder_of_ones_own(settings: Settings, home: Path, tmp_path: Path) -> None:
    asked = {"folder": home / "pictures", "out": tmp_path / "mine", "settings": quick(home, steps=1, sample_every=0)}
    result, _ = do_job(a_training(settings), asked, tmp_path / "job")
    assert {Path(name).name for name in result["files"]} == {
        "adapter_config.json", "adapter_model.safetensors", "card.json"
    }  # fmt: skip
    assert result["id"] is None and adapters(settings) == []


def test_methods_compared(settings: Settings, home: Path, tmp_path: Path) -> None:
    asked = {"folder": home / "pictures", "out": tmp_path / "table", "settings": quick(home, steps=1, sample_every=0),
             "compare": ["lora"], "seeds": 1}  # fmt: skip
    result, told = do_job(a_training(settings), asked, tmp_path / "job")
    assert [Path(name).name for name in result["files"]] == ["comparison.json", "comparison.png"]
    assert [row["method"] for row in result["table"]] == ["lora"] and told[-1].done == 1000


def test_all_rows_of_a_grid_show_the_same_prompts_and_seeds(settings: Settings, home: Path, tmp_path: Path) -> None:
    still = quick(home, steps=1, sample_every=0, rate=1e-7)  # an adapter that changes nothing that could be seen
    asked = {"folder": home / "pictures", "settings": still, "compare": ["lora"], "out": tmp_path / "table"}
    do_job(a_training(settings), asked, tmp_path / "job")
    with Image.open(tmp_path / "table" / "comparison.png") as grid:
        pixels = np.array(grid.convert("RGB")).astype(int)
    bare, adapted = pixels[22:150, 130:], pixels[154:282, 130:]
    assert np.abs(bare - adapted).max() <= 2
    columns = [bare[:, 132 * i : 132 * i + 128] for i in range(4)]
    assert all(np.abs(one - other).mean() > 2 for one, other in pairwise(columns))


def test_methods_compared_for_the_app(settings: Settings, home: Path, tmp_path: Path) -> None:
    """What is seen while it goes on; what is finished is not done again, unless it was asked for otherwise."""
    folder = tmp_path / "job"
    asked = {"folder": home / "pictures", "settings": quick(home, steps=1, sample_every=0), "compare": ["lora", "sara"]}
    result, _ = do_job(a_training(settings), asked, folder)
    own = settings.data / "comparisons" / "job"
    assert result["out"] == str(own) and {Path(name) for name in result["files"]} == {
        path for path in own.rglob("*") if path.is_file()
    }
    (one,) = stored(settings.data)
    assert (one.id, one.title, one.person) == ("job", "pictures", "") and one.told["table"] == result["table"]
    assert one.names == [("lora-strong-0", "lora"), ("sara-strong-0", "sara")]
    (folder / DONE).unlink()  # stopped before anybody knew that it had ended
    assert do_job(a_training(settings), asked, folder)[0] == result
    seen = read_view(folder)
    assert [row["method"] for row in seen["table"]] == ["lora", "sara"] and seen["pictures"] == 4
    with Image.open(folder / seen["grid"]) as grid:
        assert grid.height > 3 * 128
    assert not (own / "pictures").exists() and not list(settings.data.glob("finetune/*/"))
    rows = {name: json.loads((own / f"{name}-strong-0" / "row.json").read_bytes()) for name in ("lora", "sara")}
    (own / "lora-strong-0" / "row.json").unlink()  # killed after the adapter was written: it is measured, not trained
    adapter = own / "lora-strong-0" / "adapter" / "adapter_model.safetensors"
    written = adapter.stat().st_mtime_ns
    again, _ = do_job(a_training(settings), asked | {"out": own}, tmp_path / "again")
    assert adapter.stat().st_mtime_ns == written
    assert [row["distance"] for row in again["rows"]] == [rows[name]["distance"] for name in ("lora", "sara")]
    more = asked | {"settings": quick(home, steps=2, sample_every=0)}
    other, _ = do_job(a_training(settings), more | {"out": own}, tmp_path / "more")
    assert [row["loss"] for row in other["rows"]] != [row["loss"] for row in again["rows"]]
    assert adapter.stat().st_mtime_ns != written


def test_what_can_not_be_learnt_from(settings: Settings, home: Path, tmp_path: Path) -> None:
    job, pictures = FinetuneJob(settings, never), home / "pictures"
    good = quick(home)
    for asked, said in (
        ({"folder": tmp_path / "no", "settings": good}, "no folder"),
        ({"settings": good}, "Give a folder"),
        ({"folder": home / "words", "settings": good}, "no picture"),
        ({"folder": pictures, "settings": good | {"method": "magic"}}, "no method"),
        ({"folder": pictures, "settings": good | {"model": "nowhere"}}, "no model"),
        ({"folder": pictures, "settings": good, "title": "A", "out": tmp_path / "b"}, "not both"),
        ({"folder": pictures, "settings": good, "compare": ["magic"], "out": tmp_path / "b"}, "no method"),
        ({"folder": pictures, "settings": good, "compare": ["lora"], "seeds": 99, "out": tmp_path / "b"}, "seeds"),
        ({"person": "Nobody", "settings": good}, "Nobody"),
    ):
        with pytest.raises(InputError, match=said):
            job.check(asked)


# A grid of pictures

AXES = "guidance=cfg,apg;scale=2,6"


@pytest.fixture
def drawer(settings: Settings) -> GridJob:
    runtime = Runtime(settings)
    return GridJob(settings, lambda: runtime)


def wish(home: Path, **more: Any) -> dict[str, Any]:
    asked = {"prompt": "a face", "model": str(home / "tiny"), "steps": 2, "width": 16, "height": 16} | more
    return settings_from(asked).model_dump(mode="json")


def test_a_grid_is_as_the_command_draws_it(settings: Settings, drawer: GridJob, home: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "job", tmp_path / "grid.png"
    asked = {"settings": wish(home, seed=5), "axes": AXES, "out": out}
    checked = drawer.check(asked)
    names, _ = do_chunks(drawer, checked, folder)
    assert names == ["cell-01-01", "cell-01-02", "cell-02-01", "cell-02-02"] and drawer.of(checked, folder) == 4
    (folder / "cell-02-01.json").unlink()  # killed before it was whole
    assert drawer.chunks(checked, folder) == ["cell-02-01"]
    do_chunks(drawer, checked, folder)
    result = drawer.finish(checked, folder, print, CancelToken())
    assert result["files"] == [str(out)] and len(result["table"]) == 4
    assert result["table"][1] | {"guidance": "apg", "scale": 2} == result["table"][1]
    assert [path.name for path in folder.iterdir()] == [DONE] and drawer.chunks(checked, folder) == []
    generator = ImageGenerator(Runtime(settings), settings.data)
    *_, last = grid(generator, settings_from(asked["settings"]), parse_axes(AXES))
    assert np.array_equal(np.array(Image.open(out)), np.array(last.value.image))
    assert last.value.table() == result["table"]
    assert drawer.finish(checked, folder, print, CancelToken()) == result  # killed before it was noted


def test_a_grid_has_one_seed_and_a_name_by_what_made_it(drawer: GridJob, home: Path, tmp_path: Path) -> None:
    first, second = (drawer.check({"settings": wish(home), "axes": AXES}) for _ in range(2))
    assert first["settings"]["seed"] >= 0 and first["out"] != second["out"]
    assert Path(first["out"]).parent == drawer.settings.data / "comparisons"
    result, _ = do_job(drawer, first | {"out": ""}, tmp_path / "job")
    assert result["files"] == [first["out"]] and Path(first["out"]).is_file()


def test_a_grid_from_a_picture(drawer: GridJob, home: Path, tmp_path: Path) -> None:
    start = tmp_path / "start.png"
    picture(1).save(start)
    asked = {"settings": wish(home, seed=1), "axes": "strength=0.2,0.9", "init": str(start), "out": tmp_path / "g.png"}
    checked = drawer.check(asked)
    do_job(drawer, asked, tmp_path / "job")
    picture(2).save(start)
    with pytest.raises(InputError, match="has changed"):
        do_chunks(drawer, checked, tmp_path / "again")


def test_what_is_no_grid(settings: Settings, home: Path, tmp_path: Path) -> None:
    job, good = GridJob(settings, never), wish(home)
    for asked, said in (
        ({"settings": good, "axes": "colour=1,2"}, "no axis"),
        ({"settings": good, "axes": "scale=1,99"}, "scale"),
        ({"settings": good, "axes": AXES, "out": "grid.txt"}, "does not end in"),
        ({"settings": good, "axes": AXES, "mask": str(home / "pictures" / "0 red fox.png")}, "needs the picture"),
        ({"settings": good | {"model": "nowhere"}, "axes": AXES}, "no model"),
        ({"settings": good | {"adapters": [{"where": "nothing"}]}, "axes": AXES}, "no adapter"),
    ):
        with pytest.raises(InputError, match=said):
            job.check(asked)


# A model from the network


def test_a_download(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "convert_safely", quick_convert)
    content = foreign_file(tmp_path / "net.pkl").read_bytes()
    with serving() as server:
        tiny = record(server.put("/tiny.pkl", content), content)
        known = (*catalog.records(), tiny)
        monkeypatch.setattr(catalog, "records", lambda: known)
        monkeypatch.setattr(catalog, "find_record", lambda id: next((r for r in known if r.id == id), None))
        job, folder = DownloadJob(settings, never), tmp_path / "job"
        for asked, said in (({"model": "no"}, "no model"), ({}, "Give the id"), ({"model": "tiny"}, "First accept"),
                            ({"model": "sam"}, "can't be downloaded by a program")):  # fmt: skip
            with pytest.raises(InputError, match=said):
                job.check(asked)
        job.store().accept("tiny")
        folder.mkdir()
        checked = job.check({"model": "tiny"})
        assert job.title(checked) == f"Downloading {tiny.title}"
        with killed_at_the_end():
            job.work(checked, folder, "all", lambda event: None, CancelToken())
        assert job.store().get("tiny").usable and len(server.asked) == 1
        do_chunks(job, checked, folder)
        result = job.finish(checked, folder, print, CancelToken())
        assert len(server.asked) == 1 and Path(result["path"]).is_file() and result["model"] == "tiny"
        with pytest.raises(InputError, match="is here already"):
            job.check({"model": "tiny"})
