"""The command line: what it prints and writes, its exit codes, and that --help is instant."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_aging import FakePipeline
from PIL import Image

import app
from photos.io import read_recipe
from pipelines.crash import log_path
from pipelines.settings import Settings

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def folder(tmp_path: Path, astronaut: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with one photo, the data folder outside it, and a quick pipeline."""
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv("EVERYAGE_DATA", str(tmp_path / "data"))
    Image.open(astronaut).save(place / "photo.png")
    use(monkeypatch, FakePipeline())
    return place


def use(monkeypatch: pytest.MonkeyPatch, pipeline: FakePipeline) -> None:
    monkeypatch.setattr("pipelines.aging.AgingPipeline", lambda runtime, data: pipeline)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """Run a command that must fail with this exit code and one sentence on standard error; returns the sentence."""
    before = {path: path.stat().st_mtime_ns for path in Path.cwd().rglob("*")}
    assert app.main(arguments) == code
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if not line.startswith(("Looking", "A first", "Learning"))]
    assert captured.out == "" and len(lines) == 1 and lines[0].endswith("."), captured
    assert {path: path.stat().st_mtime_ns for path in Path.cwd().rglob("*")} == before, "something was written"
    return lines[0]


def test_one_age_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["age", "photo.png", "--to", "70", "--out", "old.png", "--strength", "0.5", "--json"]) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1
    facts = json.loads(captured.out)
    assert facts["out"] == "old.png" and facts["size"] == [512, 512] and facts["face"] == 1
    assert facts["target"] == 70 and facts["age_before"] == 34 and facts["age_after"] == 68
    assert facts["identity"] == 0.71 and facts["seconds"] >= 0 and facts["warnings"] == []
    assert facts["recipe"] == read_recipe(folder / "old.png") and facts["recipe"]["options"]["strength"] == 0.5
    assert "Learning this face, 25 %" in captured.err and "\x1b" not in captured.err


def test_the_sentence_for_a_person(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["age", "photo.png", "--to", "70", "--out", "old.jpg"]) == 0
    assert capsys.readouterr().out == "old.jpg: looked about 34, now about 68.\n"
    assert Image.open("old.jpg").size == (512, 512)


