"""Downloads from a server that breaks off, stalls, lies, restarts and changes its mind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import naughty as tricks
import numpy as np
import pytest
from naughty import Naughty, serving, sha

from pipelines.errors import Cancelled, EveryageError, InputError
from pipelines.events import CancelToken, Event
from pipelines.models import transfer
from pipelines.models.transfer import NoRoom, Transfer, Wanted
from pipelines.models.web import Manners, check_url, connect, get_json

QUICK = Manners(stall_s=0.4, tries=4, pause_s=0.01, max_pause_s=0.05, spare_bytes=0)
CONTENT = np.random.default_rng(0).bytes(1_500_000)


@pytest.fixture
def server() -> Iterator[Naughty]:
    with serving() as naughty:
        yield naughty


def fetch(
    server: Naughty, folder: Path, cancel: CancelToken | None = None, manners: Manners = QUICK, **wanted: object
) -> list[Event]:
    """Download /model.pkl, watching that its final name never holds anything but the whole file."""
    facts = {"url": f"{server.url}/model.pkl", "name": "model.pkl", "bytes": len(CONTENT), "sha256": sha(CONTENT)}
    events = []
    with connect(manners) as client:
        job = Transfer(client, Wanted(**(facts | wanted)), folder, manners)  # type: ignore[arg-type]
        for event in job.run(cancel or CancelToken()):
            events.append(event)
            assert not job.path.exists() or job.path.stat().st_size == (len(CONTENT))
    return events


def whole(folder: Path) -> bool:
    return (folder / "model.pkl").read_bytes() == CONTENT and not list(folder.glob("*.partial"))


def test_a_file_arrives_with_progress_and_time_left(server: Naughty, tmp_path: Path) -> None:
    server.put("/model.pkl", CONTENT)
    events = fetch(server, tmp_path)
    assert whole(tmp_path) and len(server.asked) == 1 and server.bytes_sent == len(CONTENT)
    assert events[-1].fraction == 1 and events[-1].stage == "download"
    shares = [event.fraction for event in events if event.stage == "download"]
    assert shares == sorted(shares) and any(event.seconds_left is not None for event in events)  # type: ignore[type-var]


def test_what_is_here_is_not_fetched_again(server: Naughty, tmp_path: Path) -> None:
    server.put("/model.pkl", CONTENT)
    fetch(server, tmp_path)
    fetch(server, tmp_path)
    assert len(server.asked) == 1


def test_after_resets_only_the_rest_is_asked_for(server: Naughty, tmp_path: Path) -> None:
    server.put("/model.pkl", CONTENT)
    server.tricks = [tricks.break_off(400_000), tricks.break_off(300_000)]
    fetch(server, tmp_path)
    assert whole(tmp_path) and len(server.asked) == 3
    starts = [int((asked.range or "bytes=0-")[6:-1]) for asked in server.asked]
    assert starts[0] == 0 < starts[1] <= 400_000 and starts[1] < starts[2] <= 700_000
    assert {asked.if_range for asked in server.asked[1:]} == {'"one"'}
    assert server.bytes_sent <= len(CONTENT) + 700_000 - starts[2] + 64_000


def test_a_cut_answer_is_no_whole_file(server: Naughty, tmp_path: Path) -> None:
    """The stated length is the file's, and the connection ends politely before it."""
    server.put("/model.pkl", CONTENT)
    server.tricks = [tricks.stall(200_000, 0.0)]
    fetch(server, tmp_path, sha256=None, bytes=None)
    assert whole(tmp_path) and server.asked[1].range == "bytes=200000-"


def test_a_short_answer_without_a_length_is_no_whole_file(server: Naughty, tmp_path: Path) -> None:
    """In chunks the server need not say how long the file is; we know."""
    server.put("/model.pkl", CONTENT)

    def short(handler: object, content: bytes) -> bool:
        server.headers = {"Content-Length": "", "Transfer-Encoding": "chunked"}
        handler.start(200, content)  # type: ignore[attr-defined]
        handler.send(b"186A0\r\n" + content[:100_000] + b"\r\n0\r\n\r\n")  # type: ignore[attr-defined]
        server.headers = {}
        return True

    server.tricks = [short]
    fetch(server, tmp_path, sha256=None)
    assert whole(tmp_path) and server.asked[1].range == "bytes=100000-"


