"""SAM and its personal form: arithmetic against `reference_nets`, eval mode, files, style mixing."""

from __future__ import annotations

import json
from pathlib import Path

import published
import pytest
import reference_nets
import torch
from reference_nets import part
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from models.aging import (
    Adapter,
    AgeEncoder,
    Sam,
    load_adapter,
    load_mytm,
    load_sam,
    mix_styles,
    save_adapter,
    save_encoder,
    save_sam,
)
from models.errors import InputError
from models.stylegan2 import Generator

BLOCKS = (1, 1, 2, 1)


def small_encoder(input_nc: int, num_ws: int = 8, w_dim: int = 16) -> AgeEncoder:
    encoder = AgeEncoder(input_nc, 32, num_ws, w_dim, widths=(4, 6, 8, 10), blocks=BLOCKS, pyramid=10)
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return encoder


def small_adapter(num_ws: int = 8, w_dim: int = 16) -> Adapter:
    return Adapter(num_ws, w_dim, 6, 10, 3)


def small_sam(adapter: bool = False, start_from_latent_avg: bool = False, seed: int = 1) -> Sam:
    torch.manual_seed(seed)
    decoder = Generator(16, 16, 32, channel_base=256, channel_max=16, mapping_layers=2)
    for name, value in decoder.named_parameters():
        if name.endswith("noise_strength"):
            value.data.fill_(0.2)
    parts = (small_encoder(4), small_encoder(3), decoder, small_adapter() if adapter else None)
    sam = Sam(*parts, start_from_latent_avg=start_from_latent_avg)
    sam.latent_avg.normal_()
    return sam.eval().requires_grad_(False)


def crops(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(9)) * 2 - 1


AGES = torch.tensor([5.0, 33.0, 80.0])


def wanted_codes(sam: Sam, x: torch.Tensor, ages: torch.Tensor) -> torch.Tensor:
    """encoder(RGB, age / 100) + pretrained_encoder(RGB) + latent_avg, then the adapter: the published sum."""
    s = sam.state_dict()
    plane = (ages / 100)[:, None, None, None].expand(-1, 1, 32, 32)
    codes = reference_nets.encoder(part(s, "encoder"), torch.cat([x, plane], 1), BLOCKS) + s["latent_avg"]
    if not sam.start_from_latent_avg:
        codes = codes + reference_nets.encoder(part(s, "pretrained_encoder"), x, BLOCKS)
    return reference_nets.adapter(part(s, "adapter"), codes, ages / 100) if sam.adapter is not None else codes


@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("start", [False, True])
def test_codes_and_pictures_equal_the_formulas(adapter: bool, start: bool) -> None:
    sam, x = small_sam(adapter, start), crops(3)
    wanted = wanted_codes(sam, x, AGES)
    assert sam.codes(x, AGES).shape == (3, 8, 16)
    assert (sam.codes(x, AGES) - wanted).abs().max() < 1e-5
    picture = reference_nets.synthesis(part(sam.state_dict(), "decoder.synthesis"), wanted)
    assert (sam(x, AGES) - picture).abs().max() < 1e-4
    assert torch.equal(sam(x, AGES), sam(x, AGES))  # the noise is the stored one


def test_an_adapter_that_is_given_goes_before_the_models_own() -> None:
    sam, x = small_sam(adapter=True), crops(3)
    other = small_adapter().requires_grad_(False)
    plain = sam.personal(None).codes(x, AGES)
    assert torch.allclose(sam.codes(x, AGES, adapter=other), other(plain, AGES / 100), atol=1e-6)
    assert torch.allclose(sam.codes(x, AGES), sam.adapter(plain, AGES / 100), atol=1e-6)
    assert (sam.codes(x, AGES) - plain).abs().max() > 0.01


def test_a_personal_model_shares_all_weights_but_the_adapter() -> None:
    sam = small_sam()
    personal = sam.personal(small_adapter())
    ours, theirs = sam.state_dict(), personal.state_dict()
    assert {name.split(".")[0] for name in theirs.keys() - ours.keys()} == {"adapter"}
    assert all(ours[name].data_ptr() == theirs[name].data_ptr() for name in ours)


def test_one_crop_may_have_many_ages_and_its_inversion_is_reusable() -> None:
    sam, x = small_sam(adapter=True), crops(1)
    together = sam.codes(x, AGES)
    apart = torch.cat([sam.codes(x, age[None]) for age in AGES])
    assert torch.allclose(together, apart, atol=1e-6)
    assert torch.equal(together, sam.codes(x, AGES, origin=sam.invert(x)))
    assert (together - sam.codes(x, AGES, origin=sam.invert(x) + 1)).abs().max() > 0.1
    s = sam.state_dict()
    inverted = reference_nets.encoder(part(s, "pretrained_encoder"), x, BLOCKS) + s["latent_avg"]
    assert torch.allclose(sam.invert(x), inverted, atol=1e-5)


