"""Events, settings, devices, the pool of loaded models, memory back-off, crash log and doctor."""

from __future__ import annotations

import gc
import hashlib
import io
import json
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models.errors import Cancelled, DeviceError, EveryageError, InputError
from pipelines import doctor as doctor_module
from pipelines.console import Progress, describe, duration
from pipelines.crash import crash_log, log_path
from pipelines.doctor import doctor
from pipelines.events import CancelToken, Eta, Event
from pipelines.pool import ModelPool, model_bytes
from pipelines.runtime import Runtime, choose_device, choose_dtype, with_backoff
from pipelines.settings import Settings, load_settings

KILOBYTE = 1024


class Clock:
    """Time that moves only when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def model(kilobytes: int = 1) -> nn.Module:
    return nn.Linear(256 * kilobytes, 1, bias=False)


class Loader:
    """Counts how often it is asked."""

    def __init__(self, kilobytes: int = 1) -> None:
        self.calls, self.kilobytes = 0, kilobytes

    def __call__(self) -> nn.Module:
        self.calls += 1
        return model(self.kilobytes)


# Events


@pytest.mark.parametrize(("done", "total", "fraction"), [(0, 0, None), (1, 4, 0.25), (9, 4, 1.0), (-1, 4, 0.0)])
def test_fraction(done: int, total: int, fraction: float | None) -> None:
    assert Event("tune", "Tuning", done, total).fraction == fraction


def test_cancelling_from_another_thread_stops_the_work() -> None:
    token = CancelToken()
    token.check()
    stopper = threading.Thread(target=token.cancel)
    stopper.start()
    stopper.join()
    assert token.cancelled
    with pytest.raises(Cancelled):
        token.check()


def test_time_left_follows_the_pace() -> None:
    clock = Clock()
    eta = Eta(clock=clock)
    assert eta.update(0, 10) is None
    clock.now = 2.0
    assert eta.update(1, 10) == pytest.approx(18)
    for done in range(2, 60):
        clock.now += 0.5
        left = eta.update(done, 100)
    assert left == pytest.approx(0.5 * 41, rel=0.01), "the slow first step must be forgotten"
    assert eta.update(100, 100) == 0
    assert eta.update(100, 0) is None


def test_a_jump_of_steps_counts_as_that_many() -> None:
    clock = Clock()
    eta = Eta(clock=clock)
    clock.now = 5.0
    assert eta.update(50, 100) == pytest.approx(5.0)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_renews_one_line_on_a_terminal() -> None:
    terminal = Terminal()
    with Progress(terminal) as progress:
        for step in range(1, 4):
            progress.show(Event("tune", "Learning this face.", step, 4, 12.4))
    text = terminal.getvalue()
    assert text.count("\r") == 4 and "\n" not in text and text.endswith("\r\x1b[K")
    assert "Learning this face, 75 %, about 12 s left" in text


def test_progress_is_sparse_where_it_is_recorded() -> None:
    recorded = io.StringIO()
    with Progress(recorded) as progress:
        for step in range(101):
            progress.show(Event("tune", "Learning", step, 100))
        progress.show(Event("age", "Age 70"))
    lines = recorded.getvalue().splitlines()
    assert lines == ["Learning, 0 %", "Learning, 25 %", "Learning, 50 %", "Learning, 75 %", "Learning, 100 %", "Age 70"]


def test_times_for_people() -> None:
    assert [duration(s) for s in (0.4, 59.4, 61, 3599, 7500)] == [
        "0 s",
        "59 s",
        "1 min 1 s",
        "59 min 59 s",
        "2 h 5 min",
    ]
    assert describe(Event("age", "Age 70", seconds_left=0.2)) == "Age 70"


# Settings


def test_the_environment_and_what_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EVERYAGE_DATA", str(tmp_path))
    monkeypatch.setenv("EVERYAGE_PORT", "8000")
    settings = load_settings(port=None, device="cpu")
    assert (settings.data, settings.port, settings.device) == (tmp_path, 8000, "cpu")
    assert load_settings(port=9000).port == 9000
    assert load_settings().device == "auto"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", 0),
        ("port", "http"),
        ("device", "gpu"),
        ("device", "cuda:x"),
        ("dtype", "int8"),
        ("max_pixels", 200_000_000),
        ("memory_gb", 0),
        ("nonsense", 1),
    ],
)
def test_wrong_settings_are_named(name: str, value: Any) -> None:
    with pytest.raises(InputError) as error:
        load_settings(**{name: value})
    text = str(error.value)
    assert name in text and repr(value) in text and text.endswith(".") and "\n" not in text


def test_a_password_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError) as error:
        load_settings(password="hush")
    assert "hush" not in str(error.value)
    assert "a long secret" not in repr(load_settings(password="a long secret"))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.8.9.10"])
def test_loopback_needs_no_password(host: str) -> None:
    load_settings(host=host).check_serving()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org", "localhost.example.org"])
def test_other_machines_need_a_password(host: str) -> None:
    with pytest.raises(InputError, match="EVERYAGE_PASSWORD"):
        load_settings(host=host).check_serving()
    load_settings(host=host, password="a long secret").check_serving()


# Devices


def test_a_missing_device_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for name in ("cuda", "cuda:1", "mps"):
        with pytest.raises(DeviceError, match=rf"The device {name} is not here"):
            Runtime(load_settings(device=name))
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")


def test_cards_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda", 0)
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(DeviceError, match="2 CUDA devices found"):
        choose_device("cuda:2")


def test_number_types(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, card = torch.device("cpu"), torch.device("cuda", 0)
    assert choose_dtype("auto", cpu) == torch.float32 and choose_dtype("bfloat16", cpu) == torch.bfloat16
    for supported, dtype in ((True, torch.bfloat16), (False, torch.float16)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda supported=supported: supported)
        assert choose_dtype("auto", card) == dtype


def test_seeds_repeat_and_leave_the_global_state_alone() -> None:
    runtime = Runtime(load_settings(device="cpu"))
    before = torch.get_rng_state()
    draws = [torch.rand(4, generator=runtime.generator(seed)) for seed in (1, 1, 2)]
    assert draws[0].equal(draws[1]) and not draws[0].equal(draws[2])
    assert torch.get_rng_state().equal(before)


# The pool


def test_bytes_are_counted_through_containers() -> None:
    net = nn.BatchNorm1d(10)
    expected = 4 * 10 * 4 + 8  # weight, bias, mean, variance; the batch counter
    assert model_bytes(net) == expected
    assert model_bytes({"a": net, "b": (torch.zeros(3).half(), [net])}) == 2 * expected + 6
    assert model_bytes("something else") == 0


def test_a_model_is_loaded_once() -> None:
    pool, loader = ModelPool(10 * KILOBYTE), Loader()
    assert pool.get("a", loader) is pool.get("a", loader)
    assert loader.calls == 1 and "a" in pool and pool.held_bytes == KILOBYTE


def test_the_least_recently_used_model_goes_first() -> None:
    pool = ModelPool(3 * KILOBYTE)
    for key in "abc":
        pool.get(key, model)
    pool.get("a", model)
    pool.get("d", model)
    assert ["a" in pool, "b" in pool, "c" in pool, "d" in pool] == [True, False, True, True]
    assert pool.held_bytes <= 3 * KILOBYTE


def test_a_model_in_use_stays_and_goes_afterwards() -> None:
    pool = ModelPool(2 * KILOBYTE)
    with pool.use("a", model) as held:
        pool.get("b", lambda: model(2))
        assert "a" in pool and pool.get("a", model) is held
    pool.get("b", lambda: model(2))
    assert "a" not in pool and "b" in pool


def test_one_model_larger_than_the_budget_is_kept_alone() -> None:
    pool, large = ModelPool(KILOBYTE), Loader(8)
    pool.get("small", model)
    pool.get("large", large)
    pool.get("large", large)
    assert large.calls == 1 and "small" not in pool


def test_dropped_models_give_their_memory_back() -> None:
    unloaded: list[int] = []
    pool = ModelPool(KILOBYTE, on_unload=lambda: unloaded.append(1))
    ghost = weakref.ref(pool.get("a", model))
    pool.get("b", model)
    gc.collect()
    assert ghost() is None and unloaded == [1]


def test_idle_models_go_and_busy_ones_stay() -> None:
    clock = Clock()
    pool = ModelPool(10 * KILOBYTE, idle_seconds=60, clock=clock)
    pool.get("a", model)
    clock.now = 59
    pool.sweep()
    assert "a" in pool
    with pool.use("b", model):
        clock.now = 130
        pool.sweep()
        assert "a" not in pool and "b" in pool
    assert "b" in pool, "the idle time begins when the use ends"


def test_idle_models_go_by_themselves() -> None:
    pool = ModelPool(10 * KILOBYTE, idle_seconds=0.1)
    pool.get("a", model)
    deadline = time.monotonic() + 10
    while "a" in pool and time.monotonic() < deadline:
        time.sleep(0.02)
    assert "a" not in pool


def test_a_failed_load_is_tried_again() -> None:
    pool = ModelPool(KILOBYTE)

    def fail() -> nn.Module:
        raise EveryageError("The file is damaged.")

    with pytest.raises(EveryageError):
        pool.get("a", fail)
    assert "a" not in pool
    assert isinstance(pool.get("a", model), nn.Module)


def test_many_threads_load_each_model_once() -> None:
    pool = ModelPool(100 * KILOBYTE)
    loaders = {key: Loader() for key in "abcd"}

    def slowly(key: str) -> nn.Module:
        time.sleep(0.02)
        return loaders[key]()

    with ThreadPoolExecutor(8) as threads:
        got = list(threads.map(lambda key: pool.get(key, lambda: slowly(key)), "abcd" * 8))
    assert [loader.calls for loader in loaders.values()] == [1, 1, 1, 1]
    assert len({id(each) for each in got}) == 4


def test_different_models_load_side_by_side() -> None:
    pool, meeting = ModelPool(100 * KILOBYTE), threading.Barrier(2)

    def load() -> nn.Module:
        meeting.wait(timeout=10)  # breaks if one load waits for the other
        return model()

    with ThreadPoolExecutor(2) as threads:
        assert len(list(threads.map(lambda key: pool.get(key, load), "ab"))) == 2


# Memory back-off

TEXTS = [
    "CUDA out of memory. Tried to allocate 2.00 GiB",
    "CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate",
    "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes",
    "MPS backend out of memory",
]


@pytest.mark.parametrize("error", [*map(RuntimeError, TEXTS), MemoryError(), torch.cuda.OutOfMemoryError("full")])
def test_the_batch_is_halved_until_it_fits(error: Exception) -> None:
    tried: list[int] = []

    def work(batch: int) -> str:
        tried.append(batch)
        if batch > 3:
            raise error
        return "done"

    assert with_backoff(work, 13) == "done"
    assert tried == [13, 6, 3]


def test_the_failed_attempt_is_freed_before_the_next() -> None:
    ghosts: list[weakref.ref[torch.Tensor]] = []

    def work(batch: int) -> int:
        assert all(ghost() is None for ghost in ghosts), "tensors of the failed attempt are still alive"
        tensor = torch.zeros(batch)
        ghosts.append(weakref.ref(tensor))
        if batch > 1:
            raise RuntimeError(f"out of memory with {len(tensor)}")
        return batch

    assert with_backoff(work, 8) == 1
    assert len(ghosts) == 4


def test_when_nothing_fits_the_person_is_told_what_to_change() -> None:
    def work(batch: int) -> None:
        raise MemoryError

    with pytest.raises(DeviceError, match=r"too little memory .* --device cpu\."):
        with_backoff(work, 4)


def test_other_errors_pass() -> None:
    def work(batch: int) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        with_backoff(work, 4)
    with pytest.raises(ValueError, match="at least 1"):
        with_backoff(work, 0)


# Crashes


def test_unforeseen_errors_become_one_sentence_with_a_log(tmp_path: Path) -> None:
    with pytest.raises(EveryageError) as error, crash_log(tmp_path):
        raise KeyError("latent\nsecond line")
    text = str(error.value)
    assert "\n" not in text and "KeyError" in text and str(log_path(tmp_path)) in text and error.value.exit_code == 1
    log = log_path(tmp_path).read_text()
    assert "Traceback" in log and "test_runtime.py" in log


def test_own_errors_and_ctrl_c_pass_without_a_log(tmp_path: Path) -> None:
    for error in (InputError("An age of 900 is too much."), KeyboardInterrupt()):
        with pytest.raises(type(error)), crash_log(tmp_path):
            raise error
    assert not log_path(tmp_path).exists()


def test_a_data_folder_that_cannot_be_written_hides_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EveryageError, match=r"\(ValueError: broken\)\.$"), crash_log(tmp_path / "file"):
        raise ValueError("broken")


# Doctor


@pytest.fixture
def light_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the packages, whose import takes seconds."""
    monkeypatch.setattr(doctor_module, "PACKAGES", ("json",))


