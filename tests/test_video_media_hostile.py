"""Videos that nobody vouches for: used as far as they go, or refused in one sentence; nothing else is ever opened."""

from __future__ import annotations

import re
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from naughty_media import COUNT, WORD, make_canary, make_naughty

from models.errors import InputError
from pipelines.events import CancelToken
from pipelines.video.media import index_frames, open_video, scan_frames, small_rgb

SLOWEST = 20.0


def tried(path: Path) -> tuple[Path, int, str, float]:
    """(path, frames that came out, the sentence if none, seconds); canary frames fail at once."""
    began = time.monotonic()
    try:
        facts = open_video(path)
        index = index_frames(facts, CancelToken(), lambda event: None)
        assert (np.diff(index.pts) > 0).all()
        for frame in scan_frames(facts):
            red, green, blue = small_rgb(frame, 64).reshape(-1, 3).mean(0)
            assert not (red > 200 and green < 60 and blue > 200), f"{path} shows the canary"
        return path, len(index), "", time.monotonic() - began
    except InputError as error:
        return path, 0, str(error), time.monotonic() - began


def test_two_hundred_damaged_and_hostile_files(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        canary = make_canary(tmp_path)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        folder = tmp_path / "files"
        folder.mkdir()
        paths = make_naughty(folder, canary, address)
        assert len(paths) == COUNT
        before = sorted(tmp_path.rglob("*"))
        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(tried, paths))
        listener.settimeout(0.05)
        with pytest.raises(TimeoutError):
            listener.accept()  # nobody has called
    assert sorted(tmp_path.rglob("*")) == before
    outcome: Counter[str] = Counter()
    for path, frames, sentence, seconds in results:
        assert seconds < SLOWEST, f"{path} took {seconds} s"
        assert WORD not in sentence
        if not frames:
            assert sentence.endswith(".") and "\n" not in sentence and len(sentence) < 400, sentence
            assert str(path) in sentence
        outcome["used" if frames else re.sub(r"^\S+ |\(.*?\)|\d+", "", sentence)[:40]] += 1
    assert 40 < outcome["used"] < 130, outcome
    assert len(outcome) > 6, outcome
