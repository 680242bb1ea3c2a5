"""What one tab knows: its clip, who is in it, and the settings. Values only; every change makes a new one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from ui.jobs.words import clock

if TYPE_CHECKING:
    from PIL import Image

    from pipelines.video.media.facts import FrameIndex, VideoFacts
    from pipelines.video.options import VideoOptions
    from pipelines.video.seen import Look, SeenPerson

ONE, GROW, KEYS = "one", "grow", "keys"
MODES = {ONE: "One age", GROW: "Growing older", KEYS: "Keyframes"}
CODECS = {
    "h264": "H.264, plays everywhere",
    "hevc": "HEVC, smaller",
    "av1": "AV1, smallest, slow to write",
    "prores": "ProRes, for editing, large",
}
BITS = {"": "As the video has", "yes": "Yes", "no": "No, 8 bit"}
LIMITS = {"age": (0, 100), "strength": (0, 2), "detail": (0, 1), "crf": (0, 63), "tune_steps": (0, 1000)}


@dataclass(frozen=True)
class Seen:
    """Somebody in the video, as a card. share: of the frames in which they are, 0..1; age: years, as they look."""

    who: int
    age: float
    share: float
    best: float
    picture: Image.Image


@dataclass(frozen=True)
class Clip:
    """A video that was opened; with `look` and `index` once somebody looked through it. people: most seen first."""

    facts: VideoFacts
    look: Look | None = None
    index: FrameIndex | None = None
    people: tuple[Seen, ...] = ()

    @property
    def name(self) -> str:
        return self.facts.path.name

    @property
    def length(self) -> float:
        """Seconds."""
        if self.index is None or not len(self.index):
            return self.facts.seconds
        first, last = int(self.index.pts[0]), int(self.index.pts[-1])
        return float((last - first + self.index.duration) * self.facts.time_base)

    def at(self, second: float) -> str:
        """A time of the clip in words, finer in a short one."""
        return f"{second:.1f} s" if self.length < 60 else clock(second)

    def person(self, who: int) -> SeenPerson | None:
        """What the look found of somebody."""
        return next((p for p in self.look.people if p.who == who), None) if self.look else None


@dataclass(frozen=True)
class Pick:
    """One chosen person: the age at the start (growing older), the age to see or at the end, keyframes, whose aging."""

    who: int
    first: float
    age: float
    keys: str = ""
    person: str = ""


@dataclass(frozen=True)
class Choices:
    """The settings of the form. Those of one clip (picks, start, end) are not remembered for the next."""

    mode: str = ONE
    age: float = 70
    strength: float = 1.0
    detail: float = 1.0
    model: str = "heads"
    codec: str = "h264"
    crf: int | None = None
    ten_bit: str = ""
    skip_unsure: bool = True
    tune_steps: int | None = None
    start: float | None = None
    end: float | None = None
    picks: tuple[Pick, ...] = ()

    def pick(self, who: int) -> Pick | None:
        """What was chosen for somebody, if they were."""
        return next((pick for pick in self.picks if pick.who == who), None)

    def memory(self) -> dict[str, Any]:
        """What the browser remembers."""
        return {name: value for name, value in asdict(self).items() if name not in ("picks", "start", "end")}

    def updated(self, given: Mapping[str, Any]) -> Choices:
        """These with every usable value of `given`, which comes from the browser, so each is checked."""
        known = {f.name: given[f.name] for f in fields(self) if f.name in given and f.name in self.memory()}
        return replace(self, **{name: value for name, value in known.items() if _usable(name, value)})

    @classmethod
    def of(cls, options: VideoOptions) -> Choices:
        """The form as it was when a job with these options was made."""
        spans = [subject.ages for subject in options.subjects]
        mode = ONE if all(len(ages) == 1 for ages in spans) else KEYS
        if all(len(ages) == 2 and ages[0][0] == (options.start or 0.0) for ages in spans):
            mode = GROW
        picks = tuple(
            Pick(s.who, s.ages[0][1], s.ages[-1][1], ",".join(f"{t:g}:{a:g}" for t, a in s.ages), s.person)
            for s in options.subjects
        )
        bits = "" if options.ten_bit is None else "yes" if options.ten_bit else "no"
        same = ("strength", "detail", "model", "codec", "crf", "skip_unsure", "tune_steps", "start", "end")
        kept = {name: getattr(options, name) for name in same}
        return cls(mode=mode, age=picks[0].age, ten_bit=bits, picks=picks, **kept)


@dataclass(frozen=True)
class Tab:
    """The tab's clip and settings, and the job that it follows ("" for none). asked: the frame of which a preview was
    asked for: how, and at which second."""

    clip: Clip | None = None
    choices: Choices = Choices()
    job: str = ""
    asked: tuple[VideoOptions, float] | None = None

    def open(self, clip: Clip) -> Tab:
        """With another clip, to which the settings that any clip can have still hold."""
        return Tab(clip, replace(self.choices, picks=(), start=None, end=None))

    def memory(self) -> dict[str, Any]:
        """What the browser remembers: settings, and where the clip lies."""
        return self.choices.memory() | {"clip": str(self.clip.facts.path) if self.clip else ""}


def _usable(name: str, value: Any) -> bool:
    if name == "skip_unsure":
        return isinstance(value, bool)
    if name in ("crf", "tune_steps") and value is None:
        return True
    if name in LIMITS:
        low, high = LIMITS[name]
        whole = name not in ("crf", "tune_steps") or isinstance(value, int)
        return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high and whole
    if name == "model":
        return isinstance(value, str) and len(value) < 200
    return isinstance(value, str) and value in {"mode": MODES, "codec": CODECS, "ten_bit": BITS}[name]
