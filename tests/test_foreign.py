"""Every published layout becomes one of our forms: names, shapes, numbers, arguments; and the way there."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from published import (
    OPTS,
    adapter_shapes,
    constant,
    constants,
    dex_file,
    encoder_shapes,
    irse_file,
    mytm_file,
    nvidia_kwargs,
    nvidia_pickle,
    psp_file,
    rosinality_file,
    rosinality_state,
    sam_content,
    sam_file,
)
from safetensors.torch import load_file, save_file

from models.aging import Adapter, AgeEncoder
from models.aging.sam import Sam
from models.errors import Cancelled, EveryageError, InputError
from models.foreign import Converted, convert, convert_safely, converted, sandbox
from models.foreign.conversion import make_plan
from models.header import read_header
from models.stylegan2 import Discriminator, Generator, load_generator, save_generator


def small_generator(**options: Any) -> Generator:
    torch.manual_seed(2)
    arguments = {"channel_base": 128, "channel_max": 16, "mapping_layers": 2, **options}
    g = Generator(arguments.pop("z_dim", 24), 24, 16, **arguments).eval().requires_grad_(False)
    g.mapping.w_avg.normal_()
    return g


def small_encoder(input_nc: int) -> AgeEncoder:
    torch.manual_seed(input_nc)
    return AgeEncoder(input_nc, 64, num_ws=6, w_dim=24, widths=(4, 8, 12, 16), blocks=(1, 2, 1, 1), pyramid=16).eval()


def small_sam(**more: Any) -> dict[str, Any]:
    """Parts for `sam_file`; `more` replaces or adds some."""
    parts = {"encoder": small_encoder(4), "pretrained_encoder": small_encoder(3), "generator": small_generator()}
    return {**parts, "latent_avg": torch.randn(6, 24), **more}


# --- the published layouts at full size; nothing is written, the tensors repeat one number each


@pytest.mark.parametrize("personal", [False, True], ids=["sam", "mytm"])
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "old"])
def test_full_aging_models_load_strictly(personal: bool, legacy: bool, tmp_path: Path) -> None:
    make = mytm_file if personal else sam_file
    path = make(tmp_path / "model.pt", legacy=legacy)
    source = torch.load(path, weights_only=True)["state_dict"]
    assert len(source) == 1413 + 152 * personal
    plan = make_plan(path)
    with torch.device("meta"):
        net = Sam.from_config(**plan.config)
    missing, unexpected = net.load_state_dict(plan.tensors, strict=True, assign=True)
    assert (missing, unexpected) == ([], [])
    assert plan.title == "SAM model, 1024 px" + (", with a personal adapter" if personal else "")
    assert plan.config["encoder"] == encoder_arguments(4)
    assert plan.config["pretrained_encoder"] == encoder_arguments(3)
    assert plan.config["adapter"] == ({"num_ws": 18, "w_dim": 512} | ADAPTER_WIDTHS if personal else None)
    decoder = plan.config["decoder"]
    assert (decoder["resolution"], decoder["channel_base"], decoder["mapping_layers"]) == (1024, 32768, 8)
    for ours, theirs in (
        ("encoder.styles.17.convs.10.bias", "encoder.styles.17.convs.10.bias"),
        ("pretrained_encoder.body.21.shortcut_layer.0.weight", "pretrained_encoder.body.21.shortcut_layer.0.weight"),
        ("decoder.synthesis.b1024.conv1.affine.weight", "decoder.convs.15.conv.modulation.weight"),
        ("decoder.synthesis.b8.torgb.bias", "decoder.to_rgbs.0.bias"),
        ("decoder.synthesis.b64.conv0.noise_const", "decoder.noises.noise_7"),
        ("decoder.mapping.fc7.weight", "decoder.style.8.weight"),
        *([("adapter.fc_17.2.bias", "blender.fc_17.2.bias")] if personal else []),
    ):
        # The constants are told by the name within its network.
        assert torch.equal(plan.tensors[ours].unique(), constant(theirs.split(".", 1)[1]).reshape(1)), ours
    assert torch.equal(plan.tensors["latent_avg"], torch.linspace(-1, 1, 18 * 512).view(18, 512))


ADAPTER_WIDTHS = {"bottleneck": 32, "global_dim": 128, "age_dim": 16}


def encoder_arguments(input_nc: int) -> dict[str, Any]:
    with torch.device("meta"):
        return AgeEncoder(input_nc).init_kwargs


def test_full_psp_dex_irse_and_adapter(tmp_path: Path) -> None:
    torch.save({f"blender.{name}": value for name, value in constants(adapter_shapes()).items()}, tmp_path / "a.pt")
    encoder = {f"module.{name}": value for name, value in constants(encoder_shapes(4)).items()}
    torch.save({"state_dict": encoder, "epoch": 3}, tmp_path / "e.pt")
    cases = {
        psp_file(tmp_path / "psp.pt"): ("everyage-sam", "pSp model, 1024 px", 621 + 182 + 1),
        dex_file(tmp_path / "dex.pth"): ("everyage-dex", "DEX age network", 32),
        irse_file(tmp_path / "irse.pth"): ("everyage-irse50", "IR-SE50 face network", 397),
        tmp_path / "a.pt": ("everyage-adapter", "personal age adapter", 152),
        tmp_path / "e.pt": ("everyage-age-encoder", "age encoder", 621),
    }
    for path, wanted in cases.items():
        plan = make_plan(path)
        assert (plan.kind, plan.title, len(plan.tensors)) == wanted
    psp = make_plan(tmp_path / "psp.pt")
    assert (psp.config["pretrained_encoder"], psp.config["start_from_latent_avg"]) == (None, True)
    assert "conv5_3.weight" in make_plan(tmp_path / "dex.pth").tensors
    assert make_plan(tmp_path / "e.pt").left_out == ("epoch",)


# --- small files, with numbers


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "old"])
def test_a_sam_file_keeps_every_number(legacy: bool, tmp_path: Path) -> None:
    parts = small_sam()
    torch.manual_seed(0)
    adapter = Adapter(6, 24, 4, 8, 2)
    path = mytm_file(tmp_path / "p.pt", adapter=adapter.state_dict(), legacy=legacy, **parts)
    made = convert(path, tmp_path / "p.safetensors")
    stored, header = load_file(tmp_path / "p.safetensors"), read_header(tmp_path / "p.safetensors")
    assert (made.kind, made.tensors, header.kind) == ("everyage-sam", len(stored), "everyage-sam")
    assert made.bytes == (tmp_path / "p.safetensors").stat().st_size
    assert made.contained == tuple(
        f"{name} ({count} tensors)"
        for name, count in (
            ("encoder", len(parts["encoder"].state_dict())),
            ("pretrained_encoder", len(parts["encoder"].state_dict())),
            ("decoder", len(rosinality_state(parts["generator"]))),
            ("blender", len(adapter.state_dict())),
        )
    )
    named = [("encoder", parts["encoder"]), ("pretrained_encoder", parts["pretrained_encoder"])]
    named += [("decoder", parts["generator"]), ("adapter", adapter)]
    for prefix, net in named:
        for name, value in net.state_dict().items():
            if name != "mapping.w_avg":
                assert torch.equal(stored.pop(f"{prefix}.{name}"), value), name
    assert torch.equal(stored.pop("latent_avg"), parts["latent_avg"])
    assert torch.equal(stored.pop("decoder.mapping.w_avg"), parts["latent_avg"][0])
    assert not stored
    assert header.config["encoder"] == parts["encoder"].init_kwargs
    assert header.config["adapter"] == adapter.init_kwargs
    assert header.config["start_from_latent_avg"] is False


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("form", [dict, argparse.Namespace])
def test_options_may_be_a_namespace(form: Any, mean: bool, tmp_path: Path) -> None:
    opts = form(**{**OPTS, "start_from_latent_avg": mean})
    assert make_plan(sam_file(tmp_path / "s.pt", **small_sam(opts=opts))).config["start_from_latent_avg"] is mean


def test_one_row_of_the_mean_stands_for_all(tmp_path: Path) -> None:
    path = sam_file(tmp_path / "s.pt", **small_sam(latent_avg=torch.arange(24.0)))
    assert torch.equal(make_plan(path).tensors["latent_avg"], torch.arange(24.0).expand(6, 24))
    for wrong in (torch.zeros(5, 24), torch.zeros(7), torch.zeros(0, 24), torch.tensor(1.0)):
        with pytest.raises(InputError, match=r"latent_avg|other tensors"):
            convert(sam_file(tmp_path / "w.pt", **small_sam(latent_avg=wrong)), tmp_path / "w.safetensors")


def test_half_precision_where_it_holds(tmp_path: Path) -> None:
    parts = small_sam()
    parts["encoder"].input_layer[1].running_var.fill_(1e6)  # more than float16 can say
    made = convert(sam_file(tmp_path / "s.pt", **parts), tmp_path / "s.safetensors", dtype=torch.float16)
    stored = load_file(tmp_path / "s.safetensors")
    assert stored.pop("encoder.input_layer.1.running_var").dtype == torch.float32
    assert {value.dtype for value in stored.values()} == {torch.float16, torch.int64}
    full = convert(tmp_path / "s.pt", tmp_path / "full.safetensors")
    assert made.bytes < 0.7 * full.bytes
    weight = parts["encoder"].latlayer1.weight
    assert torch.equal(stored["encoder.latlayer1.weight"], weight.half())


def test_files_without_counters_of_old_pytorch(tmp_path: Path) -> None:
    content = sam_content(**small_sam())
    content["state_dict"] = {n: v for n, v in content["state_dict"].items() if not n.endswith("num_batches_tracked")}
    torch.save(content, tmp_path / "s.pt")
    plan = make_plan(tmp_path / "s.pt")
    with torch.device("meta"):
        net = Sam.from_config(**plan.config)
    net.load_state_dict(plan.tensors, strict=True, assign=True)


@pytest.mark.parametrize(
    ("remove", "says"),
    [
        ("decoder.convs.1.activate.bias", r"1 missing \(convs\.1\.activate\.bias\)"),
        ("encoder.body.0.res_layer.5.fc1.weight", r"1 missing \(encoder\.body\.0\.res_layer\.5\.fc1\.weight\)"),
        ("encoder.latlayer1.weight", "lacks the tensor latlayer1.weight"),
        ("latent_avg", "without latent_avg"),
    ],
)
def test_what_is_missing_is_named(remove: str, says: str, tmp_path: Path) -> None:
    content = sam_content(**small_sam())
    content.pop(remove, None)
    content["state_dict"].pop(remove, None)
    torch.save(content, tmp_path / "s.pt")
    with pytest.raises(InputError, match=says):
        convert(tmp_path / "s.pt", tmp_path / "s.safetensors")
    assert not (tmp_path / "s.safetensors").exists()


def test_whole_numbers_in_place_of_weights_are_refused(tmp_path: Path) -> None:
    state = rosinality_state(small_generator())
    state["conv1.activate.bias"] = state["conv1.activate.bias"].long()
    torch.save({"g_ema": state}, tmp_path / "g.pt")
    with pytest.raises(InputError, match=r"int64 instead of floats in synthesis\.b4\.conv1\.bias"):
        convert(tmp_path / "g.pt", tmp_path / "g.safetensors")


def test_unknown_content_is_told(tmp_path: Path) -> None:
    torch.save({"net": {"a": torch.zeros(1)}, "epoch": 4, "seen\n": "x"}, tmp_path / "x.pt")
    with pytest.raises(InputError, match=r"no network that this app knows, but 3 entries: net, epoch, seen\\n"):
        convert(tmp_path / "x.pt", tmp_path / "x.safetensors")


# --- NVIDIA's pickles


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_nvidia_pickles_of_every_protocol(protocol: int, tmp_path: Path) -> None:
    g = small_generator()
    other = small_generator()
    other.mapping.w_avg.zero_()
    discriminator = Discriminator(16, 64, 8)
    path = nvidia_pickle(tmp_path / "g.pkl", g, other=other, discriminator=discriminator, protocol=protocol)
    made = convert(path, tmp_path / "g.safetensors")
    assert made.contained == ("G (Generator)", "D (Discriminator)", "G_ema (Generator)")
    assert made.left_out == ("G", "D", "training_set_kwargs")
    stored = load_file(tmp_path / "g.safetensors")
    assert stored.keys() == g.state_dict().keys()
    assert all(torch.equal(stored[name], value) for name, value in g.state_dict().items())


def test_arguments_come_from_the_pickle(tmp_path: Path) -> None:
    """A conditional model of the adaptive-augmentation family: labels, 2 mapping layers, clamped half precision."""
    g = small_generator(c_dim=5, z_dim=20, num_fp16_res=2, conv_clamp=256)
    made = convert(nvidia_pickle(tmp_path / "g.pkl", g), tmp_path / "g.safetensors")
    assert made.title == "StyleGAN2 generator, 16 px, 5 classes"
    loaded = load_generator(tmp_path / "g.safetensors")
    assert loaded.init_kwargs == g.init_kwargs
    z, labels = torch.randn(3, 20), torch.eye(5)[:3]
    assert torch.equal(loaded(z, labels), g(z, labels))


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        ("mapping_kwargs", "lr_multiplier", 0.1),
        ("mapping_kwargs", "activation", "relu"),
        ("synthesis_kwargs", "architecture", "resnet"),
        ("synthesis_kwargs", "resample_filter", [1, 2, 1]),
        ("synthesis_kwargs", "use_noise", False),
        ("synthesis_kwargs", "magnitude_ema_beta", 0.5),
        ("synthesis_kwargs", "conv_clamp", [[[[1]]]]),
        (None, "img_channels", 1),
    ],
)
def test_another_architecture_is_refused(group: str | None, name: str, value: Any, tmp_path: Path) -> None:
    kwargs = nvidia_kwargs(small_generator())
    (kwargs if group is None else kwargs[group])[name] = value
    path = nvidia_pickle(tmp_path / "g.pkl", small_generator(), init_kwargs=kwargs)
    with pytest.raises(InputError, match="colour channels" if group is None else name):
        convert(path, tmp_path / "g.safetensors")


# --- safetensors


def test_safetensors_in_either_naming(tmp_path: Path) -> None:
    g = small_generator()
    nvidia = {name: value.contiguous() for name, value in g.state_dict().items()}
    theirs = {name: value.contiguous() for name, value in rosinality_state(g).items()}
    bare = {name: value for name, value in nvidia.items() if "noise_const" not in name and "filter" not in name}
    for name, state in (("nvidia", nvidia), ("rosinality", theirs), ("bare", bare)):
        save_file(state, tmp_path / f"{name}.safetensors")
        with converted(tmp_path / f"{name}.safetensors") as path:
            stored = load_file(path)
        assert stored.keys() == nvidia.keys()
        same = [key for key in nvidia if torch.equal(stored[key], nvidia[key])]
        noise = [key for key in nvidia if "noise_const" in key]
        wanted = {"nvidia": set(), "rosinality": {"mapping.w_avg"}, "bare": set(noise)}[name]
        assert set(nvidia) - set(same) == wanted


def test_a_flat_sam_in_safetensors(tmp_path: Path) -> None:
    content = sam_content(**small_sam())
    flat = {name: value.contiguous() for name, value in content["state_dict"].items()}
    save_file(flat | {"latent_avg": content["latent_avg"]}, tmp_path / "s.safetensors")
    made = convert(tmp_path / "s.safetensors", tmp_path / "out.safetensors")
    assert made.kind == "everyage-sam"


def test_our_own_files_are_copied_with_their_arguments(tmp_path: Path) -> None:
    g = small_generator(num_fp16_res=1, conv_clamp=256)
    save_generator(g, tmp_path / "g.safetensors", torch.float16)
    made = convert(tmp_path / "g.safetensors", tmp_path / "copy.safetensors", dtype=torch.float16)
    assert (made.kind, made.title) == ("everyage-stylegan2", "StyleGAN2 generator")
    first, second = load_file(tmp_path / "g.safetensors"), load_file(tmp_path / "copy.safetensors")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert load_generator(tmp_path / "copy.safetensors").init_kwargs == g.init_kwargs


# --- `converted`, the cache, and the separate process


def test_own_files_come_back_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_generator(small_generator(), tmp_path / "g.safetensors")
    monkeypatch.setattr(sandbox, "convert_safely", None)
    with converted(tmp_path / "g.safetensors", tmp_path / "cache") as path:
        assert path == tmp_path / "g.safetensors"
    assert not (tmp_path / "cache").exists()


def test_the_cache_is_filled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[Path] = []

    def quick(source: Path, out: Path, **_: Any) -> Converted:
        runs.append(out)
        return convert(source, out)

    monkeypatch.setattr(sandbox, "convert_safely", quick)
    g = small_generator()
    source, cache = rosinality_file(tmp_path / "g.pt", g), tmp_path / "data" / "cache"
    for _ in range(2):
        assert load_generator(source, cache=cache).resolution == 16
    assert len(runs) == 1
    assert [each.name for each in cache.iterdir()] == [
        f"{convert(source, tmp_path / 'x.safetensors').sha256}.safetensors"
    ]
    # Other content under the same name is another file.
    g.mapping.w_avg.add_(1)
    rosinality_file(source, g)
    assert torch.equal(load_generator(source, cache=cache).mapping.w_avg, g.mapping.w_avg)
    assert len(runs) == 2
    # What was damaged is made again.
    for each in cache.iterdir():
        each.write_bytes(each.read_bytes()[:100])
    assert torch.equal(load_generator(source, cache=cache).mapping.w_avg, g.mapping.w_avg)
    assert len(runs) == 3


def test_without_a_cache_nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    with converted(nvidia_pickle(tmp_path / "faces.pkl", small_generator())) as path:
        assert path.name == "faces.safetensors"
        assert path.is_relative_to(tmp_path / "temporary")
    assert list((tmp_path / "temporary").iterdir()) == []


def test_load_generator_takes_the_decoder_of_an_aging_model(tmp_path: Path) -> None:
    parts = small_sam()
    convert(sam_file(tmp_path / "s.pt", **parts), tmp_path / "s.safetensors")
    g = load_generator(tmp_path / "s.safetensors")
    ws = torch.randn(2, 6, 24)
    assert torch.equal(g.synthesis(ws), parts["generator"].synthesis(ws))
    assert torch.equal(g.mapping.w_avg, parts["latent_avg"][0])
    torch.save(Adapter(2, 4, 2, 2, 2).state_dict(), tmp_path / "a.pt")
    convert(tmp_path / "a.pt", tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="not of a StyleGAN2 generator"):
        load_generator(tmp_path / "a.safetensors")


def test_the_record_survives_its_way_through_json(tmp_path: Path) -> None:
    source = rosinality_file(tmp_path / "g.pt", small_generator())
    here = convert(source, tmp_path / "here.safetensors")
    there = convert_safely(source, tmp_path / "there.safetensors", sha256=here.sha256.upper())
    assert here == there
    assert Converted.from_dict(json.loads(json.dumps(here.as_dict()))) == here
    assert (tmp_path / "here.safetensors").read_bytes() == (tmp_path / "there.safetensors").read_bytes()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["g.pt", "here.safetensors", "there.safetensors"]


def test_an_older_result_stays_when_a_conversion_fails(tmp_path: Path) -> None:
    source = rosinality_file(tmp_path / "g.pt", small_generator())
    out = tmp_path / "out.safetensors"
    convert(source, out)
    before = out.read_bytes()
    source.write_bytes(source.read_bytes()[:5000])
    with pytest.raises(InputError, match="get it again"):
        convert_safely(source, out)
    assert out.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["g.pt", "out.safetensors"]


def test_cancelling_ends_the_process(tmp_path: Path) -> None:
    source = rosinality_file(tmp_path / "g.pt", small_generator())
    asked: list[float] = []

    def cancel() -> bool:
        asked.append(time.monotonic())
        return len(asked) > 3

    with pytest.raises(Cancelled):
        convert_safely(source, tmp_path / "out.safetensors", cancel=cancel)
    assert len(asked) == 4
    assert [each.name for each in tmp_path.iterdir()] == ["g.pt"]


def test_a_process_that_dies_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = rosinality_file(tmp_path / "g.pt", small_generator())
    for script, kind, says in (
        ("kill -9 $$", InputError, "signal 9"),
        ("echo 'RuntimeError: odd' >&2; exit 1", EveryageError, "RuntimeError: odd"),
        ("echo nonsense", EveryageError, "no message"),
    ):
        program = tmp_path / "python"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))
        with pytest.raises(kind, match=says) as caught:
            convert_safely(source, tmp_path / "out.safetensors")
        assert "g.pt" in str(caught.value) and str(caught.value).endswith(".")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["g.pt", "python"]


def test_the_process_ends_with_its_parent(tmp_path: Path) -> None:
    request = {"source": str(tmp_path), "out": str(tmp_path / "o"), "dtype": "float32", "memory_gb": 1}
    command = [sys.executable, "-m", "models.foreign.worker"]
    process = subprocess.Popen(command, cwd=sandbox.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.close()
    assert process.wait(20) == 1
    assert process.stdout is not None and process.stdout.read() == ""


def test_leftovers_of_a_killed_app_are_swept(tmp_path: Path) -> None:
    old, new = tmp_path / ".convert-old", tmp_path / ".convert-new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "part").write_bytes(b"x")
    os.utime(old, (0, 0))
    sandbox._sweep(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == [".convert-new"]


def test_wrong_requests_are_named(tmp_path: Path) -> None:
    source = rosinality_file(tmp_path / "g.pt", small_generator())
    with pytest.raises(InputError, match="not as 'int8'"):
        convert_safely(source, tmp_path / "o.safetensors", dtype="int8")
    with pytest.raises(InputError, match="does not exist; make it first"):
        convert_safely(source, tmp_path / "nowhere" / "o.safetensors")
    with pytest.raises(InputError, match="is no file"):
        convert_safely(tmp_path, tmp_path / "o.safetensors")


def test_starting_a_conversion_loads_no_pytorch() -> None:
    program = "import sys; from models.foreign import convert_safely, converted, KINDS; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=sandbox.ROOT)
    assert done.stdout.strip() == "False"


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("models.foreign.write.shutil.disk_usage", lambda _: usage)
    with pytest.raises(EveryageError, match="make room first"):
        convert(rosinality_file(tmp_path / "g.pt", small_generator()), tmp_path / "o.safetensors")
    assert [each.name for each in tmp_path.iterdir()] == ["g.pt"]