def test_a_strip(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["age", "photo.png", "--strip", "10,30,50,70,90", "--out", "strip.png", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert facts["target"] == [10, 30, 50, 70, 90] and facts["age_after"] == [8, 28, 48, 68, 88]
    width, height = Image.open("strip.png").size
    assert facts["size"] == [width, height] and width > 4 * height
    recipe = read_recipe(folder / "strip.png")
    assert recipe is not None and recipe["targets"] == [10, 30, 50, 70, 90]


def test_the_options_reach_the_pipeline(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    class Listening(FakePipeline):
        def run(
            self, photo: Any, targets: Any, options: Any = None, face: int = 0, cancel: Any = None, style: Any = None
        ) -> Any:
            seen.update(targets=targets, options=options, face=face, style=style)
            return super().run(photo, targets, options, face, cancel, style)

    use(monkeypatch, Listening())
    Image.open("photo.png").resize((900, 500)).save("wide.png")
    options = ["--face", "2", "--detail", "0.25", "--steps", "7", "--seed", "11", "--model", "my-sam", "--official"]
    options += ["--mix-layers", "8-9", "--mix-from", "photo.png", "--mix-amount", "0.5"]
    assert app.main(["age", "wide.png", "--to", "33.5", "--out", "o.png", *options]) == 0
    assert seen["targets"] == [33.5] and seen["face"] == 1
    chosen = seen["options"]
    assert (chosen.detail, chosen.tune_steps, chosen.seed, chosen.strength) == (0.25, 7, 11, 1.0)
    assert (chosen.model, chosen.official, chosen.mix_layers, chosen.mix_amount) == ("my-sam", True, (8, 9), 0.5)
    assert seen["style"].path.name == "photo.png"


def test_mixing_needs_layers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["age", "photo.png", "--to", "33", "--out", "o.png", "--mix-from", "photo.png"]) == 2
    assert "--mix-layers" in capsys.readouterr().err and not Path("o.png").exists()


def test_an_earlier_result_is_replaced(folder: Path) -> None:
    for years in ("70", "20"):
        assert app.main(["age", "photo.png", "--to", years, "--out", "o.png"]) == 0
    recipe = read_recipe(folder / "o.png")
    assert recipe is not None and recipe["target"] == 20


@pytest.mark.parametrize("years", ["900", "old", "", "nan", "-1", "inf", "1e9"])
def test_impossible_ages(folder: Path, capsys: pytest.CaptureFixture[str], years: str) -> None:
    assert repr(years) in refused(capsys, "age", "photo.png", "--to", years, "--out", "o.png")
    assert "age" in refused(capsys, "age", "photo.png", "--strip", f"30,{years}", "--out", "o.png").lower()


def write_bad_photos(folder: Path) -> None:
    content = (folder / "photo.png").read_bytes()
    Image.open(folder / "photo.png").save(folder / "whole.jpg", quality=95)
    jpeg = (folder / "whole.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (folder / "cut.png").write_bytes(content[: len(content) // 2])
    (folder / "text.jpg").write_text("Dear diary")
    (folder / "empty.png").write_bytes(b"")
    (folder / "directory.jpg").mkdir()
    Image.new("1", (13_000, 13_000)).save(folder / "huge.png")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cut.jpg", "damaged or cut short"),
        ("cut.png", "damaged or cut short"),
        ("text.jpg", "is not a JPEG, PNG, WebP or HEIF photo"),
        ("empty.png", "is empty"),
        ("directory.jpg", "is a folder"),
        ("missing.jpg", "There is no file"),
        ("huge.png", "169,000,000 pixels"),
    ],
)
def test_bad_photos(folder: Path, capsys: pytest.CaptureFixture[str], name: str, expected: str) -> None:
    write_bad_photos(folder)
    sentence = refused(capsys, "age", name, "--to", "70", "--out", "o.png")
    assert expected in sentence and name in sentence


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["age", "photo.png", "--out", "o.png"], "either --to AGE or --strip"),
        (["age", "photo.png", "--to", "70", "--strip", "1,2", "--out", "o.png"], "either --to AGE or --strip"),
        (["age", "photo.png", "--strip", ",".join(["30"] * 25), "--out", "o.png"], "25 ages"),
        (["age", "photo.png", "--to", "70"], "--out"),
        (["age", ".", "--out", "old"], "either --to AGE or --strip"),
        (["age", ".", "--to", "70", "--out", "old", "--face", "2"], "are for one photo"),
        (["age", ".", "--to", "70", "--out", "old.png"], "its results need a folder"),
        (["age", ".", "--to", "old", "--out", "aged"], "not 'old'"),
        (["age", "--to", "70", "--out", "o.png"], "photo"),
        (["age", "photo.png", "--to", "70", "--out", "o.gif"], ".png, .jpg or .webp"),
        (["age", "photo.png", "--to", "70", "--out", "missing/o.png"], "missing does not exist"),
        (["age", "photo.png", "--to", "70", "--out", "./photo.png"], "is the photo itself"),
        (["age", "photo.png", "--to", "70", "--out", "o.png", "--face", "2"], "only one face"),
        (["age", "photo.png", "--to", "70", "--out", "o.png", "--face", "0"], "--face"),
        (["age", "photo.png", "--to", "70", "--out", "o.png", "--strength", "3"], "--strength"),
        (["age", "photo.png", "--to", "70", "--out", "o.png", "--detail", "much"], "--detail"),
        (["age", "photo.png", "--to", "70", "--out", "o.png", "--device", "gpu"], "'gpu'"),
        (["age", "photo.png", "--to", "70", "--out", "o.png", "--wrong"], "--wrong"),
        (["fly"], "fly"),
        (["--port", "99999"], "99999"),
        (["--host", "0.0.0.0"], "EVERYAGE_PASSWORD"),
    ],
)
def test_bad_arguments(folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str) -> None:
    assert expected in refused(capsys, *arguments)


