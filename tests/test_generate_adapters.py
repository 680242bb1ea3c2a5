"""Adapters of every kind while pictures are made: from folders, files and the store, several at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models.adapters import (
    LoraConfig,
    SaraConfig,
    WaraConfig,
    adapter_files,
    adapter_state,
    inject_adapter_in_model,
    remove_adapters,
)
from models.errors import InputError
from pipelines.generate.adapters import network_of
from pipelines.generate.generator import Generated, ImageGenerator, finish
from pipelines.generate.settings import AdapterUse, GenerateSettings
from pipelines.models import ModelStore
from pipelines.models import finish as finish_store
from pipelines.runtime import Runtime
from pipelines.settings import Settings
from tests import tiny_diffusion

pytestmark = pytest.mark.filterwarnings("ignore:SaRA's authors advise")
TARGETS = ["to_q", "to_v", "conv1"]
CONFIGS = {
    "sara": lambda: SaraConfig(fraction=0.3),
    "wara": lambda: WaraConfig(r=2, target_modules=TARGETS),
    "lora": lambda: LoraConfig(r=2, target_modules=TARGETS),
}
LORA = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model and one adapter of each method for it."""
    place = tmp_path_factory.mktemp("home")
    pipe = tiny_diffusion.KINDS["sd1"](place / "words")
    pipe.save_pretrained(place / "tiny")
    for method, make in CONFIGS.items():
        network, config = network_of(pipe), make()
        inject_adapter_in_model(config, network)
        drawn = torch.Generator().manual_seed(len(method))
        with torch.no_grad():
            for p in network.parameters():
                if p.requires_grad:
                    p.add_(0.3 * torch.randn(p.shape, generator=drawn))
        (place / method).mkdir()
        for name, content in adapter_files(config, adapter_state(network), str(place / "tiny")).items():
            (place / method / name).write_bytes(content)
        remove_adapters(network)
    drawn = torch.Generator().manual_seed(0)
    halves = {"lora_A": torch.randn(2, 16, generator=drawn), "lora_B": torch.randn(16, 2, generator=drawn)}
    weights = {f"{LORA}.{half}.weight": value for half, value in halves.items()}
    save_file(weights, place / "style.safetensors")
    return place


@pytest.fixture
def generator(home: Path, tmp_path: Path) -> ImageGenerator:
    settings = Settings(data=tmp_path, device="cpu", offline=True)
    return ImageGenerator(Runtime(settings), tmp_path)


def made(generator: ImageGenerator, home: Path, *uses: tuple[str, float]) -> Generated:
    settings = GenerateSettings(prompt="a", seed=1, steps=3, model=str(home / "tiny"))
    adapters = [AdapterUse(where=where, weight=weight) for where, weight in uses]
    return finish(generator.run(settings.with_changes(adapters=adapters)))


def pixels(result: Generated) -> np.ndarray:
    return np.array(result.pictures[0].image).astype(int)


def test_each_method_acts_with_its_weight_and_leaves(generator: ImageGenerator, home: Path) -> None:
    bare = pixels(made(generator, home))
    for method in CONFIGS:
        gaps = [np.abs(pixels(made(generator, home, (str(home / method), w))) - bare).mean() for w in (0.0, 0.05, 1.0)]
        assert gaps[0] == 0 < gaps[1] < gaps[2]
        assert np.array_equal(pixels(made(generator, home)), bare)


def test_runs_that_share_an_open_model_draw_the_same_with_adapters_laid_in_once(
    generator: ImageGenerator, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use = (str(home / "wara"), 1.0)
    apart, bare = made(generator, home, use), pixels(made(generator, home))
    found: list[str] = []
    monkeypatch.setattr(generator.models, "adapter", lambda where: found.append(where) or Path(where))
    asked = GenerateSettings(prompt="a", seed=1, steps=3, model=str(home / "tiny"))
    with generator.open(asked.with_changes(adapters=[AdapterUse(where=use[0])])) as opened:
        for _ in range(2):
            assert np.array_equal(pixels(finish(generator.run(asked, opened=opened))), pixels(apart))
    assert len(found) == 1
    assert np.array_equal(pixels(made(generator, home)), bare)
    assert not np.array_equal(pixels(apart), bare)


def test_several_go_together_whatever_their_method(generator: ImageGenerator, home: Path) -> None:
    bare = pixels(made(generator, home))
    uses = [(str(home / "sara"), 0.5), (str(home / "style.safetensors"), 0.5), (str(home / "wara"), 0.5)]
    together = made(generator, home, *uses)
    for left_out in range(3):
        fewer = [use for i, use in enumerate(uses) if i != left_out]
        assert not np.array_equal(pixels(made(generator, home, *fewer)), pixels(together))
    assert together.notes == ()
    assert np.array_equal(pixels(made(generator, home)), bare)
    broken = (str(home / "words"), 1.0)
    with pytest.raises(InputError):
        made(generator, home, uses[0], broken)
    assert np.array_equal(pixels(made(generator, home)), bare)


def test_the_store_takes_adapters_and_names_them(generator: ImageGenerator, home: Path, tmp_path: Path) -> None:
    store = ModelStore(tmp_path, generator.runtime.settings)
    (home / "sara" / "card.json").write_text('{"title": "x"}')
    (home / "sara" / "secret.txt").write_text("not taken")
    stored = finish_store(store.add(home / "sara", name="My face"))
    assert (stored.id, stored.task, stored.kind) == ("my-face", "adapter", "adapter")
    assert stored.contained == ("SARA", f"for {home / 'tiny'}")
    assert {file.name for file in stored.files} == {"adapter_config.json", "adapter_model.safetensors", "card.json"}
    file = finish_store(store.add(home / "style.safetensors"))
    assert (file.id, file.kind, file.task) == ("style", "lora-file", "adapter")
    assert [v.ok for v in finish_store(store.verify()) if v.id in ("my-face", "style")] == [True, True]
    assert {a.id for a in generator.models.adapters()} == {"my-face", "style"}
    assert [c.id for c in generator.models.choices()] == ["portraits"]
    by_id, by_path = made(generator, home, ("my-face", 1.0)), made(generator, home, (str(home / "sara"), 1.0))
    assert np.array_equal(pixels(by_id), pixels(by_path))
    assert not np.array_equal(pixels(made(generator, home, ("style", 1.0))), pixels(made(generator, home)))
    with pytest.raises(InputError, match="There is no adapter gone"):
        made(generator, home, ("gone", 1.0))
    store.remove("my-face")
    with pytest.raises(InputError, match="my-face"):
        made(generator, home, ("my-face", 1.0))


def test_an_adapter_of_another_model_is_told(generator: ImageGenerator, home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        content = (home / "lora" / name).read_bytes()
        (other / name).write_bytes(content.replace(str(home / "tiny").encode(), b"sd-1-5"))
    assert "made for sd-1-5" in made(generator, home, (str(other), 1.0)).notes[0]