def findings(settings: Settings) -> dict[str, dict[str, Any]]:
    report = doctor(settings)
    json.dumps(report)
    assert report["ok"] == all(check["ok"] for check in report["checks"])
    return {check["name"]: check for check in report["checks"]}


@pytest.mark.usefixtures("light_doctor")
def test_doctor_finds_a_ready_machine(tmp_path: Path) -> None:
    found = findings(load_settings(data=tmp_path / "new", device="cpu"))
    for name in ("python", "json", "opencv", "device", "data folder"):
        assert found[name]["ok"], found[name]
    assert list((tmp_path / "new").iterdir()) == []
    models = [check for name, check in found.items() if name.startswith("assets/")]
    assert models and all(check["ok"] for check in models), models


@pytest.mark.usefixtures("light_doctor")
def test_doctor_names_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = tmp_path / "assets"
    shelf.mkdir()
    for name, sha256 in (("good", hashlib.sha256(b"x").hexdigest()), ("bad", "0" * 64)):
        (shelf / f"{name}.safetensors").write_bytes(b"x")
        (shelf / f"{name}.json").write_text(json.dumps({"sha256": sha256}))
    (shelf / "bare.safetensors").write_bytes(b"x")
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(doctor_module, "assets_dir", lambda: shelf)
    monkeypatch.setattr(doctor_module, "PACKAGES", ("no_such_package",))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = findings(load_settings(data=tmp_path / "file" / "data", device="cuda"))
    wrong = {name for name, check in found.items() if not check["ok"]}
    assert wrong >= {"no_such_package", "device", "data folder", "assets/bad.safetensors", "assets/bare.safetensors"}
    assert found["assets/good.safetensors"]["ok"]
    assert "--device" in found["device"]["detail"] and "--data" in found["data folder"]["detail"]
    assert "damaged" in found["assets/bad.safetensors"]["detail"]
