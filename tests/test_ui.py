"""The pages' functions without a browser: what they make of photos, results, settings, and of the work's events."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fake_aging import FakePipeline
from PIL import Image

from photos.io import open_photo, read_recipe, save_image
from pipelines.aging import AgingOptions
from pipelines.aging.nets import HeadsNets
from pipelines.errors import DeviceError, InputError
from pipelines.settings import Settings, load_settings
from ui import views
from ui.age import history, photo, work
from ui.age.state import CARE_STEPS, Choices, Made, PhotoState, Shelf
from ui.guard import LocalOnly
from ui.pictures import close_up, data_uri
from ui.server import launch_options, prepare, private_paths
from ui.services import Run, Runs, Services


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data=tmp_path / "data")


@pytest.fixture
def services(settings: Settings) -> Services:
    made = Services(settings, FakePipeline())
    prepare(settings, made.served)
    return made


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A wide photo: the quick pipeline finds two faces in it."""
    path = tmp_path / "two of us.png"
    Image.linear_gradient("L").resize((400, 200)).convert("RGB").save(path)
    return path


def opened(services: Services, path: Path) -> PhotoState:
    found = photo.take(services, path, PhotoState(), Choices())
    assert found.changed, found.note
    return found.state


def make(services: Services, state: PhotoState, targets: list[float], shelf: Shelf | None = None) -> list[work.Step]:
    run = services.runs.start("tab")
    return list(work.make(services, run, state, shelf or Shelf(), targets, Choices()))


def final(steps: list[work.Step]) -> Shelf:
    return [step.shelf for step in steps if step.shelf][-1]


# Photos


def test_a_photo_opens_with_its_faces_and_the_largest_is_chosen(services: Services, pair: Path) -> None:
    found = photo.take(services, pair, PhotoState(), Choices())
    assert (found.state.name, len(found.state.faces), found.state.chosen) == ("two of us", 2, 0)
    assert "2 faces; number 1 is chosen, looks about 34" in found.note
    shown = photo.show(found.state)
    assert shown.count("<button") == 2 and 'aria-pressed="true" aria-label="Face 1 of 2' in shown


def test_another_face_is_chosen_by_its_number(services: Services, pair: Path) -> None:
    state = opened(services, pair)
    other = state.choose(1)
    assert other.chosen == 1 and other.near != state.near and other.face and other.face.age == 40
    assert state.choose(7) is state and PhotoState().choose(0) == PhotoState()


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_a_bad_file_is_one_sentence_and_keeps_the_photo(services: Services, pair: Path, content: bytes) -> None:
    state = opened(services, pair)
    bad = pair.with_name("bad <b>.png")
    bad.write_bytes(content)
    found = photo.take(services, bad, state, Choices())
    assert found.state is state and not found.changed
    assert 'role="alert"' in found.note and "bad &lt;b&gt;.png" in found.note and str(pair.parent) not in found.note


def test_no_face_is_one_sentence(services: Services, tmp_path: Path) -> None:
    Image.new("RGB", (300, 300), "grey").save(tmp_path / "wall.jpg")
    found = photo.take(services, tmp_path / "wall.jpg", PhotoState(), Choices())
    assert "No face was found" in found.note and found.state.photo is None


def test_a_defect_is_a_sentence_too(services: Services, pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services.pipeline, "find_faces", lambda _photo: 1 / 0)
    assert "Something went wrong with two of us.png" in photo.take(services, pair, PhotoState(), Choices()).note


# Work


def test_a_preview_comes_first_and_the_result_replaces_it(services: Services, pair: Path) -> None:
    steps = make(services, opened(services, pair), [70.0])
    shelves = [step.shelf for step in steps if step.shelf]
    assert shelves[0].current and shelves[0].current.preview
    last = shelves[-1].current
    assert last and not last.preview and len(shelves[-1].made) == 1
    assert [step.busy for step in steps] == [True] * (len(steps) - 1) + [False]
    assert "Done: age 70" in steps[-1].status


def test_a_result_is_kept_with_its_recipe_and_named_after_photo_and_age(services: Services, pair: Path) -> None:
    state = opened(services, pair)
    made = final(make(services, state, [70.0])).current
    assert made and made.path and made.path.name == "two-of-us-at-70.png"
    recipe = read_recipe(made.path)
    assert recipe and recipe["target"] == 70 and recipe["options"] == AgingOptions(tune_steps=120).as_dict()
    assert [e.recipe for e in services.history.list()] == [recipe]
    assert state.photo and services.originals.find(state.photo.sha256)