def test_a_process_that_ended_is_continued_by_the_next(server: Naughty, tmp_path: Path) -> None:
    server.put("/model.pkl", CONTENT)
    server.tricks = [tricks.break_off(500_000)] + [tricks.refuse(503)] * 10
    with pytest.raises(EveryageError, match="goes on from there"):
        fetch(server, tmp_path)
    have = (tmp_path / "model.pkl.partial").stat().st_size
    assert 0 < have <= 500_000 and not (tmp_path / "model.pkl").exists()
    server.tricks, server.asked = [], []
    fetch(server, tmp_path)
    assert whole(tmp_path) and server.asked[0].range == f"bytes={have}-"
    assert server.bytes_sent == len(CONTENT) - have


def test_a_server_that_restarts_mid_file(tmp_path: Path) -> None:
    manners = Manners(stall_s=0.4, tries=40, pause_s=0.05, max_pause_s=0.05, spare_bytes=0)
    with serving() as first:
        first.put("/model.pkl", CONTENT)
        first.tricks = [tricks.break_off(600_000)] + [tricks.refuse(503)] * 100
        port, done = first.port, []
        thread = threading.Thread(target=lambda: done.append(fetch(first, tmp_path, manners=manners)))
        thread.start()
        while len(first.asked) < 2:
            time.sleep(0.01)
    time.sleep(0.2)  # nobody is there
    with serving(port) as second:
        second.put("/model.pkl", CONTENT)
        thread.join(20)
        assert done and whole(tmp_path)
        start = int((second.asked[0].range or "bytes=0-")[6:-1])
        assert start > 0 and second.bytes_sent == len(CONTENT) - start


def test_a_stall_is_noticed(server: Naughty, tmp_path: Path) -> None:
    server.put("/model.pkl", CONTENT)
    server.tricks = [tricks.stall(100_000, 3)]
    began = time.monotonic()
    events = fetch(server, tmp_path)
    assert whole(tmp_path) and time.monotonic() - began < 2.5
    assert any("no answer in time" in event.message for event in events)


def test_a_drip_is_a_stall_too(server: Naughty, tmp_path: Path) -> None:
    server.put("/model.pkl", CONTENT)
    server.tricks = [tricks.drip(0.05, 100)]
    events = fetch(server, tmp_path)
    assert whole(tmp_path) and any("hardly sends" in event.message for event in events)


def test_without_ranges_it_starts_over(server: Naughty, tmp_path: Path) -> None:
    server.put("/model.pkl", CONTENT)
    server.ranges = False
    server.tricks = [tricks.break_off(400_000)]
    fetch(server, tmp_path)
    assert whole(tmp_path) and server.asked[1].range is not None


def test_a_file_that_changed_is_not_patched_together(server: Naughty, tmp_path: Path) -> None:
    old = bytes(len(CONTENT))
    server.put("/model.pkl", old)

    def change(handler: object, content: bytes) -> bool:
        tricks.break_off(400_000)(handler, content)
        server.put("/model.pkl", CONTENT)
        server.etag = '"two"'
        return True

    server.tricks = [change]
    fetch(server, tmp_path, sha256=None)
    assert whole(tmp_path) and server.asked[1].if_range == '"one"'


def test_a_range_answer_of_another_version_is_thrown_away(server: Naughty, tmp_path: Path) -> None:
    """A server that ignores If-Range is known by its ETag."""
    server.put("/model.pkl", bytes(len(CONTENT)))

    def change(handler: object, content: bytes) -> bool:
        tricks.break_off(400_000)(handler, content)
        server.put("/model.pkl", CONTENT)
        return True

    def careless(handler: object, content: bytes) -> bool:
        server.etag = '"two"'
        return False

    server.tricks = [change, careless]
    fetch(server, tmp_path, sha256=None)
    assert whole(tmp_path) and len(server.asked) == 3 and server.asked[2].range is None


