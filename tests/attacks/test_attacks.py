"""Hostile files are refused in one sentence, nothing in them runs, and work goes on afterwards."""

from __future__ import annotations

import json
import pickle
import resource
import subprocess
import sys
import time
from pathlib import Path

import hostile
import pytest
import torch
from published import nvidia_pickle, rosinality_file

from models.errors import EveryageError, InputError
from models.foreign import convert, convert_safely, converted
from models.stylegan2 import load_generator

ROOT = Path(__file__).resolve().parent.parent.parent


def check_sentence(error: EveryageError, says: str) -> None:
    sentence = str(error)
    assert says in sentence
    assert sentence.isprintable() and sentence.isascii()
    assert len(sentence) < 500 and sentence.endswith(".") and "Traceback" not in sentence
    assert error.exit_code == 2


@pytest.mark.parametrize("group", hostile.GROUPS, ids=lambda group: group.__name__)
def test_every_attack_is_refused(group: object, tmp_path: Path) -> None:
    """Without the separate process, so that nothing but the reader itself stands in the way."""
    (tmp_path / "files").mkdir()
    canary, out = tmp_path / "canary", tmp_path / "out.safetensors"
    files = group(tmp_path / "files", canary)  # type: ignore[operator]
    good = rosinality_file(tmp_path / "good.pt", hostile.small())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for key, (path, says) in files.items():
        start = time.monotonic()
        with pytest.raises(InputError) as caught:
            convert(path, out)
        check_sentence(caught.value, says)
        assert path.name in str(caught.value), key
        assert time.monotonic() - start < 10, key
        assert not canary.exists(), key
        assert sorted(each.name for each in tmp_path.iterdir()) == ["files", "good.pt"], key
    # A bomb would show here: 50 MB unpacked, gigabytes announced, dictionaries of a million lists.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000
    assert convert(good, out).kind == "everyage-stylegan2"
    assert load_generator(out).resolution == 8


def test_the_attacks_are_real(tmp_path: Path) -> None:
    """The canary appears where a file is read the usual way: what the tests above refuse is no dummy."""
    canary = tmp_path / "canary"
    pickle.loads(hostile.reduces(tmp_path, canary)["pickle"][0].read_bytes())
    assert canary.exists()
    canary.unlink()
    inner = torch.storage._load_from_bytes
    with pytest.raises(RuntimeError, match="magic number"):
        inner(pickle.dumps(hostile.touch(canary)))
    assert canary.exists()


