"""The Models page as HTML: functions from entries of the store to text; every word from outside is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from pipelines.models import TASKS, Entry, Preset, State
from ui.models import words

LINK = 'target="_blank" rel="noopener noreferrer"'
UNFOLDED = {"aging", "personal"}  # what the app is for; the other purposes are folded away
CHECK = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="m5 12.5 4.5 4.5L19 7.5"/></svg>'


def presets(shown: Sequence[Preset], entries: Sequence[Entry]) -> str:
    """What can be done with the models, and what is still lacking for it. A lacking model opens: "open" with its id."""
    by_id = {entry.id: entry for entry in entries}
    cards = []
    for preset in shown:
        needs = [by_id[id] for id in preset.needs if id in by_id]
        lacking = [entry for entry in needs if not entry.usable]
        if lacking:
            action = f'<button type="button" class="ea-m-next" data-act="open" data-id="{escape(lacking[0].id)}">'
            action += f"Get {escape(lacking[0].record.title)}</button>"
        else:
            action = f'<span class="ea-m-pill ea-m-good">{CHECK}Ready</span>'
        cards.append(f"<li><h3>{escape(preset.title)}</h3><p>{escape(preset.about)}</p>{action}</li>")
    return f'<ul class="ea-m-presets" aria-label="What can be done">{"".join(cards)}</ul>'


def summary(entries: Sequence[Entry], used: int, free: int) -> str:
    """How many models are ready, and the room that they take."""
    ready = sum(entry.usable for entry in entries)
    figures = (("Ready", str(ready)), ("Added by you", words.size(used)), ("Free on the disk", words.size(free)))
    rows = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures)
    check = '<button type="button" class="ea-m-button" data-act="verify-all">Check all files</button>'
    return f'<div class="ea-m-summary"><dl class="ea-figures">{rows}</dl>{check}</div>'


def offline() -> str:
    """Shown where the app was started with --offline."""
    return (
        '<p class="ea-note ea-info" role="status">Everyage was started offline, so nothing is downloaded. Files that '
        "you have can be added.</p>"
    )


def table(entries: Sequence[Entry], selected: str) -> str:
    """All models: what the person added, what can be added by purpose, and what is part of the app."""
    shipped = [entry for entry in entries if entry.state is State.EMBEDDED]
    yours = [entry for entry in entries if entry not in shipped and (entry.state is not State.ADDABLE or entry.arrived)]
    rest = [entry for entry in entries if entry not in shipped and entry not in yours]
    parts = [_section("Yours", yours, selected, True)]
    for task, title in TASKS.items():
        parts.append(_section(title, [e for e in rest if e.record.task == task], selected, task in UNFOLDED))
    total = words.size(sum(entry.bytes or 0 for entry in shipped))
    parts.append(_section("Part of the app", shipped, selected, False, f"{len(shipped)} small models, {total}"))
    return "".join(parts)


def _section(title: str, entries: Sequence[Entry], selected: str, wide: bool, note: str = "") -> str:
    """One group of the list, folded away unless `wide` or the chosen model is in it."""
    if not entries:
        return ""
    is_open = " open" if wide or any(selected in words.keys(entry) for entry in entries) else ""
    return (
        f'<details class="ea-m-group"{is_open}><summary>{escape(title)}<span>{escape(note or str(len(entries)))}</span>'
        f"</summary>{_rows(entries, selected)}</details>"
    )


def _rows(entries: Iterable[Entry], selected: str) -> str:
    rows = []
    for entry in entries:
        record = entry.record
        facts = [words.size(entry.bytes)] if entry.bytes else []
        facts += [f"{record.resolution} px"] if record.resolution else []
        facts.append(record.licence.short)
        rows.append(
            f'<li><button type="button" class="ea-m-row" data-act="open" data-id="{escape(words.key(entry))}" '
            f'aria-pressed="{str(selected in words.keys(entry)).lower()}">'
            f'<span class="ea-m-name">{escape(record.title)}</span>'
            f'<span class="ea-m-about">{escape(record.about)}</span>'
            f'<span class="ea-m-facts">{escape(" · ".join(facts))}</span>{_pill(entry)}</button></li>'
        )
    return f'<ul class="ea-m-rows">{"".join(rows)}</ul>'


def _pill(entry: Entry) -> str:
    mark = CHECK if entry.usable else ""
    return f'<span class="ea-m-pill ea-m-{words.tone(entry)}">{mark}{escape(words.state(entry))}</span>'


def nothing_chosen() -> str:
    """The detail panel before a model is chosen."""
    return (
        '<p class="ea-quiet">Choose a model on the left. Here you then see what it is for, how large it is, under '
        "which licence it may be used, and how to get it.</p>"
    )


def detail(entry: Entry, is_offline: bool) -> str:
    """Everything about one model. Says "accept", "download", "verify" or "remove" with its id."""
    record = entry.record
    head = f'<div class="ea-m-head"><h2 tabindex="-1" id="model-title">{escape(record.title)}</h2>{_pill(entry)}</div>'
    problem = f'<p class="ea-note ea-error" role="alert">{escape(_problem(entry))}</p>' if entry.problem else ""
    parts = [head, f"<p>{escape(record.about)}</p>", problem, _facts(entry), _licence(entry)]
    if not entry.stored and not entry.problem:
        parts.append(_how(entry, is_offline))
    return f'<div class="ea-m-detail">{"".join(parts)}{_buttons(entry)}</div>'


def _problem(entry: Entry) -> str:
    text = entry.problem.rstrip(".")
    return f"{text[:1].upper()}{text[1:]}. Remove it and add it again."


def _facts(entry: Entry) -> str:
    record = entry.record
    facts = [("For", TASKS[record.task])]
    unknown = "Known when its download begins" if record.source.direct else "Not stated by its makers"
    facts.append(("Size", words.size(entry.bytes) if entry.bytes else unknown))
    if record.resolution:
        facts.append(("Pictures", f"{record.resolution} × {record.resolution} px"))
    if record.memory_bytes:
        facts.append(("Memory", f"{words.size(record.memory_bytes)}, and more while it works"))
    if entry.stored and entry.stored.added:
        facts.append(("Added", words.day(entry.stored.added)))
    if entry.stored and entry.stored.verified:
        facts.append(("Checked", words.day(entry.stored.verified)))
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    page = record.source.page
    about = f'<p class="ea-m-page"><a href="{escape(page)}" {LINK}>Read about it on its page</a></p>' if page else ""
    return f'<dl class="ea-m-list">{rows}</dl>{about}'


def _licence(entry: Entry) -> str:
    licence, id = entry.record.licence, escape(words.key(entry))
    if entry.record.source.kind == "own":
        return f'<div class="ea-m-licence"><h3>Licence</h3><p>{escape(licence.use)}</p></div>'
    text = licence.url or entry.record.source.page  # the page names the licence at least
    words_of_link = "Read the full text" if licence.url else "Read it on its page"
    link = f' <a href="{escape(text)}" {LINK}>{words_of_link}</a>' if text else ""
    said = ""
    if entry.accepted:
        said = f'<p class="ea-m-said">{CHECK}You accepted it on {escape(words.day(entry.accepted))}.</p>'
    elif licence.ask:
        said = (
            f'<button type="button" class="ea-m-button ea-m-main" data-act="accept" data-id="{id}">'
            "I have read it and accept it</button>"
        )
    return (
        f'<div class="ea-m-licence"><h3>Licence: {escape(licence.title)}</h3>'
        f"<p>{escape(licence.use)}{link}</p>{said}</div>"
    )


def _how(entry: Entry, is_offline: bool) -> str:
    """How to get it: a button where a program can fetch it, or else the steps for a person."""
    record, source = entry.record, entry.record.source
    if source.kind == "own":
        return ""
    if not source.direct or is_offline:
        name = record.files[0].name if record.files else ""
        file = f"the file <code>{escape(name)}</code>" if name else "the file"
        amount = f" ({words.size(record.bytes)})" if record.bytes else ""
        place = source.where if source.kind in ("drive", "url") else source.page or ""
        drop = "Drop it below, under <b>Add a file</b>."
        if source.kind == "hub":
            file, drop = "all its files into one folder", "Write below where that folder lies."
        return (
            '<div class="ea-m-how"><h3>How to get it</h3><ol>'
            f'<li>Open <a href="{escape(place)}" {LINK}>its download page</a> in your browser.</li>'
            f"<li>Save {file}{amount}.</li><li>{drop}</li></ol></div>"
        )
    blocked = record.licence.ask and not entry.accepted
    verb = "Go on with the download" if entry.arrived else f"Download from {source.host}"
    why = "First accept the licence above." if blocked else "Only the model is asked for; nothing of yours is sent."
    return (
        '<div class="ea-m-how"><h3>How to get it</h3>'
        f'<button type="button" class="ea-m-button ea-m-main" data-act="download" data-id="{escape(words.key(entry))}" '
        f'{"disabled" if blocked else ""} aria-describedby="model-why">{escape(verb)}</button>'
        f'<p class="ea-quiet" id="model-why">{escape(why)}</p></div>'
    )


def _buttons(entry: Entry) -> str:
    buttons = []
    id = escape(words.key(entry))
    if entry.stored:
        buttons.append(
            f'<button type="button" class="ea-m-button" data-act="verify" data-id="{id}">Check files</button>'
        )
    if entry.here or entry.arrived or entry.state is State.DAMAGED:
        room = f" ({words.size(entry.bytes or entry.arrived)})" if entry.bytes or entry.arrived else ""
        buttons.append(
            f'<button type="button" class="ea-m-button ea-m-remove" data-act="remove" data-id="{id}" '
            f'data-confirm="Really remove it?">Remove{room}</button>'
        )
    return f'<div class="ea-m-buttons">{"".join(buttons)}</div>' if buttons else ""
