"""Whose aging is shown: everybody's, or somebody's whose own was learnt from their photos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from ui import views
from ui.age.state import OWN, WHOSE, Choices
from ui.services import Services

NOBODY = ("Nobody in particular", "")


@dataclass(frozen=True)
class Learnt:
    """Somebody whose aging was learnt. ages: the youngest and oldest of the photos that it was learnt from."""

    name: str
    folder: str
    ages: tuple[float, float]


@dataclass(frozen=True)
class PeoplePanel:
    """The panel's widgets; hidden while nobody's aging was learnt."""

    person: gr.Dropdown
    whose: gr.Radio
    covered: gr.HTML


def render(first: Choices) -> tuple[gr.Dropdown, gr.Radio]:
    """Lay the two choices out where it is called."""
    person = gr.Dropdown([NOBODY], value=first.person, label="Person", elem_id="person", visible=False)
    whose = gr.Radio(list(WHOSE), value=first.whose, label="Whose aging", elem_id="whose", visible=False)
    return person, whose


def learnt(services: Services) -> list[Learnt]:
    """Everybody with a model of their own, by name."""
    if not any((services.settings.data / "people").glob("*/model/card.json")):
        return []  # without opening the collection, which takes seconds
    found = []
    for person in services.collection.people.list():
        model = services.personalizer.model(person.name)
        if model is not None:
            found.append(Learnt(person.name, person.folder, model.ages))
    return found


def show(panel: PeoplePanel, services: Services, person: str, whose: str) -> dict[Any, Any]:
    """The updates that offer everybody with a model; somebody who is gone is not chosen any more."""
    found = learnt(services)
    offers = [NOBODY, *((each.name, each.folder) for each in found)]
    chosen = next((each for each in found if each.folder == person), None)
    return {
        panel.person: gr.Dropdown(choices=offers, value=chosen.folder if chosen else "", visible=bool(found)),
        panel.whose: gr.Radio(value=whose if chosen else OWN, visible=chosen is not None),
        panel.covered: views.covered_ages(chosen.name, chosen.ages) if chosen else "",
    }
