"""The catalog's facts, and the store: adding, checking, licences, removing."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_models import diffusers_folder, foreign_file, quick_convert, record
from naughty import Naughty, break_off, refuse, serving
from safetensors.numpy import save_file

from models import catalog, foreign
from models.header import read_header
from pipelines.errors import Cancelled, EveryageError, InputError
from pipelines.events import CancelToken
from pipelines.models import PRESETS, TASKS, Entry, ModelStore, State, StoredModel, finish, slug
from pipelines.models.web import Manners
from pipelines.settings import load_settings

QUICK = Manners(stall_s=0.5, tries=3, pause_s=0.01, max_pause_s=0.02, spare_bytes=0)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    monkeypatch.setattr(foreign, "convert_safely", quick_convert)
    data = tmp_path / "data"
    return ModelStore(data, load_settings(data=data), QUICK)


@pytest.fixture
def server() -> Iterator[Naughty]:
    with serving() as naughty:
        yield naughty


def publish(monkeypatch: pytest.MonkeyPatch, *more: catalog.ModelRecord) -> None:
    """Put further models into the catalog."""
    known = catalog.records()
    monkeypatch.setattr(catalog, "records", lambda: (*known, *more))
    monkeypatch.setattr(catalog, "find_record", lambda id: next((r for r in catalog.records() if r.id == id), None))


def added(store: ModelStore, *arguments: object, **more: object) -> StoredModel:
    stored = finish(store.add(*arguments, **more))  # type: ignore[arg-type]
    assert isinstance(stored, StoredModel)
    return stored


def leftovers(store: ModelStore) -> list[str]:
    """What lies in the folder beside models, licences and locks."""
    names = [path.name for path in store.folder.iterdir()] if store.folder.is_dir() else []
    return [name for name in names if name.startswith(".") and name != ".locks"]


# The catalog


def test_every_entry_is_complete_and_its_facts_are_well_formed() -> None:
    entries = catalog.records()
    assert len({entry.id for entry in entries}) == len(entries) >= 25
    for entry in entries:
        assert re.fullmatch(r"[a-z0-9-]+", entry.id) and slug(entry.id) == entry.id
        assert entry.task in TASKS and entry.title and entry.about.endswith(".") and entry.licence.use.endswith(".")
        for file in entry.files:
            assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256)
            assert file.bytes is None or file.bytes > 10_000
        where = entry.source.where
        if entry.source.kind in ("url", "drive"):
            assert where.startswith("https://")
        if entry.source.kind == "url":
            assert len(entry.files) == 1 and where.endswith(entry.files[0].name)
        if entry.source.kind == "hub":
            assert re.fullmatch(r"[\w.-]+/[\w.-]+", where) and entry.source.page == f"https://huggingface.co/{where}"
        assert not (entry.licence.ask and entry.source.kind == "shipped")
        if "non-commercial" in entry.licence.title.lower():
            assert entry.licence.ask


def test_the_shipped_models_are_what_their_files_say() -> None:
    shipped = [entry for entry in catalog.records() if entry.source.kind == "shipped"]
    assert {"heads-generator", "heads-encoder", "faces-yunet", "faces-sface"} <= {entry.id for entry in shipped}
    for entry in shipped:
        path = catalog.embedded_path(entry)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == entry.files[0].sha256
        assert entry.files[0].bytes == path.stat().st_size and entry.licence.id != "own" and entry.memory_bytes
        assert entry.kind in (None, read_header(path).kind)


def test_presets_name_models_of_the_catalog() -> None:
    ids = {entry.id for entry in catalog.records()}
    assert [preset.id for preset in PRESETS] == ["built-in", "published", "personal"]
    assert all(set(preset.needs) <= ids for preset in PRESETS)


def test_the_sam_entry_has_the_published_facts() -> None:
    sam = catalog.find_record("sam")
    assert sam is not None and sam.bytes == 2_270_547_237 and sam.resolution == 1024
    assert sam.files[0].sha256 == "6fbd6085e2e6001f51f6dee896ae5ba7bd6c3fab5c06fadba75f2a12188ba143"


def test_listing_models_loads_neither_torch_nor_a_web_client(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom pipelines.models import ModelStore\n"
        "from pipelines.settings import load_settings\n"
        f"ModelStore(Path({str(tmp_path)!r}), load_settings()).list()\n"
        "print([name for name in ('torch', 'httpx', 'gradio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]" and not list(tmp_path.iterdir())


def test_a_header_tells_what_a_file_holds_and_that_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"w": np.zeros((3, 4), np.float32), "b": np.zeros(5, np.float16)}, path, {"format": "everyage-x"})
    header = read_header(path)
    assert header.kind == "everyage-x" and header.numbers == 17 and header.shapes["w"] == (3, 4)
    whole = path.read_bytes()
    for bad in (b"", b"\0" * 8, whole[:-1], whole + b"x", b"\xff" * 16 + whole, whole[:8] + b"[" * 5000):
        path.write_bytes(bad)
        with pytest.raises(InputError, match=r"a\.safetensors is not a whole safetensors file"):
            read_header(path)


# The store


def test_a_new_store_has_the_shipped_models_ready_and_makes_nothing(store: ModelStore) -> None:
    entries = store.list()
    states = {entry.state for entry in entries}
    assert states == {State.EMBEDDED, State.ADDABLE} and not store.folder.exists() and store.disk_used() == 0
    assert [model.id for model in store.ready("aging")] == ["heads-encoder"]
    assert [model.id for model in store.ready("everyage-stylegan2")] == ["heads-generator"]
    assert store.path("heads-generator").is_file() and store.disk_free() > 0
    json.dumps([entry.as_dict() for entry in entries])


def test_a_file_of_ones_own_is_converted_and_ready(store: ModelStore, tmp_path: Path) -> None:
    source = foreign_file(tmp_path / "My Net (2).pkl", resolution=64)
    events = list(store.add(source))
    assert [event.stage for event in events] == ["convert", "check", "done"]
    stored = events[-1].value
    assert (stored.id, stored.title, stored.kind, stored.task) == (
        "my-net-2",
        "My Net (2)",
        "everyage-stylegan2",
        "generator",
    )
    assert stored.path == store.path("my-net-2") and read_header(stored.path).kind == "everyage-stylegan2"
    assert stored.origin == {"file": source.name, "sha256": hashlib.sha256(source.read_bytes()).hexdigest()}
    assert stored.files[0].sha256 == hashlib.sha256(stored.path.read_bytes()).hexdigest() and stored.resolution == 64
    entry = store.get("my-net-2")
    assert entry.state is State.READY and entry.stored == stored and stored in store.ready("everyage-stylegan2")
    assert store.disk_used() >= stored.bytes and leftovers(store) == []
    again = ModelStore(store.folder.parent, store.settings)
    assert again.get("my-net-2").stored == stored and source.exists()


def test_a_name_of_ones_own(store: ModelStore, tmp_path: Path) -> None:
    source = foreign_file(tmp_path / "iteration_10000.pt", "everyage-adapter")
    stored = added(store, source, name="Grandma, 1950 to 2020")
    assert (stored.id, stored.title, stored.task) == ("grandma-1950-to-2020", "Grandma, 1950 to 2020", "personal")
    assert added(store, source, id="second").title == "iteration_10000"
    whole = foreign_file(tmp_path / "whole.pt", "everyage-sam", adapter={"num_ws": 18}, decoder={"resolution": 1024})
    assert (added(store, whole).task, store.get("whole").record.resolution) == ("personal", 1024)


@pytest.mark.parametrize("id", ["../up", "a/b", "A", "", "-a", "a" * 65, "con", ".hidden", "ä"])
def test_impossible_ids(store: ModelStore, tmp_path: Path, id: str) -> None:
    with pytest.raises(InputError, match=r"can't name a model|is part of"):
        finish(store.add(foreign_file(tmp_path / "a.pkl"), id=id))
    with pytest.raises(InputError):
        store.path(id)
    with pytest.raises(InputError):
        store.remove(id)


def test_names_of_the_catalog_are_kept_for_the_catalog(store: ModelStore, tmp_path: Path) -> None:
    source = foreign_file(tmp_path / "x.pkl")
    for name, words in (("FFHQ", "in the catalog"), ("heads generator", "part of the app")):
        with pytest.raises(InputError, match=words):
            finish(store.add(source, name=name))
    assert added(store, source, id="ffhq").title == "StyleGAN2 faces, 1024 px"
    with pytest.raises(InputError, match="is here already"):
        finish(store.add(source, id="ffhq"))


def test_a_published_file_is_known_by_its_name_and_held_to_its_hash(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = foreign_file(tmp_path / "tiny.pkl")
    publish(monkeypatch, record("https://models.example/tiny.pkl", good.read_bytes()))
    stored = added(store, good)
    assert stored.id == "tiny" and store.get("tiny").state is State.NEEDS_LICENCE
    store.remove("tiny")
    good.write_text(good.read_text().replace("64", "63"))
    with pytest.raises(InputError, match=r"is not the published tiny\.pkl \(sha256"):
        finish(store.add(good))
    good.write_text(good.read_text() + " ")
    with pytest.raises(InputError, match="bytes and the published"):
        finish(store.add(good))
    assert added(store, good, name="my own").id == "my-own" and leftovers(store) == []


def test_a_file_of_another_kind_is_not_taken_for_a_model_of_the_catalog(store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dex_age_classifier\.pth \(a StyleGAN2 generator\) is not DEX"):
        finish(store.add(foreign_file(tmp_path / "dex_age_classifier.pth")))
    assert store.get("dex").state is State.ADDABLE and leftovers(store) == []
    adapter = foreign_file(tmp_path / "a.pt", "everyage-adapter")
    assert added(store, adapter, id="mytm-al-pacino").task == "personal"


def test_sam_psp_and_personal_models_are_told_apart(store: ModelStore, tmp_path: Path) -> None:
    """They share one form: what a file is for decides."""
    encoders = {"sam": {"input_nc": 4}, "psp": {"input_nc": 3}}
    sam = foreign_file(tmp_path / "a.pth", "everyage-sam", encoder=encoders["sam"])
    psp = foreign_file(tmp_path / "b.pth", "everyage-sam", encoder=encoders["psp"])
    person = foreign_file(tmp_path / "c.pth", "everyage-sam", encoder=encoders["sam"], adapter={"num_ws": 18})
    for path, wrong in ((psp, "sam"), (person, "sam"), (sam, "psp"), (sam, "mytm-al-pacino")):
        with pytest.raises(InputError, match="is not"):
            finish(store.add(path, id=wrong))
    for path, id, task in ((sam, "sam", "aging"), (psp, "psp", "encoder"), (person, "mytm-al-pacino", "personal")):
        assert added(store, path, id=id).task == task
    assert added(store, psp, name="mine").task == "encoder"
    for id in ("sam", "psp", "mytm-al-pacino"):
        store.accept(id)
    assert [model.id for model in store.ready("aging")] == ["heads-encoder", "sam"]
    assert [model.id for model in store.ready("personal")] == ["mytm-al-pacino"]


def test_what_can_not_be_added_is_one_sentence(store: ModelStore, tmp_path: Path) -> None:
    (tmp_path / "empty.pkl").touch()
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "junk.pt").write_bytes(b"\x80junk")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    (tmp_path / "folder").mkdir()
    for name, words in (
        ("nothing.pkl", "nothing at"),
        ("empty.pkl", "is empty"),
        ("notes.txt", "no model file"),
        ("junk.pt", "nothing that is known"),
        ("cut.safetensors", "not a whole safetensors"),
        ("folder", "no Diffusers folder"),
        ("nul\0.pt", "nothing at"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            finish(store.add(tmp_path / name, id="x"))
        assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    assert [path.name for path in store.folder.iterdir() if not path.name.startswith(".")] == []
    assert leftovers(store) == []


def test_stopping_leaves_nothing_behind(store: ModelStore, tmp_path: Path) -> None:
    cancel = CancelToken()
    events = store.add(foreign_file(tmp_path / "slow.pkl", pause=5), cancel=cancel)
    assert next(events).stage == "convert"
    cancel.cancel()
    with pytest.raises(Cancelled):
        finish(events)
    assert not (store.folder / "slow").exists() and leftovers(store) == []
    events = store.add(foreign_file(tmp_path / "left.pkl"))
    next(events)
    events.close()  # a closed tab
    assert leftovers(store) == [] and added(store, tmp_path / "left.pkl").id == "left"


def test_what_a_killed_process_left_is_swept_away(store: ModelStore, tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for owner in (ended.pid, os.getpid()):
        (store.folder / f".adding-{owner}-ab").mkdir(parents=True)
    added(store, foreign_file(tmp_path / "a.pkl"))
    assert leftovers(store) == [f".adding-{os.getpid()}-ab"]


def test_one_model_is_worked_on_once_at_a_time(store: ModelStore, tmp_path: Path) -> None:
    source = foreign_file(tmp_path / "a.pkl")
    first = store.add(source)
    next(first)
    other = ModelStore(store.folder.parent, store.settings)
    with pytest.raises(InputError, match="added or removed already"):
        finish(other.add(source))
    assert added(other, source, id="b").id == "b"
    finish(first)
    assert store.get("a").state is State.READY


def test_the_steps_may_run_in_different_threads(store: ModelStore, tmp_path: Path) -> None:
    """As the browser's do; the model is free again afterwards."""
    events = store.add(foreign_file(tmp_path / "a.pkl"))

    def step() -> None:
        with contextlib.suppress(StopIteration):
            next(events)

    for _ in range(5):
        thread = threading.Thread(target=step)
        thread.start()
        thread.join()
    assert store.get("a").state is State.READY and store.remove("a") > 0


