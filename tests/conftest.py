"""What all tests share: quiet threads, no settings from outside, no network, real photos of adults."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Before torch is imported: threads that wait for each other spin, and two test workers share two cores.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"
for name in [name for name in os.environ if name.startswith("EVERYAGE_")]:
    del os.environ[name]

ROOT = Path(__file__).resolve().parent.parent


CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-fake-device-for-media-stream --use-fake-ui-for-media-stream"
)


def is_local(address: Any) -> bool:
    """Whether a socket address stays on this machine (Unix sockets do)."""
    if not isinstance(address, tuple):
        return True
    try:
        return ipaddress.ip_address(str(address[0]).split("%")[0]).is_loopback
    except ValueError:
        return address[0] == "localhost"


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Any connection that would leave this machine fails the test that makes it."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded(self: socket.socket, address: Any) -> None:
        assert is_local(address), f"a connection to {address} would leave this machine"
        return connect(self, address)

    def guarded_ex(self: socket.socket, address: Any) -> int:
        assert is_local(address), f"a connection to {address} would leave this machine"
        return connect_ex(self, address)

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", guarded)
    patch.setattr(socket.socket, "connect_ex", guarded_ex)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium, or Playwright's own. By module: while it is open, nothing else may run an event loop."""
    from playwright.sync_api import sync_playwright

    found = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    with sync_playwright() as playwright:
        if found is None and not Path(playwright.chromium.executable_path).exists():
            # On a person's machine without the browser the other tests still say what they have to say.
            missing = pytest.fail if os.environ.get("CI") else pytest.skip
            missing("no Chromium here: apt-get install chromium, or playwright install chromium")
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS.split())
        yield browser
        browser.close()


def _package_folder(name: str) -> Path:
    spec = find_spec(name)
    assert spec is not None and spec.origin, f"the package {name} is missing: pip install '.[test]'"
    return Path(spec.origin).parent


@pytest.fixture(scope="session")
def astronaut() -> Path:
    """scikit-image's photo of an astronaut: 512 x 512, one adult face."""
    return _package_folder("skimage") / "data" / "astronaut.png"


@pytest.fixture(scope="session")
def no_face() -> Path:
    """scikit-image's photo of a cup of coffee: 600 x 400, nobody in it."""
    return _package_folder("skimage") / "data" / "coffee.png"


@pytest.fixture(scope="session")
def portraits() -> list[Path]:
    """Studio portraits of the made-up adults of openpeople, one each, in order."""
    return sorted((_package_folder("openpeople") / "data" / "curated").glob("*/assets/studio_portrait.jpg"))


@pytest.fixture(scope="session")
def selfies() -> list[Path]:
    """Selfies of the same people, in the same order."""
    return sorted((_package_folder("openpeople") / "data" / "curated").glob("*/assets/amateur_selfie.jpg"))


@pytest.fixture(scope="session")
def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
