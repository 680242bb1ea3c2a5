"""Aging a photo with added SAM and MyTimeMachine models; small random weights in the real forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.aging import Adapter, AgeEncoder, Sam, save_adapter, save_sam
from models.errors import InputError
from models.images import to_pil
from models.stylegan2 import Generator, pool_to
from models.stylegan2.io import save_generator
from photos.io import Photo, open_photo
from pipelines.aging import Aged, AgingOptions, AgingPipeline, parse_layers
from pipelines.models import finish
from pipelines.runtime import Runtime
from pipelines.settings import load_settings

SMALL = {"widths": (8, 8, 16, 16), "blocks": (1, 1, 1, 1), "pyramid": 16}


def small_sam(seed: int, adapter: bool = False) -> Sam:
    """A SAM of 64 px; its noise and weights are random."""
    torch.manual_seed(seed)
    decoder = Generator(32, 32, 64, channel_base=512, channel_max=32)
    parts = [AgeEncoder(nc, 32, decoder.num_ws, 32, **SMALL) for nc in (4, 3)]
    personal = Adapter(num_ws=decoder.num_ws, w_dim=32) if adapter else None
    sam = Sam(parts[0], parts[1], decoder, personal).eval()
    sam.latent_avg.normal_()
    return sam


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> AgingPipeline:
    """With a SAM, a whole personal checkpoint, an adapter alone and a plain generator added."""
    data = tmp_path_factory.mktemp("data")
    pipeline = AgingPipeline(Runtime(load_settings(data=data, device="cpu")), data)
    store = pipeline.models.store
    save_sam(small_sam(0), data / "sam.safetensors")
    save_sam(small_sam(0, adapter=True), data / "whole.safetensors")
    torch.manual_seed(5)
    save_adapter(Adapter(num_ws=10, w_dim=32), data / "alone.safetensors")
    save_generator(small_sam(0).decoder, data / "plain.safetensors")
    for name in ("sam", "whole", "alone", "plain"):
        finish(store.add(data / f"{name}.safetensors", id=f"my-{name}", name=f"My {name}"))
    return pipeline


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Photo:
    import skimage.data

    path = tmp_path_factory.mktemp("photos") / "astronaut.png"
    Image.fromarray(skimage.data.astronaut()).save(path)
    return open_photo(path)


def aged(pipeline: AgingPipeline, photo: Photo, options: AgingOptions, style: Photo | None = None) -> Aged:
    result: Aged = list(pipeline.run(photo, [70.0], options, style=style))[-1].value[0]
    return result


def difference(a: Image.Image, b: Image.Image) -> float:
    return float(np.abs(np.asarray(a, dtype=np.int16) - np.asarray(b, dtype=np.int16)).max())


def test_the_official_forward_is_the_network_itself(pipeline: AgingPipeline, photo: Photo) -> None:
    result = aged(pipeline, photo, AgingOptions(model="my-sam", official=True))
    crop = pool_to(pipeline._subject(photo.image, 0).crop, 32)
    with torch.no_grad():
        wanted = small_sam(0)(crop, torch.tensor([70.0]))
    assert result.crop.size == (64, 64)
    assert difference(result.crop, to_pil(wanted.clamp(-1, 1))) <= 1
    assert result.recipe["options"]["official"] is True and result.recipe["options"]["tune_steps"] == 0


def test_without_tuning_the_first_look_is_the_result(pipeline: AgingPipeline, photo: Photo) -> None:
    events = list(pipeline.run(photo, [70.0, 20.0], AgingOptions(model="my-sam")))
    assert [event.stage for event in events] == ["detect", "load", "encode", "age", "age", "done"]
    assert events[2].value is events[3].value and events[-1].value[0] is events[3].value
    assert events[-1].value[0].recipe["options"]["tune_steps"] == 0  # on a CPU nobody waits for 1024 px


def test_the_photo_keeps_its_pixels_outside_the_face(pipeline: AgingPipeline, photo: Photo) -> None:
    result = aged(pipeline, photo, AgingOptions(model="my-sam"))
    before, after = np.asarray(photo.image), np.asarray(result.image)
    assert before.shape == after.shape and (before[300:] == after[300:]).all()
    assert (before[40:180, 160:290] != after[40:180, 160:290]).any()


def test_a_tuned_generator_is_kept_and_found_again(pipeline: AgingPipeline, photo: Photo) -> None:
    options = AgingOptions(model="my-sam", tune_steps=2)
    first = list(pipeline.run(photo, [70.0], options))
    again = list(pipeline.run(photo, [70.0], options))
    assert [event.stage for event in first].count("tune") == 3
    assert [event.stage for event in again] == ["detect", "load", "age", "done"]
    assert difference(first[-1].value[0].crop, again[-1].value[0].crop) <= 2  # the cache holds half precision


def test_a_personal_model_draws_another_face(pipeline: AgingPipeline, photo: Photo) -> None:
    crop = pool_to(pipeline._subject(photo.image, 0).crop, 32)
    sam = small_sam(0, adapter=True)
    with torch.no_grad():
        wanted = sam.decode(sam.codes(crop, torch.tensor([70.0])))
    whole = aged(pipeline, photo, AgingOptions(model="my-whole", official=True)).crop
    everybody = aged(pipeline, photo, AgingOptions(model="my-sam", official=True)).crop
    alone = aged(pipeline, photo, AgingOptions(model="my-alone", official=True)).crop
    assert difference(whole, to_pil(wanted.clamp(-1, 1))) <= 1
    assert min(difference(whole, everybody), difference(alone, everybody), difference(alone, whole)) > 8


def test_mixed_layers_come_from_the_second_photo(pipeline: AgingPipeline, photo: Photo, tmp_path: Path) -> None:
    flipped = tmp_path / "other.png"
    photo.image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(flipped)
    other = open_photo(flipped)
    every = AgingOptions(model="my-sam", official=True, mix_layers=tuple(range(10)))
    crop = pool_to(pipeline._subject(other.image, 0).crop, 32)
    sam = small_sam(0)
    with torch.no_grad():
        wanted = sam.decode(sam.invert(crop))  # every layer is the other's: so is the picture
    result = aged(pipeline, photo, every, other)
    assert difference(result.crop, to_pil(wanted.clamp(-1, 1))) <= 1
    assert result.recipe["style"] == {"name": "other.png", "sha256": other.sha256}
    none = aged(pipeline, photo, AgingOptions(model="my-sam", official=True))
    few = aged(pipeline, photo, AgingOptions(model="my-sam", official=True, mix_layers=(8, 9)), other)
    zero = aged(pipeline, photo, AgingOptions(model="my-sam", official=True, mix_layers=(8, 9), mix_amount=0.0), other)
    assert difference(few.crop, none.crop) > 2 and difference(zero.crop, none.crop) == 0
    random = AgingOptions(model="my-sam", official=True, mix_layers=(8, 9), seed=3)
    assert difference(aged(pipeline, photo, random).crop, aged(pipeline, photo, random).crop) == 0
    assert difference(aged(pipeline, photo, random).crop, few.crop) > 2


def test_models_that_do_not_age_are_refused(pipeline: AgingPipeline, photo: Photo) -> None:
    with pytest.raises(InputError, match=r"my-plain does not age faces; choose one of heads, my-sam"):
        aged(pipeline, photo, AgingOptions(model="my-plain"))
    with pytest.raises(InputError, match="nothing-here"):
        aged(pipeline, photo, AgingOptions(model="nothing-here"))
    with pytest.raises(InputError, match="Layer 17 can't be mixed: this model has the layers 0 to 9"):
        aged(pipeline, photo, AgingOptions(model="my-sam", mix_layers=(17,)))
    assert [id for _, id in pipeline.models.choices()] == ["heads", "my-sam", "my-alone", "my-whole"]


def test_an_adapter_alone_needs_its_sam(pipeline: AgingPipeline, photo: Photo, tmp_path: Path) -> None:
    lonely = AgingPipeline(Runtime(load_settings(data=tmp_path, device="cpu")), tmp_path)
    finish(lonely.models.store.add(pipeline.data / "alone.safetensors", id="my-alone", name="My adapter"))
    assert [id for _, id in lonely.models.choices()] == ["heads"]
    with pytest.raises(InputError, match="SAM model that it belongs to"):
        aged(lonely, photo, AgingOptions(model="my-alone"))


def test_layers_as_people_type_them() -> None:
    assert parse_layers("") == () and parse_layers("8,9") == (8, 9) and parse_layers(" 3, 8-11,8") == (3, 8, 9, 10, 11)
    for text in ("x", "8-", "-1", "18", "0-99999999999", "1.5"):
        with pytest.raises(InputError, match=r"Layers|layers"):
            parse_layers(text)
