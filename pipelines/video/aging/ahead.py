"""Work of one stage while the next one works."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from typing import Any, TypeVar

T = TypeVar("T")
WAIT_S = 0.1
_END = object()


class _Failed:
    def __init__(self, error: BaseException) -> None:
        self.error = error


def ahead(items: Generator[T, None, None], depth: int) -> Generator[T, None, None]:
    """The same items, made in a thread of their own, up to `depth` of them before they are asked for.

    What making them raises is raised here. When this iterator is closed, the thread ends after its present item, and
    `items` is closed in it.
    """
    made: queue.Queue[Any] = queue.Queue(depth)
    closed = threading.Event()
    thread = threading.Thread(target=_make, args=(items, made, closed), daemon=True)
    thread.start()
    try:
        while (item := made.get()) is not _END:
            if isinstance(item, _Failed):
                raise item.error
            yield item
    finally:
        closed.set()
        thread.join()


def _make(items: Generator[T, None, None], made: queue.Queue[Any], closed: threading.Event) -> None:
    try:
        for item in items:
            if not _put(item, made, closed):
                return
        _put(_END, made, closed)
    except BaseException as error:
        _put(_Failed(error), made, closed)
    finally:
        items.close()


def _put(item: object, made: queue.Queue[Any], closed: threading.Event) -> bool:
    """Wait for a free place; False if nobody wants the item any more."""
    while not closed.is_set():
        try:
            made.put(item, timeout=WAIT_S)
            return True
        except queue.Full:
            continue
    return False
