"""What the page shows for a choice: the parts as HTML, from what the collection knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipelines.errors import InputError
from ui import views as common
from ui.people import faces, learn, person, timeline, views, words
from ui.people.learn import Plan
from ui.people.state import PAGE, Choice
from ui.services import Services
from ui.uploads import given_name

if TYPE_CHECKING:
    from photos.people import FaceView, PersonView

GROUPS = 12
PAIRS = 8
IN_GROUP = 8
ASKED = 12  # doubtful faces asked about at a time
QUESTIONS = 4
FLAGGED = 24
DOUBT = 0.8  # the confidence below which a face is asked about


def parts(services: Services, choice: Choice) -> dict[str, str]:
    """The HTML of each part: "list", "view", "check", "learn", "faces". What can't be shown becomes a sentence."""
    empty = {"view": "", "check": "", "learn": "", "faces": ""}
    try:
        everybody = services.collection.people.list()
        if choice.what == "person":
            return empty | {"list": listed(services, choice, everybody)} | _person(services, choice, everybody)
        shown = MAKERS.get(choice.what, _nothing)(services, choice)
        return empty | {"list": listed(services, choice, everybody)} | shown
    except Exception as error:
        text = services.sentence(error)
    return empty | {"list": "", "view": f'<div class="ea-section">{common.note(text, "error")}</div>'}


def listed(services: Services, choice: Choice, everybody: Sequence[PersonView]) -> str:
    """Everybody, and what waits to be sorted out."""
    library = services.collection.library
    rest = {"groups": unnamed(services), "likenesses": len(library.likenesses()), "refused": len(library.problems())}
    return views.people(everybody, choice, rest)


def unnamed(services: Services) -> int:
    """How many groups wait for a name; none without consent to tell faces apart."""
    collection = services.collection
    return len(collection.people.groups()) if collection.library.consent() else 0


def doubtful(found: Sequence[FaceView]) -> list[FaceView]:
    """Of a person's faces those that are asked about now, the most doubtful first."""
    doubts = [face for face in found if face.belonging != "confirmed" and (face.confidence or 0) < DOUBT]
    return sorted(doubts, key=lambda face: (face.confidence or 0.0, face.id))[:ASKED]


def _nothing(_: Services, __: Choice) -> dict[str, str]:
    return {"view": views.nobody()}


def _person(services: Services, choice: Choice, everybody: Sequence[PersonView]) -> dict[str, str]:
    people = services.collection.people
    who = next((each for each in everybody if each.name == choice.name), None) or people.get(choice.name)
    others = [each.name for each in everybody if each.name != who.name]
    found = people.faces(who.name, order=choice.order)
    doubts = doubtful(found)
    asked = [question for question in people.questions(who.name, len(found) + 1) if question.kind == "age"][:QUESTIONS]
    return {
        "view": person.head(who, others, line(found, who.name)) + person.questions(asked, who.name),
        "check": faces.check(doubts, who.name) if doubts else "",
        "learn": learn.panel(plan(services, who)),
        "faces": faces.grid(found[: choice.shown], len(found), who.name, choice.order) if found else "",
    }


def line(found: Sequence[FaceView], name: str) -> str:
    """The plot of the ages in these faces."""
    from photos.people.timeline import timeline as work_out

    known = work_out(found)
    bars = [timeline.Bar(year.age, year.count, year.quality, year.estimated) for year in known.years]
    return timeline.plot(bars, known.gaps, known.sentences, name)


def plan(services: Services, who: PersonView) -> Plan:
    """What training would use, and what is known of earlier training."""
    people, personalizer = services.collection.people, services.personalizer
    running = [job for job in services.people_jobs.open_jobs() if job.kind == "personalize"]
    facts: dict[str, Any] = {
        "unfinished": personalizer.unfinished(who.name),
        "model": personalizer.model(who.name),
        "busy": any(job.request["person"] == who.folder for job in running),
    }
    selection = people.choose(who.name)
    if len(selection.chosen) < 2:
        try:
            people.training_photos(who.name)  # says why
        except InputError as error:
            return Plan(who.name, problem=str(error), **facts)
    return Plan(who.name, chosen=selection.chosen, flagged=selection.flagged[:FLAGGED], **facts)


def _groups(services: Services, choice: Choice) -> dict[str, str]:
    collection = services.collection
    consent = collection.library.consent()
    if consent is None:
        return {"view": views.consent(words.COLLECTION_CONSENT)}
    found = collection.people.groups()
    some = found[: GROUPS * choice.shown // PAGE]
    with_faces = [(group, collection.people.faces(group=group.id)[:IN_GROUP]) for group in some]
    return {"view": views.groups(with_faces, len(found), words.day(consent.given))}


def _likenesses(services: Services, choice: Choice) -> dict[str, str]:
    pairs = services.collection.library.likenesses()
    return {"view": views.likenesses(pairs[: PAIRS * choice.shown // PAGE], len(pairs))}


def _refused(services: Services, _: Choice) -> dict[str, str]:
    problems = services.collection.library.problems()
    return {"view": views.refused([(given_name(services, each.path), each.reason) for each in problems])}


def _forgotten(_: Services, choice: Choice) -> dict[str, str]:
    return {"view": views.forgotten(choice.gone)} if choice.gone else {}


MAKERS = {
    "groups": _groups,
    "likenesses": _likenesses,
    "refused": _refused,
    "forgotten": _forgotten,
}
