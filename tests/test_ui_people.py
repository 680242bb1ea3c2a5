"""The People page without a browser: what it makes of the form, of what is pressed, and of work in the background."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from fake_aging import FakePipeline
from fake_faces import NETS, fake_networks, picture
from fake_personal import STEPS, FakePersonalizer, stand_in

from photos.library import forgetting
from photos.library.tables import AgeSource, Belonging, Decision, Face, Use
from photos.people import FaceView
from pipelines.collection import Collection
from pipelines.errors import InputError
from pipelines.events import CancelToken, Event
from pipelines.runtime import Runtime
from pipelines.settings import load_settings
from tests import near_worker
from tests.near_worker import NearWorker
from ui import following, plots
from ui.age import people as age_people
from ui.age import result
from ui.age import work as age_work
from ui.age.photo import take
from ui.age.state import BOTH, GLOBAL, Choices, PhotoState, Shelf
from ui.background import Desk, Task
from ui.following import Followed
from ui.people import acts, crops, form, learn, shown, timeline, words, work
from ui.people.acts import Outcome
from ui.people.state import Choice
from ui.people.timeline import Bar
from ui.server import prepare
from ui.services import Run, Services
from ui.uploads import gather
from ui.widgets import Said

OMA = Choice("person", "Oma")


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    """The server's own things; faces come from `fake_faces`, training from `fake_personal`."""
    settings = load_settings(data=tmp_path / "data")
    monkeypatch.setattr(Collection, "nets", lambda _: NETS)
    collection = Collection(Runtime(settings), settings.data)
    personalizer: Any = FakePersonalizer(settings.data, collection.people)
    made = Services(settings, FakePipeline(), collection, personalizer)  # type: ignore[arg-type]
    prepare(settings, made.served)
    crops.clear()
    stand_in(monkeypatch)
    made.worker = worker = NearWorker(made.jobs)  # type: ignore[assignment]
    with fake_networks():
        yield made
        worker.close()
    made.jobs.close()


def wait(services: Services) -> Followed:
    """The page's job, when it has ended."""
    return near_worker.wait(services.people_jobs)


def said(services: Services) -> str:
    """What the page says of its job."""
    wait(services)
    return following.status(services.people_jobs, lambda found: work.finished(services, found))