# Licences


def test_a_licence_is_accepted_before_use_and_remembered(store: ModelStore, tmp_path: Path) -> None:
    added(store, foreign_file(tmp_path / "x.pkl"), id="ffhq")
    assert store.get("ffhq").state is State.NEEDS_LICENCE and not store.ready("everyage-stylegan2")[1:]
    with pytest.raises(InputError, match=r"has not been accepted.*models accept ffhq"):
        store.path("ffhq")
    entry = store.accept("ffhq")
    assert entry.state is State.READY and re.match(r"\d{4}-\d\d-\d\dT", entry.accepted)
    again = ModelStore(store.folder.parent, store.settings)
    assert again.path("ffhq").is_file() and again.get("ffhq").accepted == entry.accepted
    kept = json.loads((store.folder / "licences.json").read_text())
    assert kept["ffhq"]["licence"] == "nvidia-source-code"
    (store.folder / "licences.json").write_text("{")
    with pytest.raises(EveryageError, match="accept the licences anew"):
        store.list()


def test_a_missing_model_says_how_to_get_it(store: ModelStore) -> None:
    with pytest.raises(InputError, match=r"drive\.google\.com.*models add FILE --id sam"):
        store.path("sam")
    with pytest.raises(InputError, match="models download ffhq"):
        store.path("ffhq")
    with pytest.raises(InputError, match="There is no model 'nix'"):
        store.path("nix")


