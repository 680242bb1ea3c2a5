"""The page's plain HTML: the clip, its time, how a job goes, and the player; what a person wrote is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from ui import views as common
from ui.jobs import views as job_views
from ui.jobs import words
from ui.video.state import CODECS, Clip

if TYPE_CHECKING:
    from pipelines.jobs.job import Job

CONTAINERS = "MP4, MOV, MKV, WebM, AVI; up to 16 GB"
PLAY = '<svg class="ea-i-play" viewBox="0 0 24 24" aria-hidden="true"><path d="M8 5.5v13l11-6.5z"/></svg>'
PAUSE = (
    '<svg class="ea-i-pause" viewBox="0 0 24 24" aria-hidden="true"><path d="M7 5h3.6v14H7zm6.4 0H17v14h-3.6z"/></svg>'
)
SOUND = (
    '<svg class="ea-i-line" viewBox="0 0 24 24" aria-hidden="true"><path d="M4 10v4h3l4 3.5v-11L7 10H4Z"/>'
    '<path class="ea-i-on" d="M14.5 9.5a3.5 3.5 0 0 1 0 5m2.5-7.5a7 7 0 0 1 0 10"/>'
    '<path class="ea-i-off" d="m15 10 4.5 4.5m0-4.5L15 14.5"/></svg>'
)
FULL = (
    '<svg class="ea-i-line" viewBox="0 0 24 24" aria-hidden="true">'
    '<path d="M5 9V5h4M15 5h4v4M19 15v4h-4M9 19H5v-4"/></svg>'
)
KEEP_OPEN = "You can close this tab; the work goes on. It is on the Jobs page, too."


@dataclass(frozen=True)
class Played:
    """A result for the player. before, after: addresses, before "" if it can't be shown; start: second of the source
    at which the result begins. age: in words."""

    before: str
    after: str
    start: float
    age: str


def clip(found: Clip) -> str:
    """The video that was opened."""
    width, height = found.facts.upright_size
    facts = [f"{width} × {height}", f"{float(found.facts.rate):.4g} frames a second"]
    if found.length:
        facts.insert(0, words.clock(found.length))
    facts.append("with sound" if found.facts.audio else "no sound")
    words_of_it = escape(", ".join(facts))
    return f"""
<div class="ea-section ea-v-clip"><p><b>{escape(found.name)}</b><br><small>{words_of_it}</small></p></div>"""


def nobody() -> str:
    """In place of the form when the video shows no face."""
    return (
        '<div class="ea-section">'
        + common.note("No face was found in this video. Choose one where somebody looks towards the camera.", "error")
        + "</div>"
    )


def again() -> str:
    """In place of the form when nobody looked through the video to its end. Says "look"."""
    return """
<div class="ea-section">
  <button type="button" class="ea-m-button ea-m-main" data-act="look">Look for people</button></div>"""


def empty_stage() -> str:
    """What the large panel shows before there is a video."""
    rings = "".join(f'<circle cx="120" cy="120" r="{r}"/>' for r in range(14, 115, 14))
    return f"""
<div class="ea-empty">
  <svg viewBox="0 0 240 240" aria-hidden="true">{rings}</svg>
  <h2>A whole video, years from now</h2>
  <ol><li>Drop in a video with a face.</li><li>Choose who becomes how old, or let them grow older as it plays.</li>
  <li>Look at one frame, then let it work; you need not stay.</li></ol>
</div>"""


def time(found: Clip, second: float) -> str:
    """The place in the video of which a frame is shown. Says "time"; its button sends the form with `go` preview."""
    step = 1 / max(float(found.facts.rate), 1.0)
    # The end of the last frame is no frame any more.
    last = max(found.length - step / 2, 0.0)
    return f"""
<div class="ea-v-time"><label><span>Time</span>
  <input type="range" form="video-form" name="second" data-act="time" min="0" max="{last:.3f}" step="{step:.4f}"
    value="{min(second, last):.3f}" data-shown="clock" aria-label="Time in the video, in seconds">
  <output>{found.at(min(second, last))}</output></label>
  <button type="submit" form="video-form" class="ea-m-button" name="go" value="preview">Preview this frame</button>
</div>"""


def job(found: Job, picture: str, working: bool) -> str:
    """A job that waits or goes on. Says "cancel" with its id."""
    told = found.told
    if found.state == "waiting":
        place = f"number {found.position} in the queue" if found.position else "in the queue"
        bar = common.progress(f"Waiting for its turn, {place}", None, None)
    else:
        bar = common.progress(told.message or "Getting ready", told.fraction, told.seconds_left)
    image = f'<figure class="ea-preview"><img src="{picture}" alt="A frame just made"></figure>' if picture else ""
    trouble = "" if working else common.note(words.NOT_WORKING, "error")
    return f"""
