"""What a person's face is made of at an age: weights of the base mesh's shape targets."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from training.heads.noise import smooth
from training.heads.people import ASYMMETRIES, ETHNICITIES, MODIFIERS, STYLES, Person, View

# Endings of targets that oppose each other: one signed number drives both. The pair is part of a modifier's name,
# because "trans" has up and down as well as in and out.
_OPPOSITES = (("decr", "incr"), ("down", "up"), ("in", "out"), ("backward", "forward"), ("concave", "convex"),
              ("compress", "uncompress"))  # fmt: skip
_PARTS = ("head", "nose", "mouth", "eyes", "cheek", "chin", "forehead", "eyebrows", "ears", "neck")
# Not a matter of identity: these belong to age, expression or weight, or distort.
_NOT_IDENTITY = (
    "head/head-age", "head/head-trans", "head/head-fat", "head/head-back", "head/head-angle", "neck/neck-double",
    "neck/neck-trans", "neck/neck-scale-v", "cheek/cheek-trans", "mouth/mouth-laugh", "mouth/mouth-trans",
    "eyes/eye-bag", "eyes/eye-eyefold-angle", "nose/nose-trans", "ears/ear-trans",
)  # fmt: skip
# Largest weight by the beginning of the name; the first that fits counts.
_REACH = (
    ("head/head-scale", 0.36), ("head", 0.55), ("eyes/eye-scale", 0.45), ("eyes/eye-trans", 0.38),
    ("eyes/eye-push", 0.32), ("eyes/eye-epicanthus", 0.5), ("eyes/eye-height", 0.48), ("eyes", 0.62),
    ("nose/nose-scale-horiz", 0.65), ("nose/nose-scale", 0.45),
    ("nose/nose-compression", 0.4), ("nose/nose-point", 0.5), ("nose", 0.62),
    ("mouth/mouth-scale-depth", 0.35), ("mouth/mouth-scale", 0.55), ("mouth", 0.7), ("chin/chin-prognathism", 0.5),
    ("chin", 0.8), ("forehead/forehead-nubian", 0.4), ("forehead", 0.6), ("neck", 0.35), ("ears", 0.55),
    ("cheek", 0.85), ("eyebrows", 0.75),
)  # fmt: skip
_SPREAD = 0.42
"""Of a modifier's reach, for one standard deviation between people."""

# (target, weight, age at which it begins, age at which it is complete, number of the person's style).
# "@" stands for l- and r-. The first third shows between 30 and 60, where shapes of the base mesh hardly change.
_AGEING = (
    ("mouth/mouth-laugh-lines-in", 1.0, 23, 58, 5), ("eyes/@eye-bag-incr", 0.75, 25, 62, 0),
    ("eyes/@eye-eyefold-down", 0.75, 27, 68, 1), ("cheek/@cheek-trans-down", 0.75, 27, 70, 3),
    ("mouth/mouth-upperlip-volume-decr", 0.9, 30, 74, 7), ("chin/chin-jaw-drop-incr", 0.45, 34, 74, 10),
    ("neck/neck-double-incr", 0.55, 34, 72, 11), ("eyes/@eye-bag-out", 0.4, 36, 78, 0),
    ("eyes/@eye-height2-decr", 0.42, 34, 84, 1), ("eyes/@eye-corner2-down", 0.45, 32, 80, 2),
    ("cheek/@cheek-inner-decr", 0.6, 38, 84, 4), ("cheek/@cheek-volume-decr", 0.6, 52, 90, 4),
    ("mouth/mouth-angles-down", 0.6, 34, 82, 6), ("mouth/mouth-lowerlip-volume-decr", 0.75, 42, 88, 7),
    ("mouth/mouth-upperlip-height-decr", 0.6, 46, 88, 7), ("nose/nose-scale-vert-incr", 0.22, 36, 90, 8),
    ("nose/nose-point-down", 0.3, 36, 88, 8), ("nose/nose-volume-incr", 0.3, 36, 84, 9),
    ("ears/@ear-scale-incr", 0.5, 34, 92, 9), ("ears/@ear-lobe-incr", 0.4, 45, 90, 9),
    ("forehead/forehead-temple-decr", 0.5, 55, 92, 4), ("head/head-age-incr", 0.75, 34, 92, 10),
    ("eyebrows/eyebrows-trans-down", 0.35, 40, 86, 2),
)  # fmt: skip
# Complete up to 7 years, gone at 18.
_CHILD = (
    ("eyes/@eye-scale-incr", 0.36), ("cheek/@cheek-volume-incr", 0.5), ("cheek/@cheek-bones-decr", 0.45),
    ("nose/nose-scale-vert-decr", 0.3), ("nose/nose-scale-horiz-decr", 0.45), ("nose/nose-hump-decr", 0.5),
    ("nose/nose-scale-depth-decr", 0.32), ("nose/nose-point-up", 0.42), ("chin/chin-height-decr", 0.5),
    ("chin/chin-width-decr", 0.4), ("head/head-round", 0.5), ("forehead/forehead-scale-vert-incr", 0.12),
    ("mouth/mouth-scale-horiz-decr", 0.4), ("ears/@ear-scale-incr", 0.2), ("neck/measure-neck-circ-decr", 0.3),
)  # fmt: skip


