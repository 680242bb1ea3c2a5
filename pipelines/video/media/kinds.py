"""Which kind of video a file is, told from its first bytes alone: nothing else may choose the program that reads it."""

from __future__ import annotations

from models.errors import InputError

FIRST_BYTES = 1024
# Boxes with which a file of the MP4 family may begin.
MOV_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
PHOTO_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis", b"crx ")
STARTS = (
    (b"\x1aE\xdf\xa3", "matroska"),
    (b"FLV\x01", "flv"),
    (b"OggS", "ogg"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
    (b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02", "mxf"),
    (b"\x00\x00\x01\xba", "mpeg"),
    (b"\x00\x00\x01\xb3", "mpegvideo"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"YUV4MPEG2 ", "yuv4mpegpipe"),
    (b"DKIF\x00\x00", "ivf"),
    (b"nut/multimedia container\x00", "nut"),
    (b"\x1f\x07\x00", "dv"),
)
KINDS_SENTENCE = "MP4, MOV, MKV, WebM, AVI, MPEG, TS, FLV, Ogg, WMV, MXF and GIF are read"


def demuxer_of(start: bytes, name: str) -> str:
    """FFmpeg's name of the one reader for a file that begins with `start` (up to FIRST_BYTES bytes).

    Lists that only point to other files have none. Raises InputError with `name` in it for whatever is no video.
    """
    if start[4:8] in MOV_BOXES:
        if start[4:8] == b"ftyp" and start[8:12] in PHOTO_BRANDS:
            raise InputError(f"{name} is a photo, not a video; choose a video, or open it as a photo.")
        return "mov"
    if start[:4] == b"RIFF" and start[8:12] in (b"AVI ", b"AVIX", b"AMV "):
        return "avi"
    for first, demuxer in STARTS:
        if start.startswith(first):
            return demuxer
    if _is_transport_stream(start):
        return "mpegts"
    raw = _raw_stream(start)
    if raw is None:
        raise InputError(_refusal(start, name))
    return raw


def _is_transport_stream(start: bytes) -> bool:
    """Packets of 188 bytes that begin with 0x47, also behind a time code of four bytes or with 16 of parity."""
    for first, size in ((0, 188), (4, 192), (0, 204)):
        marks = start[first::size]
        if len(marks) >= 2 and set(marks) == {0x47}:
            return True
    return False


def _raw_stream(start: bytes) -> str | None:
    """H.264 and H.265 without a container begin with their parameter sets."""
    if start[:4] == b"\x00\x00\x00\x01":
        start = start[1:]
    if start[:3] != b"\x00\x00\x01" or len(start) < 5:
        return None
    if start[3] in (0x40, 0x46) and start[4] == 0x01:
        return "hevc"
    return "h264" if start[3] in (0x67, 0x47, 0x27, 0x09) else None


def _refusal(start: bytes, name: str) -> str:
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"#extm3u", b"<?xml", b"<mpd", b"<smil", b"<asx", b"ffconcat", b"[playlist]", b"[reference]")):
        return f"{name} is a list that points to other files, not a video; choose the video itself."
    return f"{name} is not a video of a known kind, or its beginning is damaged; {KINDS_SENTENCE}."
