"""What the words for skin and hair look like: read off rendered heads, whose pigments are known.

    python -m training.portraits.colours --data SET/same_view --data SET/free_view --out assets/faces/colour_names.json

The people HELD_OUT are left out of the fit; the file says how often their words are read right.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import numpy as np
from PIL import Image

from models.captions import HAIR_COLOURS, SKINS, attributes_of_render
from models.faces.colours import ColourWords, fit_words, see_colours
from models.faces.detect import detect_faces, load_detector
from training.portraits.data import read_rows
from training.portraits.denoiser import HELD_OUT

SIDE = 256
"""Side in pixels at which faces are looked for."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=3000)
    options = parser.parse_args()
    seen = look(options.data, options.pictures)
    stored = {
        "about": "CIE L*a*b* of rendered skin and hair by word: means, and the inverse covariance within words",
        "made_by": "training.portraits.colours",
        "licence": "as the app's",
        "colours": {name: fitted(*seen[name], words) for name, words in (("skin", SKINS), ("hair", HAIR_COLOURS))},
    }
    options.out.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    print({name: one["quality"] for name, one in stored["colours"].items()})  # type: ignore[attr-defined]


def look(folders: list[Path], count: int) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For "skin" and "hair": colours (N, 3), places of their words (N,), and the people's seeds (N,)."""
    rows, detector = read_rows(folders), load_detector()
    random.Random(0).shuffle(rows)
    found: dict[str, list[tuple[np.ndarray, int, int]]] = {"skin": [], "hair": []}
    for path, meta in rows[:count]:
        with Image.open(path) as opened:
            picture = opened.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        faces = detect_faces(picture, detector)
        if not faces:
            continue
        known, colours = attributes_of_render(meta), see_colours(picture, faces[0])
        if known.skin is not None:
            found["skin"].append((colours.skin, SKINS.index(known.skin), meta["seed"]))
        if known.hair_colour is not None and known.hair_style not in ("bald", "balding"):
            found["hair"].append((colours.hair, HAIR_COLOURS.index(known.hair_colour), meta["seed"]))
    lists = {name: [one for one in ones if np.isfinite(one[0]).all()] for name, ones in found.items()}
    return {
        name: (np.stack([c for c, _, _ in ones]), np.array([w for _, w, _ in ones]), np.array([s for _, _, s in ones]))
        for name, ones in lists.items()
    }


def fitted(colours: np.ndarray, named: np.ndarray, seeds: np.ndarray, words: tuple[str, ...]) -> dict[str, object]:
    """One entry of the file."""
    held = (seeds >= HELD_OUT[0]) & (seeds <= HELD_OUT[1])
    found = fit_words(words, colours[~held], named[~held])
    return {
        "words": list(words),
        "means": found.means.round(2).tolist(),
        "precision": found.precision.round(6).tolist(),
        "quality": {"examples": int((~held).sum()), **quality(found, colours[held], named[held])},
    }


def quality(found: ColourWords, colours: np.ndarray, named: np.ndarray) -> dict[str, float]:
    """How often the right word comes first, and among the first two."""
    ranks = [found.ranked(colour).index(found.words[word]) for colour, word in zip(colours, named, strict=True)]
    return {
        "held_out": len(ranks),
        "first": round(float(np.mean([rank == 0 for rank in ranks])), 3),
        "among_two": round(float(np.mean([rank <= 1 for rank in ranks])), 3),
    }


if __name__ == "__main__":
    main()