def test_another_photos_style_is_taken_along(services: Services, pair: Path, tmp_path: Path) -> None:
    state, mixing = opened(services, pair), Choices(layers="8")
    Image.new("RGB", (64, 64), "red").save(tmp_path / "style.png")
    list(work.make(services, Run(), state, Shelf(), [70.0], mixing, tmp_path / "style.png"))
    fake = services.pipeline
    assert isinstance(fake, FakePipeline) and fake.style and fake.style.path.name == "style.png"
    list(work.make(services, Run(), state, Shelf(), [70.0], Choices(), tmp_path / "style.png"))
    assert fake.style is None  # no layers were chosen
    (tmp_path / "style.png").write_text("no picture")
    last = list(work.make(services, Run(), state, Shelf(), [70.0], mixing, tmp_path / "style.png"))[-1]
    assert "style.png" in last.status and not last.busy


def test_a_strip_fills_up_by_age_and_is_kept_as_one(services: Services, pair: Path) -> None:
    shelf = final(make(services, opened(services, pair), [80.0, 5.0, 35.0]))
    assert [m.target for m in shelf.made] == [5, 35, 80]
    assert shelf.strip_path and (read_recipe(shelf.strip_path) or {})["strip"] == [80, 5, 35]
    assert all(m.path and read_recipe(m.path) for m in shelf.made)
    assert len(services.history.list()) == 1


def test_stopping_keeps_the_earlier_result(services: Services, pair: Path) -> None:
    state = opened(services, pair)
    earlier = final(make(services, state, [70.0]))
    run = services.runs.start("tab")
    steps = []
    for step in work.make(services, run, state, earlier, [20.0], Choices()):
        steps.append(step)
        if step.shelf:  # the preview is there
            services.runs.cancel("tab")
    assert "Stopped." in steps[-1].status and not steps[-1].busy
    assert final(steps).made == earlier.made and final(steps).shown == 0
    assert services.pipeline.ended == ["done", "end", "end"]  # type: ignore[attr-defined]


def test_stopping_the_first_run_keeps_its_preview(services: Services, pair: Path) -> None:
    run = services.runs.start("tab")
    steps = []
    for step in work.make(services, run, opened(services, pair), Shelf(), [20.0], Choices()):
        steps.append(step)
        if step.shelf:
            run.cancel.cancel()
    made = final(steps).current
    assert made and made.preview and made.path is None


def test_a_result_of_the_same_age_comes_back_if_its_successor_is_stopped() -> None:
    old, rough = Made(70, "old", "", ""), Made(70.2, "new", "", "", preview=True)
    before = Shelf().put(old)
    assert work.settle(before, before.put(rough)).current == old


def test_a_run_that_was_replaced_is_silent(services: Services, pair: Path) -> None:
    run = services.runs.start("tab")
    steps: Iterator[work.Step] = work.make(services, run, opened(services, pair), Shelf(), [20.0], Choices())
    next(steps)
    services.runs.drop("tab")
    assert list(steps) == []


@pytest.mark.parametrize("error", [InputError("The face is too small."), DeviceError("Too little memory.")])
def test_an_error_of_the_work_is_its_sentence(services: Services, pair: Path, error: Exception) -> None:
    services.pipeline.error = error  # type: ignore[attr-defined]
    steps = make(services, opened(services, pair), [20.0])
    assert str(error) in steps[-1].status and 'role="alert"' in steps[-1].status


def test_work_without_a_photo_asks_for_one(services: Services) -> None:
    assert [step.busy for step in make(services, PhotoState(), [70.0])] == [False]


def test_tabs_have_runs_of_their_own() -> None:
    runs = Runs()
    first, second = runs.start("a"), runs.start("b")
    assert runs.cancel("a") and first.cancel.cancelled and not second.cancel.cancelled
    newer = runs.start("b")
    assert second.replaced and runs.get("b") is newer
    runs.finish("b", second)
    assert runs.get("b") is newer and not runs.cancel("c")


# Settings


def test_ages_of_a_strip() -> None:
    assert work.ages_of("80, 5;35 5") == [5, 35, 80]
    assert work.ages_of(" ") == [5, 20, 35, 50, 65, 80]
    with pytest.raises(InputError):
        work.ages_of("5, old")


def test_normal_care_is_the_pipelines_default() -> None:
    assert Choices().options() == AgingOptions(tune_steps=HeadsNets.tune_steps)
    # An added model takes what suits it and the device; see the pipeline.
    assert Choices(model="mine").options() == AgingOptions(model="mine")


