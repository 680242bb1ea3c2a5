"""A whole fine-tuning: from a folder of pictures to an adapter that makes other pictures, stopped and gone on with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.adapters import read_adapter
from models.errors import Cancelled, InputError
from pipelines.events import CancelToken
from pipelines.finetune.finetuner import Finetuned, Finetuner, finish
from pipelines.finetune.settings import FinetuneSettings, finetune_settings
from pipelines.finetune.stored import HOME
from pipelines.generate.generator import ImageGenerator
from pipelines.generate.generator import finish as finish_pictures
from pipelines.generate.settings import AdapterUse, GenerateSettings
from pipelines.runtime import Runtime
from pipelines.settings import Settings
from tests import tiny_diffusion

pytestmark = pytest.mark.filterwarnings("ignore:SaRA's authors advise")
BASE = {"strength": "strong", "steps": 6, "batch": 2, "side": 16, "rate": 0.02, "sample_every": 3, "save_every": 1}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("home")
    tiny_diffusion.KINDS["sd1"](place / "words").save_pretrained(place / "tiny")
    (place / "pictures").mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(rng.integers(0, 99, (64, 64, 3), dtype=np.uint8)).save(place / "pictures" / f"{i} red fox.png")
    return place


@pytest.fixture
def tuner(tmp_path: Path) -> Finetuner:
    return make(tmp_path)


def make(data: Path) -> Finetuner:
    return Finetuner(Runtime(Settings(data=data, device="cpu", offline=True)), data)


def settings(home: Path, **more: object) -> FinetuneSettings:
    return finetune_settings({**BASE, "model": str(home / "tiny"), **more})


def tensors(done: Finetuned) -> dict[str, torch.Tensor]:
    return read_adapter(done.path)[1]


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return set(first) == set(second) and all(torch.equal(first[name], value) for name, value in second.items())


def test_an_adapter_comes_out_and_acts(tuner: Finetuner, home: Path, tmp_path: Path) -> None:
    events = list(tuner.run(home / "pictures", settings(home, method="sara"), title="Foxes"))
    stages = [event.stage for event in events]
    assert list(dict.fromkeys(stages)) == ["load", "check", "prepare", "train", "save", "done"]
    trained = [event for event in events if event.stage == "train"]
    assert [event.value.step for event in trained] == [0, 1, 2, 3, 4, 5, 6]
    assert [len(event.value.losses) for event in trained] == [0, 1, 2, 3, 4, 5, 6]
    assert trained[-1].seconds_left == 0 and trained[2].seconds_left > 0
    strips = [event.value.strip for event in trained]
    assert strips[0].width < strips[3].width < strips[6].width
    done: Finetuned = events[-1].value
    assert (done.id, done.title) == ("foxes", "Foxes")
    assert {p.name for p in done.path.iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "card.json", "samples.webp"
    }  # fmt: skip
    card = json.loads((done.path / "card.json").read_bytes())
    assert card["pictures"] == 4 and card["prompts"] == ["red fox"] and card["method"] == "SaRA"
    assert card["weights"] == sum(len(v) for n, v in tensors(done).items() if n.endswith(("sara_delta", "sara_fixed")))
    assert str(home / "pictures") not in (done.path / "card.json").read_text()
    assert not any(p.is_dir() for p in (tmp_path / HOME).iterdir()) and tuner.unfinished() == []
    generator = ImageGenerator(tuner.runtime, tmp_path)
    plain = GenerateSettings(prompt="red fox", seed=0, steps=3, model=str(home / "tiny"))
    use = plain.with_changes(adapters=[AdapterUse(where="foxes")])
    bare, changed, again = (
        np.array(finish_pictures(generator.run(one)).pictures[0].image).astype(int) for one in (plain, use, plain)
    )
    assert np.abs(changed - bare).mean() > 0.5 and np.array_equal(bare, again)


def test_the_same_name_twice_gets_a_number(tuner: Finetuner, home: Path) -> None:
    quick = settings(home, steps=1, sample_every=0, method="lora")
    ids = [finish(tuner.run(home / "pictures", quick)).id for _ in range(2)]
    assert ids == ["pictures-lora", "pictures-lora-2"]


def test_it_is_written_where_one_wants_it(tuner: Finetuner, home: Path, tmp_path: Path) -> None:
    quick = settings(home, steps=1, sample_every=0)
    out = tmp_path / "mine"
    done = finish(tuner.run(home / "pictures", quick, out=out))
    assert done.path == out and done.id is None and tuner.models.adapters() == []
    assert {p.name for p in out.iterdir()} == {"adapter_config.json", "adapter_model.safetensors", "card.json"}
    finish(tuner.run(home / "pictures", quick, out=out))  # once more: replaced
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    for wrong, said in ((tmp_path / "full", "something else"), (tmp_path / "full/letter.txt", "is a file"),
                        (tmp_path / "no" / "where", "does not exist")):  # fmt: skip
        with pytest.raises(InputError, match=said):
            finish(tuner.run(home / "pictures", quick, out=wrong))


@pytest.mark.parametrize("method", ["sara", "wara", "pissa"])
def test_a_stop_costs_nothing(method: str, home: Path, tmp_path: Path) -> None:
    asked = settings(home, method=method, ema=0.5)
    whole = finish(make(tmp_path / "a").run(home / "pictures", asked, out=tmp_path / "whole"))
    tuner = make(tmp_path / "b")
    for stop in (2, 4):
        cancel = CancelToken()
        with pytest.raises(Cancelled):
            for event in tuner.run(home / "pictures", asked, title="Mine", cancel=cancel):
                if event.stage == "train" and event.value.step == stop:
                    cancel.cancel()
        assert [(u.title, u.step) for u in tuner.unfinished()] == [("Mine", stop)]
        assert len(list((tmp_path / "b" / HOME).glob("*/state-*.pt"))) == 2  # keep=2
        tuner = make(tmp_path / "b")  # as after a restart
    assert tuner.look(home / "pictures", asked).step == 4
    events = list(tuner.run(home / "pictures", asked, title="Mine"))
    assert [event.message for event in events if event.message.startswith("Going on")] == ["Going on from step 4"]
    assert same(tensors(events[-1].value), tensors(whole))
    assert (whole.path / "samples.webp").stat().st_size > 0
    with Image.open(whole.path / "samples.webp") as first, Image.open(events[-1].value.path / "samples.webp") as second:
        assert np.array_equal(np.array(first), np.array(second))


def test_a_damaged_checkpoint_is_passed_over(home: Path, tmp_path: Path) -> None:
    asked = settings(home, method="lora")
    whole = finish(make(tmp_path / "a").run(home / "pictures", asked, out=tmp_path / "whole"))
    tuner, cancel = make(tmp_path / "b"), CancelToken()
    with pytest.raises(Cancelled):
        for event in tuner.run(home / "pictures", asked, cancel=cancel):
            if event.stage == "train" and event.value.step == 4:
                cancel.cancel()
    newest = sorted((tmp_path / "b" / HOME).glob("*/state-*.pt"))[-1]
    newest.write_bytes(newest.read_bytes()[:500])
    done = finish(tuner.run(home / "pictures", asked, out=tmp_path / "again"))
    assert same(tensors(done), tensors(whole))


def test_an_unfinished_training_can_be_forgotten(tuner: Finetuner, home: Path, tmp_path: Path) -> None:
    cancel = CancelToken()
    with pytest.raises(Cancelled):
        for event in tuner.run(home / "pictures", settings(home), cancel=cancel):
            if event.stage == "train":
                with pytest.raises(InputError, match="going on"):
                    tuner.forget(next((tmp_path / HOME).glob("*/")).name)
                cancel.cancel()
    (waiting,) = tuner.unfinished()
    tuner.forget(waiting.key)
    assert tuner.unfinished() == [] and not (tmp_path / HOME / waiting.key).exists()
    with pytest.raises(InputError, match="no such"):
        tuner.forget("../../etc")


def test_what_memory_is_needed_is_said_beforehand(tuner: Finetuner, home: Path) -> None:
    found = [tuner.look(home / "pictures", settings(home, batch=batch)).forecast.pictures for batch in (1, 2, 8)]
    assert found[0] * 2 == found[1] and found[0] * 8 == found[2]
    saved = tuner.look(home / "pictures", settings(home, batch=8, checkpointing=True)).forecast
    assert saved.pictures < 0.8 * found[2] and saved.fits


def test_no_memory_is_a_sentence(tuner: Finetuner, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.finetune.trainer import FinetuneTrainer

    def full(_: FinetuneTrainer) -> float:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(FinetuneTrainer, "train_step", full)
    with pytest.raises(Exception, match=r"too little memory.*checkpointing"):
        finish(tuner.run(home / "pictures", settings(home)))
    monkeypatch.undo()
    assert finish(tuner.run(home / "pictures", settings(home, steps=1))).id


def test_half_precision_trains_in_float32(home: Path, tmp_path: Path) -> None:
    runtime = Runtime(Settings(data=tmp_path, device="cpu", dtype="bfloat16", offline=True))
    tuner = Finetuner(runtime, tmp_path)
    for method in ("sara", "wara", "lora"):
        asked = settings(home, method=method, precision="bf16", steps=3, sample_every=0)
        done = finish(tuner.run(home / "pictures", asked, out=tmp_path / method))
        assert {v.dtype for v in tensors(done).values() if v.is_floating_point()} == {torch.float32}
        assert all(np.isfinite(done.card["loss"]))