def test_source_text_in_a_pickle_never_runs(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    evil = f"open({str(canary)!r}, 'w').close()"
    path = nvidia_pickle(tmp_path / "g.pkl", hostile.small(), source=evil)
    made = convert_safely(path, tmp_path / "g.safetensors")
    assert made.kind == "everyage-stylegan2"
    assert not canary.exists()
    assert evil.encode() not in (tmp_path / "g.safetensors").read_bytes()


def test_the_separate_process_refuses_and_cleans_up(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (tmp_path / "files").mkdir()
    files = hostile.reduces(tmp_path / "files", canary)
    with pytest.raises(InputError) as caught:
        convert_safely(files["torch"][0], tmp_path / "out.safetensors")
    check_sentence(caught.value, "exec")
    with pytest.raises(InputError, match="nothing in it was run"), converted(files["pickle"][0], tmp_path / "cache"):
        pass
    assert not canary.exists()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["cache", "files"]
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_file_that_is_not_the_expected_one_is_refused(tmp_path: Path) -> None:
    good = rosinality_file(tmp_path / "good.pt", hostile.small())
    with pytest.raises(InputError) as caught:
        convert_safely(good, tmp_path / "out.safetensors", sha256="6fbd6085e2e6" + "0" * 52)
    check_sentence(caught.value, "sha256 begins with")
    assert [each.name for each in tmp_path.iterdir()] == ["good.pt"]


def test_time_has_a_limit(tmp_path: Path) -> None:
    good = rosinality_file(tmp_path / "good.pt", hostile.small())
    with pytest.raises(InputError) as caught:
        convert_safely(good, tmp_path / "out.safetensors", seconds=0.2)
    check_sentence(caught.value, "within 0.2 seconds")
    assert [each.name for each in tmp_path.iterdir()] == ["good.pt"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
def test_memory_has_a_limit(tmp_path: Path) -> None:
    big = {"g_ema": {"input.input": torch.zeros(100_000_000)}}
    torch.save(big, tmp_path / "big.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(InputError) as caught:
        convert_safely(tmp_path / "big.pt", tmp_path / "out.safetensors", memory_gb=0.1)
    check_sentence(caught.value, "within 0.1 GB of memory")
    assert [each.name for each in tmp_path.iterdir()] == ["big.pt"]


def test_modules_beside_a_download_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m` looks into the current folder first, which may be where downloads lie."""
    canary = tmp_path / "canary"
    for module in ("torch", "json", "models"):
        (tmp_path / f"{module}.py").write_text(f"open({str(canary)!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    good = rosinality_file(tmp_path / "good.pt", hostile.small())
    assert convert_safely(good, tmp_path / "out.safetensors").kind == "everyage-stylegan2"
    assert not canary.exists()


ATTEMPTS = {
    "import socket; socket.socket().connect(('127.0.0.1', 9))": "socket.",
    "import socket; socket.getaddrinfo('example.org', 80)": "socket.",
    "import subprocess; subprocess.run(['true'])": "subprocess.",
    "import os; os.system('true')": "os.system",
    "import os; os.fork()": "os.fork",
    "import os; os.execv('/bin/true', ['true'])": "os.exec",
    "import os; os.remove(outside / 'kept')": "os.remove",
    "import os; os.rename(outside / 'kept', inside / 'x')": "os.rename",
    "import os; os.symlink('/etc', inside / 'link')": "os.symlink",
    "(outside / 'new').write_text('x')": "(open)",
    "(inside / '..' / 'new').write_text('x')": "(open)",
    "import os; os.open(outside / 'new', os.O_CREAT | os.O_RDWR)": "(open)",
    "import pickle; pickle.loads(pickle.dumps(print))": "pickle.find_class",
    "import ctypes; ctypes.CDLL(None)": "ctypes.dlopen",
}


def test_the_process_locks_itself_down(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "kept").write_text("kept")
    program = f"""
import ctypes, json, os, pickle, socket, subprocess, sys
from pathlib import Path
from models.foreign.guard import Forbidden, forbid
outside, inside = Path({str(tmp_path)!r}), Path({str(inside)!r})
forbid(inside)
said = {{}}
for attempt in {list(ATTEMPTS)!r}:
    try:
        exec(attempt)
        said[attempt] = "went through"
    except Forbidden as error:
        said[attempt] = str(error)
(inside / "fine").write_text("fine")
print(json.dumps(said))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert {attempt: ATTEMPTS[attempt] in words for attempt, words in said.items()} == dict.fromkeys(ATTEMPTS, True)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["inside", "kept"]
    assert [each.name for each in inside.iterdir()] == ["fine"]


def test_mutated_files_never_raise_anything_else(tmp_path: Path) -> None:
    """Bytes of good files changed at random: each is converted or refused, in one sentence."""
    random = torch.Generator().manual_seed(5)
    sources = [
        rosinality_file(tmp_path / "a.pt", hostile.small()),
        rosinality_file(tmp_path / "b.pt", hostile.small(), legacy=True),
        nvidia_pickle(tmp_path / "c.pkl", hostile.small()),
    ]
    refused = 0
    for round_ in range(240):
        raw = bytearray(sources[round_ % 3].read_bytes())
        # The structure lies at the beginning of each; numbers may be anything.
        for _ in range(1 + round_ % 4):
            at, value = (int(torch.randint(end, (1,), generator=random)) for end in (min(len(raw), 9000), 256))
            raw[at] = value
        mutant = tmp_path / "mutant.pt"
        mutant.write_bytes(bytes(raw))
        try:
            convert(mutant, tmp_path / "out.safetensors")
        except InputError as error:
            check_sentence(error, "mutant.pt")
            refused += 1
    assert refused > 120
