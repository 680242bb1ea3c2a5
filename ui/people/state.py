"""What one tab of the People page shows. Values only; every change makes a new one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from photos.library import Forgotten

PAGE = 24  # faces that are drawn at a time
ORDERS = {"doubtful first": "Doubtful first", "age": "By age", "quality": "Best first"}


@dataclass(frozen=True)
class Choice:
    """what: "", "person" (then `name`), "groups", "likenesses", "refused" or "forgotten" (then `gone`).

    shown: how many faces are drawn; order: a key of ORDERS; seen: the number and version of the job that the tab has
    drawn last; told: the number of the last one that ended while another went on.
    """

    what: str = ""
    name: str = ""
    shown: int = PAGE
    order: str = "doubtful first"
    gone: Forgotten | None = None
    seen: tuple[int, int] = (0, 0)
    told: int = 0

    def open(self, what: str, name: str = "") -> Choice:
        """Something else is shown, from its beginning."""
        return Choice(what, name, order=self.order, seen=self.seen, told=self.told)

    def ordered(self, order: str) -> Choice:
        """The same faces in another order."""
        return replace(self, order=order)

    def forgotten(self, report: Forgotten) -> Choice:
        """What was removed with somebody."""
        return Choice("forgotten", order=self.order, gone=report, seen=self.seen, told=self.told)

    def more(self) -> Choice:
        """More faces of the same."""
        return replace(self, shown=self.shown + 2 * PAGE)
