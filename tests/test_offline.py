"""The app answers on this machine, and nothing of it tries to leave the machine."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GUARD = ROOT / "tests" / "guard"
START_S = 120


@dataclass(frozen=True)
class App:
    process: subprocess.Popen[str]
    port: int
    log: Path
    output: Path


def watched(log: Path) -> dict[str, str]:
    """The environment of a person, with the guard loaded first and nothing that already forbids the network."""
    hushed = ("HF_HUB_OFFLINE", "GRADIO_ANALYTICS_ENABLED", "HF_HUB_DISABLE_TELEMETRY")
    kept = {name: value for name, value in os.environ.items() if name not in hushed}
    return kept | {"PYTHONPATH": str(GUARD), "EVERYAGE_TEST_NETWORK_LOG": str(log)}


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """`python app.py` in a process of its own, up and answering."""
    place = tmp_path_factory.mktemp("offline")
    log, output = place / "network.log", place / "output.txt"
    log.touch()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "app.py", "--port", str(port), "--data", str(place / "data")]
    with (
        output.open("w") as sink,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=watched(log),
            stdout=sink,
            stderr=subprocess.STDOUT,
            text=True,
            # A shell that runs the tests in the background has them, and what they start, ignore Ctrl+C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as process,
    ):
        app = App(process, port, log, output)
        deadline = time.monotonic() + START_S
        while not answers(port):
            assert process.poll() is None and time.monotonic() < deadline, output.read_text()
            time.sleep(0.2)
        yield app
        process.kill()


def get(port: int, path: str, host: str | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers={"Host": host} if host else {})
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", "replace")
    finally:
        connection.close()


def test_the_guard_sees_an_attempt(tmp_path: Path) -> None:
    log = tmp_path / "network.log"
    code = (
        "import socket, contextlib\n"
        "s = socket.socket(); s.settimeout(0.1)\n"
        "with contextlib.suppress(OSError): s.connect(('192.0.2.1', 9))\n"
        "with contextlib.suppress(OSError): socket.getaddrinfo('name.invalid', 80)\n"
        "with contextlib.suppress(OSError): s.connect_ex(('127.0.0.1', 9))\n"
    )
    subprocess.run([sys.executable, "-c", code], env=watched(log), check=True)
    assert log.read_text().splitlines() == ["connect '192.0.2.1'", "getaddrinfo 'name.invalid'"]


def test_the_page_is_served_and_needs_nothing_from_elsewhere(running: App) -> None:
    status, page = get(running.port, "/")
    assert status == 200 and "Everyage" in page
    assert get(running.port, "/config")[0] == 200
    # The address is printed once the server stands, which may be a moment after it answers.
    deadline = time.monotonic() + START_S
    while f"127.0.0.1:{running.port}" not in running.output.read_text():
        assert time.monotonic() < deadline, running.output.read_text()
        time.sleep(0.1)


def test_only_this_machine_is_served(running: App) -> None:
    """The port is bound to the loopback address alone: another address of this machine refuses."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    bound = {line[1] for line in lines if line[3] == "0A" and line[1].endswith(f":{running.port:04X}")}
    assert bound == {f"0100007F:{running.port:04X}"}
    assert get(running.port, "/", host="evil.example")[0] == 403


def test_nothing_leaves_the_machine(running: App) -> None:
    time.sleep(3)  # look-ups run in threads that start after the server
    assert running.log.read_text() == ""


def test_ctrl_c_ends_the_server(running: App) -> None:
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(timeout=30) == 130
    output = running.output.read_text()
    assert "Traceback" not in output
    assert running.log.read_text() == ""
    assert not answers(running.port)
