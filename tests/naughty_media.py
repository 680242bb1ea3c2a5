"""Two hundred damaged and hostile video files, the same ones for a seed.

Each is either a video of which some frames can be used, or must be refused in one sentence. Those that point to other
files point to the canary, a magenta video beside them, and to an address at which somebody listens.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from clips import Clip, make_clip
from PIL import Image

MAGENTA = (255, 0, 255)
WORD = "canary-word-never-shown"
COUNT = 200


def bases(folder: Path) -> list[Path]:
    """Whole small videos of the common kinds, which are then damaged."""
    fast = (("preset", "ultrafast"), ("g", "6"))
    vp8 = (("deadline", "realtime"), ("cpu-used", "8"))
    clips = {
        "a.mp4": Clip(frames=16, options=fast, audio=("eng",)),
        "b.mov": Clip(frames=8, codec="mpeg4", options=(), rotation=90),
        "c.mkv": Clip(frames=16, options=fast, audio=("deu",), subtitles=("one",), subtitle_codec="subrip"),
        "d.webm": Clip(frames=12, codec="libvpx", options=vp8),
        "e.avi": Clip(frames=12, codec="mpeg4", options=()),
        "f.ts": Clip(frames=16, options=fast, audio=("eng",)),
        "g.flv": Clip(frames=12, codec="flv", options=()),
        "h.gif": Clip(frames=8, codec="gif", form="rgb8", options=()),
        "i.mpg": Clip(frames=12, codec="mpeg2video", options=()),
        "j.h264": Clip(frames=12, options=fast),
        "k.wmv": Clip(frames=12, codec="wmv2", options=()),
        "l.y4m": Clip(frames=6, codec="wrapped_avframe", options=()),
    }
    return [make_clip(folder / name, clip) for name, clip in clips.items()]


def make_canary(folder: Path) -> Path:
    """A video whose pictures are all magenta, and whose title is a word that nobody may see."""
    clip = Clip(frames=10, colour=MAGENTA, tags=(("title", WORD),))
    return make_clip(folder / "canary.mp4", clip)


def make_naughty(folder: Path, canary: Path, address: str, seed: int = 1) -> list[Path]:
    """The files, in `folder`. address: "http://127.0.0.1:PORT/"."""
    rng = np.random.default_rng(seed)
    (folder / "whole").mkdir()
    whole = bases(folder / "whole")
    contents: dict[str, bytes] = {}
    contents |= pointing(canary, address, whole[0].read_bytes())
    contents |= absurd(whole)
    contents |= no_video(folder / "whole")
    contents |= {f"{i:03}-cut{base.suffix}": cut(rng, base.read_bytes()) for i, base in enumerate(whole * 4)}
    rest = COUNT - len(contents)
    damage: list[Callable[[np.random.Generator, bytes], bytes]] = [flipped, flipped, wiped, left_out, doubled]
    for i in range(rest):
        base = whole[i % len(whole)]
        contents[f"{i:03}-damaged{base.suffix}"] = damage[i % len(damage)](rng, base.read_bytes())
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in sorted(contents)]


def cut(rng: np.random.Generator, content: bytes) -> bytes:
    """What a broken-off copy leaves."""
    return content[: int(rng.integers(1, len(content)))]


def flipped(rng: np.random.Generator, content: bytes) -> bytes:
    """A few to many bytes changed."""
    data = np.frombuffer(content, np.uint8).copy()
    places = rng.integers(0, len(data), int(2 ** rng.uniform(1, 8)))
    data[places] = rng.integers(0, 256, len(places))
    return data.tobytes()


def wiped(rng: np.random.Generator, content: bytes) -> bytes:
    """A stretch of zeros, as a bad disk gives."""
    first = int(rng.integers(0, len(content)))
    length = int(rng.integers(1, len(content) // 3))
    return content[:first] + bytes(min(length, len(content) - first)) + content[first + length :]


def left_out(rng: np.random.Generator, content: bytes) -> bytes:
    """A stretch missing."""
    first = int(rng.integers(0, len(content)))
    return content[:first] + content[first + int(rng.integers(1, len(content) // 3)) :] or b"\0"


def doubled(rng: np.random.Generator, content: bytes) -> bytes:
    """A stretch that comes twice."""
    first, last = sorted(int(x) for x in rng.integers(0, len(content), 2))
    return content[:last] + content[first:]


def pointing(canary: Path, address: str, mp4: bytes) -> dict[str, bytes]:
    """Lists and containers that want another file, or an address, opened; named as if they were videos."""
    texts = {}
    for i, target in enumerate((str(canary), canary.name, f"file://{canary}", f"{address}x.ts", f"concat:{canary}|b")):
        texts[f"hls{i}.mp4"] = f"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:5,\n{target}\n#EXT-X-ENDLIST\n"
        texts[f"hls{i}.m3u8"] = f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{target}\n"
        texts[f"concat{i}.mkv"] = f"ffconcat version 1.0\nfile '{target}'\n"
    key = f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{address}key"\n#EXTINF:5,\n{canary}\n'
    texts |= {"key.mp4": key, "bom.mp4": "\ufeff" + key, "late.ts": "\n\n" + key}
    dash = '<?xml version="1.0"?><MPD type="static"><Period><BaseURL>{}</BaseURL></Period></MPD>'
    texts |= {"dash.mp4": dash.format(address), "dash.mpd": dash.format(f"file://{canary}")}
    texts |= {"list.asx": f'<ASX version="3"><entry><ref href="{address}"/></entry></ASX>'}
    texts |= {"list.pls.mp4": f"[playlist]\nFile1={canary}\nNumberOfEntries=1\n"}
    texts |= {
        "ref.mov": f"[Reference]\nRef1={address}\n",
        "session.mp4": f"v=0\nc=IN IP4 127.0.0.1\na=control:{address}",
    }
    texts |= {
        "smil.mp4": f'<smil><body><video src="{canary}"/></body></smil>',
        "svg.mp4": f'<svg><image href="{canary}"/>',
    }
    found = {name: text.encode() for name, text in texts.items()}
    for name, target in (("here", canary.name), ("file", str(canary)), ("net", f"{address}x.mp4")):
        found[f"dref-{name}.mov"] = external(mp4, target)
        found[f"rmra-{name}.mov"] = reference_movie(target)
    return found


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, name) + content


def rebuilt(content: bytes, path: tuple[bytes, ...], change: Callable[[bytes], bytes]) -> bytes:
    """An MP4 with the boxes at a path of names changed; sizes follow."""
    made, place = b"", 0
    while place + 8 <= len(content):
        size, name = struct.unpack(">I4s", content[place : place + 8])
        size = size if size >= 8 else len(content) - place
        inner = content[place + 8 : place + size]
        if name == path[0]:
            inner = change(inner) if len(path) == 1 else rebuilt(inner, path[1:], change)
        made += box(name, inner)
        place += size
    return made


def external(mp4: bytes, target: str) -> bytes:
    """An MP4 whose samples are said to lie in another file."""
    entry = box(b"url ", bytes(4) + target.encode() + b"\0")
    alias = box(b"alis", bytes(4) + target.encode())
    dref = bytes(4) + struct.pack(">I", 2) + entry + alias
    return rebuilt(mp4, (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"), lambda _: dref)


def reference_movie(target: str) -> bytes:
    """A QuickTime movie that is only a pointer to another."""
    url = target.encode() + b"\0"
    rdrf = box(b"rdrf", bytes(4) + b"url " + struct.pack(">I", len(url)) + url)
    return box(b"ftyp", b"qt  " + bytes(4)) + box(b"moov", box(b"rmra", box(b"rmda", rdrf)))


def absurd(whole: list[Path]) -> dict[str, bytes]:
    """Headers that promise the impossible: sizes, lengths, counts, depths."""
    mp4, mkv = whole[0].read_bytes(), whole[2].read_bytes()
    table = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
    huge = struct.pack(">I", 0x7FFFFFFF)
    size = np.array([0xFFFF, 0xFFFF], ">u2").tobytes()
    found = {
        "wide.mp4": rebuilt(mp4, (*table, b"stsd"), lambda x: x[:40] + size + x[44:]),
        "long.mp4": rebuilt(mp4, (b"moov", b"mvhd"), lambda x: x[:16] + b"\xff\xff\xff\xfe" + x[20:]),
        "slow.mp4": rebuilt(mp4, (b"moov", b"trak", b"mdia", b"mdhd"), lambda x: x[:12] + bytes(4) + x[16:]),
        "times.mp4": rebuilt(mp4, (*table, b"stts"), lambda x: x[:8] + huge * 2 + x[16:]),
        "sizes.mp4": rebuilt(mp4, (*table, b"stsz"), lambda x: x[:4] + huge * 2 + x[12:]),
        "many.mp4": rebuilt(mp4, (*table, b"stsz"), lambda x: x[:8] + huge + x[12:]),
        "chunks.mp4": rebuilt(mp4, (*table, b"stco"), lambda x: x[:4] + huge + x[8:]),
        "outside.mp4": rebuilt(mp4, (*table, b"stco"), lambda x: x[:8] + b"\xff\xff\xff\x00" * ((len(x) - 8) // 4)),
        "samples.mp4": rebuilt(mp4, (*table, b"stsc"), lambda x: x[:4] + huge + x[8:]),
        "none.mp4": rebuilt(mp4, (*table, b"stsz"), lambda x: x[:8] + bytes(4)),
        "empty.mp4": box(b"ftyp", b"isom" + bytes(4)) + box(b"moov", b""),
        "deep.mp4": box(b"ftyp", b"isom" + bytes(4)) + nested(b"moov", 3000),
        "deep2.mp4": box(b"ftyp", b"isom" + bytes(4)) + nested(b"udta", 500),
        "claims.mp4": box(b"ftyp", b"isom" + bytes(4)) + b"\x7f\xff\xff\xf0moov" + bytes(1000),
        "claims64.mp4": box(b"ftyp", b"isom" + bytes(4)) + b"\0\0\0\x01moov" + b"\x7f" + b"\xff" * 7,
        "inside.mp4": box(b"ftyp", b"isom" + bytes(4)) + box(b"mdat", mkv),
        "wide.mkv": patched(mkv, b"\xb0\x81\x60", b"\xb0\x81\xff"),
        "ebml.mkv": mkv[:40] + b"\x01\xff\xff\xff\xff\xff\xff\xfe" + mkv[48:],
        "start.mkv": mkv[:200],
        "wide.gif": b"GIF89a" + b"\xff\xff\xff\xff\x80\0\0" + bytes(6) + b"," + bytes(4) + b"\xff\xff\xff\xff\0\x08\0;",
        "header.gif": b"GIF89a\x60\0\x50\0\x80\0\0" + bytes(6) + b";",
        "wide.y4m": b"YUV4MPEG2 W99999 H99999 F25:1 Ip A1:1 C420\nFRAME\n" + bytes(5000),
        "minus.y4m": b"YUV4MPEG2 W-64 H-64 F0:0 Ip A1:1 C420\nFRAME\n" + bytes(5000),
        "zero.y4m": b"YUV4MPEG2 W96 H80 F25:1 Ip A1:1 C420\n",
        "tiny.y4m": b"YUV4MPEG2 W8 H8 F25:1 Ip A1:1 C420\nFRAME\n" + bytes(96),
        "bitmap.avi": patched(whole[4].read_bytes(), b"\x60\0\0\0\x50\0\0\0", b"\xff\xff\xff\x7f\xff\xff\xff\x7f"),
        "lists.avi": b"RIFF\xff\xff\xff\x7fAVI " + b"LIST\xff\xff\xff\x7fhdrl" * 2000,
        "sync.ts": (b"\x47\x1f\xff\x10" + b"\xff" * 184) * 500,
        "noise.mpg": b"\0\0\x01\xba" + bytes(range(256)) * 200,
        "pages.ogg": b"OggS\0\x02" + bytes(20) + b"\xff" * 5000,
        "header.flv": b"FLV\x01\x05\0\0\0\x09\0\0\0\0",
        "tag.flv": b"FLV\x01\x01\0\0\0\x09\0\0\0\0" + b"\x09\xff\xff\xff" + bytes(100),
        "guid.wmv": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c" + b"\xff" * 200,
        "pack.mxf": b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02\x04\0\x88" + b"\x7f" + b"\xff" * 300,
        "start.h264": b"\0\0\0\x01\x67\x64\0\x1f" + b"\xff" * 300,
    }
    return found


def patched(content: bytes, old: bytes, new: bytes) -> bytes:
    assert old in content
    return content.replace(old, new)


def nested(name: bytes, depth: int) -> bytes:
    content = b""
    for _ in range(depth):
        content = box(name, content)
    return content


def no_video(folder: Path) -> dict[str, bytes]:
    """Files without moving pictures, under a video's name."""
    png, jpeg, zipped = io.BytesIO(), io.BytesIO(), io.BytesIO()
    Image.new("RGB", (96, 80), (9, 99, 199)).save(png, "PNG")
    Image.new("RGB", (96, 80), (9, 99, 199)).save(jpeg, "JPEG")
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("a.mp4", bytes(1000))
    noise = np.random.default_rng(5).integers(0, 256, 100_000, dtype=np.uint8).tobytes()
    return {
        "nothing.mp4": b"",
        "one.mp4": b"\0",
        "text.mp4": b"Dear diary, this is no video.\n" * 50,
        "page.mp4": b"<!doctype html><title>404</title>",
        "picture.mp4": png.getvalue(),
        "photo.mov": jpeg.getvalue(),
        "archive.mp4": zipped.getvalue(),
        "paper.mp4": b"%PDF-1.7\n" + bytes(500),
        "program.mp4": b"\x7fELF\x02\x01\x01" + bytes(500),
        "noise.mkv": noise,
        "noise.mp4": b"\0\0\0\x18ftypisom" + noise,
        "zeros.mp4": bytes(200_000),
        "voice.mp4": b"RIFF\x24\0\0\0WAVEfmt " + bytes(30),
        "song.mp4": b"ID3\x04" + bytes(300),
        "heic.mp4": box(b"ftyp", b"heic" + bytes(4) + b"mif1heic") + bytes(100),
        "sound.m4a": sound_only(folder / "sound.mp4"),
        "sound.mkv": sound_only(folder / "sound.mkv"),
        "cover.m4a": cover_only(folder / "cover.mp4"),
    }


def sound_only(path: Path) -> bytes:
    import av

    with av.open(str(path), "w") as target:
        stream = target.add_stream("aac", rate=44100)
        stream.codec_context.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 44100, 0
        target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path.read_bytes()


def cover_only(path: Path) -> bytes:
    """An audio file with a cover, which containers store like a video of one frame."""
    import av

    with av.open(str(path), "w") as target:
        stream = target.add_stream("aac", rate=44100)
        stream.codec_context.layout = "mono"
        cover = target.add_stream("mjpeg", rate=Fraction(25))
        cover.codec_context.width, cover.codec_context.height, cover.codec_context.pix_fmt = 96, 80, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 44100, 0
        picture = av.VideoFrame.from_ndarray(np.full((80, 96, 3), 200, np.uint8), "rgb24").reformat(format="yuvj420p")
        picture.pts = 0
        target.mux(cover.encode(picture))
        target.mux(cover.encode(None))
        target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path.read_bytes()
