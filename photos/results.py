"""Writing made pictures: whole or not at all, with the recipe inside, marked as made, and nothing of the source's EXIF.

PNG: text chunks "everyage" (the recipe, JSON), "Software", "Comment", and "parameters" for pictures made from words.
JPEG and WebP: EXIF UserComment (the recipe), Software, ImageDescription. All: XMP with IPTC's DigitalSourceType, by
which programs know a picture as AI-made.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from models.errors import EveryageError, InputError
from photos.files import check_output, write_atomically
from photos.opening import EXIF_IFD, check_file, open_header

SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
LARGEST_SIDE = {"PNG": 2**31 - 1, "JPEG": 65_500, "WEBP": 16_383}
SOFTWARE = "Everyage"
MARK = "AI-generated: a face in this picture was made by Everyage"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
IMAGE_DESCRIPTION, SOFTWARE_TAG, USER_COMMENT = 0x010E, 0x0131, 0x9286
ASCII = b"ASCII\0\0\0"  # EXIF 2.32, UserComment: eight bytes name the character set
MAX_RECIPE = 48 * 1024  # an EXIF block of a JPEG holds 64 KB
XMP = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}"/></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""


def check_result_path(out: Path) -> str:
    """The format that the name `out` asks for: "PNG", "JPEG" or "WEBP".

    Raises InputError for another suffix, or where no file can be written: useful before long work begins.
    """
    kind = SUFFIXES.get(out.suffix.lower())
    if kind is None:
        raise InputError(f"{out} does not end in .png, .jpg or .webp; choose one of these.")
    check_output(out)
    return kind


def save_image(
    image: Image.Image,
    out: str | Path,
    recipe: dict[str, Any],
    icc: bytes | None = None,
    parameters: str | None = None,
) -> None:
    """Write `image` (PIL RGB) to `out` (.png keeps every pixel; .jpg and .webp at quality 95), replacing a file there.

    recipe: what made the picture, as JSON can hold it; `read_recipe` gives it back. icc: the pixels' colour profile.
    parameters: the recipe once more, as other programs for making pictures read it (PNG only).
    Raises InputError for a name or a size that the format can't take, EveryageError if the disk refuses.
    """
    out = Path(out)
    kind = check_result_path(out)
    if max(image.size) > LARGEST_SIDE[kind]:
        raise InputError(f"{out}: {kind} holds no picture of {image.width} x {image.height} pixels; choose .png.")
    text = json.dumps(recipe, ensure_ascii=True, sort_keys=True)
    if len(text) > MAX_RECIPE:
        raise EveryageError(f"The recipe of {out} has {len(text)} characters; {MAX_RECIPE} fit into a picture.")
    options = _png_options(text, parameters) if kind == "PNG" else _exif_options(kind, text)
    bare = Image.frombytes("RGB", image.size, image.convert("RGB").tobytes())  # leaves the source's metadata behind

    def write(file: BinaryIO) -> None:
        bare.save(file, kind, icc_profile=icc, **options)

    write_atomically(out, write)


def read_recipe(path: str | Path) -> dict[str, Any] | None:
    """The recipe inside a picture that `save_image` wrote, or None if there is none. Decodes no pixel, never raises.

    Anyone can write a recipe: check each value before use.
    """
    try:
        check_file(Path(path))
        with Path(path).open("rb") as file:
            text = _recipe_text(open_header(file))
        recipe = json.loads(text) if text and len(text) <= MAX_RECIPE else None
    except Exception:  # hostile files raise whatever they like, and a file without a recipe is nothing wrong
        return None
    return recipe if isinstance(recipe, dict) else None


def read_parameters(path: str | Path) -> str | None:
    """The "parameters" text of a PNG, from any program; None if there is none. Decodes no pixel, never raises.

    Anyone can write one: check each value before use.
    """
    try:
        check_file(Path(path))
        with Path(path).open("rb") as file:
            found = open_header(file).info.get("parameters")
    except Exception:  # hostile files raise whatever they like, and a file without the text is nothing wrong
        return None
    return str(found)[:MAX_RECIPE] if isinstance(found, str) and found.strip() else None


def _png_options(text: str, parameters: str | None) -> dict[str, Any]:
    info = PngInfo()
    if parameters:
        info.add_itxt("parameters", parameters)
    info.add_text("Software", SOFTWARE)
    info.add_text("Comment", MARK)
    info.add_text("everyage", text)
    info.add_itxt("XML:com.adobe.xmp", XMP)
    return {"pnginfo": info, "compress_level": 4}


def _exif_options(kind: str, text: str) -> dict[str, Any]:
    exif = Image.Exif()
    exif[IMAGE_DESCRIPTION] = MARK
    exif[SOFTWARE_TAG] = SOFTWARE
    exif.get_ifd(EXIF_IFD)[USER_COMMENT] = ASCII + text.encode("ascii")
    options: dict[str, Any] = {"exif": exif, "xmp": XMP.encode(), "quality": 95}
    return options | ({"subsampling": "4:4:4"} if kind == "JPEG" else {"method": 4})


def _recipe_text(image: Image.Image) -> str | None:
    if image.format == "PNG":
        found = image.info.get("everyage")
        return found if isinstance(found, str) else None
    exif = image.getexif()
    comment = exif.get_ifd(EXIF_IFD).get(USER_COMMENT)
    ours = str(exif.get(SOFTWARE_TAG, "")).startswith(SOFTWARE)
    if not ours or not isinstance(comment, bytes) or not comment.startswith(ASCII):
        return None
    return comment[len(ASCII) :].decode("ascii")
