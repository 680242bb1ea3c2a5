"""Which models can make pictures here, and how they are read: safetensors folders in diffusers' layout, no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from models.assets import assets_dir
from models.compat import ensure_torchvision
from models.errors import EveryageError, InputError
from models.guidance import GuidanceSettings, paper_says, preset
from pipelines.generate.families.registry import FAMILIES
from pipelines.generate.samplers import samplers_for
from pipelines.models import ModelStore, StoredModel
from pipelines.models.folders import INDEX, choose, local_names, read_index
from pipelines.models.names import ID
from pipelines.runtime import Runtime

EMBEDDED = "portraits"


@dataclass(frozen=True)
class ModelChoice:
    """A model that can make pictures: its id for settings, a title for people, its folder, its kind's preset."""

    id: str
    title: str
    folder: Path
    preset: str
    flow: bool

    def guidance(self) -> GuidanceSettings:
        """The settings of guidance to start from with this model."""
        return preset(self.preset)

    def paper(self) -> str:
        """One sentence on what the APG paper uses for this kind of model."""
        return paper_says(self.preset)

    def samplers(self) -> list[str]:
        """The samplers that fit."""
        return samplers_for(self.flow)


class DiffusionModels:
    """Finds models by id or folder, and loads them through the runtime's pool."""

    def __init__(self, runtime: Runtime, data: Path) -> None:
        self.runtime = runtime
        self.store = ModelStore(data, runtime.settings)

    def choices(self) -> list[ModelChoice]:
        """The embedded model, then those that the person added. What can't be opened is left out."""
        found = []
        if (assets_dir() / EMBEDDED / INDEX).is_file():
            found.append(self.choice(EMBEDDED))
        for stored in self.store.ready("diffusers"):
            if (stored.path / INDEX).is_file() and family_name(stored.path) in FAMILIES:
                found.append(self.choice(stored.id))
        return found

    def choice(self, model: str) -> ModelChoice:
        """The model of this id, or in this folder. Raises InputError if there is none, or of a kind not known."""
        return choose_model(self.store, model)

    def adapters(self) -> list[StoredModel]:
        """The adapters that the person trained or added, newest first."""
        return sorted(self.store.ready("adapter"), key=lambda stored: stored.added, reverse=True)

    def adapter(self, where: str) -> Path:
        """The file or folder of an adapter: a path, or the id of one in the store. Raises InputError."""
        return find_adapter(self.store, where)

    @contextmanager
    def use(self, *choices: ModelChoice, purpose: str = "making") -> Iterator[list[Any]]:
        """The loaded pipelines of different models, held by one run at a time: adapters and memory modes change them.

        Several are taken in the order of their folders, so that two runs never wait for each other. Each purpose has
        its own copy: pictures can be made while the same model is being trained.
        """
        found: dict[Path, Any] = {}
        with ExitStack() as stack:
            for choice in sorted(choices, key=lambda c: c.folder):
                key = ("diffusion", purpose, str(choice.folder))
                held = stack.enter_context(self.runtime.pool.use(key, partial(self._load, choice)))
                stack.enter_context(held["lock"])
                found[choice.folder] = held["pipe"]
            yield [found[choice.folder] for choice in choices]

    def _load(self, choice: ModelChoice) -> dict[str, Any]:
        """The pool counts what lies in the dict: the networks beside the pipeline that joins them."""
        import torch

        ensure_torchvision()
        from diffusers import DiffusionPipeline
        from diffusers.utils import logging as diffusers_words
        from transformers.utils import logging as transformers_words

        for words in (diffusers_words, transformers_words):  # bars and warnings would run into the app's own
            words.disable_progress_bar()
            words.set_verbosity_error()
        index = read_index((choice.folder / INDEX).read_bytes(), choice.id)
        choose(local_names(choice.folder), index, choice.id)  # says which part has no weights that can be read
        # Small models gain nothing from half width on a CPU; the runtime decides for the others.
        dtype = torch.float32 if choice.id == EMBEDDED else self.runtime.dtype
        try:
            pipe = DiffusionPipeline.from_pretrained(
                choice.folder, local_files_only=True, use_safetensors=True, torch_dtype=dtype, low_cpu_mem_usage=False
            )
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise InputError(f"The model {choice.id} can't be opened ({error}); give another copy.") from error
        pipe.set_progress_bar_config(disable=True)
        parts = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
        for part in parts.values():
            part.eval().requires_grad_(False)  # onto the device when it is used: not every model fits there whole
        # No RLock: a run is a generator, and a page may take its steps in one thread and end it in another.
        return {"pipe": pipe, "lock": threading.Lock(), **parts}


def choose_model(store: ModelStore, model: str) -> ModelChoice:
    """See `DiffusionModels.choice`; loads nothing and needs no device."""
    title, folder = _place(store, model)
    name = family_name(folder)
    if name not in FAMILIES:
        raise InputError(f"{model} is a {name}, which can't be run here; choose a model of {', '.join(FAMILIES)}.")
    preset = EMBEDDED if model == EMBEDDED else FAMILIES[name].preset
    return ModelChoice(model, title, folder, preset, FAMILIES[name].flow)


def find_adapter(store: ModelStore, where: str) -> Path:
    """See `DiffusionModels.adapter`."""
    path = Path(where).expanduser()
    if path.exists() or not ID.fullmatch(where):
        return path
    known = {stored.id: stored for stored in store.ready("adapter")}
    if where not in known:
        raise InputError(f"There is no adapter {where}; give the id of one on the Models page, or a file or folder.")
    return known[where].path


def lasting(model: str) -> str:
    """A model's folder as its full path, so that another process finds it from anywhere; an id as it is."""
    folder = Path(model).expanduser()
    named = "/" in model or "\\" in model or model.startswith(".")
    return str(folder.resolve()) if named and folder.is_dir() else model


def _place(store: ModelStore, model: str) -> tuple[str, Path]:
    if model == EMBEDDED:
        folder = assets_dir() / EMBEDDED
        if not (folder / INDEX).is_file():
            raise EveryageError(f"The embedded model is missing from {folder}; install the app again.")
        return "Portraits, 128 px (embedded)", folder
    if ("/" in model or "\\" in model or model.startswith(".")) and Path(model).expanduser().is_dir():
        folder = Path(model).expanduser().resolve()
        if not (folder / INDEX).is_file():
            raise InputError(f"The folder {model} holds no {INDEX}; give the folder of a diffusers model.")
        return folder.name, folder
    path = store.path(model)
    return next((s.title for s in store.ready() if s.id == model), model), path


def family_name(folder: Path) -> str:
    """The pipeline class that a folder's index names. Raises InputError for a damaged index or foreign code."""
    return str(read_index((folder / INDEX).read_bytes(), folder.name)["_class_name"])
