"""What happens when: the page's events, each a thin layer between widgets and the functions of the parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from ui import views as common
from ui.jobs import acts, views
from ui.jobs.shown import Choice, jobs, opened
from ui.services import Services
from ui.widgets import Said, beat

Updates = dict[Any, Any]
HIDDEN = {"show_progress": "hidden", "api_visibility": "private"}
AT_ONCE = HIDDEN | {"queue": False}
PRESS = HIDDEN | {"concurrency_id": "jobs", "concurrency_limit": 4}
TO_OPENED = """() => {
  const title = document.querySelector('#jobs-opened');
  if (!title || title.dataset.seen) return;
  title.dataset.seen = '1';
  document.querySelector('#jobs-opened-card').scrollIntoView({behavior: 'smooth'});
  title.focus({preventScroll: true});
}"""


@dataclass
class Page:
    """The widgets and the tab's state that the events share."""

    services: Services
    filters: gr.HTML
    status: gr.HTML
    opened: gr.HTML
    list: gr.HTML
    pulse: gr.HTML

    def __post_init__(self) -> None:
        self.choice = gr.State(Choice())
        self.drawn = gr.State(0)  # a mark of the list that the tab shows

    @property
    def outputs(self) -> list[Any]:
        """Everything that an event may change."""
        return [self.filters, self.status, self.opened, self.list, self.pulse, self.choice, self.drawn]

    def show(self, choice: Choice, drawn: int = 0) -> Updates:
        """The list, where it is not what the tab shows already."""
        found = jobs(self.services, choice)
        now = hash((choice, found.html))
        if now == drawn:
            return {}
        return {self.list: found.html, self.pulse: beat(found.busy), self.drawn: now}

    def guarded(self, act: Callable[[], Updates]) -> Updates:
        """What the act updates; whatever goes wrong is a sentence in the status line."""
        try:
            return act()
        except Exception as error:
            text = self.services.sentence(error)
        return {self.status: common.note(text, "error"), self.pulse: ""}


def bind(tab: gr.Tab, page: Page) -> None:
    """Connect the page's widgets."""

    def entered(choice: Choice) -> Updates:
        return page.guarded(lambda: {page.status: common.note("")} | page.show(choice))

    def look(choice: Choice, drawn: int) -> Updates:
        return page.guarded(lambda: page.show(choice, drawn)) or gr.skip()

    def pressed(event: gr.EventData, choice: Choice) -> Updates:
        return page.guarded(lambda: press(page, Said.of(event), choice))

    tab.select(entered, page.choice, page.outputs, **HIDDEN)
    page.pulse.tick(look, [page.choice, page.drawn], page.outputs, **AT_ONCE)
    for part in (page.filters, page.list, page.opened):
        part.click(pressed, page.choice, page.outputs, trigger_mode="multiple", **PRESS).then(None, js=TO_OPENED)


def press(page: Page, said: Said, choice: Choice) -> Updates:
    """What a pressed button updates. Raises EveryageError if it can't be done."""
    quiet: Updates = {page.status: common.note("")}
    if said.act == "close":
        return quiet | {page.opened: ""}
    if said.act == "open":
        return quiet | {page.opened: opened(page.services, said.id)}
    if said.act in ("filter", "page"):
        choice = choice.filter(said.id) if said.act == "filter" else choice.turn(said.id)
        return quiet | {page.choice: choice, page.filters: views.filters(choice.state)} | page.show(choice)
    text = acts.act(page.services, said.act, said.id)
    updates: Updates = {page.status: common.note(text, "good")}
    if said.act in ("remove", "delete"):
        updates[page.opened] = ""
    return updates | page.show(choice)