# Checking and removing


def test_damage_is_found_and_told(store: ModelStore, tmp_path: Path) -> None:
    stored = added(store, foreign_file(tmp_path / "a.pkl"))
    verdicts = finish(store.verify())
    assert {verdict.id: verdict.ok for verdict in verdicts}["a"] and all(verdict.ok for verdict in verdicts)
    content = bytearray(stored.path.read_bytes())
    content[-1] ^= 1
    stored.path.write_bytes(content)
    assert store.get("a").state is State.READY  # sizes alone don't tell
    (verdict,) = finish(store.verify("a"))
    assert not verdict.ok and "changed: sha256" in verdict.detail
    assert store.get("a").state is State.DAMAGED
    with pytest.raises(InputError, match=r"is damaged.*add it again"):
        store.path("a")
    content[-1] ^= 1
    stored.path.write_bytes(content)
    assert finish(store.verify("a"))[0].ok and store.get("a").state is State.READY
    stored.path.write_bytes(content[:-1])
    assert "instead of" in store.get("a").problem
    stored.path.unlink()
    assert "is missing" in store.get("a").problem and not finish(store.verify("a"))[0].ok


def test_a_damaged_record_is_no_crash(store: ModelStore, tmp_path: Path) -> None:
    added(store, foreign_file(tmp_path / "a.pkl"))
    for content in ("{", "[]", "{}", '{"path": "../../x", "id": "a"}'):
        (store.folder / "a" / "record.json").write_text(content)
        entry = store.get("a")
        assert entry.state is State.DAMAGED and "remove the model" in entry.problem
        assert not finish(store.verify("a"))[0].ok
    assert store.remove("a") > 0 and "a" not in {entry.id for entry in store.list()}


