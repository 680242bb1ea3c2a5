"""What the catalog says of a model: plain records, no code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

SourceKind = Literal["shipped", "url", "hub", "drive", "own"]
GB = 1_000_000_000
TASKS = {
    "aging": "Aging a face",
    "personal": "One person's own aging",
    "generator": "Faces and pictures from StyleGAN2",
    "encoder": "Reading a photo into a generator",
    "text-to-image": "Pictures from words",
    "adapter": "Adapters for pictures from words",
    "reading": "Reading age and likeness",
    "faces": "Finding and measuring faces",
}
"""The purposes of models, by id, in a person's words."""


@dataclass(frozen=True)
class Licence:
    """Under what terms a model may be used.

    short: the same in two or three words. use: what it may be used for, in plain words; the full text is at `url`
    where that is known.
    ask: the person has to agree before the model is downloaded or used.
    """

    id: str
    title: str
    short: str
    use: str
    url: str | None = None
    ask: bool = True


@dataclass(frozen=True)
class Source:
    """Where a model comes from.

    kind: "shipped" with the app; "url": `where` is a direct https address; "hub": `where` is an OWNER/NAME of the
    Hugging Face Hub; "drive": `where` is a page from which a person downloads by hand, and then adds the file;
    "own": a file of the person's own.
    page: where a person reads about the model.
    """

    kind: SourceKind
    where: str
    page: str | None = None

    @property
    def direct(self) -> bool:
        """Whether the app can download it by itself."""
        return self.kind in ("url", "hub")

    @property
    def host(self) -> str:
        """The name of the server, for a person to judge; "" where none is asked."""
        if self.kind == "hub":
            return "huggingface.co"
        return urlsplit(self.where).hostname or "" if self.kind in ("url", "drive") else ""


@dataclass(frozen=True)
class ModelFile:
    """One published file. `bytes` and `sha256` are None where nobody trustworthy has said them: never guessed."""

    name: str
    bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class ModelRecord:
    """One model.

    id: its name in commands: small letters, digits and hyphens. task: one of TASKS. about: one sentence.
    kind: the form after conversion ("everyage-sam", "diffusers", ...); None for nets that only the app itself uses.
    resolution: side of the pictures in px. memory_bytes: what the weights take in float32, where counted.
    max_bytes: a download that grows beyond is stopped, where `files` state no size.
    variant: which of several weights of a hub repository, such as "fp16"; None: the plain ones.
    """

    id: str
    title: str
    task: str
    about: str
    kind: str | None
    source: Source
    licence: Licence
    files: tuple[ModelFile, ...] = ()
    resolution: int | None = None
    memory_bytes: int | None = None
    max_bytes: int = 4 * GB
    variant: str | None = None

    @property
    def bytes(self) -> int | None:
        """Bytes of all files together, or None if one of them is not known."""
        sizes = [file.bytes for file in self.files]
        known = [size for size in sizes if size is not None]
        return sum(known) if known and len(known) == len(sizes) else None


@dataclass(frozen=True)
class Preset:
    """Models that together do one thing. `needs`: record ids, all of which must be ready."""

    id: str
    title: str
    about: str
    needs: tuple[str, ...]
