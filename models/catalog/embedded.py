"""The models that ship with the app, as records: read from the cards beside their files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from models.assets import assets_dir, read_card
from models.header import read_header

from .licences import BY_NAME, OWN
from .record import ModelFile, ModelRecord, Source

# Folder/stem of the file -> (task, kind). What is not named here is a part of finding and measuring faces.
ROLES = {
    "heads/generator": ("generator", "everyage-stylegan2", "A small generator of rendered heads."),
    "portraits/unet/diffusion_pytorch_model": ("text-to-image", None, "Draws portraits of made-up people from words."),
    "portraits/vae/diffusion_pytorch_model": ("text-to-image", None, "Turns what it drew into pictures."),
    "portraits/text_encoder/model": ("text-to-image", None, "Reads the words for it."),
    "heads/encoder": ("aging", "everyage-age-encoder", "Reads a photo and an age into that generator."),
    "faces/yunet": ("faces", None, "Finds faces in photos."),
    "faces/mtcnn_points": ("faces", None, "Finds eyes, nose and mouth."),
    "faces/sface": ("reading", None, "Says how alike two faces are."),
    "faces/dlib_recognition": ("reading", None, "Says how alike two faces are, while a person's aging is learnt."),
    "faces/dlib_age": ("reading", None, "Reads how old a face looks."),
    "faces/dlib_gender": ("reading", None, "Reads whether a face looks male or female."),
    "faces/person": ("faces", None, "Tells a person from what is behind."),
    "faces/stlpips_alex": ("faces", None, "Says how alike two pictures look."),
}


@cache
def embedded() -> tuple[ModelRecord, ...]:
    """All shipped models. Raises EveryageError if a card is missing or damaged."""
    return tuple(_records())


def embedded_path(record: ModelRecord) -> Path:
    """The file of a shipped model."""
    return assets_dir() / record.source.where


def _records() -> Iterator[ModelRecord]:
    for path in sorted(assets_dir().rglob("*.safetensors"), key=lambda p: (p.parent.name != "heads", p.name)):
        relative = path.relative_to(assets_dir())
        card = read_card(relative.as_posix())
        task, kind, about = ROLES.get(relative.with_suffix("").as_posix(), ("faces", None, ""))
        config = card.get("config")
        yield ModelRecord(
            id="-".join(relative.with_suffix("").parts).replace("_", "-"),
            title=str(card.get("title", relative.stem)),
            task=task,
            about=about,
            kind=kind,
            source=Source("shipped", relative.as_posix()),
            licence=BY_NAME.get(str(card.get("licence")), OWN),
            files=(ModelFile(relative.name, path.stat().st_size, card.get("sha256")),),
            resolution=config.get("resolution") if isinstance(config, dict) else None,
            memory_bytes=4 * read_header(path).numbers,
        )
