"""A training that is killed again and again: run as a program, in a process of its own, because it forks.

    python -m tests.killed_training PICTURES MODEL DATA OUT KILLS

Prints the steps that were reached at each kill, as JSON.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from pipelines.finetune.finetuner import Finetuner, finish
from pipelines.finetune.settings import FinetuneSettings
from pipelines.finetune.stored import unfinished
from pipelines.runtime import Runtime
from pipelines.settings import Settings

STEPS = 160


def asked(model: str) -> FinetuneSettings:
    return FinetuneSettings(
        model=model, method="sara", strength="strong", steps=STEPS, batch=1, side=16, rate=0.002, save_every=1,
        sample_every=150, ema=0.9,
    )  # fmt: skip


def train(pictures: str, model: str, data: Path, out: Path) -> None:
    tuner = Finetuner(Runtime(Settings(data=data, device="cpu", offline=True)), data)
    finish(tuner.run(pictures, asked(model), out=out))


def step(data: Path) -> int:
    """The step that can be gone on from."""
    return next((one.step for one in unfinished(data)), 0)


def wait(data: Path, chance: random.Random, start: float) -> None:
    """Until a random moment: while it starts, or a few steps on and then anywhere within a step or a save."""
    if chance.random() < 0.25:
        time.sleep(chance.uniform(0, start))
        return
    goal = step(data) + chance.randint(1, STEPS // 20)
    while step(data) < goal:
        time.sleep(0.005)
    time.sleep(chance.uniform(0, 0.05))


def main(pictures: str, model: str, data: str, out: str, kills: str) -> None:
    torch.set_num_threads(1)
    chance = random.Random(7)
    reached: list[int] = []
    warm = Path(data) / "warm"
    warm.mkdir(parents=True)
    for i in range(2):  # everything is imported before the first fork; the second time says how long a start takes
        began = time.monotonic()
        tuner = Finetuner(Runtime(Settings(data=warm, device="cpu", offline=True)), warm)
        finish(tuner.run(pictures, asked(model).model_copy(update={"steps": 1}), out=warm / f"out-{i}"))
    start = time.monotonic() - began
    while True:
        child = os.fork()
        if child == 0:
            try:
                train(pictures, model, Path(data), Path(out))
            finally:
                os._exit(0 if (Path(out) / "adapter_config.json").is_file() else 1)
        if len(reached) < int(kills):
            wait(Path(data), chance, start)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            reached.append(step(Path(data)))
            continue
        _, status = os.waitpid(child, 0)
        print(json.dumps({"reached": reached, "ended": os.waitstatus_to_exitcode(status)}))
        return


if __name__ == "__main__":
    main(*sys.argv[1:])