def bring(services: Services, folder: Path, names: list[str], person: str | None = "Oma", first: int = 0) -> Followed:
    """Import photos of these names as the form does it."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        picture(first + index).save(folder / name)
    work.start_import(services, form.Order((folder,), False, person, None))
    return wait(services)


@pytest.fixture
def oma(services: Services, tmp_path: Path) -> Services:
    """Six photos of Oma at 20 to 70; of the first one it is not sure that it is she."""
    task = bring(services, tmp_path / "oma", [f"{age}_000{age // 10}.png" for age in range(20, 80, 10)])
    assert task.ended == "done", task.job.error
    with services.collection.library.session() as session:
        for face in session.query(Face).all():
            face.belonging = Belonging.CONFIRMED if face.age != 20 else Belonging.SUGGESTED
            face.confidence = 1.0 if face.age != 20 else 0.3
            face.person_id = 1
            session.add(face)
    return services


def faces(services: Services, name: str = "Oma") -> list[FaceView]:
    return list(services.collection.people.faces(name, order="age"))


def do(services: Services, choice: Choice, name: str, **said: Any) -> Outcome:
    outcome = acts.act(services, choice, Said(name, **said))
    assert outcome.kind != "error", outcome.text
    return outcome


def upload(services: Services, name: str) -> Path:
    """A file as the browser hands it over."""
    path = services.new_file("upload", "").parent / name
    picture(1).save(path, "PNG")
    return path


# The form


def test_a_sent_form_is_an_order(services: Services, tmp_path: Path) -> None:
    fields = {"person": "  Oma   Lene ", "born": "1941-03-02", "consent": "yes", "place": f' "{tmp_path}" '}
    order = form.read(services, fields, [])
    assert order == form.Order((tmp_path,), False, "Oma Lene", date(1941, 3, 2))
    assert form.read(services, {"place": str(tmp_path), "born": "1941-03-02"}, []).born is None  # of nobody


@pytest.mark.parametrize(
    "fields, said",
    [
        ({}, "First give photos"),
        ({"person": "Oma", "place": "/"}, "only with consent"),
        ({"place": "/no/such/place"}, "There is nothing at /no/such/place"),
        ({"person": "Oma", "consent": "yes", "born": "1941", "place": "/"}, "'1941' is no date"),
    ],
)
def test_what_is_lacking_is_one_sentence(services: Services, fields: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        form.read(services, fields, [])


def test_uploads_keep_their_folders_and_nothing_else_of_their_names(services: Services) -> None:
    names = ["Album/1987/a.jpg", "Album/1987/a.jpg", "../../etc/b.jpg", "C:\\c.jpg", "/", "x" * 300 + ".jpg"]
    paths = gather(services, [(upload(services, f"{i}.jpg"), name) for i, name in enumerate(names)])
    home = paths[0].parent
    found = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
    assert found[:5] == ["Album/1987/a (2).jpg", "Album/1987/a.jpg", "C:/c.jpg", "etc/b.jpg", "file"]
    assert home.is_relative_to(services.served) and all(len(Path(name).name) <= 120 for name in found)


def test_only_uploads_are_taken_for_uploads(services: Services, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(b"mine")
    sly = upload(services, "sly.jpg").with_name("link.jpg")
    sly.symlink_to(secret)
    for path in (secret, services.served / ".." / ".." / ".." / "secret.jpg", services.served, sly):
        with pytest.raises(InputError, match="choose it again"):
            gather(services, [(path, "a.jpg")])
    assert secret.read_bytes() == b"mine"


def test_visitors_of_a_shared_server_name_no_places(tmp_path: Path) -> None:
    shared = Services(load_settings(data=tmp_path / "data", host="0.0.0.0", password="long enough"), FakePipeline())
    with pytest.raises(InputError, match="Only photos that are uploaded"):
        form.read(shared, {"place": str(tmp_path)}, [])
    assert "Or where they lie" not in form.view(shared)


def test_what_the_browser_says_is_not_believed() -> None:
    class Sent:
        _data: object = {
            "act": "confirm",
            "id": None,
            "index": "3",
            "ids": ["7", 8, "x", "-1", "9" * 40, None],
            "value": 0,
            "fields": {"a": 1},
            "files": [{"path": "/p", "name": "n"}, "no"],
        }

    said = Said.of(Sent())  # type: ignore[arg-type]
    assert said == Said("confirm", "", -1, (7, 8), "0", {"a": "1"}, ((Path("/p"), "n"),))
    Sent._data = "nonsense"
    assert Said.of(Sent()) == Said()  # type: ignore[arg-type]


# Words


def test_ages_are_read_and_said() -> None:
    assert [words.parse_years(text) for text in ("", " 42,5 ", "0", "130")] == [None, 42.5, 0, 130]
    for bad in ("old", "-1", "131", "nan", "inf"):
        with pytest.raises(InputError, match="is no age"):
            words.parse_years(bad)
    said = [words.years(age) for age in (0, 0.1, 0.5, 1, 2.5, 33.4)]
    assert said == ["newborn", "1 month", "6 months", "1", "2.5", "33"]
    assert [words.span(ages) for ages in (None, (20, 40.2), (33, 33))] == ["no ages yet", "ages 20 to 40", "age 33"]
    assert words.count(1, "photo") == "1 photo" and words.count(1204, "photo") == "1,204 photos"
    assert words.day(date(1961, 5, 3)) == "3 May 1961"


# Plots


def test_the_timeline_draws_every_year_and_says_it_in_words() -> None:
    bars = [Bar(0, 1, 0.5, 0), Bar(20, 4, 1.0, 1), Bar(21, 2, 0.0, 2)]
    shown = timeline.plot(bars, [(30, 45)], ["3 photos between 30 and 45 would help most."], "<Oma>")
    assert shown.count("<i class=") - shown.count("<li><i class=") == 3
    assert "--x:20.00;--w:1.00;--h:1.000;--o:1.00" in shown and "--x:21.00;--w:1.00;--h:0.500;--o:0.45" in shown
    assert '<u style="--x:30.00;--w:15.00">' in shown and "would help most" in shown
    assert 'aria-label="7 photos of &lt;Oma&gt; at ages newborn to 21, most at 20"' in shown
    assert "<tr><th scope='row'>20</th><td>4</td><td>1</td><td>100 %</td></tr>" in shown
    assert "No photo has an age yet" in timeline.plot([], [], [], "Oma")
    assert "--x:" in timeline.plot([Bar(110, 1, 1, 0)], [(100, 120)], [], "Oma")


def test_curves_have_a_line_and_words_each() -> None:
    shown = plots.curves({"personal": [4.0, 3.0, 2.0, 1.0], "age": [2.0], "odd_name": [1.0, 1.0]})
    assert shown.count("<polyline") == 2 and "Likeness to the photos: 1 now, 4 at the start" in shown
    assert 'points="0.0,1.0 33.3,10.3 66.7,19.7 100.0,29.0"' in shown and "Odd name" in shown
    assert plots.curves({}) == ""
    smooth = plots.smoothed([float(i) for i in range(1000)])
    assert len(smooth) == plots.POINTS and smooth == sorted(smooth)
    assert sum(smooth) / len(smooth) == pytest.approx(499.5)


# Work in the background


def finished(desk: Desk, work: Any) -> Task:
    task = desk.begin("train", "Oma", work)
    for _ in range(500):
        if task.ended is not None:
            return task
        threading.Event().wait(0.01)
    raise AssertionError("the task does not end")


def test_a_task_shows_its_newest_values_and_ends_with_its_result() -> None:
    def work(_: CancelToken) -> Iterator[Event]:
        yield Event("train", "One", 1, 2, value="first")
        yield Event("train", "Two", 2, 2)
        yield Event("done", "Done", value=42)

    task = finished(Desk(print), work)
    assert (task.ended, task.result, task.shown, task.version) == ("done", 42, {"train": "first"}, 4)


def test_one_task_at_a_time_and_it_stops_when_asked() -> None:
    reached, go = threading.Event(), threading.Event()

    def work(cancel: CancelToken) -> Iterator[Event]:
        yield Event("train", "One")
        reached.set()
        go.wait(5)
        cancel.check()
        yield Event("done", "Done")

    desk = Desk(print)
    assert not desk.stop() and desk.running is None
    task = desk.begin("train", "Oma", work)
    assert reached.wait(5) and desk.running is task
    with pytest.raises(InputError, match="Something is being done already"):
        desk.begin("import", "", work)
    assert desk.stop()
    go.set()
    for _ in range(500):
        if desk.running is None:
            break
        threading.Event().wait(0.01)
    assert task.ended == "stopped" and "goes on from there" in task.sentence
    desk.clear()
    assert desk.task is None


def test_a_failed_task_says_why_and_a_defect_is_reported() -> None:
    reported: list[Exception] = []

    def bad(_: CancelToken) -> Iterator[Event]:
        yield Event("train", "One")
        raise InputError("The photos are gone.")

    def defect(_: CancelToken) -> Iterator[Event]:
        yield Event("train", "One")
        raise ZeroDivisionError

    desk = Desk(reported.append)
    assert finished(desk, bad).sentence == "The photos are gone." and not reported
    task = finished(desk, defect)
    assert task.ended == "failed" and "Something went wrong (ZeroDivisionError)" in task.sentence
    assert [type(error) for error in reported] == [ZeroDivisionError]


# Importing


def test_an_import_ends_on_the_persons_page(oma: Services) -> None:
    task = oma.people_jobs.current
    assert task and task.job.kind == "import" and work.whose(oma, task) == "Oma"
    assert "Imported: 6 new photos with 6 faces." in said(oma)
    person = oma.collection.people.get("Oma")
    assert person.consent is not None and person.ages == (20, 70)
    given = oma.collection.library.consent("Oma")
    assert given and given.text == words.CONSENT.format(name="Oma")
    parts = shown.parts(oma, OMA)
    assert "6 photos · ages 20 to 70" in parts["view"] and "1 to check" in parts["list"]
    assert parts["check"].count("<li>") == 1 and parts["faces"].count("<li>") == 6
    assert 'value="20"' in parts["check"] + parts["faces"] and "from file name" in parts["faces"]


def test_uploads_are_copied_and_then_deleted(services: Services) -> None:
    order = form.read(services, {}, [(upload(services, "a.png"), "1987/a.png")])
    home = order.sources[0].parent
    assert home.is_dir()
    work.start_import(services, order)
    assert "1 new photo" in said(services) and not home.exists()
    assert list((services.settings.data / "uploads").iterdir()) == []
    (photo,) = services.collection.library.photos()
    assert photo.path and photo.path.is_relative_to(services.settings.data / "people")


def test_refused_files_are_listed_with_reasons(services: Services, tmp_path: Path) -> None:
    (tmp_path / "album").mkdir()
    (tmp_path / "album" / "<b>.jpg").write_text("no picture")
    bring(services, tmp_path / "album", ["good.png"], None)
    parts = shown.parts(services, Choice("refused"))
    assert "1 file of the last import" in parts["view"] and "&lt;b&gt;.jpg" in parts["view"]
    assert "Files that were refused" in parts["list"] and "<b>.jpg" not in parts["view"]
    bad = upload(services, "bad.jpg")
    bad.write_text("no picture either")
    work.start_import(services, form.read(services, {}, [(bad, "Album/bad.jpg")]))
    wait(services)
    view = shown.parts(services, Choice("refused"))["view"]
    assert "<dt>Album/bad.jpg</dt>" in view and str(services.served) not in view


def test_a_place_that_is_gone_is_a_sentence(services: Services, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="check the name"):
        work.start_import(services, form.Order((tmp_path / "gone",), False))
    assert services.jobs.list() == []
    lost = form.Order((upload(services, "a.png"),), True, "Oma", date(2999, 1, 1))
    with pytest.raises(InputError, match="still to come"):
        work.start_import(services, lost)
    assert list((services.settings.data / "uploads").iterdir()) == []


# Whose face it is


def test_a_doubtful_face_is_confirmed_and_that_is_taken_back(oma: Services) -> None:
    first = faces(oma)[0]
    outcome = do(oma, OMA, "confirm", id=str(first.id))
    assert outcome.text == "1 face confirmed as Oma." and shown.parts(oma, OMA)["check"] == ""
    assert acts.undo(oma, OMA).text == "Taken back: the confirmation."
    assert faces(oma)[0].belonging is Belonging.SUGGESTED and shown.parts(oma, OMA)["check"]
    do(oma, OMA, "confirm-shown")
    assert faces(oma)[0].belonging is Belonging.CONFIRMED


def test_faces_are_taken_away_and_given_to_somebody_else(oma: Services) -> None:
    found = faces(oma)
    do(oma, OMA, "reject", ids=(found[0].id, found[1].id))
    assert len(faces(oma)) == 4
    do(oma, OMA, "assign", id=str(found[2].id), value="  Opa ")
    do(oma, OMA, "split", ids=(found[3].id,), fields={"name": "Opa"})
    assert [face.id for face in faces(oma, "Opa")] == [found[2].id, found[3].id] and len(faces(oma)) == 2
    merged = do(oma, Choice("person", "Opa"), "merge", fields={"into": "Oma"})
    assert merged.choice.name == "Oma" and len(faces(oma)) == 4
    assert [person.name for person in oma.collection.people.list()] == ["Oma"]


@pytest.mark.parametrize(
    "act, said, sentence",
    [
        ("reject", {}, "First tick the faces"),
        ("assign", {"id": "1", "value": " "}, "First write a name"),
        ("confirm", {"id": "999"}, "not there any more"),
        ("age", {"id": "1", "value": "old"}, "is no age"),
        ("use", {"id": "1", "value": "sometimes"}, "no way to use"),
        ("decide", {"id": "1:throw away"}, "no decision"),
        ("edit", {"fields": {"name": "Oma", "born": "soon"}}, "is no date"),
        ("merge", {"fields": {"into": "Nobody"}}, "Nobody"),
        ("allow", {}, "Tick the box"),
    ],
)
def test_what_can_not_be_done_is_one_sentence(oma: Services, act: str, said: dict[str, Any], sentence: str) -> None:
    outcome = acts.act(oma, OMA, Said(act, **said))
    assert outcome.kind == "error" and sentence in outcome.text and outcome.choice == OMA


def test_a_defect_is_a_sentence_too(oma: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oma.collection.people, "confirm", lambda *_: 1 / 0)
    assert "Something went wrong (ZeroDivisionError)" in acts.act(oma, OMA, Said("confirm", id="1")).text
    monkeypatch.setattr(oma.collection.people, "get", lambda *_: 1 / 0)
    assert "Something went wrong (ZeroDivisionError)" in shown.parts(oma, OMA)["view"]
    assert acts.act(oma, OMA, Said("format-disk")) == Outcome(OMA)


# Ages and training photos


def test_ages_are_typed_and_taken_back(oma: Services) -> None:
    first = faces(oma)[0]
    assert do(oma, OMA, "age", id=str(first.id), value="21.5").text == "Age 22 noted."
    face = next(face for face in faces(oma) if face.id == first.id)
    assert (face.age, face.age_source) == (21.5, AgeSource.TYPED)
    assert 'value="21.5"' in shown.parts(oma, OMA)["faces"] and "typed by you" in shown.parts(oma, OMA)["faces"]
    do(oma, OMA, "age", id=str(first.id), value="")
    assert faces(oma)[0].age_source is AgeSource.FILE_NAME
    do(oma, OMA, "ages", ids=tuple(face.id for face in faces(oma)), fields={"age": "0"})
    assert {face.age for face in faces(oma)} == {0} and "age newborn" in shown.parts(oma, OMA)["view"]


def test_photos_are_left_out_of_training_by_hand(oma: Services) -> None:
    last = faces(oma)[-1]
    assert last.training and do(oma, OMA, "use", id=str(last.id), value="never").text == "It is left out."
    face = faces(oma)[-1]
    assert face.use is Use.NEVER and not face.training
    assert "4 photos" in shown.parts(oma, OMA)["learn"]  # six, without this and the doubtful one


def test_orders_and_more(oma: Services) -> None:
    do(oma, OMA, "age", id=str(faces(oma)[0].id), value="90")
    outcome = do(oma, OMA, "order", value="age")
    ages = re.findall(
        r'data-act="age" data-id="\d+" min="0" max="130" step="any" value="(\d+)"', "".join(parts(oma, outcome))
    )
    assert ages == ["30", "40", "50", "60", "70", "90"]
    assert do(oma, OMA, "order", value="by size").choice.order == "doubtful first"
    assert do(oma, OMA, "more").choice.shown == 72


def parts(services: Services, outcome: Outcome) -> list[str]:
    return [shown.parts(services, outcome.choice)["faces"]]


# People


def test_name_and_birth_date_change(oma: Services) -> None:
    outcome = do(oma, OMA, "edit", fields={"name": "Oma Lene", "born": "1941-03-02"})
    assert outcome.choice.name == "Oma Lene" and "born 2 March 1941" in shown.parts(oma, outcome.choice)["view"]
    assert 'data-id="person:Oma Lene" aria-pressed="true"' in shown.parts(oma, outcome.choice)["list"]
    assert "Nobody" in shown.parts(oma, OMA)["view"] or "nobody" in shown.parts(oma, OMA)["view"]  # under the old name


def test_consent_is_withdrawn_and_given_again(oma: Services) -> None:
    assert "6 descriptions of faces deleted" in do(oma, OMA, "disallow").text
    assert 'data-act="allow"' in shown.parts(oma, OMA)["view"]
    do(oma, OMA, "allow", fields={"consent": "yes"})
    assert 'data-act="disallow"' in shown.parts(oma, OMA)["view"]


def test_forgetting_shows_what_went_and_leaves_nothing_in_memory(oma: Services) -> None:
    shown.parts(oma, OMA)
    assert crops._small.cache_info().currsize > 0
    outcome = do(oma, OMA, "forget")
    assert outcome.choice.what == "forgotten" and oma.collection.people.list() == []
    view = shown.parts(oma, outcome.choice)["view"]
    assert "Oma is forgotten" in view and "<td>6</td>" in view and "Beyond the reach of Everyage" in view
    assert crops._small.cache_info().currsize == 0
    assert oma.people_jobs.current is None and oma.jobs.list() == []
    assert "Oma" not in shown.parts(oma, Choice())["list"]


def test_nothing_is_forgotten_while_others_are_imported(oma: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "WAIT_S", 0.1)
    with oma.collection.library.store.importing():
        outcome = acts.act(oma, OMA, Said("forget"))
    assert outcome.kind == "error" and oma.collection.people.get("Oma").faces == 6


def test_names_are_escaped_and_everything_has_words(oma: Services) -> None:
    evil = do(oma, OMA, "edit", fields={"name": '"><img src=x>', "born": ""}).choice
    do(oma, evil, "assign", id=str(faces(oma, evil.name)[0].id), value="<script>")
    for choice in (evil, Choice("person", "<script>"), Choice()):
        page = "".join(shown.parts(oma, choice).values())
        assert "<img src=x" not in page and "<script" not in page
    page = "".join(shown.parts(oma, evil).values())
    assert all('alt="' in tag for tag in re.findall(r"<img[^>]*>", page))
    for tag in re.findall(r"<(?:input|select)[^>]*>", page):
        assert "aria-label=" in tag or "name=" in tag or 'data-act="order"' in tag, tag


# Faces without a name, and photos that look alike


def test_unnamed_faces_are_grouped_only_with_consent_and_then_named(services: Services, tmp_path: Path) -> None:
    for person in range(2):
        folder = tmp_path / f"p{person}"
        folder.mkdir()
        for index in range(4):
            image = picture(50 + person)
            image.putpixel((40 + index, 40), (0, 0, 0))
            image.save(folder / f"{index}.png")
        work.start_import(services, form.Order((folder,), False))
        assert wait(services).ended == "done"
    choice = Choice("groups")
    assert 'data-act="group"' in shown.parts(services, choice)["view"]
    with pytest.raises(InputError, match="only with your consent"):
        work.start_group(services, {})
    work.start_group(services, {"consent": "yes"})
    task = wait(services)
    assert task.ended == "done" and task.result["groups"] == 2 and "Name those that you know" in said(services)
    given = services.collection.library.consent()
    assert given and given.text == words.COLLECTION_CONSENT
    view = shown.parts(services, choice)["view"]
    assert view.count("<b>4 faces</b>") == 2 and view.count("data-pick=") == 8
    first, second = services.collection.people.groups()
    do(services, choice, "name-group", id=first.id, fields={"name": "Ada", "born": "1941-03-02"})
    do(services, choice, "dismiss", id=second.id)
    assert services.collection.people.get("Ada").faces == 4 and services.collection.people.groups() == []
    assert "Every face has been sorted" in shown.parts(services, choice)["view"]
    assert "Consent is withdrawn" in do(services, choice, "withdraw").text


def test_photos_that_look_alike_are_decided_side_by_side(services: Services, tmp_path: Path) -> None:
    folder = tmp_path / "twice"
    folder.mkdir()
    for seed in (1, 2):
        picture(seed, 192, 192).save(folder / f"{seed}.png")
        picture(seed, 192, 192).resize((96, 96)).save(folder / f"{seed} small.png")
    bring(services, folder, [], None)
    choice = Choice("likenesses")
    view = shown.parts(services, choice)["view"]
    assert view.count("<figure>") == 4 and "192 × 192 px, the better one" in view
    pair = services.collection.library.likenesses()[0]
    assert do(services, choice, "decide", id=f"{pair.id}:{Decision.KEEP_FIRST}").text == "One photo is put aside."
    assert services.collection.library.count() == 3
    assert "1 pair decided" in do(services, choice, "decide-all").text and services.collection.library.count() == 2
    assert "Nothing to decide" in shown.parts(services, choice)["view"]


# Learning


def test_training_shows_previews_curves_and_then_its_card(oma: Services) -> None:
    assert "5 photos" in shown.parts(oma, OMA)["learn"] and "Learn how Oma ages" in shown.parts(oma, OMA)["learn"]
    work.start_training(oma, "Oma", {"preset": "official", "steps": "6"})
    task = wait(oma)
    assert task.ended == "done" and "Everyage knows how Oma ages" in said(oma)
    asked = oma.personalizer.asked[0]  # type: ignore[attr-defined]
    assert (asked.preset, asked.steps) == ("official", 6)
    view = work.training_view(task)
    assert view is not None and view.step == 6 and view.preview is not None  # that of step 5
    going = learn.going(view, "Oma")
    assert "step 6 of 6" in going and going.count("<polyline") == 2 and 'alt="Oma at several ages' in going
    card = shown.parts(oma, OMA)["learn"]
    assert "30 to 70" in card and "63 %" in card and "Learn anew" in card


def test_a_stopped_training_goes_on(oma: Services) -> None:
    oma.personalizer.pause = 0.05  # type: ignore[attr-defined]
    work.start_training(oma, "Oma", {"preset": "everyage", "steps": ""})
    while oma.personalizer.unfinished("Oma") is None:
        threading.Event().wait(0.01)
    oma.people_jobs.stop()
    assert "Stopped. What is done is kept" in said(oma)
    reached = oma.personalizer.unfinished("Oma")
    assert reached and reached < STEPS and f"Go on from step {reached}" in shown.parts(oma, OMA)["learn"]
    work.start_training(oma, "Oma", {"go": "on", "preset": "official"})
    assert wait(oma).ended == "done"
    assert [options.preset for options in oma.personalizer.asked] == ["everyage", "everyage"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("fields", [{"steps": "many"}, {"steps": "0"}, {"preset": "best"}])
def test_wrong_settings_of_training_are_a_sentence(oma: Services, fields: dict[str, str]) -> None:
    with pytest.raises(InputError):
        work.start_training(oma, "Oma", fields)
    assert oma.people_jobs.running is None


def test_several_are_queued_and_each_is_told(oma: Services, tmp_path: Path) -> None:
    oma.personalizer.pause = 0.05  # type: ignore[attr-defined]
    first = work.start_training(oma, "Oma", {})
    second = work.start_group(oma, {"consent": "yes"})
    assert second.before == 1 and oma.people_jobs.running is not None
    assert oma.people_jobs.running.job.id == first.job.id  # the page shows the one that runs
    assert "1 job before it" in following.line(second, str)
    assert work.start_training(oma, "Oma", {}).job.id == first.job.id  # the same again is the same
    assert "disabled" in shown.parts(oma, OMA)["learn"]
    wait(oma)
    assert [job.state for job in oma.jobs.list() if job.kind != "import"] == ["done", "done"]
    assert "The faces are grouped" in said(oma)


def test_too_few_photos_are_said_instead_of_the_form(services: Services, tmp_path: Path) -> None:
    bring(services, tmp_path / "one", ["30_0001.png"])
    panel = shown.parts(services, OMA)["learn"]
    assert "2 are the least" in panel and 'data-act="train"' not in panel
    services.collection.people.add("Opa")
    nobody = shown.parts(services, Choice("person", "Opa"))
    assert "There is no photo of Opa yet" in nobody["learn"] and nobody["faces"] == nobody["check"] == ""


def test_measuring_ends_with_a_report_to_fetch(oma: Services) -> None:
    with pytest.raises(InputError, match="has not been learnt yet"):
        work.start_evaluation(oma, "Oma")
    work.start_training(oma, "Oma", {})
    wait(oma)
    work.start_evaluation(oma, "Oma")
    report = work.report(oma, wait(oma))
    assert report is not None and report.is_relative_to(oma.served) and "How Oma ages" in report.read_text()
    assert report.name == "How-Oma-ages.html" and work.report(oma, wait(oma)) == report


# On the Age page


def learnt(services: Services) -> str:
    """Oma's aging is learnt; the name of her folder."""
    work.start_training(services, "Oma", {})
    wait(services)
    return services.collection.people.get("Oma").folder


