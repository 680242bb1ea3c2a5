"""The sampler of people and photo situations, and what ages do to a person, in numbers."""

from __future__ import annotations

import random

import numpy as np
import pytest

from models.captions import EYES, attributes_of_render, caption
from models.errors import InputError
from training.heads import draw_person, draw_view
from training.heads.furrows import GROUPS, furrow_gains
from training.heads.hair import STYLES
from training.heads.looks import looks_at
from training.heads.meta import describe
from training.heads.people import LAST_SEED
from training.heads.shape import modifiers, morph_weights
from training.heads.textures import NAMES, stages

PEOPLE = [draw_person(seed) for seed in range(300)]
LIFE = [float(age) for age in range(5, 96, 5)]
FACE = ("nose/nose-hump-decr", "nose/nose-hump-incr", "eyes/l-eye-trans-up", "eyes/r-eye-trans-up",
        "eyes/l-eye-trans-down", "eyes/r-eye-trans-down", "mouth/mouth-laugh-lines-in", "mouth/mouth-trans-up",
        "macro/caucasian-female-young", "macro/caucasian-female-old", "macro/caucasian-female-child",
        "macro/caucasian-female-baby", "eyes/l-eye-scale-incr", "eyes/r-eye-scale-incr")  # fmt: skip


def test_a_seed_gives_the_same_person_and_another_seed_another() -> None:
    assert draw_person(7) == draw_person(7) and draw_view(7) == draw_view(7)
    assert len({person.face[:3] for person in PEOPLE}) == len(PEOPLE)
    # A person and a view of one seed do not share their random numbers.
    assert draw_person(7).face[0] != draw_view(7).yaw


@pytest.mark.parametrize("seed", [-1, LAST_SEED + 1, 10**7])
def test_seeds_kept_for_others_are_refused(seed: int) -> None:
    with pytest.raises(InputError, match=str(seed)):
        draw_person(seed)


def test_people_are_of_all_kinds_and_within_their_ranges() -> None:
    share = np.mean([person.female for person in PEOPLE])
    assert 0.4 < share < 0.6
    assert {person.ethnicity for person in PEOPLE} == {"caucasian", "african", "asian"}
    assert {person.hair.style for person in PEOPLE} == set(STYLES)
    for person in PEOPLE:
        assert sum(person.ethnicity_mix) == pytest.approx(1)
        assert 0.02 <= person.melanin <= 1 and 0 <= person.freckles <= 1
        assert person.beard.kind == "none" or not person.female
        assert person.masculinity < 0.5 if person.female else person.masculinity > 0.5
    assert 0.2 < np.mean([person.glasses != "none" for person in PEOPLE]) < 0.4


def test_dark_skin_is_darker_and_no_tone_turns_green_or_blue() -> None:
    for person in PEOPLE:
        for age in (8.0, 40.0, 90.0):
            red, green, blue = looks_at(person, age).skin
            assert red > green > blue > 0
    by_melanin = sorted(PEOPLE, key=lambda person: person.melanin)
    tones = [looks_at(person, 30).skin.mean() for person in by_melanin]
    assert np.mean(tones[:50]) > 4 * np.mean(tones[-50:])


@pytest.mark.parametrize("seed", range(12))
def test_a_life_goes_one_way(seed: int) -> None:
    person = PEOPLE[seed]
    looks = [looks_at(person, age) for age in LIFE]
    for what in ("grey", "bald", "thin"):
        values = [getattr(look, what) for look in looks]
        assert values == sorted(values) and 0 <= values[0] <= values[-1] <= 1
    gains = np.array([furrow_gains(person, age) for age in LIFE])
    assert gains.shape == (len(LIFE), len(GROUPS)) and (np.diff(gains, axis=0) >= 0).all()
    assert (gains[0] == 0).all() and (gains[-1] > 0.3).all()


def test_skins_of_all_ages_mix_to_one() -> None:
    shares = np.array([stages(age) for age in LIFE])
    assert np.allclose(shares.sum(1), 1) and (shares >= 0).all()
    assert shares[0].tolist() == [1, 0, 0] and shares[-1].tolist() == [0, 0, 1]
    assert len(NAMES) == 20


def test_up_and_down_are_one_modifier_and_sides_move_together() -> None:
    grouped = modifiers(FACE)
    assert grouped["nose/nose-hump#0"] == [(-1, "nose/nose-hump-decr"), (1, "nose/nose-hump-incr")]
    assert {target for _, target in grouped["eyes/eye-trans#1"]} == {name for name in FACE if "eye-trans" in name}
    assert not any("laugh" in key or "mouth-trans" in key for key in grouped)


def test_shapes_age() -> None:
    view, person = draw_view(0), next(person for person in PEOPLE if person.female and person.ethnicity_mix[0] == 1)

    def weight(name: str, age: float) -> float:
        return float(morph_weights(FACE, person, age, view)[FACE.index(name)])

    laugh = [weight("mouth/mouth-laugh-lines-in", age) for age in LIFE]
    assert laugh == sorted(laugh) and laugh[0] == 0 and laugh[-1] > 0.3
    assert weight("macro/caucasian-female-young", 25) == pytest.approx(1 - person.masculinity)
    assert weight("macro/caucasian-female-old", 25) == 0 < weight("macro/caucasian-female-old", 70)
    assert weight("macro/caucasian-female-child", 10) == pytest.approx(1 - person.masculinity)
    assert weight("macro/caucasian-female-baby", 5) > 0 == weight("macro/caucasian-female-baby", 12)
    assert weight("eyes/l-eye-scale-incr", 6) > weight("eyes/l-eye-scale-incr", 20)


def test_views_stay_within_their_ranges_and_calm_ones_turn_less() -> None:
    views, calm = ([draw_view(seed, quiet) for seed in range(200)] for quiet in (False, True))
    assert all(abs(v.yaw) <= 45 and abs(v.pitch) <= 18 and 0 <= v.smile <= 1 and 10 <= v.fov <= 26 for v in views)
    assert np.std([v.yaw for v in calm]) < 0.7 * np.std([v.yaw for v in views])
    assert {v.light for v in views} == {"soft", "side", "rim", "back", "outdoor", "warm"}


def test_captions_can_be_made_of_what_is_known() -> None:
    for seed, person in enumerate(PEOPLE[:60]):
        age = LIFE[seed % len(LIFE)]
        meta = describe(person, age, draw_view(seed), looks_at(person, age), [[0.0, 0.0]] * 5, size=64)
        known = attributes_of_render(meta)
        assert known.gender == person.gender and known.age == age and known.eyes in EYES
        assert caption(known, random.Random(seed))
    afro = next(person for person in PEOPLE if person.hair.style == "afro01")
    meta = describe(afro, 20, draw_view(0), looks_at(afro, 20), [[0.0, 0.0]] * 5, size=64)
    assert attributes_of_render(meta).hair_style == "afro"
