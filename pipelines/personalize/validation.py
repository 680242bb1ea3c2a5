"""How well the student does on photos of the person that it does not learn from."""

from __future__ import annotations

import torch

from models.aging.personal import personal_unlikeness

from .album import Album
from .method import Setting

LEAST = 12  # faces below which all are needed for learning
SHARE = 8  # one face in so many is held out


def hold_out(album: Album) -> tuple[Album, Album]:
    """Albums to learn from and to check with. Of a small album, both are the whole.

    Every eighth face by age is held out, so that all ages are checked; never the youngest nor the oldest.
    """
    count = len(album)
    if count < LEAST:
        return album, album
    order = album.ages[:count].argsort(stable=True).tolist()
    held = set(order[SHARE // 2 : -1 : SHARE])
    return album.part([face for face in range(count) if face not in held]), album.part(sorted(held))


class Validation:
    """The learnt faces at the ages of the held-out ones: the mean best cosine to those, by the judges' recogniser."""

    def __init__(self, setting: Setting, held: Album):
        self.setting, self.held = setting, held
        count = len(held)
        with torch.no_grad():
            self.wanted = setting.judges.embed(held.crops[:count], held.points[:count])
        self.start = self.score(own=False)

    @torch.no_grad()
    def score(self, own: bool = True) -> float:
        """From -1 to 1; `own` False judges the global prior."""
        setting, held = self.setting, self.held
        album, ages = setting.album, held.ages[: len(held)]
        order = album.ages[: len(album)].argsort(stable=True)
        # Sources from all over the album, so that the way to each age is long and short.
        places = order[torch.linspace(0, len(order) - 1, len(held), device=order.device).long()].flip(0)
        codes = setting.codes.at(places, ages)
        drawn = setting.draw(codes, ages)[1] if own else setting.draw_global(codes)
        vectors = setting.judges.embed(drawn, album.points[places])
        return float(1 - personal_unlikeness(vectors, self.wanted, ages, ages).mean())