def test_crops_and_ages_that_do_not_fit_are_named() -> None:
    sam = small_sam()
    with pytest.raises(ValueError, match=r"\(N, 3, 32, 32\), not \(1, 3, 16, 16\)"):
        sam.codes(crops(1)[:, :, :16, :16], AGES)
    with pytest.raises(ValueError, match=r"2 crops .* not \(3,\)"):
        sam.codes(crops(2), AGES)
    with pytest.raises(ValueError, match=r"not \(3, 1\)"):
        sam.codes(crops(3), AGES[:, None])


def test_statistics_stay_as_they_are_while_an_adapter_trains() -> None:
    """One face has one code, whatever shares its batch, and nothing but the adapter changes or gets a gradient."""
    sam = small_sam(adapter=True)
    sam.adapter.requires_grad_(True)
    before = {name: value.clone() for name, value in sam.state_dict().items()}
    assert sam.train() is sam
    assert sam.adapter.training and not any(m.training for m in sam.encoder.modules())
    assert not any(m.training for m in sam.pretrained_encoder.modules())
    x = crops(3)
    codes = sam.codes(x, AGES)
    assert torch.allclose(codes[1:2], sam.codes(x[1:2], AGES[1:2]), atol=1e-6)
    sam.decode(codes).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in sam.adapter.parameters())
    assert all(p.grad is None for name, p in sam.named_parameters() if not name.startswith("adapter."))
    assert all(torch.equal(before[name], value) for name, value in sam.state_dict().items())


def test_parts_that_do_not_belong_together_are_refused() -> None:
    sam = small_sam()
    with pytest.raises(InputError, match="adapter speaks 6 styles of 16"):
        sam.personal(small_adapter(num_ws=6))
    with pytest.raises(InputError, match="encoder speaks 8 styles of 12"):
        Sam(small_encoder(4, w_dim=12), small_encoder(3), sam.decoder)
    with pytest.raises(InputError, match="lacks its pretrained_encoder"):
        Sam(sam.encoder, None, sam.decoder)


# --- files


def test_a_file_gives_the_same_model_back(tmp_path: Path) -> None:
    sam = small_sam(adapter=True, start_from_latent_avg=True)
    save_sam(sam, tmp_path / "sam.safetensors")
    back = load_sam(tmp_path / "sam.safetensors")
    assert back.config == sam.config and back.start_from_latent_avg
    assert torch.equal(back(crops(3), AGES), sam(crops(3), AGES))
    assert not back.encoder.training and not any(p.requires_grad for p in back.parameters())
    assert not any(value.is_meta for value in back.state_dict().values())
    with safe_open(tmp_path / "sam.safetensors", framework="pt") as file:
        assert file.metadata()["format"] == "everyage-sam"
        assert json.loads(file.metadata()["config"])["adapter"] == sam.adapter.init_kwargs
        names = set(file.keys())
    assert {"latent_avg", "decoder.mapping.fc0.weight", "decoder.synthesis.b4.const", "adapter.fc_7.2.bias"} < names
    assert {"encoder.body.3.res_layer.5.fc1.weight", "pretrained_encoder.latlayer1.bias"} < names


def test_half_files_become_float32(tmp_path: Path) -> None:
    sam = small_sam()
    save_sam(sam, tmp_path / "sam.safetensors", torch.float16)
    assert all(value.dtype != torch.float32 for value in load_file(tmp_path / "sam.safetensors").values())
    back = load_sam(tmp_path / "sam.safetensors")
    assert {value.dtype for value in back.state_dict().values()} == {torch.float32, torch.int64}
    assert 0 < (back.codes(crops(3), AGES) - sam.codes(crops(3), AGES)).abs().max() < 0.05


def test_an_adapters_file_is_small_and_exact_to_half_precision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    adapter = Adapter()
    save_adapter(adapter, tmp_path / "a.safetensors")
    assert 22e6 < (tmp_path / "a.safetensors").stat().st_size < 23e6
    back = load_adapter(tmp_path / "a.safetensors")
    w, age = torch.randn(2, 18, 512), torch.tensor([0.2, 0.7])
    with torch.no_grad():
        assert (back(w, age) - adapter(w, age)).abs().max() < 1e-3
    assert len(load_file(tmp_path / "a.safetensors")) == 152


def test_a_person_from_an_adapter_alone_needs_sam(tmp_path: Path) -> None:
    sam = small_sam()
    adapter = small_adapter()
    save_adapter(adapter, tmp_path / "a.safetensors", torch.float32)
    with pytest.raises(InputError, match=r"a\.safetensors holds a personal adapter alone; give the SAM model"):
        load_mytm(tmp_path / "a.safetensors")
    personal = load_mytm(tmp_path / "a.safetensors", sam)
    with torch.no_grad():
        assert torch.equal(personal.codes(crops(3), AGES), sam.codes(crops(3), AGES, adapter))
    save_adapter(small_adapter(num_ws=6), tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="do not belong together"):
        load_mytm(tmp_path / "other.safetensors", sam)