def photo_state(services: Services, tmp_path: Path) -> PhotoState:
    picture(3, 200, 300).save(tmp_path / "me.png")
    return take(services, tmp_path / "me.png", PhotoState(), Choices()).state


def test_only_those_who_were_learnt_are_offered(oma: Services) -> None:
    assert age_people.learnt(oma) == []
    folder = learnt(oma)
    assert age_people.learnt(oma) == [age_people.Learnt("Oma", folder, (30, 70))]
    panel: Any = age_people.PeoplePanel("person", "whose", "covered")  # type: ignore[arg-type]
    updates = age_people.show(panel, oma, folder, GLOBAL)
    assert "photos of Oma at 30 to 70" in updates["covered"] and "--p:0.300;--w:0.400" in updates["covered"]
    assert updates["person"].choices == [("Nobody in particular", ""), ("Oma", folder)]
    gone = age_people.show(panel, oma, "somebody who was forgotten", BOTH)
    assert gone["covered"] == "" and gone["person"].value == ""


def test_their_own_aging_reaches_the_pipeline_and_comes_back_from_a_recipe() -> None:
    own, everybody = Choices(person="token"), Choices(person="token", whose=GLOBAL)
    assert (own.options().person, everybody.options().person) == ("token", "")
    assert Choices().updated(own.options().as_dict()).person == "token"
    assert Choices().updated({"person": 7, "whose": "mine"}) == Choices()


