"""Render people at known ages into a folder that `training.rendered` reads; what is there already is skipped.

python -m training.heads SET/same_view --assets ASSETS --people 0:560 --ages 8,18,...,88 --same-view
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

from models.errors import EveryageError
from training.allocator import keep_freed_memory
from training.heads.album import FORMATS, missing, numbers, plan, render_album
from training.heads.render import Heads


def main() -> int:
    options = _parser().parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    try:
        jobs = plan(numbers(options.people), numbers(options.ages), options.views, options.same_view, options.format)
        rest = missing(options.out, jobs)
        print(f"{len(jobs)} pictures, {len(jobs) - len(rest)} already there", flush=True)
        if rest:
            heads = Heads(options.assets, options.device)
            began = time.monotonic()
            for done in render_album(heads, options.out, rest, size=options.size, supersample=options.supersample,
                                     batch=options.batch, calm=options.calm, quality=options.quality):  # fmt: skip
                print(f"{done}/{len(rest)}  {done / (time.monotonic() - began):.2f} pictures/s", flush=True)
    except EveryageError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.heads", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder for pictures and meta.jsonl; one for each size and kind of set")
    parser.add_argument("--assets", type=Path, required=True, help="folder of meshes and skins; not in the project")
    parser.add_argument("--people", required=True, help="person seeds: 0:100 (end left out) or 3,5,8")
    parser.add_argument("--ages", required=True, help="years: 10,20,...,90")
    parser.add_argument("--views", type=int, default=1, help="pictures of each person at each age")
    parser.add_argument("--same-view", action="store_true", help="the same photo situation at all ages of a person")
    parser.add_argument("--calm", action="store_true", help="milder poses")
    parser.add_argument("--size", type=int, default=128, help="side of the pictures in pixels")
    parser.add_argument("--supersample", type=int, default=2, help="samples along a pixel's side")
    parser.add_argument("--batch", type=int, default=4, help="pictures at once; more on a GPU")
    parser.add_argument("--format", choices=FORMATS, default="webp")
    parser.add_argument("--quality", type=int, default=92, help="of WebP")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    return parser


if __name__ == "__main__":
    sys.exit(main())
