"""A comparison grid as a job: each picture is a chunk, the sheet is drawn when all are there."""

from __future__ import annotations

import hashlib
import json
import re
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import EveryageError, InputError
from photos.files import make_folder, read_json, write_file
from pipelines.events import CancelToken, Event
from pipelines.jobs.kind import JobKind, Tell
from pipelines.jobs.request import given_path, only_known
from pipelines.jobs.whole import DONE

if TYPE_CHECKING:
    from pipelines.generate.axes import Axis
    from pipelines.generate.compare import Cell
    from pipelines.generate.generator import ImageGenerator, Made
    from pipelines.generate.settings import GenerateSettings

HOME = "comparisons"  # in the data folder: grids that nobody asked to have elsewhere
CELL = re.compile(r"cell-(\d+)-(\d+)")
GRID = 1  # version of what is drawn


class GridJob(JobKind):
    """request: "settings" (of `GenerateSettings`), "axes" as they are typed, "out" (a picture; without it the grid goes
    to `data / "comparisons"`), "init" and "mask" (pictures to start from)."""

    name = "generate"

    def generator(self) -> ImageGenerator:
        from pipelines.generate.generator import ImageGenerator

        return ImageGenerator(self.runtime(), self.settings.data)

    def check(self, request: dict[str, Any]) -> dict[str, Any]:
        from photos.results import check_result_path
        from pipelines.generate.axes import parse_axes
        from pipelines.generate.compare import one_seed, plan_cells
        from pipelines.generate.settings import settings_from

        only_known(request, "settings", "axes", "out", "init", "mask")
        axes = parse_axes(str(request.get("axes") or ""))
        settings = one_seed(self._lasting(settings_from(request.get("settings") or {})), axes)
        plan_cells(settings, axes)  # says at once what is out of range
        checked = {"settings": settings.model_dump(mode="json"), "axes": str(request["axes"])}
        checked |= {name: _start(request.get(name)) for name in ("init", "mask")}
        if checked["mask"] and not checked["init"]:
            raise InputError("A mask needs the picture that it belongs to; give that, too.")
        out = given_path(request["out"], "a picture") if request.get("out") else self._own_name(checked)
        check_result_path(out)
        return checked | {"out": str(out)}

    def _lasting(self, settings: GenerateSettings) -> GenerateSettings:
        """Models and adapters as another process finds them. Raises InputError for those that are not here."""
        from pipelines.generate.loading import choose_model, find_adapter, lasting
        from pipelines.models import ModelStore

        store = ModelStore(self.settings.data, self.settings)
        for model in (settings.model, settings.weak):
            if model:
                choose_model(store, model)
        uses = []
        for use in settings.adapters:
            path = find_adapter(store, use.where)
            if not path.exists():
                raise InputError(f"There is no adapter {use.where}; give the id of one on the Models page, or a file.")
            named = Path(use.where).expanduser().exists()
            uses.append({"where": str(path.absolute()) if named else use.where, "weight": use.weight})
        return settings.with_changes(model=lasting(settings.model), weak=lasting(settings.weak), adapters=uses)

    def _own_name(self, checked: dict[str, Any]) -> Path:
        made_by = hashlib.sha256(json.dumps([checked, GRID], sort_keys=True).encode()).hexdigest()[:12]
        return make_folder(self.settings.data / HOME) / f"comparison-{made_by}.png"

    def title(self, request: dict[str, Any]) -> str:
        prompt = str(request["settings"]["prompt"])
        about = f" of {prompt[:40].rstrip()}{'…' if len(prompt) > 40 else ''}" if prompt else ""
        return f"Comparison{about}: {request['axes']}"

    def chunks(self, request: dict[str, Any], folder: Path) -> list[str]:
        """A picture each: "cell-01-01", "cell-01-02" in the first row, and so on."""
        if (folder / DONE).is_file():
            return []
        return [name for line in _names(request) for name in line if not (folder / f"{name}.json").is_file()]

    def of(self, request: dict[str, Any], folder: Path) -> int:
        return sum(len(line) for line in _names(request))

    def work(self, request: dict[str, Any], folder: Path, chunk: str, tell: Tell, cancel: CancelToken) -> None:
        from pipelines.generate.compare import draw_cell

        if (folder / f"{chunk}.json").is_file():
            return
        place = CELL.fullmatch(chunk)
        assert place is not None
        row, column = int(place[1]) - 1, int(place[2]) - 1
        number = row * len(_names(request)[0]) + column + 1
        words = f"Picture {number} of {self.of(request, folder)}"
        start = {name: _picture(request[name]) for name in ("init", "mask")}
        for event in draw_cell(self.generator(), _plan(request)[row][column], cancel, **start):
            if event.stage == "cell":
                _keep(folder / chunk, event.value)
            else:
                shown = event.value[0] if event.value else None
                tell(Event("sample", words, event.done, event.total, event.seconds_left, value=shown))

    def finish(self, request: dict[str, Any], folder: Path, tell: Tell, cancel: CancelToken) -> dict[str, Any]:
        """The sheet at its place; the single pictures go. Can be cut off anywhere and done again."""
        result = read_json(folder / DONE)
        if result is None:
            result = self._draw_sheet(request, folder)
            write_file(folder / DONE, json.dumps(result).encode())
        for path in folder.glob("cell-*-*.*"):
            path.unlink(missing_ok=True)
        return result

    def _draw_sheet(self, request: dict[str, Any], folder: Path) -> dict[str, Any]:
        from photos.results import save_image
        from pipelines.generate.compare import whole_grid

        plan, names = _plan(request), _names(request)
        rows = [
            [_kept(folder / name, cell) for name, cell in zip(*line, strict=True)]
            for line in zip(names, plan, strict=True)
        ]
        grid, out = whole_grid(_axes(request), rows), Path(request["out"])
        recipe = {"kind": "grid", "axes": request["axes"], "table": grid.table()[:50], "settings": request["settings"]}
        save_image(grid.image, out, recipe)
        return {"files": [str(out)], "out": str(out), "axes": request["axes"], "table": grid.table()}