def test_removing_frees_the_room(store: ModelStore, tmp_path: Path) -> None:
    stored = added(store, foreign_file(tmp_path / "a.pkl"))
    assert store.remove("a") >= stored.bytes and not (store.folder / "a").exists() and leftovers(store) == []
    with pytest.raises(InputError, match="nothing to remove"):
        store.remove("a")
    with pytest.raises(InputError, match="part of the app"):
        store.remove("heads-generator")


# Diffusers


def test_a_diffusers_folder_takes_only_what_is_needed(store: ModelStore, tmp_path: Path) -> None:
    folder = diffusers_folder(tmp_path / "tiny-sd")
    stored = added(store, folder)
    assert stored.kind == "diffusers" and stored.task == "text-to-image" and store.path("tiny-sd") == stored.path
    assert [file.name for file in stored.files] == [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "tokenizer/merges.txt",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    ]
    assert {path.relative_to(stored.path).as_posix() for path in stored.path.rglob("*") if path.is_file()} == {
        file.name for file in stored.files
    }
    assert finish(store.verify("tiny-sd"))[0].ok and (folder / "run_me.py").exists()
    with pytest.raises(InputError, match=r"a\.pkl \(a StyleGAN2 generator\) is not Stable Diffusion XL"):
        finish(store.add(foreign_file(tmp_path / "a.pkl"), id="sdxl"))
    assert "diffusion_pytorch_model.fp16.safetensors" in str(added(store, folder, id="sdxl").files)