def test_a_lie_about_the_content_is_refused_and_nothing_stays(server: Naughty, tmp_path: Path) -> None:
    server.put("/model.pkl", bytes(len(CONTENT)))
    with pytest.raises(EveryageError, match="is not the file that is known") as caught:
        fetch(server, tmp_path)
    assert sha(CONTENT)[:12] in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_damaged_part_from_earlier_is_replaced(server: Naughty, tmp_path: Path) -> None:
    server.put("/model.pkl", CONTENT)
    server.tricks = [tricks.break_off(500_000)] + [tricks.refuse(503)] * 10
    with pytest.raises(EveryageError):
        fetch(server, tmp_path)
    partial = tmp_path / "model.pkl.partial"
    partial.write_bytes(bytes(partial.stat().st_size))
    server.tricks = []
    fetch(server, tmp_path)
    assert whole(tmp_path)


def test_a_part_of_another_address_is_not_used(server: Naughty, tmp_path: Path) -> None:
    server.put("/other.pkl", bytes(len(CONTENT)))
    server.put("/model.pkl", CONTENT)
    server.tricks = [tricks.break_off(500_000)] + [tricks.refuse(503)] * 10
    with pytest.raises(EveryageError):
        fetch(server, tmp_path, url=f"{server.url}/other.pkl", sha256=None)
    server.tricks, server.asked = [], []
    fetch(server, tmp_path, sha256=None)
    assert whole(tmp_path) and server.asked[0].range is None


@pytest.mark.parametrize("stated", ["1600000", "90000000"])
def test_a_wrong_length_is_refused_at_once(server: Naughty, tmp_path: Path, stated: str) -> None:
    server.put("/model.pkl", CONTENT)
    server.headers = {"Content-Length": stated}
    with pytest.raises(EveryageError, match=r"instead of 1,500,000"):
        fetch(server, tmp_path)
    assert not (tmp_path / "model.pkl.partial").exists() and not (tmp_path / "model.pkl").exists()


def test_what_is_larger_than_expected_is_not_downloaded(server: Naughty, tmp_path: Path) -> None:
    server.put("/model.pkl", CONTENT)
    with pytest.raises(EveryageError, match="at most 1 MB"):
        fetch(server, tmp_path, bytes=None, sha256=None, max_bytes=1_000_000)
    server.headers = {"Content-Length": "", "Transfer-Encoding": "chunked"}

    def endless(handler: object, content: bytes) -> bool:
        handler.start(200, content)  # type: ignore[attr-defined]
        while not handler.close_connection:  # type: ignore[attr-defined]
            handler.send(b"10000\r\n" + bytes(0x10000) + b"\r\n")  # type: ignore[attr-defined]
        return True

    server.tricks = [endless]
    with pytest.raises(EveryageError, match="more than it said"):
        fetch(server, tmp_path, bytes=None, sha256=None, max_bytes=1_000_000)
    assert not (tmp_path / "model.pkl.partial").exists()


def test_without_length_or_hash_nobody_can_tell(server: Naughty, tmp_path: Path) -> None:
    server.put("/model.pkl", CONTENT)
    server.headers = {"Content-Length": "", "Connection": "close"}
    with pytest.raises(EveryageError, match="does not say how long it is"):
        fetch(server, tmp_path, bytes=None, sha256=None)


def test_no_room_is_said_before_anything_is_written(
    server: Naughty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put("/model.pkl", CONTENT)

    class Full:
        free = 1_000_000

    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _path: Full)
    with pytest.raises(NoRoom, match="1 MB free") as caught:
        fetch(server, tmp_path)
    assert isinstance(caught.value, InputError) and not (tmp_path / "model.pkl.partial").exists()