def test_model_and_style_reach_the_pipeline_and_come_back_from_a_recipe() -> None:
    choices = Choices(model="mine", official=True, layers="8-9", amount=0.5, seed=3)
    options = choices.options()
    assert (options.model, options.official, options.mix_layers, options.mix_amount) == ("mine", True, (8, 9), 0.5)
    again = Choices().updated(options.as_dict())
    assert (again.model, again.official, again.layers, again.amount) == ("mine", True, "8,9", 0.5)
    strange = Choices().updated({"model": 7, "official": "yes", "mix_layers": ["x"], "mix_amount": 2})
    assert strange == Choices()
    with pytest.raises(InputError, match="Layers"):
        Choices(layers="x").options()


def test_choices_take_only_usable_values() -> None:
    strange = {
        "target": 900,
        "strength": "x",
        "detail": float("nan"),
        "seed": True,
        "format": "EXE",
        "ages": 5,
        "care": [],
    }
    assert Choices().updated(strange) == Choices()
    good = Choices().updated({"target": 33, "strength": 1.5, "tune_steps": 290, "unknown": 1})
    assert (good.target, good.strength, good.care) == (33, 1.5, "Careful")
    assert set(CARE_STEPS) >= {good.care}


# Results dropped back, and the history


def test_a_dropped_result_restores_settings_and_finds_its_photo(services: Services, pair: Path) -> None:
    state = opened(services, pair).choose(1)
    run = services.runs.start("tab")
    choices = Choices(target=33, strength=1.4, detail=0.5, care="Careful", seed=7)
    steps = list(work.make(services, run, state, Shelf(), [33.0], choices))
    made = final(steps).current
    assert made and made.path
    found = photo.take(services, made.path, PhotoState(), Choices())
    assert found.choices == choices and found.changed and "age 33" in found.note
    assert (found.state.name, found.state.chosen) == ("two of us", 1)
    same = photo.take(services, made.path, state, Choices())
    assert same.state is state and not same.changed and "open already" in same.note


def test_a_dropped_result_without_its_photo_says_so(services: Services, tmp_path: Path) -> None:
    hostile = {
        "target": 20,
        "options": {"strength": 99},
        "photo": {"name": "../../x", "sha256": "../../etc"},
        "face": "a",
    }
    save_image(Image.new("RGB", (80, 80)), tmp_path / "other.png", hostile)
    found = photo.take(services, tmp_path / "other.png", PhotoState(), Choices())
    assert found.choices == Choices(target=20) and found.result and not found.changed
    assert "Drop the photo that it was made from" in found.note


def test_history_opens_again_and_removes_everything(services: Services, pair: Path) -> None:
    state = opened(services, pair)
    make(services, state, [70.0])
    make(services, state, [5.0, 80.0])
    strip, single = services.history.list()
    again, shelf, choices = history.open_again(services, single.id, Choices())
    assert again.photo and shelf.current and shelf.current.target == choices.target == 70 and shelf.current.path
    assert (read_recipe(shelf.current.path) or {})["photo"]["name"] == pair.name
    assert history.open_again(services, strip.id, Choices())[1].alone
    assert history.show(services).count('data-act="open"') == 2
    history.remove(services, single.id)
    assert services.originals.find(again.photo.sha256)
    history.remove(services, strip.id)
    assert not services.originals.find(again.photo.sha256) and "kept here" in history.show(services)
    with pytest.raises(InputError):
        history.open_again(services, single.id, Choices())


def test_a_result_made_again_from_the_kept_photo_keeps_its_name(services: Services, pair: Path) -> None:
    make(services, opened(services, pair), [70.0])
    again, _, _ = history.open_again(services, services.history.list()[0].id, Choices())
    make(services, again, [20.0])
    assert services.history.list()[0].recipe["photo"]["name"] == pair.name


# What is shown


def test_names_are_escaped() -> None:
    evil = views.Picture("data:,", '"><script>', "<i>")
    pages = [views.single(evil), views.compare((evil, evil), (evil, evil), False), views.strip([evil, evil], 0)]
    pages += [views.history([('"x', evil)]), views.photo(evil, [], 0), views.note("<script>"), views.header("<script>")]
    assert not any("<script" in page or "<i></i>" in page.replace("<i></i></span>", "") for page in pages)


