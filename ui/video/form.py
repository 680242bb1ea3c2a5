"""The form: who in the video, how old, and how the result is written. Everything has a default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from pipelines.errors import InputError
from ui import help as words
from ui import views as common
from ui.age.people import Learnt
from ui.pictures import data_uri
from ui.video.state import BITS, CODECS, GROW, KEYS, MODES, ONE, Choices, Clip, Pick, Seen

if TYPE_CHECKING:
    from pipelines.video.options import VideoOptions

NOBODY = "Choose at least one person: tick the box beside the face."
NO_CLIP = "First give a video: drop it, or choose the file."
THUMBNAIL = 160


def view(clip: Clip, choices: Choices, learnt: Sequence[Learnt], models: Sequence[tuple[str, str]]) -> str:
    """The form for a clip that was looked through. Says "order" with all fields; `go` is "start" or "preview"."""
    picks = choices.picks or (_first(clip, choices),)
    cards = "".join(
        _person(seen, next((p for p in picks if p.who == seen.who), None), choices, learnt) for seen in clip.people
    )
    return f"""
<form id="video-form" data-act="order" class="ea-section ea-form ea-v-form" autocomplete="off">
  <h2 class="ea-title">Who, and how old?</h2>
  {_modes(choices)}
  <ul class="ea-v-people" aria-label="People in the video">{cards}</ul>
  {_more(choices)}{_expert(choices, models)}
  <button type="submit" class="ea-m-button ea-m-main ea-send" name="go" value="start">Age the video</button>
  <p class="ea-quiet">You can close this tab meanwhile; the work goes on, and the video waits for you here.</p>
</form>"""


def _first(clip: Clip, choices: Choices) -> Pick:
    seen = clip.people[0]
    return Pick(seen.who, round(seen.age), choices.age)


def _modes(choices: Choices) -> str:
    items = "".join(
        f'<label><input type="radio" name="mode" value="{key}"{" checked" if key == choices.mode else ""}>'
        f"<span>{title}</span></label>"
        for key, title in MODES.items()
    )
    return f'<fieldset class="ea-views ea-v-modes"><legend class="ea-sr">Age over time</legend>{items}</fieldset>'


def _person(seen: Seen, pick: Pick | None, choices: Choices, learnt: Sequence[Learnt]) -> str:
    who, title = seen.who, f"Person {seen.who}"
    chosen = pick or Pick(who, round(seen.age), choices.age)
    keys = chosen.keys or f"0:{common.years(chosen.first)}, 10:{common.years(chosen.age)}"
    image = data_uri(seen.picture, THUMBNAIL)
    return f"""