def test_a_missing_device_is_a_failure(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    arguments = ["age", "photo.png", "--to", "70", "--out", "o.png", "--device", "cuda"]
    assert "The device cuda is not here" in refused(capsys, *arguments, code=1)


def test_a_photo_without_a_face(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (200, 200)).save("plain.png")
    assert "No face was found" in refused(capsys, "age", "plain.png", "--to", "70", "--out", "o.png")


def test_the_real_detector_finds_nobody_in_a_cup(
    tmp_path: Path, no_face: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVERYAGE_DATA", str(tmp_path.parent / "data of nobody"))
    sentence = refused(capsys, "age", str(no_face), "--to", "70", "--out", "o.png", "--device", "cpu")
    assert "No face was found" in sentence


def test_an_unforeseen_failure(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (folder / "o.png").write_bytes(b"an earlier result")
    use(monkeypatch, FakePipeline(error=ZeroDivisionError("float division by zero")))
    sentence = refused(capsys, "age", "photo.png", "--to", "70", "--out", "o.png", code=1)
    assert "ZeroDivisionError" in sentence and str(log_path(tmp_path / "data")) in sentence
    assert "Traceback" in log_path(tmp_path / "data").read_text()


def test_warnings_about_the_face_are_told(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Worried(FakePipeline):
        def find_faces(self, photo: Image.Image) -> Any:
            from dataclasses import replace

            return [replace(face, warnings=("The face wears sunglasses.",)) for face in super().find_faces(photo)]

    use(monkeypatch, Worried())
    assert app.main(["age", "photo.png", "--to", "70", "--out", "o.png", "--json"]) == 0
    captured = capsys.readouterr()
    assert "Note: The face wears sunglasses." in captured.err.splitlines()
    assert json.loads(captured.out)["warnings"] == ["The face wears sunglasses."]


def test_the_source_metadata_stays_behind_and_the_picture_stands_upright(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[29] = "SECRETPLACE"
    Image.open("photo.png").crop((0, 0, 512, 400)).save("phone.jpg", exif=exif)
    for out in ("o.png", "o.jpg", "o.webp"):
        assert app.main(["age", "phone.jpg", "--to", "70", "--out", out]) == 0
        assert b"SECRETPLACE" not in Path(out).read_bytes()
        with Image.open(out) as image:
            assert image.size == (400, 512) and 0x0112 not in image.getexif()


def test_the_browser_app_gets_the_settings(
    folder: Path, monkeypatch: pytest.MonkeyPatch, free_port: int, tmp_path: Path
) -> None:
    given: list[Settings] = []
    monkeypatch.setattr("ui.launch", given.append)
    arguments = ["--port", str(free_port), "--data", str(tmp_path / "x"), "--offline", "--device", "cpu"]
    assert app.main(arguments) == app.INTERRUPTED
    (settings,) = given
    assert (settings.port, settings.host, settings.data) == (free_port, "127.0.0.1", tmp_path / "x")
    assert settings.offline and settings.device == "cpu" and os.environ["HF_HUB_OFFLINE"] == "1"


def test_options_before_the_command_count_unless_it_has_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Settings] = []
    monkeypatch.setattr("pipelines.doctor.doctor", lambda s: seen.append(s) or {"ok": False, "checks": []})
    assert app.main(["--device", "cuda", "--data", "one", "doctor", "--data", "two", "--json"]) == 1
    assert seen[0].device == "cuda" and seen[0].data == folder / "two"
    assert json.loads(capsys.readouterr().out) == {"ok": False, "checks": []}


def test_a_port_in_use_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert "another with --port" in refused(capsys, "--port", str(port))


def command(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "app.py", *arguments]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120, **options)


@pytest.mark.parametrize("arguments", [["--help"], ["age", "--help"], ["doctor", "--help"]])
def test_help_answers(arguments: list[str]) -> None:
    done = command(*arguments)
    assert done.returncode == 0 and "Usage:" in done.stdout and done.stderr == ""


@pytest.mark.parametrize("arguments", [["--help"], ["age", "--help"], ["doctor", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    """What keeps help instant, whatever else the machine is doing."""
    code = f"import sys, app; app.main({arguments}); print(*sorted({{n.split('.')[0] for n in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"torch", "numpy", "gradio", "diffusers", "cv2", "PIL", "facexlib"}


def test_bad_input_of_the_real_command_leaves_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("Dear diary")
    done = command("age", str(tmp_path / "a.jpg"), "--to", "70", "--out", str(tmp_path / "o.png"))
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "is not a JPEG" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


def test_doctor_finds_every_package_of_this_installation(tmp_path: Path) -> None:
    done = command("doctor", "--json", "--data", str(tmp_path), "--device", "cpu")
    report = json.loads(done.stdout.splitlines()[-1])
    checks = {check["name"]: check for check in report["checks"]}
    about_this_machine = {"memory", "disk"}
    assert all(check["ok"] for name, check in checks.items() if name not in about_this_machine), checks
    assert {"torch", "torchvision", "gradio", "diffusers", "facexlib", "opencv", "device"} <= set(checks)
    assert done.returncode == (0 if report["ok"] else 1)


SLOW = """
import sys
sys.path.insert(0, "tests")
import app, pipelines.aging
from fake_aging import FakePipeline
pipelines.aging.AgingPipeline = lambda runtime, data: FakePipeline(steps=1000, pause=0.05)
sys.exit(app.main(sys.argv[1:]))
"""


def hear_interrupts() -> None:
    """A shell that runs the tests in the background has them, and what they start, ignore Ctrl+C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_stops_cleanly(tmp_path: Path, astronaut: Path) -> None:
    arguments = ["age", str(astronaut), "--to", "70", "--out", str(tmp_path / "o.png"), "--data", str(tmp_path / "d")]
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    ) as process:
        assert process.stderr is not None and process.stdout is not None
        for line in process.stderr:
            if line.startswith("Learning"):
                break
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
        rest = process.stderr.read()
        assert "Traceback" not in rest and rest.splitlines()[-1] == "Stopped." and process.stdout.read() == ""
    assert not [path for path in tmp_path.iterdir() if path.name != "d"]


def test_the_fake_changes_the_picture(folder: Path) -> None:
    """So that the tests above would see it if the photo itself were written."""
    assert app.main(["age", "photo.png", "--to", "70", "--out", "o.png"]) == 0
    assert not np.array_equal(np.asarray(Image.open("o.png")), np.asarray(Image.open("photo.png")))
