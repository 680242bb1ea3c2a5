"""What buttons, fields and forms of the page do at once: each act is one function, found by its name in ACTS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.errors import EveryageError, InputError
from ui.people import crops, shown, words
from ui.people.state import ORDERS, Choice
from ui.services import Services
from ui.widgets import Said

if TYPE_CHECKING:
    from photos.people import People

NOBODY_TICKED = "First tick the faces that you mean."


@dataclass(frozen=True)
class Outcome:
    """What the page shows after an act, and the sentence that says what was done."""

    choice: Choice
    text: str = ""
    kind: str = "good"


def act(services: Services, choice: Choice, said: Said) -> Outcome:
    """Do what was said. Never raises: what goes wrong is the sentence."""
    try:
        return ACTS[said.act](services, choice, said) if said.act in ACTS else Outcome(choice)
    except Exception as error:
        return Outcome(choice, services.sentence(error), "error")


# Looking


def _open(_: Services, choice: Choice, said: Said) -> Outcome:
    what, __, name = said.id.partition(":")
    return Outcome(choice.open(what, name))


def _more(_: Services, choice: Choice, __: Said) -> Outcome:
    return Outcome(choice.more())


def _order(_: Services, choice: Choice, said: Said) -> Outcome:
    return Outcome(choice.ordered(said.value if said.value in ORDERS else choice.order))


# Whose face it is


def _faces(said: Said) -> tuple[int, ...]:
    """The face whose button it is, or those that are ticked."""
    faces = (int(said.id),) if said.id.isascii() and said.id.isdigit() else said.ids
    if not faces:
        raise InputError(NOBODY_TICKED)
    return faces


def _confirm(services: Services, choice: Choice, said: Said) -> Outcome:
    faces = _faces(said)
    _people(services).confirm(faces, choice.name)
    return Outcome(choice, f"{words.count(len(faces), 'face')} confirmed as {choice.name}.")


def _confirm_shown(services: Services, choice: Choice, _: Said) -> Outcome:
    faces = [face.id for face in shown.doubtful(_people(services).faces(choice.name))]
    _people(services).confirm(faces, choice.name)
    return Outcome(choice, f"{words.count(len(faces), 'face')} confirmed as {choice.name}.")


def _reject(services: Services, choice: Choice, said: Said) -> Outcome:
    faces = _faces(said)
    _people(services).reject(faces, choice.name)
    return Outcome(choice, f"{words.count(len(faces), 'face')} taken away from {choice.name}.")


def _assign(services: Services, choice: Choice, said: Said) -> Outcome:
    name = _name(said.value)
    people = _people(services)
    people.assign(_faces(said), name)
    return Outcome(choice, f"Given to {name}.")


def _split(services: Services, choice: Choice, said: Said) -> Outcome:
    faces, name = _faces(said), _name(said.fields.get("name", ""))
    _people(services).split(faces, name)
    return Outcome(choice, f"{words.count(len(faces), 'face')} given to {name}.")


# Ages and training


def _age(services: Services, choice: Choice, said: Said) -> Outcome:
    age = words.parse_years(said.value)
    _people(services).set_age(_faces(said), age)
    return Outcome(choice, f"Age {words.years(age)} noted." if age is not None else "The typed age is taken back.")


def _ages(services: Services, choice: Choice, said: Said) -> Outcome:
    age, faces = words.parse_years(said.fields.get("age", "")), _faces(said)
    _people(services).set_age(faces, age)
    return Outcome(choice, f"Age set for {words.count(len(faces), 'face')}.")


def _use(services: Services, choice: Choice, said: Said) -> Outcome:
    from photos.library.tables import Use

    if said.value not in set(Use):
        raise InputError(f"{said.value!r} is no way to use a photo.")
    _people(services).set_use(_faces(said), Use(said.value))
    told = {
        "auto": "Everyage decides about it again.",
        "always": "It will train.",
        "never": "It is left out.",
    }
    return Outcome(choice, told[said.value])


# People


def _edit(services: Services, choice: Choice, said: Said) -> Outcome:
    people, name = _people(services), _name(said.fields.get("name", ""))
    born = words.parse_day(said.fields.get("born", ""))
    person = people.get(choice.name)
    if born != person.born:
        people.set_born(person.name, born)
    if name != person.name:
        people.rename(person.name, name)
    return Outcome(choice.open("person", name), f"Noted for {name}.")


def _merge(services: Services, choice: Choice, said: Said) -> Outcome:
    into = _name(said.fields.get("into", ""))
    _people(services).merge([choice.name], into)
    return Outcome(choice.open("person", into), f"{choice.name} and {into} are one person now.")


def _forget(services: Services, choice: Choice, _: Said) -> Outcome:
    from pipelines.forgetting import forget

    report = forget(services.settings, services.collection.library, choice.name, services.jobs)
    services.desk.clear()  # it may hold pictures
    crops.clear()
    return Outcome(choice.forgotten(report), report.sentence())


def _allow(services: Services, choice: Choice, said: Said) -> Outcome:
    if said.fields.get("consent") != "yes":
        raise InputError("Tick the box first.")
    services.collection.library.give_consent(choice.name, words.CONSENT.format(name=choice.name))
    return Outcome(choice, "Your consent is recorded.")


def _disallow(services: Services, choice: Choice, _: Said) -> Outcome:
    gone = services.collection.library.withdraw_consent(choice.name)
    return Outcome(choice, f"Consent is withdrawn; {words.count(gone, 'description')} of faces deleted.")


# Faces without a name, and photos


def _withdraw(services: Services, choice: Choice, _: Said) -> Outcome:
    gone = services.collection.library.withdraw_consent()
    return Outcome(choice, f"Consent is withdrawn; {words.count(gone, 'description')} of faces deleted.")


def _name_group(services: Services, choice: Choice, said: Said) -> Outcome:
    name = _name(said.fields.get("name", ""))
    _people(services).name_group(said.id, name, words.parse_day(said.fields.get("born", "")))
    return Outcome(choice, f"These are {name} now. The next grouping uses it.")


def _dismiss(services: Services, choice: Choice, said: Said) -> Outcome:
    _people(services).dismiss(said.id)
    return Outcome(choice, "Put aside.")


def _decide(services: Services, choice: Choice, said: Said) -> Outcome:
    from photos.library.tables import Decision

    number, _, what = said.id.partition(":")
    if what not in set(Decision) or not number.isdigit():
        raise InputError(f"{said.id!r} is no decision about two photos.")
    services.collection.library.decide(int(number), Decision(what))
    return Outcome(choice, "Both photos stay." if what == Decision.KEEP_BOTH else "One photo is put aside.")


def _decide_all(services: Services, choice: Choice, _: Said) -> Outcome:
    from photos.library.tables import Decision

    pairs = services.collection.library.likenesses()
    for pair in pairs:
        services.collection.library.decide(pair.id, Decision.KEEP_FIRST)
    return Outcome(choice, f"{words.count(len(pairs), 'pair')} decided; the better photos stay.")


def undo(services: Services, choice: Choice) -> Outcome:
    """Take the last change back."""
    try:
        what = _people(services).undo()
    except EveryageError as error:
        return Outcome(choice, str(error), "error")
    return Outcome(choice, f"Taken back: {what}." if what else "There is nothing to take back.", "info")


def _people(services: Services) -> People:
    return services.collection.people


def _name(text: str) -> str:
    name = " ".join(text.split())
    if not name:
        raise InputError("First write a name.")
    return name


ACTS: dict[str, Callable[[Services, Choice, Said], Outcome]] = {
    "open": _open,
    "more": _more,
    "order": _order,
    "confirm": _confirm,
    "confirm-shown": _confirm_shown,
    "reject": _reject,
    "assign": _assign,
    "split": _split,
    "age": _age,
    "ages": _ages,
    "use": _use,
    "edit": _edit,
    "merge": _merge,
    "forget": _forget,
    "allow": _allow,
    "disallow": _disallow,
    "withdraw": _withdraw,
    "name-group": _name_group,
    "dismiss": _dismiss,
    "decide": _decide,
    "decide-all": _decide_all,
}