def drifted(sam: Sam) -> Sam:
    """The same person's model as the official trainer leaves it: the encoders' statistics have moved."""
    copy = small_sam(adapter=True)
    copy.load_state_dict({**sam.state_dict(), **{f"adapter.{k}": v for k, v in copy.adapter.state_dict().items()}})
    for module in (*copy.encoder.modules(), *copy.pretrained_encoder.modules()):
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.add_(0.3)
    copy.latent_avg.add_(0.1)
    return copy


def test_a_whole_personal_checkpoint_alone_is_what_it_says(tmp_path: Path) -> None:
    whole = drifted(small_sam())
    save_sam(whole, tmp_path / "whole.safetensors")
    assert torch.equal(load_mytm(tmp_path / "whole.safetensors").codes(crops(3), AGES), whole.codes(crops(3), AGES))
    adapter = load_adapter(tmp_path / "whole.safetensors")
    assert torch.equal(adapter.fc_3[0].weight, whole.adapter.fc_3[0].weight)


def test_a_whole_personal_checkpoint_beside_sam_brings_its_adapter(tmp_path: Path) -> None:
    sam = small_sam()
    whole = drifted(sam)
    save_sam(whole, tmp_path / "whole.safetensors")
    personal = load_mytm(tmp_path / "whole.safetensors", sam)
    assert torch.equal(personal.codes(crops(3), AGES), sam.codes(crops(3), AGES, whole.adapter))
    assert personal.encoder is sam.encoder and personal.pretrained_encoder is sam.pretrained_encoder
    assert personal.decoder is sam.decoder


def test_the_official_form_takes_the_drifted_statistics_of_the_checkpoint(tmp_path: Path) -> None:
    """SAM's encoder, everything else from the personal file: what the official inference puts together."""
    sam = small_sam()
    whole = drifted(sam)
    save_sam(whole, tmp_path / "whole.safetensors")
    official = load_mytm(tmp_path / "whole.safetensors", sam, official=True)
    mixed = Sam(sam.encoder, whole.pretrained_encoder, whole.decoder, whole.adapter)
    mixed.latent_avg = whole.latent_avg
    assert torch.equal(official.codes(crops(3), AGES), mixed.codes(crops(3), AGES))
    for other in (whole, load_mytm(tmp_path / "whole.safetensors", sam)):
        assert (official.codes(crops(3), AGES) - other.codes(crops(3), AGES)).abs().max() > 0.01


def test_a_decoder_that_was_trained_too_is_kept(tmp_path: Path) -> None:
    sam = small_sam()
    whole = drifted(sam)
    whole.decoder.synthesis.b8.conv0.weight.data.mul_(1.1)
    save_sam(whole, tmp_path / "whole.safetensors")
    personal = load_mytm(tmp_path / "whole.safetensors", sam)
    assert torch.equal(personal.decoder.synthesis.b8.conv0.weight, whole.decoder.synthesis.b8.conv0.weight)
    assert personal.encoder is sam.encoder


def test_files_without_what_is_asked_for_are_named(tmp_path: Path) -> None:
    save_sam(small_sam(), tmp_path / "sam.safetensors")
    save_adapter(small_adapter(), tmp_path / "a.safetensors")
    save_encoder(small_encoder(4), tmp_path / "e.safetensors")
    for sam in (None, small_sam()):
        with pytest.raises(InputError, match="SAM model without a personal adapter"):
            load_mytm(tmp_path / "sam.safetensors", sam)
    with pytest.raises(InputError, match="not of a SAM model"):
        load_sam(tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="not of a personal age adapter"):
        load_adapter(tmp_path / "e.safetensors")
    with pytest.raises(InputError, match="not of a personal age adapter"):
        load_mytm(tmp_path / "e.safetensors", small_sam())


def rewritten(source: Path, target: Path, config: str | None, **tensors: torch.Tensor | None) -> Path:
    state = load_file(source) | tensors
    with safe_open(source, framework="pt") as file:
        metadata = file.metadata() | ({} if config is None else {"config": config})
    save_file({name: value for name, value in state.items() if value is not None}, target, metadata=metadata)
    return target


