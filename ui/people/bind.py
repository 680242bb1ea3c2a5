"""What happens when: the page's events, each a thin layer between widgets and the functions of the parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from ui import views
from ui.following import Followed
from ui.people import acts, form, panels, work
from ui.people.state import Choice
from ui.services import Services
from ui.widgets import Said

Updates = dict[Any, Any]
HIDDEN = {"show_progress": "hidden", "api_visibility": "private"}
AT_ONCE = HIDDEN | {"queue": False}
PRESS = HIDDEN | {"concurrency_id": "people", "concurrency_limit": 4}
EVERY = 1.0  # seconds between two looks at the work in the background
# What was opened must be seen, on narrow screens and after scrolling, and be read out.
TO_VIEW = """() => {
  const title = document.querySelector('#people-title');
  const card = document.querySelector('#people-view-card');
  if (!title || !card || card.dataset.seen === title.textContent) return;
  card.dataset.seen = title.textContent;
  const top = card.getBoundingClientRect().top;
  if (top < 0 || top > innerHeight / 2) card.scrollIntoView({behavior: 'smooth'});
  title.focus({preventScroll: true});
}"""


@dataclass
class Page:
    """The widgets and the tab's state that the events share."""

    services: Services
    panels: panels.Panels

    def __post_init__(self) -> None:
        self.choice = gr.State(Choice())
        self.timer = gr.Timer(EVERY, active=False)

    @property
    def outputs(self) -> list[Any]:
        """Everything that an event may change."""
        return [*vars(self.panels).values(), self.choice, self.timer]

    def show(self, choice: Choice) -> Updates:
        """The whole page with this choice."""
        return {self.choice: choice} | panels.show(self.panels, self.services, choice)

    def say(self, text: str, kind: str) -> Updates:
        """A sentence in the status line; a change that can be taken back comes with a button for it."""
        undo = kind == "good" and bool(text)
        return {self.panels.status: views.note(text, kind), self.panels.undo: gr.Button(visible=undo)}

    def follow(self) -> Updates:
        """Look at the work in the background from now on, if there is any."""
        running = self.services.people_jobs.running is not None
        updates: Updates = {self.timer: gr.Timer(active=running)}
        return updates | (panels.show_status(self.panels, self.services) if running else {})


def bind(app: gr.Blocks, tab: gr.Tab, page: Page) -> None:
    """Connect the page's widgets."""
    _bind_looking(app, tab, page)
    _bind_acts(page)
    _bind_work(page)


def _bind_looking(app: gr.Blocks, tab: gr.Tab, page: Page) -> None:
    def entered(choice: Choice) -> Updates:
        try:
            return looked(choice)
        except Exception as error:  # the list of jobs can't be opened, perhaps
            return page.say(page.services.sentence(error), "error") | {page.choice: choice}

    def looked(choice: Choice) -> Updates:
        found = page.services.people_jobs.current
        seen = _seen(found)
        news = page.services.people_jobs.news
        updates = page.show(replace(choice, seen=seen, told=news.number if news else choice.told)) | page.follow()
        # What ended while nobody looked is told once.
        missed = found is not None and found.ended is not None and seen != choice.seen
        return updates | (panels.show_status(page.panels, page.services) if missed else {})

    tab.select(entered, page.choice, page.outputs, **HIDDEN)


def _bind_acts(page: Page) -> None:
    def pressed(event: gr.EventData, choice: Choice) -> Updates:
        said = Said.of(event)
        if said.act in STARTS:
            return _start(page, choice, lambda: STARTS[said.act](page.services, choice, said))
        outcome = acts.act(page.services, choice, said)
        updates = page.show(outcome.choice)
        if outcome.text:
            updates |= page.say(outcome.text, outcome.kind)
        elif outcome.choice.what != choice.what or outcome.choice.name != choice.name:
            updates |= page.say("", "info") | page.follow()
        return updates

    def undo(choice: Choice) -> Updates:
        outcome = acts.undo(page.services, choice)
        return page.show(outcome.choice) | page.say(outcome.text, outcome.kind)

    for part in page.panels.live:
        part.click(pressed, page.choice, page.outputs, trigger_mode="multiple", **PRESS).then(None, js=TO_VIEW)
    page.panels.undo.click(undo, page.choice, page.outputs, **PRESS)


def _start(page: Page, choice: Choice, begin: Callable[[], Followed]) -> Updates:
    """Begin work in the background, and look at it from now on; or say why not."""
    try:
        begun = begin()
    except Exception as error:
        return page.say(page.services.sentence(error), "error") | {page.choice: choice}
    # What is quick has ended by now; the next look says so.
    updates = page.show(choice) | panels.show_status(page.panels, page.services) | {page.timer: gr.Timer(active=True)}
    return updates | ({page.panels.form: form.view(page.services, begun.number)} if begun.job.kind == "import" else {})


def _bind_work(page: Page) -> None:
    services = page.services

    def import_photos(event: gr.EventData, choice: Choice) -> Updates:
        said = Said.of(event)
        return _start(page, choice, lambda: _import(services, said))

    def look(choice: Choice) -> Updates:
        found, news = services.people_jobs.current, services.people_jobs.news
        seen = _seen(found)
        if found is None or seen == choice.seen:
            return {page.timer: gr.Timer(active=services.people_jobs.running is not None)}
        choice = replace(choice, seen=seen)
        updates = {page.choice: choice, page.panels.going: panels.show_going(services, choice)}
        if found.ended is not None:
            updates |= page.show(_after(services, found, choice)) | {page.timer: gr.Timer(active=False)}
        elif news is not None and news.number != choice.told:  # one ended, and the next has begun
            updates |= page.show(replace(_after(services, news, choice), told=news.number))
        return updates | panels.show_status(page.panels, services)

    def stop() -> Updates:
        services.people_jobs.stop()
        return panels.show_status(page.panels, services)

    page.panels.form.click(import_photos, page.choice, page.outputs, **PRESS)
    page.timer.tick(look, page.choice, page.outputs, **AT_ONCE)
    page.panels.stop.click(stop, None, page.outputs, **AT_ONCE)


def _import(services: Services, said: Said) -> Followed:
    return work.start_import(services, form.read(services, dict(said.fields), said.files))


def _seen(found: Followed | None) -> tuple[int, int]:
    """How much of a job a tab has drawn."""
    return (found.number, found.version) if found else (0, 0)


def _after(services: Services, found: Followed, choice: Choice) -> Choice:
    """What is shown when work has ended: what it was about."""
    imported = found.job.kind == "import"
    name = work.whose(services, found)
    if imported and name and choice.what != "person":
        return choice.open("person", name)
    if imported and choice.what == "":
        return choice.open("groups")
    return choice


def _group(services: Services, _: Choice, said: Said) -> Followed:
    return work.start_group(services, dict(said.fields))


def _train(services: Services, choice: Choice, said: Said) -> Followed:
    return work.start_training(services, choice.name, dict(said.fields))


def _evaluate(services: Services, choice: Choice, _: Said) -> Followed:
    return work.start_evaluation(services, choice.name)


STARTS: dict[str, Callable[[Services, Choice, Said], Followed]] = {
    "group": _group,
    "train": _train,
    "evaluate": _evaluate,
}
