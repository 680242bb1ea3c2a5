"""`python app.py models ...`: what it prints, its JSON, its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_models import foreign_file, quick_convert, record
from naughty import serving

import app
from models import catalog, foreign


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("EVERYAGE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(foreign, "convert_safely", quick_convert)
    return work


def asked(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    """Run with --json; one JSON object is the only line of output."""
    assert app.main(["models", *arguments, "--json"]) == code
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    facts = json.loads(lines[0])
    assert isinstance(facts, dict)
    return facts


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """Run what must fail with one sentence."""
    assert app.main([*arguments]) == code
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if not line.startswith("Reading")]
    assert captured.out == "" and len(lines) == 1 and lines[0].endswith("."), captured
    return lines[0]


def test_the_list(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    facts = asked(capsys, "list")
    by_id = {model["id"]: model for model in facts["models"]}
    assert by_id["sam"]["state"] == "can be added" and by_id["heads-generator"]["state"] == "embedded"
    assert facts["disk_bytes"] == 0
    here = asked(capsys, "list", "--here")
    assert {model["state"] for model in here["models"]} == {"embedded"}
    assert app.main(["models", "list"]) == 0
    out = capsys.readouterr().out
    assert "sam " in out and "can be added" in out and "2,270.5 MB" in out


def test_from_file_to_removed(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    foreign_file(place / "net.pkl")
    facts = asked(capsys, "add", "net.pkl", "--name", "My Net")
    assert facts["id"] == "my-net" and facts["state"] == "ready" and Path(facts["path"]).is_file()
    assert "my-net" in {model["id"] for model in asked(capsys, "list", "--here")["models"]}
    verdict = asked(capsys, "verify", "my-net")
    assert verdict["ok"] and verdict["models"][0] == {"id": "my-net", "ok": True, "detail": "0.0 MB, unchanged"}
    with Path(facts["path"]).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x77")
    verdict = asked(capsys, "verify", "my-net", code=1)
    assert verdict["ok"] is False and "remove it and add it again" in verdict["models"][0]["detail"]
    assert asked(capsys, "remove", "my-net")["freed_bytes"] > 0
    assert "nothing to remove" in refused(capsys, "models", "remove", "my-net")


def test_a_licence_is_shown_and_accepted(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    foreign_file(place / "net.pkl")
    assert app.main(["models", "add", "net.pkl", "--id", "ffhq"]) == 0
    out = capsys.readouterr().out
    assert "accept NVIDIA Source Code License" in out and "Research and evaluation only" in out
    assert asked(capsys, "show", "ffhq")["state"] == "needs licence"
    facts = asked(capsys, "accept", "ffhq")
    assert facts["state"] == "ready" and facts["licence_accepted"]
    assert asked(capsys, "add", "net.pkl", "--id", "metfaces", "--accept-licence")["state"] == "ready"


def test_show_says_how_to_get_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["models", "show", "sam"]) == 0
    out = capsys.readouterr().out
    assert "not commercial use" in out and "https://drive.google.com" in out and "--id sam" in out


def test_a_download(capsys: pytest.CaptureFixture[str], place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = foreign_file(place / "net.pkl").read_bytes()
    with serving() as server:
        tiny = record(server.put("/tiny.pkl", content), content)
        known = (*catalog.records(), tiny)
        monkeypatch.setattr(catalog, "records", lambda: known)
        monkeypatch.setattr(catalog, "find_record", lambda id: next((r for r in known if r.id == id), None))
        sentence = refused(capsys, "models", "download", "tiny")
        assert "First accept the licence" in sentence and server.asked == []
        assert "started offline" in refused(capsys, "--offline", "models", "download", "tiny")
        assert asked(capsys, "download", "tiny", "--accept-licence")["state"] == "ready"
        assert len(server.asked) == 1


def test_a_conversion(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    foreign_file(place / "net.pkl")
    facts = asked(capsys, "convert", "net.pkl", "--out", "net.safetensors", "--half")
    assert facts["kind"] == "everyage-stylegan2" and facts["bytes"] == Path("net.safetensors").stat().st_size
    assert Path("net.safetensors").stat().st_size < 64 * 64 * 2 + 400
    assert "must end in .safetensors" in refused(capsys, "models", "convert", "net.pkl", "--out", "net.pt")
    assert "does not exist" in refused(capsys, "models", "convert", "net.pkl", "--out", "nowhere/net.safetensors")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add", "nothing.pkl"], "nothing at"),
        (["add", "net.pkl", "--id", "../x"], "can't name a model"),
        (["add", "junk.pt"], "nothing that is known"),
        (["download", "sam"], "can't be downloaded by a program"),
        (["show", "nix"], "There is no model 'nix'"),
        (["accept", "nix"], "There is no model 'nix'"),
        (["verify", "sam"], "nothing to check"),
        (["remove", "heads-generator"], "part of the app"),
        ([], "Missing command"),
        (["dance"], "No such command"),
    ],
)
def test_what_goes_wrong_is_one_sentence(
    capsys: pytest.CaptureFixture[str], place: Path, arguments: list[str], words: str
) -> None:
    foreign_file(place / "net.pkl")
    (place / "junk.pt").write_bytes(b"\x80junk")
    assert words in refused(capsys, "models", *arguments)