<li><label class="ea-v-who"><input type="checkbox" name="pick-{who}" value="yes"{" checked" if pick else ""}>
    <img src="{image}" alt="{title}">
    <span><b>{title}</b><small>Looks about {common.years(seen.age)}, in {share(seen.share)} of the video</small></span>
  </label>
  <div class="ea-v-ages">
    {_age(f"first-{who}", "Age at the start", title, chosen.first, "ea-v-grow")}
    {
        _age(
            f"age-{who}",
            '<i class="ea-v-one">Age to see</i><i class="ea-v-grow">Age at the end</i>',
            title,
            chosen.age,
            "ea-v-one-grow",
        )
    }
    <label class="ea-field ea-v-keys"><span>Ages over time <i>{words.KEYFRAMES}</i></span>
      <input type="text" name="keys-{who}" value="{escape(keys)}" maxlength="2000" spellcheck="false"
        aria-label="Ages over time of {title}"></label>
    {_whose(who, title, chosen.person, learnt)}
  </div></li>"""


def _age(name: str, label: str, title: str, value: float, kind: str) -> str:
    plain = "Age at the start" if name.startswith("first") else "Age to see, or at the end"
    return f"""<label class="ea-v-age {kind}"><span>{label}</span>
      <input type="range" name="{name}" min="0" max="100" step="1" value="{common.years(value)}" data-shown="1"
        aria-label="{plain}, {title}"><output>{common.years(value)}</output></label>"""


def _whose(who: int, title: str, person: str, learnt: Sequence[Learnt]) -> str:
    if not learnt:
        return ""
    rows = [("", "Everybody's"), *((each.folder, f"{each.name}'s own") for each in learnt)]
    return f"""<label class="ea-field"><span>Whose aging</span><select name="person-{who}"
      aria-label="Whose aging, {title}">{options(rows, person)}</select></label>"""


def options(rows: Sequence[tuple[str, str]], chosen: str) -> str:
    """The entries of a list to choose from: (value, words)."""
    return "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{escape(title)}</option>'
        for value, title in rows
    )


def _more(choices: Choices) -> str:
    number = _number
    return f"""<details class="ea-fold" data-fold="video-more"><summary>More</summary><div class="ea-form">
  <div class="ea-v-pair">
  {number("start", "From second", "", choices.start, 0, 1_000_000, "any", "the beginning")}
  {number("end", "To second", "", choices.end, 0, 1_000_000, "any", "the end")}</div>
  {number("strength", "Strength", "1 is natural", choices.strength, 0, 2, "0.05")}
  {number("detail", "Realism", "how much of the video's own detail stays", choices.detail, 0, 1, "0.05")}
  </div></details>"""


def _expert(choices: Choices, models: Sequence[tuple[str, str]]) -> str:
    number = _number
    ticked = " checked" if choices.skip_unsure else ""
    entries = [(id, title) for title, id in models]
    return f"""<details class="ea-fold" data-fold="video-expert"><summary>Expert</summary><div class="ea-form">
  <label class="ea-field"><span>Written as</span>
    <select name="codec">{options(list(CODECS.items()), choices.codec)}</select></label>
  {number("crf", "Quality (CRF)", "lower is better and larger", choices.crf, 0, 63, "1", "what suits the codec")}
  <label class="ea-field"><span>Keep 10 bit <i>most browsers play H.264 in 8 bit only</i></span>
    <select name="ten_bit">{options(list(BITS.items()), choices.ten_bit)}</select></label>
  {number("tune_steps", "Steps of learning a face", words.VIDEO_STEPS, choices.tune_steps, 0, 1000, "1", "what suits")}
  <label class="ea-field"><span>Model</span><select name="model">{options(entries, choices.model)}</select></label>
  <label class="ea-tick"><input type="checkbox" name="skip_unsure" value="yes"{ticked}>
    <span>Leave frames as they are where somebody is not surely recognised</span></label>
  </div></details>"""


def _number(name: str, label: str, hint: str, value: Any, low: float, high: float, step: str, empty: str = "") -> str:
    shown = "" if value is None else f"{value:g}"
    return f"""<label class="ea-field"><span>{label} <i>{hint}</i></span>
    <input type="number" name="{name}" value="{shown}" min="{low}" max="{high}" step="{step}" placeholder="{empty}">
    </label>"""


def share(part: float) -> str:
    """A part of the video in words."""
    return "all" if part > 0.995 else f"{max(round(100 * part), 1)} %"


def read(fields: Mapping[str, str], clip: Clip | None) -> tuple[VideoOptions, Choices]:
    """What a sent form asks for. Raises InputError that names what is wrong."""
    from pipelines.video.options import video_options

    if clip is None or clip.look is None:
        raise InputError(NO_CLIP)
    start, end = _given(fields, "start", "beginning"), _given(fields, "end", "end")
    people = [seen for seen in clip.people if fields.get(f"pick-{seen.who}")]
    if not people:
        raise InputError(NOBODY)
    bits = fields.get("ten_bit", "")
    given: dict[str, Any] = {
        "subjects": [_subject(fields, seen, start or 0.0, end or clip.length) for seen in people],
        "ten_bit": None if bits == "" else bits == "yes",
        "skip_unsure": fields.get("skip_unsure") == "yes",
        "start": start,
        "end": end,
    }
    for name in ("strength", "detail", "model", "codec", "crf", "tune_steps"):
        if fields.get(name, "").strip():
            given[name] = fields[name].strip()
    found = video_options(given)
    return found, Choices.of(found)


def _subject(fields: Mapping[str, str], seen: Seen, start: float, end: float) -> dict[str, Any]:
    from pipelines.video.options import parse_keyframes

    who, mode = seen.who, fields.get("mode", ONE)
    age = _given(fields, f"age-{who}", f"age of person {who}")
    ages: tuple[tuple[float, float], ...] = ((0.0, 70.0 if age is None else age),)
    if mode == KEYS:
        ages = parse_keyframes(fields.get(f"keys-{who}", ""))
    elif mode == GROW:
        first = _given(fields, f"first-{who}", f"age of person {who} at the start")
        if end <= start:
            raise InputError(f"The end must come after the beginning, which is at second {start:g}.")
        ages = ((start, seen.age if first is None else first), (end, ages[0][1]))
    return {"who": who, "ages": ages, "person": fields.get(f"person-{who}", "")}


def _given(fields: Mapping[str, str], name: str, what: str) -> float | None:
    text = fields.get(name, "").strip().replace(",", ".")
    try:
        return float(text) if text else None
    except ValueError:
        raise InputError(f"The {what} must be a number, not {text!r}.") from None