def test_stopping_keeps_what_arrived(server: Naughty, tmp_path: Path) -> None:
    server.put("/model.pkl", CONTENT)
    cancel = CancelToken()

    def slow(handler: object, content: bytes) -> bool:
        handler.start(200, content)  # type: ignore[attr-defined]
        handler.send(content[:300_000])  # type: ignore[attr-defined]
        cancel.cancel()
        handler.send(content[300_000:])  # type: ignore[attr-defined]
        return True

    server.tricks = [slow]
    with pytest.raises(Cancelled):
        fetch(server, tmp_path, cancel)
    assert not (tmp_path / "model.pkl").exists() and (tmp_path / "model.pkl.partial").exists()
    fetch(server, tmp_path)
    assert whole(tmp_path)


@pytest.mark.parametrize(("code", "words"), [(404, "answer 404"), (401, "without an account"), (403, "without an")])
def test_a_final_no_is_not_asked_again(server: Naughty, tmp_path: Path, code: int, words: str) -> None:
    server.put("/model.pkl", CONTENT)
    server.tricks = [tricks.refuse(code)] * 3
    with pytest.raises(EveryageError, match=words):
        fetch(server, tmp_path)
    assert len(server.asked) == 1


def test_a_busy_server_is_asked_again_after_the_time_it_names(server: Naughty, tmp_path: Path) -> None:
    server.put("/model.pkl", CONTENT)
    server.tricks = [tricks.refuse(429, Retry_After="1"), tricks.refuse(503)]
    began = time.monotonic()
    fetch(server, tmp_path, manners=Manners(stall_s=2, tries=4, pause_s=0.01, max_pause_s=5, spare_bytes=0))
    assert whole(tmp_path) and len(server.asked) == 3 and time.monotonic() - began >= 1


def test_redirects_are_followed_to_safe_addresses_alone(server: Naughty, tmp_path: Path) -> None:
    server.put("/there/model.pkl", CONTENT)
    server.redirects = {"/model.pkl": "/next", "/next": f"{server.url}/there/model.pkl"}
    fetch(server, tmp_path)
    assert whole(tmp_path) and [asked.path for asked in server.asked] == ["/model.pkl", "/next", "/there/model.pkl"]
    for place in ("http://models.example/model.pkl", "ftp://127.0.0.1/model.pkl", "file:///etc/passwd"):
        server.redirects["/model.pkl"] = place
        with pytest.raises(EveryageError, match="not a safe address"):
            fetch(server, tmp_path / place[:4])
    server.redirects["/model.pkl"] = "/model.pkl"
    with pytest.raises(EveryageError, match="more than 5 times"):
        fetch(server, tmp_path / "loop")


def test_which_addresses_are_safe() -> None:
    for good in ("https://models.example/a", "http://localhost:1/a", "http://127.0.0.1/a", "http://[::1]/a"):
        check_url(httpx.URL(good))
    for bad in ("http://models.example/a", "ftp://models.example/a", "http://127.0.0.1.models.example/a"):
        with pytest.raises(EveryageError, match="not a safe address"):
            check_url(httpx.URL(bad))
    with pytest.raises(EveryageError, match="an address of this machine"):
        check_url(httpx.URL("https://127.0.0.1/a"), httpx.URL("https://models.example/a"))


def test_json_is_bounded_and_checked(server: Naughty) -> None:
    server.put("/a", b'{"x": 1}')
    server.put("/b", b"<html>")
    server.put("/c", b"[" + b"1," * 5000 + b"1]")
    with connect(QUICK) as client:
        assert get_json(client, f"{server.url}/a") == {"x": 1}
        with pytest.raises(EveryageError, match="something else"):
            get_json(client, f"{server.url}/b")
        with pytest.raises(EveryageError, match="more than"):
            get_json(client, f"{server.url}/c", most=1000)
        with pytest.raises(EveryageError, match="answer 404"):
            get_json(client, f"{server.url}/d")


def test_no_server_at_all_is_one_sentence(tmp_path: Path, free_port: int) -> None:
    nobody = Naughty(url=f"http://127.0.0.1:{free_port}")
    with pytest.raises(EveryageError, match=r"could not be downloaded \(no connection\); try again later\."):
        fetch(nobody, tmp_path)
