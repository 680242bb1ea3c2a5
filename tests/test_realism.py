"""The distance between sets of pictures, and the colours that are read in a face."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from models.captions import HAIR_COLOURS, SKINS
from models.errors import EveryageError
from models.faces import colours
from models.faces.colours import fit_words, load_colour_words, see_colours
from models.faces.detect import Face
from models.perceptual import load_perceptual
from models.realism import kernel_distance, picture_features

POINTS = np.array([[40, 60], [80, 60], [60, 80], [45, 100], [75, 100]], dtype=np.float32)


def unit(count: int, shift: float, seed: int) -> torch.Tensor:
    drawn = torch.randn(count, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(drawn + shift)


def test_the_distance_is_the_formula() -> None:
    a, b = unit(5, 0.0, 1), unit(7, 0.8, 2)

    def kernel(x: torch.Tensor, y: torch.Tensor) -> float:
        return (float((x * y).sum()) + 1) ** 3

    within = [np.mean([kernel(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j]) for x in (a, b)]
    across = np.mean([kernel(x, y) for x in a for y in b])
    assert kernel_distance(a, b) == pytest.approx(1000 * (sum(within) - 2 * across), rel=1e-9)


def test_sets_of_one_kind_are_at_nought_whatever_their_size() -> None:
    means = [np.mean([kernel_distance(unit(n, 0.0, s), unit(n, 0.0, 900 + s)) for s in range(200)]) for n in (5, 40)]
    far = kernel_distance(unit(40, 0.0, 1), unit(40, 0.5, 2))
    assert abs(means[0]) < far / 10 and abs(means[1]) < far / 50
    assert far < kernel_distance(unit(40, 0.0, 1), unit(40, 1.5, 2))
    with pytest.raises(ValueError, match="at least two"):
        kernel_distance(unit(1, 0.0, 1), unit(4, 0.0, 1))


def test_worse_pictures_are_farther() -> None:
    net, drawn = load_perceptual(), torch.Generator().manual_seed(3)
    smooth = torch.nn.functional.interpolate(torch.randn(24, 3, 8, 8, generator=drawn).tanh(), size=64, mode="bicubic")
    features = picture_features(net, smooth.clamp(-1, 1))
    assert features.shape == (24, 896) and torch.allclose(features.norm(dim=1), torch.ones(24), atol=1e-5)
    same = kernel_distance(features[:12], features[12:])
    noise = 0.3 * torch.randn(smooth[12:].shape, generator=drawn)
    gaps = [kernel_distance(features[:12], picture_features(net, smooth[12:] + k * noise)) for k in (0.5, 1.0)]
    assert abs(same) < gaps[0] / 3 and gaps[0] < gaps[1]


def head(skin: tuple[int, int, int], hair: tuple[int, int, int], turn: float = 0.0) -> tuple[Image.Image, Face]:
    """A painted head whose landmarks are POINTS, turned around the picture's middle by so many degrees."""
    image = Image.new("RGB", (120, 140), (90, 120, 200))
    pen = ImageDraw.Draw(image)
    pen.rectangle((10, 0, 110, 30), fill=hair)
    pen.ellipse((22, 26, 98, 130), fill=skin)
    angle = np.deg2rad(turn)
    turned = image.rotate(-turn, Image.Resampling.BICUBIC)
    spin = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = ((POINTS - (60, 70)) @ spin.T + (60, 70)).astype(np.float32)
    return turned, Face((20, 20, 80, 110), points, 1.0)


@pytest.mark.parametrize("turn", [0.0, 20.0, -20.0])
def test_colours_are_seen_where_they_are(turn: float) -> None:
    seen = see_colours(*head((200, 150, 120), (40, 30, 20), turn))
    assert seen.skin == pytest.approx((66.0, 15.5, 23.2), abs=1.0)
    assert seen.hair == pytest.approx((12.3, 3.4, 7.6), abs=1.5)


def test_a_face_at_the_edge_has_no_hair_to_see() -> None:
    image, face = head((200, 150, 120), (40, 30, 20))
    cut = Face(face.box, face.landmarks - (0, 58), 1.0)
    seen = see_colours(image.crop((0, 58, 120, 140)), cut)
    assert np.isnan(seen.hair).all() and np.isfinite(seen.skin).all()
    assert load_colour_words()["hair"].ranked(seen.hair) == ()


def test_words_are_ranked_by_what_varies() -> None:
    """Brightness wanders with the light: a step in it says less than the same step in hue."""
    rng = np.random.default_rng(0)
    named = np.repeat([0, 1], 500)
    spread = np.array([20.0, 2.0, 2.0])
    drawn = np.array([[50.0, 0.0, 0.0], [60.0, 10.0, 0.0]])[named] + rng.normal(size=(1000, 3)) * spread
    found = fit_words(("cool", "warm"), drawn, named)
    assert np.diag(found.precision) == pytest.approx(1 / spread**2, rel=0.2)
    assert found.ranked(np.array([75.0, 1.0, 0.0])) == ("cool", "warm")
    assert found.ranked(np.array([30.0, 9.0, 0.0])) == ("warm", "cool")


def test_the_words_that_ship() -> None:
    found = load_colour_words()
    assert found["skin"].words == SKINS and found["hair"].words == HAIR_COLOURS
    for words in found.values():
        assert [words.ranked(mean)[0] for mean in words.means] == list(words.words)
        assert (np.linalg.eigvalsh(words.precision) > 0).all()
    light = [found["skin"].means[SKINS.index(word)][0] for word in SKINS]
    assert light == sorted(light, reverse=True)  # paler skin is brighter
    for seen, word in (((225, 180, 160), "fair"), ((75, 48, 38), "dark")):
        assert found["skin"].ranked(see_colours(*head(seen, (0, 0, 0))).skin)[0] == word


def test_a_damaged_file_of_words_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "colour_names.json"
    monkeypatch.setattr(colours, "asset_path", lambda _: path)
    for text in ("{", "[]", json.dumps({"colours": {"skin": {"words": ["a"]}}})):
        path.write_text(text)
        with pytest.raises(EveryageError, match="damaged"):
            load_colour_words()
