"""A reader of pickles that cannot execute anything: it knows no import, no class and no function of Python's.

A pickle is a program for a small stack machine (PEP 307, PEP 3154, `pickletools`). This machine follows the steps that
build plain data. A global stays a mere name; where the program calls one, the name is looked up in a table of `Rule`s
of our own, and a name that is not in the table ends the reading. What a pickle can do to Python's own machine with
memory (huge lengths, wild memo numbers, dictionary keys that take for ever to hash) is bounded here, too.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from .refusal import Damaged, Refused, shown

MAX_STEPS = 5_000_000
MAX_LINE = 4096
MAX_INTEGER_BYTES = 64
PROTOCOLS = range(2, 6)
Rule = Callable[..., Any]


@dataclass(frozen=True)
class Global:
    """A name that the pickle asks for, "module.name"; never looked up in Python."""

    name: str


@dataclass
class Record:
    """An object of a class that is known only by name: its attributes, as plain data."""

    name: str
    state: dict[Any, Any] = field(default_factory=dict)

    def build(self, state: Any) -> None:
        """Take over the attributes that the pickle gives."""
        if type(state) is not dict:
            raise Refused(f"gives {self.name} a state that is no dictionary")
        self.state.update(state)


class Bounded:
    """A file from its present position on; a length that is longer than what is left is an error before any memory
    is taken for it."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def read(self, count: int) -> bytes:
        if not 0 <= count <= self._size - self._file.tell():
            raise Damaged("it is cut short, or the length of a value in it is a lie")
        return self._file.read(count)

    def readline(self) -> bytes:
        line = self._file.readline(MAX_LINE)
        if not line.endswith(b"\n"):
            raise Damaged("a line in it is cut off or too long")
        return line

    def tell(self) -> int:
        return self._file.tell()


