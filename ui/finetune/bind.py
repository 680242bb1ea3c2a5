"""What happens when: the page's events, each a thin layer between widgets and the functions of the parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from ui import views
from ui.finetune import form, panels, work
from ui.services import Services
from ui.widgets import Said

Updates = dict[Any, Any]
HIDDEN = {"show_progress": "hidden", "api_visibility": "private"}
AT_ONCE = HIDDEN | {"queue": False}
PRESS = HIDDEN | {"concurrency_id": "finetune", "concurrency_limit": 4}
# The form is long: what it began is at the top of the other column, or below it on narrow screens.
TO_VIEW = "() => document.querySelector('#finetune-right').scrollIntoView({behavior: 'smooth'})"
EVERY = 1.0  # seconds between two looks at the work in the background


@dataclass
class Page:
    """The widgets and the tab's state that the events share."""

    services: Services
    panels: panels.Panels

    def __post_init__(self) -> None:
        self.seen = gr.State(())  # the numbers and versions of the look and the job that the tab has drawn last
        self.timer = gr.Timer(EVERY, active=False)

    @property
    def outputs(self) -> list[Any]:
        """Everything that an event may change."""
        return [*vars(self.panels).values(), self.seen, self.timer]

    def guarded(self, act: Callable[[], Updates]) -> Updates:
        """What the act updates; whatever goes wrong is a sentence in the status line."""
        try:
            return act()
        except Exception as error:
            text = self.services.sentence(error)
        return {self.panels.status: views.note(text, "error")}


def bind(tab: gr.Tab, page: Page) -> None:
    """Connect the page's widgets."""
    services, shown = page.services, page.panels

    def entered() -> Updates:
        return page.guarded(lambda: panels.show(shown, services) | {page.timer: gr.Timer(active=work.busy(services))})

    def begun(number: int) -> Updates:
        updates = panels.show(shown, services) | {page.timer: gr.Timer(active=True)}
        return updates | {shown.form: form.view(services, number)}

    def sent(event: gr.EventData) -> Updates:
        said = Said.of(event)
        return page.guarded(lambda: begun(work.start(services, form.read(services, said.fields, said.files))))

    def pressed(event: gr.EventData) -> Updates:
        said = Said.of(event)

        def act() -> Updates:
            if said.act == "go_on":
                return begun(work.go_on(services, said.id))
            if said.act == "forget":
                work.forget(services, said.id)
            elif said.act == "keep":
                id = work.keep(services, said.id)
                words = f"Kept. Choose {id} under Adapters on the Generate page."
                return panels.show(shown, services) | {shown.status: views.note(words, "good")}
            elif said.act == "remove":
                services.models.remove(said.id)
            return panels.show(shown, services)

        return page.guarded(act)

    def look(seen: tuple[Any, ...]) -> Updates:
        task, found, news = services.desk.task, services.finetune_jobs.current, services.finetune_jobs.news
        now = tuple((one.number, one.version) if one else (0, 0) for one in (task, found, news))
        if now == tuple(map(tuple, seen)):
            return {page.timer: gr.Timer(active=work.busy(services))}
        ended = [one.number for one in (task, found, news) if one is not None and one.ended is not None]
        updates = {page.seen: now} | panels.show_work(shown, services)
        if ended:
            updates |= panels.show(shown, services) | {page.timer: gr.Timer(active=work.busy(services))}
        return updates

    def stop() -> Updates:
        work.stop(services)
        return panels.show_work(shown, services)

    tab.select(entered, None, page.outputs, **HIDDEN)
    shown.form.click(sent, None, page.outputs, **PRESS).then(None, js=TO_VIEW)
    for part in (shown.waiting, shown.compared, shown.adapters):
        part.click(pressed, None, page.outputs, **PRESS)
    page.timer.tick(look, page.seen, page.outputs, **AT_ONCE)
    shown.stop.click(stop, None, page.outputs, **AT_ONCE)
