"""Aging a real photo with the embedded models, and each of its parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.compat import ensure_torchvision
from models.errors import Cancelled, InputError
from models.faces.align import ffhq_quad, paste_mask
from models.faces.change import paste_change
from photos.io import Photo, open_photo
from pipelines.aging import Aged, AgingOptions, AgingPipeline, parse_age, strip
from pipelines.aging.compose import blur, compose, enlarge, follow_photo, relief_gain, relief_of, soften_folds
from pipelines.aging.guided import apply_maps, linear_maps
from pipelines.aging.invert import InversionCache, psnr, tune
from pipelines.aging.subject import LEAST_LIKENESS, keep_likeness, landmarks_in_crop, prepare, skin_mask
from pipelines.events import CancelToken, Event
from pipelines.runtime import Runtime
from pipelines.settings import load_settings

FEW = AgingOptions(tune_steps=6)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def pipeline(data: Path) -> AgingPipeline:
    return AgingPipeline(Runtime(load_settings(data=data, device="cpu")), data)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Photo:
    import skimage.data

    path = tmp_path_factory.mktemp("photos") / "astronaut.png"
    Image.fromarray(skimage.data.astronaut()).save(path)
    return open_photo(path)


@pytest.fixture(scope="module")
def events(pipeline: AgingPipeline, photo: Photo) -> list[Event]:
    """One run to three ages; the tests below only look at it."""
    return list(pipeline.run(photo, (20.0, 75.0, pipeline.find_faces(photo.image)[0].age), FEW))


@pytest.fixture(scope="module")
def results(events: list[Event]) -> list[Aged]:
    return [event.value for event in events if event.stage == "age"]


def test_the_story_of_a_run(events: list[Event], results: list[Aged]) -> None:
    stages = [event.stage for event in events]
    assert stages == ["detect", "encode", *["tune"] * 7, *["age"] * 3, "done"]
    preview = events[1]
    assert preview.preview and isinstance(preview.value, Aged) and preview.value.target == 20
    tuning = events[2:9]
    assert [event.done for event in tuning] == [1, 2, 3, 4, 5, 6, 6] and tuning[0].total == 6
    assert tuning[3].seconds_left is not None and tuning[3].seconds_left > 0
    assert all(event.value is None for event in tuning)
    assert events[-1].value == results
    assert [result.target for result in results[:2]] == [20, 75]


def test_only_the_face_changes(photo: Photo, pipeline: AgingPipeline, results: list[Aged]) -> None:
    face = pipeline.find_faces(photo.image)[0].face
    mask = paste_mask(photo.image.size, ffhq_quad(face.landmarks))
    before = np.asarray(photo.image)
    assert (mask == 0).mean() > 0.6
    for result in results:
        after = np.asarray(result.image)
        assert after.shape == before.shape
        assert np.array_equal(after[mask == 0], before[mask == 0])
    change = np.abs(np.asarray(results[1].image).astype(int) - before)[mask > 0.9]
    assert change.mean() > 1.0


def test_the_present_age_is_the_photo(photo: Photo, results: list[Aged]) -> None:
    difference = np.abs(np.asarray(results[2].image).astype(int) - np.asarray(photo.image))
    assert difference.max() <= 1
    assert results[2].identity > 0.999


def test_it_stays_the_person_and_reads_older(results: list[Aged]) -> None:
    young, old, same = results
    assert old.age > same.age + 4
    assert young.age < old.age
    assert min(young.identity, old.identity) > 0.45


def test_the_recipe_makes_the_same_picture_from_the_cache(
    photo: Photo, pipeline: AgingPipeline, results: list[Aged]
) -> None:
    recipe = results[1].recipe
    assert recipe["photo"] == {"name": "astronaut.png", "sha256": photo.sha256}
    assert recipe["target"] == 75 and recipe["face"] == 0 and recipe["kind"] == "aging"
    options = AgingOptions.from_recipe(recipe)
    assert options == FEW
    again = list(pipeline.run(photo, [recipe["target"]], options, face=recipe["face"]))
    assert [event.stage for event in again] == ["detect", "age", "done"]
    assert Path(pipeline.cache.folder).parts[-2:] == ("cache", "aging")
    difference = np.abs(np.asarray(again[1].value.image).astype(int) - np.asarray(results[1].image))
    assert difference.max() <= 2  # the tuned weights are stored in half precision


def test_a_change_that_makes_someone_else_is_weakened(photo: Photo, pipeline: AgingPipeline) -> None:
    subject, readers = pipeline._subject(photo.image, 0), pipeline._readers()
    with torch.no_grad():
        stranger = subject.crop.flip(2)
        kept, identity = keep_likeness(subject, stranger, readers)
        slight, same = keep_likeness(subject, subject.crop + 0.01, readers)
    assert identity >= LEAST_LIKENESS or torch.allclose(kept, torch.lerp(subject.crop, stranger, 0.4), atol=1e-6)
    assert (kept - subject.crop).abs().mean() < 0.9 * (stranger - subject.crop).abs().mean()
    assert torch.equal(slight, subject.crop + 0.01) and same > 0.99


def test_strength_scales_the_movement(photo: Photo, pipeline: AgingPipeline) -> None:
    crops = []
    for strength in (0.0, 0.5, 1.0):
        options = AgingOptions(strength=strength, tune_steps=0)
        done = list(pipeline.run(photo, [75.0], options))[-1]
        crops.append(np.asarray(done.value[0].crop).astype(float))
    half, full = (np.abs(crop - crops[0]).mean() for crop in crops[1:])
    assert 0 < half < full


def test_added_parsing_weights_confine_the_change(photo: Photo, tmp_path: Path) -> None:
    ensure_torchvision()
    from facexlib.parsing.bisenet import BiSeNet

    torch.manual_seed(1)
    (tmp_path / "models").mkdir()
    torch.save(BiSeNet(num_class=19).state_dict(), tmp_path / "models" / "parsing_bisenet.pth")
    parsing = AgingPipeline(Runtime(load_settings(data=tmp_path, device="cpu")), tmp_path)
    mask = parsing.face_mask(parsing._subject(photo.image, 0))
    assert mask is not None and mask.ndim == 2 and mask.shape[0] == mask.shape[1]
    assert 0 <= mask.min() <= mask.max() <= 1 and mask.std() > 0
    done = list(parsing.run(photo, [75.0], AgingOptions(tune_steps=0)))[-1].value[0]
    laid = paste_mask(photo.image.size, ffhq_quad(parsing.find_faces(photo.image)[0].face.landmarks), mask)
    before, after = np.asarray(photo.image), np.asarray(done.image)
    assert np.array_equal(before[laid == 0], after[laid == 0]) and not np.array_equal(before, after)


def test_cancel_stops_between_steps(photo: Photo, pipeline: AgingPipeline) -> None:
    token, seen = CancelToken(), []
    run: Iterator[Event] = pipeline.run(photo, [70.0], AgingOptions(tune_steps=7), cancel=token)
    with pytest.raises(Cancelled):
        for event in run:
            seen.append(event.stage)
            if event.stage == "tune":
                token.cancel()
    assert seen.count("tune") == 1 and "age" not in seen


def test_a_face_that_is_not_there(photo: Photo, pipeline: AgingPipeline) -> None:
    with pytest.raises(InputError, match="Face 3 was asked for, but there is 1 face"):
        list(pipeline.run(photo, [70.0], FEW, face=2))


def test_no_face(pipeline: AgingPipeline) -> None:
    with pytest.raises(InputError, match="No face was found"):
        pipeline.find_faces(Image.new("RGB", (200, 200), (90, 120, 150)))


def test_found_faces_are_offered(photo: Photo, pipeline: AgingPipeline) -> None:
    found = pipeline.find_faces(photo.image)
    assert len(found) == 1
    assert 20 < found[0].age < 50 and found[0].gender == "female"
    assert found[0].thumbnail.size == (128, 128)
    x, y, w, h = found[0].face.box
    assert 160 < x < 240 and 40 < y < 130 and 60 < w < 140 and 80 < h < 180


def test_tuning_draws_the_photo(photo: Photo, pipeline: AgingPipeline) -> None:
    nets = pipeline.models.nets()
    subject = pipeline._subject(photo.image, 0)
    crop = enlarge(subject.crop, nets.generator.resolution)
    with torch.no_grad():
        pivot = nets.encode(crop, subject.age)
        start = psnr(nets.generator.synthesis(pivot), crop)
    before = {name: value.clone() for name, value in nets.generator.state_dict().items()}
    *_, last = tune(nets, crop, pivot, 25)
    assert last.value.psnr > start + 3
    assert psnr(last.value.synthesis(pivot), crop) == pytest.approx(last.value.psnr, abs=0.01)
    assert all(torch.equal(value, before[name]) for name, value in nets.generator.state_dict().items())


def test_the_cache_survives_damage_and_stays_small(pipeline: AgingPipeline, photo: Photo, tmp_path: Path) -> None:
    nets = pipeline.models.nets()
    cache = InversionCache(tmp_path / "cache", kept=25_000_000)
    *_, last = tune(nets, torch.zeros(1, 3, 128, 128), torch.zeros(1, nets.generator.num_ws, 512), 0)
    for name in ("a", "b", "c"):
        cache.store(name, last.value)
    assert sorted(path.name for path in cache.folder.iterdir()) == ["b.safetensors", "c.safetensors"]
    back = cache.load("b", nets)
    assert back is not None and torch.equal(back.pivot, last.value.pivot)
    (cache.folder / "b.safetensors").write_bytes(b"damaged")
    assert cache.load("b", nets) is None
    assert not (cache.folder / "b.safetensors").exists()
    assert InversionCache.key("x", 1) == InversionCache.key("x", 1) != InversionCache.key("x", 2)


def smooth_picture(size: int, seed: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return enlarge(torch.rand(1, 3, 8, 8, generator=random) * 1.4 - 0.7, size).clamp(-0.9, 0.9)


def test_compose_keeps_what_does_not_change() -> None:
    crop, now = smooth_picture(96, 0), smooth_picture(32, 1)
    skin = person = torch.ones(1, 1, 96, 96)
    none = torch.zeros(1, 1, 96, 96)
    assert torch.allclose(compose(crop, now, now, 1.0, 0.0, skin, person, none), crop, atol=1e-5)
    lighter = compose(crop, now, now + 0.08, 1.0, 0.0, skin, person, none)
    assert torch.allclose(lighter, (crop + 0.4 * np.tanh(0.2)).clamp(-1, 1), atol=0.02)
    assert torch.allclose(compose(crop, now, now + 0.08, 1.0, 0.0, skin, none, none), crop, atol=1e-5)
    assert torch.allclose(
        compose(crop, now, now * 0.5, 0.0, 0.0, skin, person, none), enlarge(now * 0.5, 96), atol=1e-5
    )


def test_many_are_composed_as_each_alone() -> None:
    crops, now = (torch.cat([smooth_picture(size, seed) for seed in (0, 1, 2)]) for size in (96, 32))
    then = torch.cat([smooth_picture(32, seed) for seed in (3, 4, 5)])
    masks = [enlarge(torch.rand(3, 1, 6, 6, generator=torch.Generator().manual_seed(seed)), 96) for seed in (6, 7, 8)]
    years = torch.tensor([30.0, 0.0, -12.0])
    for side in (None, 16):
        together = compose(crops, now, then, 1.0, years, *masks, guide_side=side)
        for i, age in enumerate(years.tolist()):
            one = slice(i, i + 1)
            alone = compose(crops[one], now[one], then[one], 1.0, age, *(mask[one] for mask in masks), guide_side=side)
            assert torch.allclose(together[one], alone, atol=1e-5)
            assert (alone - crops[one]).abs().mean() > 0.05


def test_maps_are_the_least_squares_of_their_windows() -> None:
    change, guide = smooth_picture(24, 1), smooth_picture(24, 2)
    radius, smoothness = 40, 0.01  # windows that see everything: one linear function for the whole picture
    x, y = guide[0].flatten(1).double(), change[0].flatten(1).double()
    middle, offset = x.mean(1, keepdim=True), y.mean(1, keepdim=True)
    variance = (x - middle) @ (x - middle).t() / x.shape[1] + smoothness * torch.eye(3)
    slopes = torch.linalg.solve(variance, (x - middle) @ (y - offset).t() / x.shape[1]).t()
    wanted = slopes @ (x - middle) + offset
    found = apply_maps(linear_maps(change, guide, radius, smoothness), guide)[0].flatten(1)
    assert torch.allclose(found.double(), wanted, atol=1e-4)
    one = apply_maps(linear_maps(change[:, :1], guide, 3, smoothness), guide)
    three = apply_maps(linear_maps(change, guide, 3, smoothness), guide)
    assert torch.allclose(one[:, 0], three[:, 0], atol=1e-5)


def test_a_wide_blur_on_few_pixels_is_that_blur() -> None:
    picture = smooth_picture(192, 3)[:, :1]
    places = torch.arange(-60.0, 61)
    kernel = torch.exp(-(places**2) / (2 * 12.0**2))
    kernel = kernel / kernel.sum()
    padded = torch.nn.functional.pad(picture, (60,) * 4, mode="reflect")
    exact = torch.nn.functional.conv2d(padded, torch.outer(kernel, kernel)[None, None])
    apart = (blur(picture, 12.0) - exact).abs()
    assert apart[..., 24:-24, 24:-24].max() < 0.01 and apart.max() < 0.05


def test_features_take_slow_changes_only() -> None:
    crop, now = smooth_picture(96, 0), torch.zeros(1, 3, 32, 32)
    ones, none = torch.ones(1, 1, 96, 96), torch.zeros(1, 1, 96, 96)
    fine = 0.1 * torch.sin(torch.arange(32.0) * 2).expand(1, 3, 32, 32)
    kept = compose(crop, now, now + fine, 1.0, 0.0, ones, ones, ones) - crop
    free = compose(crop, now, now + fine, 1.0, 0.0, ones, ones, none) - crop
    assert kept.abs().mean() < 0.2 * free.abs().mean()
    lighter = compose(crop, now, now + 0.1, 1.0, 0.0, ones, ones, ones) - crop
    assert lighter.mean() > 0.08


def test_the_background_stays_and_an_unseen_face_does_not_count_as_background(
    photo: Photo, pipeline: AgingPipeline
) -> None:
    subject = pipeline._subject(photo.image, 0)
    size = subject.person.shape[-1]
    free = subject.person[0, 0]
    assert free[: size // 10, : size // 10].max() < 0.02  # the wall in the upper left corner
    assert free[size // 3, size // 2] > 0.9  # the forehead

    class Blind(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.zeros_like(x[:, :1])

    readers = pipeline._readers()
    seeing, readers.person = readers.person, Blind()  # type: ignore[assignment]
    try:
        blind = prepare(photo.image, subject.face, readers).person[0, 0]
    finally:
        readers.person = seeing
    assert blind[: size // 10, : size // 10].min() > 0.9


def test_a_misplaced_change_follows_the_photo() -> None:
    # Dark hair ends at column 96 of the photo; the generator believes that it ends 2 of 64 pixels further left.
    crop = torch.full((1, 3, 192, 192), 0.6)
    crop[..., :96] = -0.8
    change = torch.zeros(1, 3, 64, 64)
    change[..., :30] = 0.5
    laid = follow_photo(change, crop, torch.zeros(1, 1, 192, 192))[0, 0, 96]
    assert laid[70:94].min() > 0.2 and laid[98:].abs().max() < 0.05
    assert laid[94] - laid[98] > 0.2


def test_lines_are_drawn_on_skin_only() -> None:
    crop, change = torch.full((1, 3, 96, 96), 0.3), torch.zeros(1, 3, 32, 32)
    change[..., 16, 6:26] = -0.4
    skin = torch.zeros(1, 1, 96, 96)
    skin[..., :48] = 1
    laid = follow_photo(change, crop, skin)[0, 0]
    drawn = laid[36, 24:42].mean() - laid[49, 24:42].mean()
    spread = laid[36, 60:72].mean() - laid[49, 60:72].mean()
    assert drawn > 0.15 and spread < drawn / 3


def test_colour_changes_are_wide_and_weaker() -> None:
    change = torch.zeros(1, 3, 64, 64)
    change[:, 0, 30:34, 30:34] = 0.8  # a red spot
    laid = follow_photo(change, torch.zeros(1, 3, 64, 64), torch.ones(1, 1, 64, 64))[0]
    assert (laid[0] - laid[2]).abs().max() < 0.15


def test_relief_grows_with_age_and_edges_stay() -> None:
    fine, edge = torch.full((1, 3, 4, 4), 0.01), torch.full((1, 3, 4, 4), 0.5)
    assert relief_gain(fine, 30.0).mean() > 0.012 > 0.01 > 0.006 > relief_gain(fine, -30.0).mean()
    assert torch.allclose(relief_gain(edge, 40.0), edge) and torch.allclose(relief_gain(edge, -40.0), edge)
    assert torch.allclose(relief_gain(fine, 0.0), fine)
    stripes = 0.05 * torch.sin(torch.arange(96.0) * 1.2).expand(1, 3, 96, 96)
    assert relief_of(stripes + 0.2, 32).std() > 0.8 * stripes.std()
    step = torch.where(torch.arange(96) < 48, -0.7, 0.7).expand(1, 3, 96, 96)
    assert relief_of(step, 32)[..., :40].abs().max() < 0.15


def test_folds_soften_towards_youth_on_skin_only() -> None:
    fold = 0.2 * torch.exp(-(((torch.arange(192.0) - 96) / 6) ** 2))
    crop = (0.3 - fold.view(1, 1, -1, 1)).expand(1, 3, 192, 192).contiguous()
    skin = torch.zeros(1, 1, 192, 192)
    skin[..., :96] = 1

    def depth(years: float, column: int) -> float:
        softened = soften_folds(crop, 64, years, skin)
        return float(softened[0, 0, 30, column] - softened[0, 0, 96, column])

    assert depth(-30, 40) < 0.75 * depth(0, 40) and depth(-5, 40) < 0.95 * depth(0, 40)
    assert depth(-30, 150) == depth(0, 150)
    assert soften_folds(crop, 64, 20.0, skin) is crop


def test_blur_keeps_the_mean_and_spreads_a_dot() -> None:
    dot = torch.zeros(1, 1, 31, 31)
    dot[..., 15, 15] = 1
    soft = blur(dot, 2.0)
    assert soft.sum().item() == pytest.approx(1, abs=1e-5)
    assert soft[0, 0, 15, 15].item() == pytest.approx(1 / (2 * np.pi * 4), rel=0.02)


def test_change_is_laid_without_resampling_the_photo() -> None:
    random = np.random.default_rng(0)
    photo = Image.fromarray(random.integers(0, 256, (120, 140, 3), dtype=np.uint8))
    quad = np.array([[30.0, 20], [30, 100], [110, 100], [110, 20]])
    crop = torch.rand(1, 3, 64, 64) - 0.5
    assert np.array_equal(np.asarray(paste_change(photo, crop, crop, quad)), np.asarray(photo))
    brighter = np.asarray(paste_change(photo, crop, crop + 20 / 127.5, quad)).astype(int)
    mask = paste_mask(photo.size, quad)
    before = np.asarray(photo).astype(int)
    assert np.array_equal(brighter[mask == 0], before[mask == 0])
    full = mask > 0.999
    assert full.sum() > 500
    assert np.abs(brighter[full] - np.minimum(before[full] + 20, 255)).max() <= 1


def test_landmarks_in_the_crop_and_the_skin() -> None:
    quad = np.array([[10.0, 20], [10, 110], [100, 110], [100, 20]])
    points = np.array([[40, 60], [70, 60], [55, 75], [45, 90], [65, 90]], dtype=np.float32)
    places = landmarks_in_crop(points, quad, 180)
    assert torch.allclose(places[0, 0], torch.tensor([59.5, 79.5]))
    skin = skin_mask(places, 180)[0, 0]
    assert skin.shape == (180, 180)
    assert skin[79, 59] < 0.05 and skin[139, 90] < 0.1  # eye, mouth
    assert skin[115, 60] > 0.7 and skin[2, 2] == 0  # cheek, corner


@pytest.mark.parametrize("text", ["old", "900", "-1", "nan", "", "inf", "7O"])
def test_ages_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="from 0 to 100"):
        parse_age(text)


def test_ages_and_options() -> None:
    assert parse_age("70") == 70 and parse_age(" 3.5 ") == 3.5
    with pytest.raises(InputError, match="strength must lie between 0 and 2, not 3"):
        AgingOptions(strength=3)
    with pytest.raises(InputError, match="tune steps"):
        AgingOptions(tune_steps=-1)
    stored = {"options": {"strength": 0.5, "detail": 0.25, "unknown": 1}}
    assert AgingOptions.from_recipe(stored) == AgingOptions(strength=0.5, detail=0.25)
    for bad in ({"options": {"strength": "much"}}, {"options": 3}, {"options": [1]}):
        with pytest.raises(InputError):
            AgingOptions.from_recipe(bad)


def test_strip_has_a_tile_for_each_age(results: list[Aged]) -> None:
    sheet = strip(results, size=96)
    assert sheet.size == (3 * 96 + 2 * 8, 96 + 12)
    tile = np.asarray(results[1].crop.resize((96, 96), Image.Resampling.LANCZOS))
    assert np.array_equal(np.asarray(sheet)[:96, 104:200], tile)
    labels = np.asarray(sheet)[96:, 104:200].astype(int)
    assert labels.min() < 100 < 240 < labels.max()
    assert strip(results[:1], labels=False, size=96).size == (96, 96)