class Machine:
    """Reads pickles out of one stream, one `load()` after the other.

    calls: for each global that may be called, what its call stands for. constants: globals that stand for a value
    themselves. persistent: what a persistent id stands for; without it, such an id is refused.
    """

    def __init__(
        self,
        stream: BinaryIO,
        size: int,
        calls: Mapping[str, Rule],
        constants: Mapping[str, Any] | None = None,
        persistent: Rule | None = None,
    ) -> None:
        self._stream = Bounded(stream, size)
        self._calls, self._constants, self._persistent = calls, constants or {}, persistent
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def load(self) -> Any:
        """The value of the next pickle. Raises Refused or Damaged."""
        self._stack, self._marks, self._memo = [], [], {}
        try:
            for steps, (opcode, argument, _) in enumerate(pickletools.genops(self._stream)):  # type: ignore[arg-type]
                if steps > MAX_STEPS:
                    raise Refused(f"has more than {MAX_STEPS:,} steps")
                if opcode.name == "STOP":
                    return self._pop()
                step = _STEPS.get(opcode.name)
                if step is None:
                    raise Refused(f"uses the pickle operation {opcode.name}")
                step(self, argument)
        except (ValueError, TypeError, LookupError, OverflowError) as error:
            # genops answers bytes that are no pickle with ValueError, KeyError and the like.
            raise Damaged(f"it is no whole pickle: {shown(str(error))}") from error
        raise Damaged("it has no end")

    # The stack

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise Damaged("it takes a value that is not there")
        return self._stack.pop()

    def _mark(self, _: Any) -> None:
        self._marks.append(len(self._stack))

    def _pop_mark(self) -> list[Any]:
        if not self._marks:
            raise Damaged("it closes a group that was not opened")
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def _discard(self, _: Any) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._pop()

    def _top(self, kind: type, what: str) -> Any:
        top = self._pop()
        self._push(top)
        if type(top) is not kind:
            raise Refused(f"adds items to what is no {what}")
        return top

    # Values

    def _protocol(self, version: int) -> None:
        if version not in PROTOCOLS:
            raise Damaged(f"it is no whole pickle: protocol {version}")

    def _tuple(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self._push(tuple(reversed(values)))

    def _integer(self, value: int) -> None:
        if value.bit_length() > 8 * MAX_INTEGER_BYTES:
            raise Refused("holds an integer of absurd size")
        self._push(value)

    def _extend(self, values: list[Any]) -> None:
        self._top(list, "list").extend(values)

    def _update(self, values: list[Any]) -> None:
        target = self._top(dict, "dictionary")
        if len(values) % 2:
            raise Damaged("a dictionary in it has a key without a value")
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[checked_key(key)] = value

    def _dictionary(self, _: Any) -> None:
        values = self._pop_mark()
        self._push({})
        self._update(values)

    # The memo: a dict, so that a wild number costs nothing

    def _remember(self, index: int | None) -> None:
        value = self._pop()
        self._push(value)
        self._memo[len(self._memo) if index is None else int(index)] = value

    def _recall(self, index: int) -> None:
        if int(index) not in self._memo:
            raise Damaged(f"it refers to the value {shown(index)} before it is there")
        self._push(self._memo[int(index)])

    # Names and calls

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._name(module, name)

    def _stack_global(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        if type(name) is not str or type(module) is not str:
            raise Refused("names a global with what is no text")
        self._name(module, name)

    def _name(self, module: str, name: str) -> None:
        full = f"{module}.{name}"
        if full in self._constants:
            self._push(self._constants[full])
        elif full in self._calls:
            self._push(Global(full))
        else:
            raise Refused(f"asks for {shown(full)}, which weights do not need")

    def _call(self, _: Any) -> None:
        arguments, function = self._pop(), self._pop()
        if type(function) is not Global or type(arguments) is not tuple:
            raise Refused("calls what is no known global")
        self._push(self._calls[function.name](*arguments))

    def _build(self, _: Any) -> None:
        """Attributes of an object: kept as data in a Record, never set on anything of Python's.

        A state_dict carries version numbers in an attribute `_metadata`, which is dropped.
        """
        state, target = self._pop(), self._pop()
        self._push(target)
        if isinstance(target, Record):
            target.build(state)
        elif type(target) is not dict or type(state) is not dict or set(state) - {"_metadata"}:
            raise Refused("sets attributes of what should have none")

    def _persist(self, _: Any) -> None:
        if self._persistent is None:
            raise Refused("uses a persistent id")
        self._push(self._persistent(self._pop()))


def checked_key(key: Any) -> str | int | float | None:
    """A dictionary key of a kind that costs nothing to hash (nested tuples can cost for ever)."""
    if key is not None and type(key) not in (str, int, float, bool):
        raise Refused(f"has a dictionary key of type {type(key).__name__}")
    return key


def _one(value: Any) -> Callable[[Machine, Any], None]:
    return lambda machine, _: machine._push(value)


def _drop(_: Any) -> None:
    """Values that nobody wants."""


def _append(machine: Machine, _: Any) -> None:
    machine._extend([machine._pop()])


def _set_item(machine: Machine, _: Any) -> None:
    value, key = machine._pop(), machine._pop()
    machine._update([key, value])


_STEPS: dict[str, Callable[[Machine, Any], None]] = {
    "PROTO": Machine._protocol,
    "FRAME": lambda machine, _: None,
    "NONE": _one(None),
    "NEWTRUE": _one(True),
    "NEWFALSE": _one(False),
    "EMPTY_TUPLE": _one(()),
    "EMPTY_LIST": lambda machine, _: machine._push([]),
    "EMPTY_DICT": lambda machine, _: machine._push({}),
    # Sets are kept as lists: nothing of theirs is needed, and nothing is hashed.
    "EMPTY_SET": lambda machine, _: machine._push([]),
    "FROZENSET": lambda machine, _: machine._push(machine._pop_mark()),
    "LIST": lambda machine, _: machine._push(machine._pop_mark()),
    "TUPLE": lambda machine, _: machine._push(tuple(machine._pop_mark())),
    "TUPLE1": lambda machine, _: machine._tuple(1),
    "TUPLE2": lambda machine, _: machine._tuple(2),
    "TUPLE3": lambda machine, _: machine._tuple(3),
    "DICT": Machine._dictionary,
    "MARK": Machine._mark,
    "POP": Machine._discard,
    "POP_MARK": lambda machine, _: _drop(machine._pop_mark()),
    "APPEND": _append,
    "APPENDS": lambda machine, _: machine._extend(machine._pop_mark()),
    "ADDITEMS": lambda machine, _: machine._extend(machine._pop_mark()),
    "SETITEM": _set_item,
    "SETITEMS": lambda machine, _: machine._update(machine._pop_mark()),
    "MEMOIZE": Machine._remember,
    "GLOBAL": Machine._global,
    "STACK_GLOBAL": Machine._stack_global,
    "REDUCE": Machine._call,
    "NEWOBJ": Machine._call,
    "BUILD": Machine._build,
    "BINPERSID": Machine._persist,
}
_STEPS |= dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), Machine._remember)
_STEPS |= dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Machine._recall)
_STEPS |= dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"), Machine._integer)
_TEXTS = ("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
_BYTES = ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "FLOAT", "BINFLOAT")
_STEPS |= dict.fromkeys((*_TEXTS, *_BYTES), Machine._push)


def load_bytes(data: bytes, calls: Mapping[str, Rule], **options: Any) -> Any:
    """`Machine.load` of a pickle in memory."""
    return Machine(io.BytesIO(data), len(data), calls, **options).load()
