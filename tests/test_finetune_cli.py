"""`app.py finetune`: from a folder to an adapter that `app.py generate` takes; killed; on two processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from app import main
from pipelines.finetune.stored import HOME
from tests import tiny_diffusion

pytestmark = pytest.mark.filterwarnings("ignore:SaRA's authors advise")
ROOT = Path(__file__).parents[1]
QUICK = ["--strength", "strong", "--batch", "2", "--side", "16", "--rate", "0.02", "--device", "cpu"]
KILLS = 20


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("home")
    tiny_diffusion.KINDS["sd1"](place / "words").save_pretrained(place / "tiny")
    (place / "pictures").mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(rng.integers(0, 99, (64, 64, 3), dtype=np.uint8)).save(place / "pictures" / f"{i}.png")
    return place


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any], str]:
    code = main([str(a) for a in arguments])
    said = capsys.readouterr()
    return code, json.loads(said.out.splitlines()[-1]) if code == 0 else {}, said.err


def test_from_a_folder_to_a_picture(capsys: pytest.CaptureFixture[str], home: Path, tmp_path: Path) -> None:
    out, data = tmp_path / "adapter", tmp_path / "data"
    base = ["finetune", home / "pictures", "--model", home / "tiny", "--data", data, "--json", *QUICK]
    code, facts, told = run(capsys, *base, "--check")
    assert code == 0 and facts["pictures"] == 4 and facts["needed_bytes"] > facts["weights"] > 0
    assert not (data / HOME).exists()
    code, facts, told = run(capsys, *base, "--method", "sara", "--steps", 4, "--out", out, "--phrase", "a fox")
    assert code == 0 and "Traceback" not in told
    assert (facts["out"], facts["id"], facts["method"], facts["steps"]) == (str(out), None, "sara", 4)
    assert facts["card"]["prompts"] == ["a fox"] and facts["card"]["pictures"] == 4
    assert {p.name for p in out.iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "card.json", "samples.webp"
    }  # fmt: skip
    pixels = []
    for more in ([], ["--adapter", out], ["--adapter", f"{out}:0"]):
        picture = tmp_path / f"{len(pixels)}.png"
        code, _, _ = run(capsys, "generate", "a fox", "--model", home / "tiny", "--steps", 3, "--seed", 1, "--out",
                         picture, "--data", data, "--device", "cpu", "--json", *more)  # fmt: skip
        assert code == 0
        pixels.append(np.array(Image.open(picture)))
    assert np.array_equal(pixels[0], pixels[2]) and not np.array_equal(pixels[0], pixels[1])
    code, facts, _ = run(capsys, *base, "--method", "lora", "--steps", 1, "--name", "Foxes", "--sample-every", 0)
    assert facts["id"] == "foxes"
    code, facts, _ = run(capsys, "models", "list", "--here", "--data", data, "--json")
    assert {"foxes"} <= {m["id"] for m in facts["models"] if m["task"] == "adapter"}
    code, facts, _ = run(capsys, "models", "export", "foxes", "--out", tmp_path / "foxes.safetensors", "--data", data,
                         "--json")  # fmt: skip
    assert facts["lost"] < 1e-4 and any("lora_A" in name for name in load_file(tmp_path / "foxes.safetensors"))


def test_methods_are_compared(capsys: pytest.CaptureFixture[str], home: Path, tmp_path: Path) -> None:
    out = tmp_path / "comparison"
    asked = ["finetune", home / "pictures", "--model", home / "tiny", "--data", tmp_path / "d", "--steps", 3, "--out",
             out, "--compare", "lora,sara", "--seeds", 2, "--phrase", "a fox", *QUICK, "--json"]  # fmt: skip
    code, facts, _ = run(capsys, *asked)
    assert code == 0 and [row["method"] for row in facts["table"]] == ["lora", "sara"]
    assert [(row["method"], row["seed"]) for row in facts["rows"]] == [
        ("lora", 0), ("sara", 0), ("lora", 1), ("sara", 1)
    ]  # fmt: skip
    for row in facts["rows"]:
        assert row["drift"] > 0 and 0 < row["likeness"] <= 1 and row["seconds"] > 0 and row["bytes"] > row["weights"]
    of_lora = [row["drift"] for row in facts["rows"][::2]]
    assert facts["table"][0]["drift"] == pytest.approx(sum(of_lora) / 2, abs=1e-5)
    with Image.open(out / "comparison.png") as grid:
        assert grid.height > 3 * 128
    row = out / "lora-strong-0" / "row.json"
    row.write_text(row.read_text().replace('"seed": 0', '"seed": 7'))  # finished rows are kept, not made again
    assert run(capsys, *asked)[1]["rows"][0]["seed"] == 7


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--method", "magic"], "magic"),
        (["--strength", "huge"], "strength"),
        (["--model", "gone"], "gone"),
        (["--out", "x", "--name", "y"], "either"),
        (["--optimizer", "sgd"], "optimizer"),
        (["--steps", "0"], "--steps"),
        (["--compare", "lora"], "--out"),
        (["--compare", "magic", "--out", "x"], "magic"),
    ],
)
def test_bad_options_are_a_sentence(
    more: list[str], said: str, capsys: pytest.CaptureFixture[str], home: Path, tmp_path: Path
) -> None:
    code, _, told = run(capsys, "finetune", home / "pictures", "--data", tmp_path, *more)
    assert code == 2 and said in told and "Traceback" not in told


def test_bad_folders_are_a_sentence(capsys: pytest.CaptureFixture[str], home: Path, tmp_path: Path) -> None:
    for folder, said in ((tmp_path / "gone", "no folder"), (tmp_path, "no picture")):
        code, _, told = run(capsys, "finetune", folder, "--model", home / "tiny", "--data", tmp_path / "d", *QUICK)
        assert code == 2 and said in told.splitlines()[-1]


def test_twenty_kills_change_nothing(home: Path, tmp_path: Path) -> None:
    """SIGKILL at random moments, while it loads, trains, draws and saves: the same adapter comes out in the end."""
    pictures, tiny = str(home / "pictures"), str(home / "tiny")
    for name, kills in (("whole", 0), ("out", KILLS)):
        command = [sys.executable, "-m", "tests.killed_training", pictures, tiny, tmp_path / f"data-{name}",
                   tmp_path / name, kills]  # fmt: skip
        done = subprocess.run([str(c) for c in command], cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"},
                              capture_output=True, text=True, timeout=240, check=True)  # fmt: skip
        told = json.loads(done.stdout.splitlines()[-1])
    assert told["ended"] == 0 and len(told["reached"]) == KILLS
    assert told["reached"] == sorted(told["reached"])  # nothing that was reached is lost
    assert len(set(told["reached"])) > 5
    first, second = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("whole", "out"))
    assert set(first) == set(second) and all(first[name].equal(second[name]) for name in first)
    assert not any(path.is_dir() for path in (tmp_path / "data-out" / HOME).iterdir())


def test_two_processes_learn_what_one_does_in_two_batches(home: Path, tmp_path: Path) -> None:
    asked = ["finetune", home / "pictures", "--model", home / "tiny", "--steps", 5, "--batch", 1, "--side", 16,
             "--rate", 0.01, "--strength", "strong", "--device", "cpu", "--sample-every", 0]  # fmt: skip
    assert main([str(a) for a in (*asked, "--accumulate", 2, "--out", tmp_path / "one", "--data", tmp_path / "a")]) == 0
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", 2, "--master_port", free_port(),
              "app.py", *asked, "--out", tmp_path / "two", "--data", tmp_path / "b"]  # fmt: skip
    subprocess.run([str(a) for a in launch], cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True,
                   capture_output=True, timeout=120)  # fmt: skip
    one, two = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("one", "two"))
    assert set(one) == set(two)
    for name, value in one.items():
        assert value.shape == two[name].shape and torch.allclose(value.float(), two[name].float(), atol=1e-4)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
