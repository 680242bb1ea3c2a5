"""The process that reads foreign files: `python -m models.foreign.worker` with one JSON object on stdin.

It answers with one JSON object on the last line of stdout: {"converted": {...}} or {"error": sentence, "exit_code": n}.
stdin stays open as long as anybody waits for the answer; when it closes, this process ends.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import EveryageError
from .guard import Forbidden, forbid, limit_memory
from .refusal import out_of_memory


def main() -> None:
    """Read the request, lock this process down, convert, answer."""
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    print(json.dumps(answer(request)), flush=True)


def _end_with_parent() -> None:
    # Not sys.stdin.read(): a thread that sleeps in there makes Python abort at its end.
    while os.read(0, 1024):
        pass
    os._exit(1)


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Convert `source` to `out` as asked, within `memory_gb`."""
    name = Path(request["source"]).name
    try:
        import torch

        from .conversion import DTYPES, convert

        torch.set_num_threads(1)  # threads' stacks would count as memory; reading is no arithmetic
        tempfile.tempdir = str(Path(request["out"]).parent)  # where PyTorch would try out a file, if it needed one
        limit_memory(request["memory_gb"])
        forbid(Path(request["out"]).parent)
        return {"converted": convert(request["source"], request["out"], dtype=DTYPES[request["dtype"]]).as_dict()}
    except EveryageError as error:
        return {"error": str(error), "exit_code": error.exit_code}
    except Forbidden as error:
        return {"error": f"{name} was refused: {error}.", "exit_code": 2}
    except OSError as error:
        return {"error": f"{name} could not be read or its result not written ({error}).", "exit_code": 1}
    except MemoryError:
        return {"error": too_large(name, request["memory_gb"]), "exit_code": 2}
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        return {"error": too_large(name, request["memory_gb"]), "exit_code": 2}


def too_large(name: str, memory_gb: float) -> str:
    """The sentence for a file that takes more memory than allowed."""
    limit = f"{memory_gb:g} GB of memory"
    return f"{name} can't be read within {limit}; it is damaged, hostile or larger than any known model."


if __name__ == "__main__":
    main()