def test_folders_that_could_run_code_are_refused(store: ModelStore, tmp_path: Path) -> None:
    folder = diffusers_folder(tmp_path / "sd")
    for path in (folder / "unet").glob("*.safetensors"):
        path.unlink()
    with pytest.raises(InputError, match=r"weights of its unet as unet/diffusion_pytorch_model\.bin.*can run code"):
        finish(store.add(folder))
    index = json.loads((folder / "model_index.json").read_text())
    for change, words in (
        ({"_class_name": ["pipeline", "Mine"]}, "own program code"),
        ({"unet": ["my_package", "Net"]}, "needs 'my_package'"),
        ({"../up": ["diffusers", "Net"]}, "can't be a folder"),
        ({"vae2": ["diffusers", "AutoencoderKL"]}, "no weights for its vae2"),
    ):
        (folder / "model_index.json").write_text(json.dumps(index | change))
        shutil.copyfile(
            folder / "vae/diffusion_pytorch_model.safetensors", folder / "unet/diffusion_pytorch_model.safetensors"
        )
        with pytest.raises(InputError, match=words):
            finish(store.add(folder))
    assert leftovers(store) == []


def test_a_cut_weight_file_in_a_folder_is_refused(store: ModelStore, tmp_path: Path) -> None:
    folder = diffusers_folder(tmp_path / "sd")
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5])
    with pytest.raises(InputError, match="not a whole safetensors"):
        finish(store.add(folder))


def test_a_one_file_checkpoint(store: ModelStore, tmp_path: Path) -> None:
    path = tmp_path / "v1-5.safetensors"
    save_file({"model.diffusion_model.out.0.bias": np.zeros(4, np.float32)}, path)
    stored = added(store, path)
    assert (stored.id, stored.kind) == ("v1-5", "diffusers-file") and stored.path.read_bytes() == path.read_bytes()


# Downloads through the store


def tiny(tmp_path: Path) -> bytes:
    return foreign_file(tmp_path / "published.pkl").read_bytes()