@lru_cache(maxsize=4)
def modifiers(names: tuple[str, ...]) -> dict[str, list[tuple[int, str]]]:
    """Face targets grouped into modifiers: name -> (sign, target); left and right move together."""
    grouped: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        part, rest = name.split("/", 1)
        if part in _PARTS:
            key, sign = _signed(f"{part}/{rest[2:] if rest[:2] in ('l-', 'r-') else rest}")
            grouped.setdefault(key, []).append((sign, name))
    return {key: grouped[key] for key in sorted(grouped) if not key.startswith(_NOT_IDENTITY)}


def _signed(key: str) -> tuple[str, int]:
    for number, pair in enumerate(_OPPOSITES):
        for sign, ending in zip((-1, 1), pair, strict=True):
            if key.endswith(f"-{ending}"):
                return f"{key[: -len(ending) - 1]}#{number}", sign
    return key, 1


def morph_weights(names: tuple[str, ...], person: Person, age: float, view: View) -> np.ndarray:
    """(T,) float64: the weight of each target for this person at this age (years) with this expression."""
    row = {name: i for i, name in enumerate(names)}
    weights = np.zeros(len(names))
    parts = (_macro(person, age), _identity(names, person, age), _ageing(person, age), _expression(view))
    for part in parts:
        for name, weight in part:
            if name in row:
                weights[row[name]] += weight
    return weights


def _macro(person: Person, age: float) -> Iterator[tuple[str, float]]:
    """MakeHuman's macro space: age x gender x origin x muscle x weight, linear between its corners."""
    heavier = 0.1 * smooth(28, 52, age) - 0.14 * smooth(65, 88, age)
    muscle = _corners(person.muscle * (1 - 0.3 * smooth(55, 90, age)))
    weight = _corners(min(max(person.weight + heavier, 0.02), 0.97))
    for gender, is_gender in (("female", 1 - person.masculinity), ("male", person.masculinity)):
        for stage, is_stage in _stages(age).items():
            for ethnicity, share in zip(ETHNICITIES, person.ethnicity_mix, strict=True):
                yield f"macro/{ethnicity}-{gender}-{stage}", is_gender * is_stage * share
            for m, is_m in muscle.items():
                for w, is_w in weight.items():
                    yield f"macro/universal-{gender}-{stage}-{m}muscle-{w}weight", is_gender * is_stage * is_m * is_w


def _corners(x: float) -> dict[str, float]:
    return {"min": max(0.0, 1 - 2 * x), "average": 1 - abs(2 * x - 1), "max": max(0.0, 2 * x - 1)}


def _stages(age: float) -> dict[str, float]:
    """Shares of the meshes for 1, 11, 25 and 83 years; past 83 the last goes on a little."""
    if age >= 25:
        old = min(1.14, (age - 25) / 58)
        return {"young": 1 - old, "old": old}
    known = ((1.0, "baby"), (10.0, "child"), (25.0, "young"))
    (low, before), (high, after) = known[:2] if age < 10 else known[1:]
    share = max(0.0, (age - low) / (high - low))
    return {before: 1 - share, after: share}


def _identity(names: tuple[str, ...], person: Person, age: float) -> Iterator[tuple[str, float]]:
    """The personal face; children's faces differ less."""
    grown = 0.45 + 0.55 * smooth(7, 19, age)
    for number, (key, targets) in enumerate(modifiers(names).items()):
        reach = next((limit for start, limit in _REACH if key.startswith(start)), 0.6)
        x = float(np.clip(person.face[number % MODIFIERS] * _SPREAD, -1, 1)) * reach * grown
        if all(sign > 0 for sign, _ in targets):
            x = max(0.0, x - 0.1) * 0.8
        yield from ((target, abs(x)) for sign, target in targets if sign * x > 0)
    for number, name in enumerate(sorted(name for name in names if name.startswith("asym/"))):
        yield name, max(0.0, person.asymmetry[number % ASYMMETRIES]) * 0.04


def _ageing(person: Person, age: float) -> Iterator[tuple[str, float]]:
    for name, weight, begins, ends, style in _AGEING:
        own = max(0.2, 0.9 + 0.35 * person.ageing_style[style % STYLES]) * person.ageing_rate
        # Past its end a sign still deepens: nobody is finished at 80.
        strength = weight * own * (smooth(begins, ends, age) + 0.25 * smooth(ends, 100, age)) * 1.15
        if person.female and name.startswith(("nose", "chin", "head")):
            # Women's noses and jaws coarsen less.
            strength *= 0.6
        if name == "neck/neck-double-incr":
            strength *= 0.4 + 1.2 * person.weight
        yield from ((full, strength) for full in _sides(name))
    child = 1 - smooth(7, 18, age)
    for name, weight in _CHILD:
        yield from ((full, weight * child) for full in _sides(name))


def _sides(name: str) -> tuple[str, ...]:
    return (name.replace("@", "l-"), name.replace("@", "r-")) if "@" in name else (name,)


def _expression(view: View) -> Iterator[tuple[str, float]]:
    """Face units (facial action coding)."""
    lifted = view.smile * 0.35 if view.open > 0 else 0.0
    for unit, weight in (("mouthSmile", view.smile * 0.8), ("cheekSquint", view.smile * 0.5),
                         ("eyeSquint", view.smile * 0.25 + view.squint), ("mouthUpperUp", lifted),
                         ("browDown", max(0.0, -view.brow) * 0.7)):  # fmt: skip
        yield f"fu/{unit}Left", weight
        yield f"fu/{unit}Right", weight
    yield "fu/jawOpen", view.open * 0.5
    yield "fu/browInnerUp", max(0.0, view.brow) * 0.6
