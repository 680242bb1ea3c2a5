"""Bringing a file or folder into the store: checked, converted if it is a foreign one, and written down.

`bring` fills an empty folder; whoever calls it gives that folder its final name, so that a model is there whole or
not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from models import foreign
from models.catalog import ModelFile, ModelRecord
from models.errors import InputError
from models.header import Header, read_header
from pipelines.events import CancelToken, Event
from pipelines.models import adapters, folders
from pipelines.models.stored import ADAPTER, PIPELINE, WEIGHTS, StoredFile, StoredModel
from pipelines.models.transfer import check_disk, hashing

DIFFUSERS, DIFFUSERS_FILE = "diffusers", "diffusers-file"
SUFFIXES = (".safetensors", ".pt", ".pth", ".pkl", ".bin", ".ckpt")
TASK_OF = {
    "everyage-stylegan2": "generator",
    "everyage-age-encoder": "aging",
    "everyage-sam": "aging",
    "everyage-adapter": "personal",
    "everyage-dex": "reading",
    "everyage-irse50": "reading",
    DIFFUSERS: "text-to-image",
    DIFFUSERS_FILE: "text-to-image",
    adapters.FOLDER_KIND: "adapter",
    adapters.FILE_KIND: "adapter",
}
PLACES = {DIFFUSERS: PIPELINE, adapters.FOLDER_KIND: ADAPTER}
"""What a folder of each kind is called in the store."""
# How the tensors of one-file text-to-image models begin: Stable Diffusion 1 to 3, Flux, PixArt.
ONE_FILE = ("model.diffusion_model.", "double_blocks.0.", "t_embedder.mlp.")
CHUNK = 4_000_000


@dataclass
class _Found:
    """What a source turned out to be."""

    kind: str
    files: tuple[StoredFile, ...]
    title: str = ""
    sha256: str = ""
    contained: tuple[str, ...] = ()
    config: dict[str, object] | None = None


def bring(
    source: Path,
    into: Path,
    record: ModelRecord,
    origin: dict[str, str],
    cancel: CancelToken,
    spare: int,
    move: bool = False,
) -> Iterator[Event]:
    """Fill the empty folder `into` from `source`. The last event has stage "stored" and the `StoredModel` as value.

    origin: where the source came from, for the record. spare: bytes to leave free on the disk.
    move: the files of a folder need not stay where they are.
    Raises InputError where the source is not what `record` says, or nothing that is known; Cancelled.
    """
    found = _Found("", ())
    if source.is_dir():
        steps = _folder(source, into, record, found, cancel, None if move else spare)
    else:
        steps = _file(source, into, record, found, cancel, spare)
    yield from steps
    _check_kind(source, record, found)
    stored = _stored(into, record, origin, found)
    stored.write(into)
    yield Event("stored", f"{stored.title} is ready", 1, 1, value=stored)


def check_source(path: Path, record: ModelRecord) -> None:
    """Raises InputError unless there is a file or folder of a kind that can be added."""
    try:
        there = path.exists()
        empty = there and path.is_file() and path.stat().st_size == 0
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputError(f"{str(path)!r} can't be read ({error}); check the name.") from error
    if not there:
        raise InputError(f"There is nothing at {path}; check the name.")
    if empty:
        raise InputError(f"{path} is empty; give another copy.")
    if path.is_file() and path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path} is no model file; those end in {', '.join(SUFFIXES)}.")


def _folder(
    source: Path, into: Path, record: ModelRecord, found: _Found, cancel: CancelToken, spare: int | None
) -> Iterator[Event]:
    """Copy what is needed of a folder; without `spare` the files are moved."""
    if adapters.is_adapter(source):
        names = adapters.adapter_names(source)
        found.kind, found.contained = adapters.FOLDER_KIND, adapters.described(source)
    else:
        names = _pipeline(source, record, found)
    done, total = 0, sum((source / name).stat().st_size for name in names)
    if spare is not None:
        check_disk(into, total, spare)
    for name in names:
        if name.endswith(folders.WEIGHTS):
            read_header(source / name)
    files = []
    place = into / PLACES[found.kind]
    for name in names:
        target = place / name
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        for size in _copy(source / name, target if spare is not None else None, digest, cancel):
            done += size
            yield Event("copy", f"Taking in {name}", done, total)
        files.append(StoredFile(name, (source / name).stat().st_size, digest.hexdigest()))
    if spare is None:  # only now, when nothing can stop it half-way
        for name in names:
            (source / name).rename(place / name)
    found.files = tuple(files)


def _pipeline(source: Path, record: ModelRecord, found: _Found) -> list[str]:
    """The files of a Diffusers folder that are needed."""
    index = source / folders.INDEX
    if not index.is_file():
        raise InputError(f"{source} is no Diffusers folder (it has no {folders.INDEX}); give the folder that has one.")
    what = record.title if record.source.kind == "hub" else source.name
    parts = folders.read_index(index.read_bytes(), what)
    found.kind, found.contained = DIFFUSERS, (str(parts["_class_name"]),)
    return folders.choose(folders.local_names(source), parts, what, record.variant)


def _file(
    source: Path, into: Path, record: ModelRecord, found: _Found, cancel: CancelToken, spare: int
) -> Iterator[Event]:
    check_disk(into, source.stat().st_size, spare)
    header = read_header(source) if source.suffix.lower() == ".safetensors" else None
    known = None if header is not None and header.kind else _published(source, record)
    if known is not None:
        yield from _check_published(source, known, cancel)
    out = into / WEIGHTS
    kind = _kept_as_it_is(header)
    if header is not None and kind is not None:
        digest = hashlib.sha256()
        done, total = 0, source.stat().st_size
        for size in _copy(source, out, digest, cancel):
            done += size
            yield Event("copy", f"Copying {source.name}", done, total)
        found.kind, found.sha256 = kind, digest.hexdigest()
        found.contained = (f"{len(header.shapes)} tensors",)
        found.files = (StoredFile(WEIGHTS, total, found.sha256),)
        return
    yield Event("convert", f"Reading {source.name} in a process of its own; nothing in it is run")
    sha256 = known.sha256 if known else None  # once more, of what is really read
    made = foreign.convert_safely(source, out, sha256=sha256, cancel=lambda: cancel.cancelled)
    cancel.check()
    digest = hashlib.sha256()
    yield from hashing(out, "Noting what it should stay", digest, cancel)
    found.kind, found.title, found.sha256, found.contained = made.kind, made.title, made.sha256, made.contained
    found.config = dict(read_header(out).config)
    found.files = (StoredFile(WEIGHTS, out.stat().st_size, digest.hexdigest()),)


def _kept_as_it_is(header: Header | None) -> str | None:
    """The kind of a safetensors file that other libraries read themselves; None for all others."""
    if header is None or header.kind is not None:
        return None
    if any(name.startswith(ONE_FILE) for name in header.shapes):
        return DIFFUSERS_FILE
    return adapters.FILE_KIND if adapters.is_lora(header) else None


def _published(source: Path, record: ModelRecord) -> ModelFile | None:
    """The published file that this one must equal, if it is that of a model in the catalog."""
    known = record.files[0] if len(record.files) == 1 else None
    return known if known and Path(known.name).suffix == source.suffix.lower() else None


def _check_published(source: Path, known: ModelFile, cancel: CancelToken) -> Iterator[Event]:
    """Hold a published file to its published size and SHA-256, where they are known."""
    other = "to use it all the same, add it as a model of your own, with a name"
    size = source.stat().st_size
    if known.bytes is not None and size != known.bytes:
        raise InputError(f"{source} has {size:,} bytes and the published {known.name} {known.bytes:,}; {other}.")
    if known.sha256 is not None:
        digest = hashlib.sha256()
        yield from hashing(source, f"Comparing {source.name} with the published file", digest, cancel)
        if digest.hexdigest() != known.sha256:
            found = f"sha256 {digest.hexdigest()[:12]}... instead of {known.sha256[:12]}..."
            raise InputError(f"{source} is not the published {known.name} ({found}); {other}.")


def _copy(source: Path, target: Path | None, digest: hashlib._Hash, cancel: CancelToken) -> Iterator[int]:
    """Copy, with the bytes going through `digest`; yields how many came each time. Without target it only reads."""
    with source.open("rb") as reading, contextlib.ExitStack() as stack:
        writing = stack.enter_context(target.open("xb")) if target is not None else None
        while chunk := reading.read(CHUNK):
            cancel.check()
            digest.update(chunk)
            if writing is not None:
                writing.write(chunk)
            yield len(chunk)


def _check_kind(source: Path, record: ModelRecord, found: _Found) -> None:
    """A model of the catalog must be what the catalog says; a personal one may come as the small adapter alone."""
    if record.source.kind == "own":
        return
    fits = {record.kind} | ({"everyage-adapter"} if record.task == "personal" else set())
    if record.kind == DIFFUSERS:
        fits.add(DIFFUSERS_FILE)
    # SAM, pSp and personal models share one form, so the purpose counts, too.
    if found.kind not in fits or _task(found) != record.task:
        what = found.title or found.kind
        raise InputError(f"{source} ({what}) is not {record.title}; add it as a model of your own, with a name.")


def _task(found: _Found) -> str:
    """What a model is for, by its kind and parts: an adapter makes it one person's, and pSp knows of no age."""
    config = found.config or {}
    if config.get("adapter"):
        return "personal"
    encoder = config.get("encoder")
    if found.kind == "everyage-sam" and isinstance(encoder, dict) and encoder.get("input_nc") == 3:
        return "encoder"
    return TASK_OF.get(found.kind, "generator")


def _stored(into: Path, record: ModelRecord, origin: dict[str, str], found: _Found) -> StoredModel:
    config = found.config or {}
    return StoredModel(
        id=record.id,
        title=record.title,
        task=_task(found),
        kind=found.kind,
        licence=record.licence.id,
        path=into / PLACES.get(found.kind, WEIGHTS),
        files=found.files,
        origin=origin | ({"sha256": found.sha256} if found.sha256 else {}),
        added=datetime.now().astimezone().isoformat(timespec="seconds"),
        contained=found.contained,
        resolution=record.resolution or _resolution(config),
        variant=record.variant,
    )


def _resolution(config: dict[str, object]) -> int | None:
    decoder = config.get("decoder")
    value = config.get("resolution") or (decoder.get("resolution") if isinstance(decoder, dict) else None)
    return value if isinstance(value, int) else None
