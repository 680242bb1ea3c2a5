"""`app.py generate`: files, JSON, settings out of a picture, grids, and one sentence for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import app
from models.guidance import GuidanceSettings
from pipelines.generate.axes import Axis, cell, parse_axes
from pipelines.generate.compare import grid, mean_push
from pipelines.generate.generator import ImageGenerator
from pipelines.generate.settings import GenerateSettings
from pipelines.runtime import Runtime
from pipelines.settings import load_settings
from tests import tiny_diffusion


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models") / "tiny"
    tiny_diffusion.sd(place.parent).save_pretrained(place, safe_serialization=True)
    return place


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = app.main(["generate", *map(str, arguments), "--device", "cpu"])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_picture_its_json_and_its_settings(capsys: pytest.CaptureFixture[str], tmp_path: Path, folder: Path) -> None:
    base = ("--model", folder, "--data", tmp_path / "data", "--steps", 3, "--json")
    first = tmp_path / "one.png"
    code, out, _ = run(
        capsys, "a face", "--scale", 10, "--guidance", "apg", "--seed", 1, "--out", first, "--size", "24x16", *base
    )
    assert code == 0
    facts = json.loads(out.splitlines()[-1])
    assert facts["out"] == str(first) and facts["seed"] == 1
    assert facts["settings"]["guidance"]["scale"] == 10
    assert isinstance(facts["settings"]["guidance"]["norm_threshold"], float)
    assert set(facts["figures"][0]) == {"saturation", "contrast", "clipped", "colourfulness"}
    assert Image.open(first).size == (24, 16)
    second = tmp_path / "two.png"
    code, _, _ = run(capsys, "--from", first, "--out", second, "--data", tmp_path / "data")
    assert code == 0
    assert np.array_equal(np.array(Image.open(first)), np.array(Image.open(second)))
    code, out, _ = run(capsys, "--from", first, "--out", second, "--count", 2, "--scale", 3, *base)
    facts = json.loads(out.splitlines()[-1])
    assert code == 0 and facts["out"] == [str(second), str(tmp_path / "two-2.png")]
    assert facts["settings"]["guidance"]["scale"] == 3 and facts["settings"]["prompt"] == "a face"
    assert not np.array_equal(np.array(Image.open(first)), np.array(Image.open(second)))


def test_a_grid_has_a_picture_a_cell_and_its_figures(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, folder: Path
) -> None:
    out = tmp_path / "grid.png"
    code, said, _ = run(
        capsys, "a face", "--model", folder, "--steps", 2, "--seed", 4, "--out", out, "--data", tmp_path,
        "--grid", "guidance=cfg,apg;scale=1,9", "--json",
    )  # fmt: skip
    assert code == 0
    table = json.loads(said.splitlines()[-1])["table"]
    assert [(row["guidance"], row["scale"]) for row in table] == [("cfg", 1), ("apg", 1), ("cfg", 9), ("apg", 9)]
    assert table[0]["contrast"] == table[1]["contrast"]  # at scale 1 guidance is off
    assert table[2]["contrast"] != table[3]["contrast"]
    assert Image.open(out).size[0] > 200 and Image.open(out).size[1] > 100


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("x", "--out", "a.txt"), ".png"),
        (("x", "--steps", 0), "--steps"),
        (("x", "--size", "12"), "--size"),
        (("x", "--sampler", "magic"), "magic"),
        (("x", "--guidance", "magic"), "magic"),
        (("x", "--eta", 3), "eta"),
        (("x", "--norm", "lots"), "--norm"),
        (("x", "--model", "nowhere"), "nowhere"),
        (("x", "--init", "gone.png"), "gone.png"),
        (("x", "--from", "gone.png"), "gone.png"),
        (("x", "--grid", "colour=1,2"), "colour"),
        (("x", "--sampler", "dpmpp_2m", "--guidance", "cfgpp"), "first order"),
        (("x", "--guidance", "autoguidance"), "weaker"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    folder: Path,
    arguments: tuple[object, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    model = () if "--model" in arguments else ("--model", folder)
    code, _, err = run(capsys, *arguments, *model, "--data", tmp_path)
    assert code == 2
    last = err.strip().splitlines()[-1]
    assert said in last and "Traceback" not in err
    assert not list(tmp_path.glob("*.png"))


def test_cfg_at_the_matched_scale_pushes_as_far(tmp_path: Path, folder: Path) -> None:
    generator = ImageGenerator(Runtime(load_settings(data=tmp_path, device="cpu")), tmp_path)
    settings = GenerateSettings(
        prompt="a face", model=str(folder), seed=2, steps=6, guidance=GuidanceSettings(scale=12)
    )
    (done,) = (e.value for e in grid(generator, settings, parse_axes("guidance=apg,matched,cfg")) if e.stage == "done")
    apg, matched, cfg = (mean_push(made) for made in done.rows[0])
    assert abs(matched / apg - 1) < 0.05 and cfg > 1.2 * apg
    guidance = done.rows[0][1].settings.guidance
    assert guidance.method == "cfg" and 1 < guidance.scale < 12


def test_axes_are_read_and_cells_checked() -> None:
    axes = parse_axes("guidance=cfg,apg; scale=4,8.5")
    assert axes == (Axis("guidance", ("cfg", "apg")), Axis("scale", (4, 8.5)))
    settings = GenerateSettings(guidance=GuidanceSettings(eta=0.3), count=5, seed=1)
    made = cell(settings, axes, ("cfg", 8.5))
    assert (made.guidance.method, made.guidance.scale, made.guidance.eta, made.count) == ("cfg", 8.5, 0.3, 1)
