"""How much a personal adapter gains over everybody's aging, on rendered people whose every age is known.

    python -m bench.personal --people FOLDER --out docs/personal.json --sheet docs/personal.webp

FOLDER holds a folder for each person: `reg` (photos at 30 to 70), `prog` (at 20 to 40), `truth` (other photos at all
ages), each with its pictures and a `meta.jsonl` that has `file` and `age`. Two tasks, as in the paper: from a photo at
70 to 10 ... 70 with the model learnt at 30 to 70, and from a photo at 40 to 40 ... 90 with that learnt at 20 to 40.
Renders begin at 7 years, so 10 is the youngest target.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from PIL import Image

from models.faces.align import align_crop, ffhq_quad
from models.faces.detect import FaceDetector, detect_faces, load_detector
from models.faces.identity import load_identity_net
from models.images import to_tensor
from pipelines.aging.compose import enlarge
from pipelines.aging.loading import AgingModels
from pipelines.aging.nets import AgingNets
from pipelines.aging.personal import PersonalNets
from pipelines.aging.subject import landmarks_in_crop
from pipelines.personalize.album import Album, mirror_points
from pipelines.personalize.evaluation import Evaluation, Eyes, evaluate
from pipelines.personalize.everyage import Everyage
from pipelines.personalize.judges import Judges, make_judges
from pipelines.personalize.method import Method, Setting
from pipelines.personalize.official import Official
from pipelines.personalize.report import contact_sheet
from pipelines.personalize.student import Student
from pipelines.personalize.training import Trainer
from pipelines.personalize.validation import hold_out
from pipelines.runtime import Runtime
from pipelines.settings import load_settings

TASKS = {"regression": ("reg", 70.0, range(10, 71, 10)), "progression": ("prog", 40.0, range(40, 91, 10))}
METHODS: dict[str, Method] = {
    "everyage": Everyage(),
    "official": Official(),
    "without personal loss": Everyage(personal=0.0),
    "without extrapolation regularisation": Everyage(outside=0.0, colour=0.0),
    "without adaptive w-norm": Everyage(adaptive=0.0),
    "without age loss": Everyage(age=0.0),
    "adapter alone": Everyage(tunes_generator=False),
}


def read_folder(folder: Path, detector: FaceDetector, size: int) -> Album:
    """The pictures of a folder, aligned; those without a face are left out."""
    crops, points, ages = [], [], []
    for line in (folder / "meta.jsonl").read_text().splitlines():
        row = json.loads(line)
        with Image.open(folder / row["file"]) as image:
            photo = image.convert("RGB")
        faces = detect_faces(photo, detector)
        if faces:
            quad = ffhq_quad(faces[0].landmarks)
            crops.append(enlarge(to_tensor(align_crop(photo, quad, 2 * size)), size))
            points.append(landmarks_in_crop(faces[0].landmarks, quad, size))
            ages.append(float(row["age"]))
    plain, places = torch.cat(crops), torch.cat(points)
    both = torch.cat([plain, plain.flip(3)]), torch.cat([places, mirror_points(places, size)])
    return Album(*both, torch.tensor(ages).repeat(2), tuple(range(len(ages))), str(folder))


def learn(album: Album, nets: AgingNets, judges: Judges, method: Method, steps: int) -> tuple[PersonalNets, float]:
    """A model trained on the album but for its held-out faces, and the seconds that it took, preparation included."""
    began = time.monotonic()
    train, _ = hold_out(album)
    setting = Setting(Student(nets, method.tunes_generator, method.tiny_start, 0), nets, judges, train)
    for _ in setting.prepare():
        pass
    trainer = Trainer(setting, method, steps, 0)
    while trainer.step < steps:
        trainer.train_step()
    taken = time.monotonic() - began
    student = setting.student.eval()
    covered = (album.youngest, album.oldest)
    shared = (nets.fingerprint, nets.perceptual, nets.mirrored, nets.tune_steps)
    return PersonalNets("", nets, student.adapter, student.synthesis, covered, *shared), taken


def thin(album: Album, count: int) -> Album:
    """So many faces of the album, spread over its ages."""
    order = album.ages[: len(album)].argsort(stable=True)
    return album.part(order[torch.linspace(0, len(order) - 1, min(count, len(order))).long()].tolist())


def measure(
    folder: Path, task: str, nets: AgingNets, judges: Judges, eyes: Eyes, method: Method, steps: int, photos: int
) -> tuple[dict[str, Any], Evaluation]:
    """One person, one task, one way to learn."""
    name, source, targets = TASKS[task]
    detector = load_detector()
    size = min(nets.resolution, 256)
    own, seconds = learn(thin(read_folder(folder / name, detector, size), photos), nets, judges, method, steps)
    truth = read_folder(folder / "truth", detector, size)
    ages = truth.ages[: len(truth)].tolist()
    inputs = [place for place, age in enumerate(ages) if age == source]
    rest = [place for place in range(len(ages)) if place not in inputs]
    *_, result = evaluate(nets, own, truth.part(inputs), truth.part(rest), [float(age) for age in targets], eyes)
    return result.as_dict() | {"seconds": round(seconds, 1), "steps": steps, "photos": photos}, result


def runs(people: list[Path], methods: list[str], tasks: list[str]) -> Iterator[tuple[Path, str, str]]:
    for method in methods:
        for task in tasks:
            for folder in people:
                yield folder, task, method


def main(
    people: Annotated[Path, typer.Option(help="A folder with a folder for each person.")],
    out: Annotated[Path, typer.Option(help="JSON; what is in it already is not measured again.")],
    seeds: Annotated[str, typer.Option(help="Names of the people's folders, with commas.")],
    methods: str = "everyage",
    tasks: str = ",".join(TASKS),
    steps: int = 0,
    photos: int = 50,
    sheets: Annotated[Path | None, typer.Option(help="A folder for contact sheets.")] = None,
) -> None:
    """Measure, person after person."""
    torch.set_flush_denormal(True)
    runtime = Runtime(load_settings())
    nets = AgingModels(runtime, Path("/nonexistent")).nets()
    judges = make_judges(runtime, nets)
    eyes = Eyes(load_identity_net(), judges.age)
    done: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
    folders = [people / seed for seed in seeds.split(",")]
    for folder, task, name in runs(folders, methods.split(","), tasks.split(",")):
        method = METHODS[name]
        count = steps or method.steps
        key = f"{name}, {photos} photos, {count} steps, {task}, {folder.name}"
        if key in done:
            continue
        figures, result = measure(folder, task, nets, judges, eyes, replace(method, steps=count), count, photos)  # type: ignore[type-var]
        done = (json.loads(out.read_text()) if out.exists() else {}) | {key: figures}
        out.write_text(json.dumps(done, indent=1))
        if sheets is not None:
            contact_sheet(result).save(sheets / f"{key.replace(', ', '-').replace(' ', '_')}.webp", quality=85)
        short = {name: round(figures[name], 3) for name in figures if name not in ("inputs", "targets")}
        print(key, json.dumps(short), flush=True)


if __name__ == "__main__":
    typer.run(main)