def test_every_picture_has_words_and_every_button_a_label(services: Services, pair: Path) -> None:
    state = opened(services, pair)
    make(services, state, [5.0, 80.0])
    whole = views.Picture("data:,", "before")
    page = photo.show(state) + views.compare((whole, whole), (whole, whole), True) + history.show(services)
    for tag in re.findall(r"<img[^>]*>", page):
        assert 'alt="' in tag
    for tag in re.findall(r"<button[^>]*>", page) + re.findall(r'<input type="range"[^>]*>', page):
        assert "aria-label=" in tag


@pytest.mark.parametrize(
    "seconds, words", [(0.2, "about 1 s"), (41, "about 45 s"), (89, "about 90 s"), (95, "about 2 min")]
)
def test_durations(seconds: float, words: str) -> None:
    assert views.duration(seconds) == words


def test_the_present_age_is_marked() -> None:
    assert "--p:0.340" in views.age_scale(34) and "now, about 34" in views.age_scale(34)
    assert "present-age" not in views.age_scale(None)


def test_pictures_for_the_screen_are_small() -> None:
    assert len(data_uri(Image.effect_noise((3000, 2000), 30), 200)) < 60_000
    assert close_up(Image.new("RGB", (300, 200)), (250, 150, 60, 80)).size == (200, 200)
    assert close_up(Image.new("RGB", (300, 200)), (100, 90, 20, 30)).size == (78, 78)


# Serving


def test_only_this_machine_and_no_other_site() -> None:
    guard = LocalOnly(lambda *_: None, {"127.0.0.1", "localhost"})  # type: ignore[arg-type,return-value]

    def refused(method: str = "POST", **headers: str) -> bool:
        given = {"host": "127.0.0.1:7860", **{k.replace("_", "-"): v for k, v in headers.items()}}
        scope = {"type": "http", "method": method, "headers": [(k.encode(), v.encode()) for k, v in given.items()]}
        return guard.refusal(scope) is not None

    assert not refused() and not refused(origin="http://127.0.0.1:7860", sec_fetch_site="same-origin")
    assert refused("GET", host="evil.example:7860") and refused("GET", host="127.0.0.1.evil.example")
    assert refused(origin="http://evil.example") and refused(origin="null") and refused(sec_fetch_site="cross-site")
    assert refused(origin="http://127.0.0.1:8000") and not refused("GET", sec_fetch_site="cross-site")


def test_launch_is_closed_by_default(settings: Settings) -> None:
    settings.data.mkdir()
    options = launch_options(settings)
    assert options["server_name"] == "127.0.0.1" and options["share"] is False and options["auth"] is None
    assert (
        options["strict_cors"]
        and not options["ssr_mode"]
        and not options["run_history"]
        and not options["footer_links"]
    )
    assert str(settings.data / "history") in options["blocked_paths"]


def test_strangers_need_a_password(settings: Settings) -> None:
    with pytest.raises(InputError, match="EVERYAGE_PASSWORD"):
        launch_options(settings.model_copy(update={"host": "0.0.0.0"}))
    check = launch_options(settings.model_copy(update={"host": "0.0.0.0", "password": "correct horse"}))["auth"]
    assert check("anyone", "correct horse") and not check("anyone", "wrong")


def test_the_served_folder_is_private_and_starts_empty(settings: Settings) -> None:
    served = settings.data / "served" / "7860"
    served.mkdir(parents=True)
    (served / "old.png").write_bytes(b"x")
    prepare(settings, served)
    assert list(served.iterdir()) == [] and served.stat().st_mode & 0o077 == 0
    assert served.parent not in private_paths(settings.data)


def test_results_of_one_tab_have_addresses_that_others_cannot_guess(services: Services, pair: Path) -> None:
    made = final(make(services, opened(services, pair), [70.0])).current
    assert made and made.path and re.fullmatch(r"[0-9a-f]{32}", made.path.parent.name)


def test_a_hidden_result_shows_again(services: Services, pair: Path) -> None:
    shelf = final(make(services, opened(services, pair), [5.0, 80.0]))
    assert shelf.show(0).current == shelf.made[0] and shelf.show(9) is shelf
    assert replace(shelf, alone=views.Picture("", "")).show(1).alone is None


def test_the_original_is_kept_byte_for_byte(services: Services, pair: Path) -> None:
    given = open_photo(pair)
    services.originals.keep(given)
    kept = services.originals.find(given.sha256)
    assert kept and kept.read_bytes() == pair.read_bytes()
    assert services.originals.find("../" + given.sha256) is None and services.originals.find(None) is None