def test_a_download_is_converted_and_ready(
    store: ModelStore, server: Naughty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = tiny(tmp_path)
    publish(monkeypatch, record(server.put("/tiny.pkl", content), content))
    with pytest.raises(InputError, match="First accept the licence"):
        finish(store.download("tiny"))
    assert server.asked == []
    store.accept("tiny")
    server.tricks = [break_off(20)] + [refuse(503)] * 9
    with pytest.raises(EveryageError, match="goes on from there"):
        finish(store.download("tiny"))
    entry = store.get("tiny")
    assert entry.state is State.ADDABLE and 0 < entry.arrived < len(content) + 300
    server.tricks = []
    stored = finish(store.download("tiny"))
    assert store.path("tiny") == stored.path and stored.origin["url"] == f"{server.url}/tiny.pkl"
    assert store.get("tiny").state is State.READY and not list((store.folder / ".downloads").iterdir())
    with pytest.raises(InputError, match="is here already"):
        finish(store.download("tiny"))
    store.remove("tiny")


def test_offline_nothing_is_asked(tmp_path: Path, server: Naughty, monkeypatch: pytest.MonkeyPatch) -> None:
    content = tiny(tmp_path)
    publish(monkeypatch, record(server.put("/tiny.pkl", content), content))
    offline = ModelStore(tmp_path / "data", load_settings(data=tmp_path / "data", offline=True), QUICK)
    offline.accept("tiny")
    with pytest.raises(InputError, match="started offline"):
        finish(offline.download("tiny"))
    assert server.asked == []


def test_a_download_that_is_no_model_is_thrown_away(
    store: ModelStore, server: Naughty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, record(server.put("/tiny.pkl", b"<html>"), b"<html>"))
    store.accept("tiny")
    with pytest.raises(InputError, match="nothing that is known"):
        finish(store.download("tiny"))
    assert store.get("tiny") == replace(store.get("tiny"), state=State.ADDABLE, arrived=0)


def test_what_no_program_can_fetch_says_so(store: ModelStore) -> None:
    store.accept("sam")
    with pytest.raises(InputError, match="can't be downloaded by a program; download it in your browser from https"):
        finish(store.download("sam"))
    with pytest.raises(InputError, match="part of the app"):
        finish(store.download("heads-generator"))


def hub(server: Naughty, folder: Path, repo: str, commit: str = "a" * 40, **lies: object) -> None:
    """Serve this folder as the Hugging Face Hub serves a repository."""
    siblings = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        content = path.read_bytes()
        server.put(f"/{repo}/resolve/{commit}/{name}", content)
        lfs = {"lfs": {"sha256": hashlib.sha256(content).hexdigest()}} if path.suffix == ".safetensors" else {}
        siblings.append({"rfilename": name, "size": len(content)} | lfs)
    server.put(f"/api/models/{repo}", json.dumps({"sha": commit, "siblings": siblings} | lies).encode())


def test_a_repository_of_the_hub(server: Naughty, tmp_path: Path) -> None:
    repo = "somebody/tiny-sd"
    hub(server, diffusers_folder(tmp_path / "sd"), repo)
    store = ModelStore(tmp_path / "data", load_settings(data=tmp_path / "data"), QUICK, hub=server.url)
    with pytest.raises(InputError, match=r"models accept somebody/tiny-sd"):
        finish(store.download(repo))
    store.accept(repo)
    server.tricks = [lambda *_: False] * 4 + [break_off(100)] + [refuse(503)] * 9
    with pytest.raises(EveryageError):
        finish(store.download(repo))
    unfinished = store.get(repo)
    assert unfinished.arrived > 0 and "somebody-tiny-sd" in {entry.id for entry in store.list()}
    server.tricks, server.asked = [], []
    events = list(store.download(repo))
    stored = events[-1].value
    assert (stored.id, stored.kind, len(stored.files)) == ("somebody-tiny-sd", "diffusers", 7)
    asked = [each.path.rpartition("/")[2] for each in server.asked]
    assert "diffusion_pytorch_model.bin" not in asked and "run_me.py" not in asked
    entry = store.get("somebody-tiny-sd")
    assert entry.state is State.READY and entry.record.source.where == repo
    shares = [event.fraction or 0 for event in events if event.stage == "download"]
    assert shares == sorted(shares) and shares[-1] == 1
    assert finish(store.verify("somebody-tiny-sd"))[0].ok


def test_parts_of_an_older_commit_are_not_mixed_in(server: Naughty, tmp_path: Path) -> None:
    folder, repo = diffusers_folder(tmp_path / "sd"), "somebody/tiny-sd"
    hub(server, folder, repo)
    store = ModelStore(tmp_path / "data", load_settings(data=tmp_path / "data"), QUICK, hub=server.url)
    store.accept(repo)
    server.tricks = [lambda *_: False] * 6 + [refuse(503)] * 9
    with pytest.raises(EveryageError):
        finish(store.download(repo))
    (folder / "scheduler" / "scheduler_config.json").write_text('{"n": 2}')
    hub(server, folder, repo, "b" * 40)
    server.tricks = []
    stored = finish(store.download(repo))
    assert (stored.path / "scheduler" / "scheduler_config.json").read_text() == '{"n": 2}'


def test_a_lying_hub(server: Naughty, tmp_path: Path) -> None:
    folder, repo = diffusers_folder(tmp_path / "sd"), "somebody/sd"
    store = ModelStore(tmp_path / "data", load_settings(data=tmp_path / "data"), QUICK, hub=server.url)
    store.accept(repo)
    for lies in ({"sha": "../../x"}, {"siblings": [{"rfilename": "a", "lfs": {"sha256": "zz"}}]}, {"siblings": 3}):
        hub(server, folder, repo, **lies)
        with pytest.raises(EveryageError, match="can't be read"):
            finish(store.download(repo))
    hub(server, folder, repo, siblings=[{"rfilename": "x.bin", "size": 1}])
    with pytest.raises(InputError, match="no Diffusers pipeline"):
        finish(store.download(repo))
    outside = [{"rfilename": name, "size": 9} for name in ("model_index.json", "unet/../../../x.json", "/etc/x.json")]
    hub(server, folder, repo, siblings=outside)
    with pytest.raises(InputError, match="no weights for its unet"):
        finish(store.download(repo))
    assert not list(tmp_path.rglob("x.json"))


def test_an_entry_for_json_says_what_a_program_needs(store: ModelStore) -> None:
    facts = store.get("sam").as_dict()
    assert facts["state"] == "can be added" and facts["download"] is False and facts["path"] is None
    assert facts["licence"]["url"].startswith("https://") and facts["bytes"] == 2_270_547_237
    assert isinstance(store.get("sam"), Entry)


# With the real conversion


def test_foreign_files_become_models_that_load(tmp_path: Path) -> None:
    """NVIDIA's pickle through the process of its own; nothing in it is run, and the generator draws the same."""
    import torch
    from published import nvidia_pickle

    from models.stylegan2 import Generator, load_generator

    torch.manual_seed(0)
    generator = Generator(32, 32, 32, channel_base=512, channel_max=64, mapping_layers=2).eval()
    store = ModelStore(tmp_path / "data", load_settings(data=tmp_path / "data"), QUICK)
    stored = added(store, nvidia_pickle(tmp_path / "network-snapshot.pkl", generator))
    assert (stored.kind, stored.resolution, store.get("network-snapshot").state) == (
        "everyage-stylegan2",
        32,
        State.READY,
    )
    loaded = load_generator(store.path("network-snapshot"))
    ws = torch.randn(1, generator.num_ws, 32)
    assert torch.equal(loaded.synthesis(ws, noise_mode="const"), generator.synthesis(ws, noise_mode="const"))
    attack = tmp_path / "attack.pkl"
    attack.write_bytes(b"cbuiltins\nexec\n(S'open(\"" + str(tmp_path / "canary").encode() + b'", "w")\'\ntR.')
    with pytest.raises(InputError) as caught:
        finish(store.add(attack))
    assert not (tmp_path / "canary").exists() and str(caught.value).endswith(".") and leftovers(store) == []