def test_results_beyond_the_learnt_ages_are_marked(oma: Services, tmp_path: Path) -> None:
    state, choices = photo_state(oma, tmp_path), Choices(person=learnt(oma))
    steps = list(age_work.make(oma, Run(), state, Shelf(), [50.0, 80.0], choices))
    assert "Extrapolated, beyond the ages of this person&#x27;s photos: 80." in steps[-1].status
    shelf = [step.shelf for step in steps if step.shelf][-1]
    assert [made.extrapolated for made in shelf.made] == [False, True]
    assert "Beyond the learnt ages" in result.picture(state, shelf.show(1))
    assert "Beyond the learnt ages" not in result.picture(state, shelf.show(0))


def test_both_agings_stand_side_by_side(oma: Services, tmp_path: Path) -> None:
    state, choices = photo_state(oma, tmp_path), Choices(person=learnt(oma), whose=BOTH)
    steps = list(age_work.make(oma, Run(), state, Shelf(), [50.0], choices))
    assert any("Everybody&#x27;s aging: " in step.status for step in steps)
    shelf = [step.shelf for step in steps if step.shelf][-1]
    page = result.picture(state, shelf)
    assert "Everybody&#x27;s</span>" in page and "Their own at 50" in page and "Now ·" not in page
    assert len(oma.history.list()) == 1  # their own
    assert oma.history.list()[0].recipe["options"]["person"] == choices.person