def _axes(request: dict[str, Any]) -> tuple[Axis, ...]:
    from pipelines.generate.axes import parse_axes

    return parse_axes(request["axes"])


def _plan(request: dict[str, Any]) -> list[list[Cell]]:
    from pipelines.generate.compare import plan_cells
    from pipelines.generate.settings import settings_from

    return plan_cells(settings_from(request["settings"]), _axes(request))


def _names(request: dict[str, Any]) -> list[list[str]]:
    """The chunks, row by row."""
    axes = _axes(request)
    down = len(axes[1].values) if len(axes) > 1 else 1
    return [[f"cell-{i + 1:02d}-{j + 1:02d}" for j in range(len(axes[0].values))] for i in range(down)]


def _keep(place: Path, made: Made) -> None:
    """The picture first, then its figures: with them the cell is done."""
    content = BytesIO()
    made.image.convert("RGB").save(content, "PNG", compress_level=4)
    write_file(place.with_suffix(".png"), content.getvalue())
    write_file(place.with_suffix(".json"), json.dumps(made.figures).encode())


def _kept(place: Path, cell: Cell) -> Made:
    from PIL import Image

    from pipelines.generate.generator import Made

    figures = read_json(place.with_suffix(".json"))
    if figures is None:
        raise EveryageError(f"The picture {place.name} of this comparison is gone; start the comparison anew.")
    with Image.open(place.with_suffix(".png")) as image:
        return Made(image.convert("RGB"), cell.settings, figures, ())


def _start(given: Any) -> list[str]:
    """A picture to start from, as [path, sha256]; nothing for none. Raises InputError for one that can't be used."""
    from photos.opening import open_photo

    if isinstance(given, list):  # from a request that was checked
        given = given[0] if given else None
    if not given:
        return []
    photo = open_photo(given_path(given, "a picture"))
    return [str(photo.path), photo.sha256]


def _picture(given: list[str]) -> Any:
    """Raises InputError if it is not the picture any more that was given."""
    from photos.opening import open_photo

    if not given:
        return None
    path, sha256 = given
    photo = open_photo(Path(path))
    if photo.sha256 != sha256:
        raise InputError(f"The picture {path} has changed since this comparison was asked for; start it anew.")
    return photo.image