def test_damaged_files_are_one_sentence(tmp_path: Path) -> None:
    good = tmp_path / "sam.safetensors"
    save_sam(small_sam(), good)
    config = json.loads(json.dumps(small_sam().config))
    bad = tmp_path / "bad.safetensors"
    with pytest.raises(InputError, match=r"does not hold the tensors .*latent_avg"):
        load_sam(rewritten(good, bad, None, latent_avg=None))
    with pytest.raises(InputError, match=r"does not hold the tensors .*extra"):
        load_sam(rewritten(good, bad, None, extra=torch.zeros(1)))
    with pytest.raises(InputError, match=r"does not hold the tensors .*size mismatch for latent_avg"):
        load_sam(rewritten(good, bad, None, latent_avg=torch.zeros(2, 16)))
    for wrong in ("not json", "[]", "{}", json.dumps({**config, "surprise": 1})):
        with pytest.raises(InputError, match=r"bad\.safetensors"):
            load_sam(rewritten(good, bad, wrong))
    with pytest.raises(InputError, match="not 33"):
        load_sam(rewritten(good, bad, json.dumps({**config, "decoder": {**config["decoder"], "resolution": 33}})))
    bad.write_bytes(good.read_bytes()[:-100])
    with pytest.raises(InputError):
        load_sam(bad)


# --- the published files, small


def test_the_published_files_load_through_conversion(tmp_path: Path) -> None:
    """sam_ffhq_aging.pt and a personal checkpoint in their own layout, with small networks inside."""
    sam = small_sam()
    personal = drifted(sam)
    parts = {"latent_avg": sam.latent_avg}
    path = published.sam_file(
        tmp_path / "sam.pt",
        encoder=sam.encoder,
        pretrained_encoder=sam.pretrained_encoder,
        generator=sam.decoder,
        **parts,
    )
    back = load_sam(path, cache=tmp_path / "cache")
    assert (back(crops(3), AGES) - sam(crops(3), AGES)).abs().max() < 1e-5
    path = published.mytm_file(
        tmp_path / "me.pt",
        adapter=personal.adapter.state_dict(),
        encoder=personal.encoder,
        pretrained_encoder=personal.pretrained_encoder,
        generator=personal.decoder,
        latent_avg=personal.latent_avg,
    )
    loaded = load_mytm(path, back, cache=tmp_path / "cache")
    assert (loaded.codes(crops(3), AGES) - sam.codes(crops(3), AGES, personal.adapter)).abs().max() < 1e-5
    assert loaded.encoder is back.encoder and loaded.decoder is back.decoder
    whole = load_mytm(path, cache=tmp_path / "cache")
    assert (whole.codes(crops(3), AGES) - personal.codes(crops(3), AGES)).abs().max() < 1e-5
    assert len(load_adapter(path, cache=tmp_path / "cache").state_dict()) == len(personal.adapter.state_dict())


def test_a_psp_model_inverts_and_says_that_it_cannot_age(tmp_path: Path) -> None:
    psp = Sam(small_encoder(3), None, small_sam().decoder, start_from_latent_avg=True)
    save_sam(psp, tmp_path / "psp.safetensors")
    back = load_sam(tmp_path / "psp.safetensors")
    assert back.pretrained_encoder is None and not back.takes_age
    wanted = reference_nets.encoder(psp.encoder.state_dict(), crops(2), BLOCKS) + psp.latent_avg
    with torch.no_grad():
        assert torch.allclose(back.invert(crops(2)), wanted, atol=1e-5)
    with pytest.raises(InputError, match="pSp model"):
        back.codes(crops(3), AGES)


# --- style mixing


def test_style_mixing_moves_the_chosen_layers_alone() -> None:
    torch.manual_seed(0)
    codes, reference = torch.randn(2, 8, 16), torch.randn(1, 8, 16)
    before = codes.clone()
    mixed = mix_styles(codes, reference, [5, 6], 0.25)
    kept = [0, 1, 2, 3, 4, 7]
    assert torch.equal(mixed[:, kept], codes[:, kept])
    assert torch.allclose(mixed[:, [5, 6]], 0.75 * codes[:, [5, 6]] + 0.25 * reference[:, [5, 6]], atol=1e-6)
    assert torch.equal(mix_styles(codes, reference, [7])[:, 7], reference[:, 7].expand(2, -1))
    assert torch.equal(mix_styles(codes, reference, []), codes)
    assert torch.equal(codes, before)


def test_style_mixing_names_what_does_not_exist() -> None:
    codes = torch.zeros(2, 8, 16)
    for layers, text in (([8], "no style layer 8; choose layers from 0 to 7"), ([2, -1], "no style layer -1")):
        with pytest.raises(InputError, match=text):
            mix_styles(codes, codes, layers)
    for amount in (1.5, -0.1, float("nan")):
        with pytest.raises(InputError, match="from 0 to 1, not"):
            mix_styles(codes, codes, [1], amount)
    with pytest.raises(ValueError, match=r"\(3, 8, 16\) does not fit \(2, 8, 16\)"):
        mix_styles(codes, torch.zeros(3, 8, 16), [1])