<div class="ea-section"><div class="ea-row ea-between"><h3 tabindex="-1" id="video-job-title">{escape(found.title)}</h3>
  {job_views.pill(found)}</div>{bar}{trouble}{image}
  <div class="ea-row">{_button("cancel", found, "Cancel")}<span class="ea-quiet">{KEEP_OPEN}</span></div></div>"""


def stopped(found: Job) -> str:
    """A job that failed or was cancelled. Says "resume" with its id."""
    text = found.error or "It failed."
    if found.state == "cancelled":
        text = "Cancelled. What is finished is kept."
    label = job_views.GONE_ON[found.state]
    return f"""
<div class="ea-section"><div class="ea-row ea-between"><h3 tabindex="-1" id="video-job-title">{escape(found.title)}</h3>
  {job_views.pill(found)}</div>{common.note(text, "error" if found.state == "failed" else "info")}
  <div class="ea-row">{_button("resume", found, label)}</div></div>"""


def done(found: Job, file: job_views.FileShown, played: Played | None, note: str, notes: Sequence[str]) -> str:
    """A finished video: player, download, and what is to be known of it. note: why there is no player."""
    shown = player(played) if played else ""
    why = common.note(note, "info") if note else ""
    problem = common.note(file.problem, "error") if file.problem else ""
    items = "".join(f"<li>{escape(each)}</li>" for each in notes)
    hints = f'<ul class="ea-hints" aria-label="About this video">{items}</ul>' if items else ""
    keep = "" if problem else f'<div class="ea-row">{job_views.download(file)}{_where(file)}</div>'
    return f"""
<div class="ea-section"><div class="ea-row ea-between"><h3 tabindex="-1" id="video-job-title">{escape(found.title)}</h3>
  {job_views.pill(found)}</div>{common.note(_summary(found), "good")}{shown}{why}{problem}{hints}{keep}</div>"""


def _summary(found: Job) -> str:
    result = found.result or {}
    frames, aged = result.get("frames"), result.get("aged")
    text = f"Done: {frames:,} frames" if isinstance(frames, int) else "Done"
    return text + (f", {aged:,} of them aged." if isinstance(aged, int) and aged != frames else ".")


def _where(file: job_views.FileShown) -> str:
    return f'<small class="ea-quiet">{escape(file.where)}</small>'


def _button(act: str, found: Job, text: str) -> str:
    return f'<button type="button" class="ea-m-button" data-act="{act}" data-id="{escape(found.id)}">{text}</button>'


def player(played: Played) -> str:
    """Before and after at the same time under a divider, or the result alone; the script keeps them together."""
    before, views, divider = "", "", ""
    if played.before:
        views = """<fieldset class="ea-views"><legend class="ea-sr">What to play</legend>
    <label><input type="radio" name="ea-play" value="both" checked><span>Before and after</span></label>
    <label><input type="radio" name="ea-play" value="after"><span>Result</span></label></fieldset>"""
        before = (
            f'<video class="ea-before" src="{played.before}" muted playsinline preload="auto" tabindex="-1" '
            'aria-label="The video as it was"></video>'
        )
        divider = """<span class="ea-tag ea-tag-left">Now</span>
    <input type="range" min="0" max="100" value="50" step="1"
      aria-label="Compare before and after: place of the divider">
    <span class="ea-divider" aria-hidden="true"><i></i></span>"""
    return f"""
<figure class="ea-player{"" if played.before else " ea-alone"}" data-start="{played.start:.3f}">{views}
  <div class="ea-stage">{before}<video class="ea-after" src="{played.after}" playsinline preload="auto" tabindex="-1"
    aria-label="The video at {escape(played.age)}"></video>
    <span class="ea-tag ea-tag-right">At {escape(played.age)}</span>{divider}</div>
  <div class="ea-controls">
    <button type="button" data-play aria-label="Play">{PLAY}{PAUSE}</button>
    <input type="range" class="ea-seek" min="0" max="1000" step="1" value="0" aria-label="Place in the video">
    <span class="ea-clock">0:00</span>
    <button type="button" data-mute aria-label="Sound off" aria-pressed="false">{SOUND}</button>
    <button type="button" data-full aria-label="Full screen">{FULL}</button></div>
  <p class="ea-quiet ea-unplayed" role="status"></p>
</figure>"""


def unplayed(codec: str, bits: int) -> str:
    """Why a result is not shown in the page, "" if it is."""
    if codec != "h264":
        return f"{CODECS[codec].split(',')[0]} is not played by every browser, so the video is here to download."
    if bits > 8:
        return (
            "The result has 10 bit, as the video has, which browsers do not play; download it, or choose No under "
            "Expert, Keep 10 bit, and age it again."
        )
    return ""
