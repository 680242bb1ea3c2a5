"""A person's model on disk, in use, and as a report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from models.aging import Adapter, save_adapter
from models.errors import InputError
from pipelines.aging.nets import AgingNets
from pipelines.aging.personal import ADAPTER, CARD, GENERATOR, load_personal, read_card
from pipelines.personalize.evaluation import Evaluation, Eyes, Row, evaluate
from pipelines.personalize.everyage import Everyage
from pipelines.personalize.official import Official
from pipelines.personalize.options import PersonalizeOptions
from pipelines.personalize.preview import preview, preview_ages
from pipelines.personalize.report import contact_sheet, report
from pipelines.personalize.store import PersonFolder
from pipelines.personalize.training import Trainer
from tests.tiny_nets import TinyAge, TinyNets, TinyRecogniser, tiny_album, tiny_setting

AGES = [20.0, 24.0, 30.0, 33.0, 40.0]
CARD_OF: dict[str, Any] = {"person": "ab12", "ages": [20.0, 40.0], "photos": 5, "made": "2026-11-24T10:00:00+00:00"}


def card(nets: AgingNets) -> dict[str, Any]:
    return CARD_OF | {"base": {"model": "heads", "fingerprint": nets.fingerprint}}


@pytest.fixture(scope="module")
def trained() -> Trainer:
    trainer = Trainer(tiny_setting(AGES), Everyage(), 8, 0)
    for _ in range(8):
        trainer.train_step()
    return trainer


def test_a_saved_model_draws_what_the_student_drew(trained: Trainer, tmp_path: Path) -> None:
    setting = trained.setting
    folder = PersonFolder(tmp_path)
    folder.save(setting.student, card(setting.nets))
    nets = load_personal(folder.model, setting.nets)
    crop, age = setting.album.crops[:2], torch.tensor([25.0, 70.0])
    codes = setting.nets.encode(crop, age)
    own, images = setting.student(codes, age)
    # Stored in half the width.
    assert torch.allclose(nets.encode(crop, age), own, atol=5e-3)
    assert torch.allclose(nets.synthesis(nets.encode(crop, age)), images, atol=2e-2)
    assert not torch.allclose(images, setting.nets.synthesis(codes), atol=2e-2)
    assert nets.ages == (20.0, 40.0) and nets.fingerprint.startswith("tiny+") and nets.younger_pace == 1.0
    assert torch.equal(nets.encode(crop, 25.0)[0], nets.encode(crop, age)[0])


def test_a_model_without_a_generator_of_its_own_uses_the_base(tmp_path: Path) -> None:
    setting = tiny_setting(AGES, Official())
    folder = PersonFolder(tmp_path)
    (folder.model).mkdir()
    (folder.model / GENERATOR).write_bytes(b"of an older model")
    folder.save(setting.student, card(setting.nets))
    assert load_personal(folder.model, setting.nets).synthesis is setting.nets.synthesis
    assert not (folder.model / GENERATOR).exists()


def test_the_published_size_stays_below_25_mb(tmp_path: Path) -> None:
    save_adapter(Adapter(), tmp_path / ADAPTER)
    assert (tmp_path / ADAPTER).stat().st_size < 25e6


def test_a_person_without_a_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has not been learnt yet"):
        load_personal(tmp_path, TinyNets())


def test_a_model_of_other_networks_is_refused(trained: Trainer, tmp_path: Path) -> None:
    folder = PersonFolder(tmp_path)
    folder.save(trained.setting.student, card(trained.setting.nets) | {"base": {"fingerprint": "other"}})
    with pytest.raises(InputError, match="other networks"):
        load_personal(folder.model, trained.setting.nets)


@pytest.mark.parametrize("name", [GENERATOR, ADAPTER])
def test_a_damaged_model_is_said(trained: Trainer, tmp_path: Path, name: str) -> None:
    folder = PersonFolder(tmp_path)
    folder.save(trained.setting.student, card(trained.setting.nets))
    (folder.model / name).write_bytes(b"nonsense")
    with pytest.raises(InputError):
        load_personal(folder.model, trained.setting.nets)


def test_a_damaged_card_is_no_model(tmp_path: Path) -> None:
    (tmp_path / CARD).write_text("[1, 2")
    assert read_card(tmp_path) is None
    (tmp_path / CARD).write_text("[1, 2]")
    assert read_card(tmp_path) is None


@pytest.mark.parametrize(
    "wrong", [{"preset": "best"}, {"steps": 0}, {"steps": 1.5}, {"photos": 1}, {"seed": -1}, {"seed": True}]
)
def test_wrong_options_are_refused_with_their_value(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=re.escape(repr(next(iter(wrong.values()))))):
        PersonalizeOptions(**wrong)


@pytest.mark.parametrize(
    ("youngest", "oldest", "first", "last"), [(20, 40, 10, 50), (0, 30, 5, 35), (33, 68, 20, 80), (50, 50, 40, 60)]
)
def test_previews_reach_a_little_beyond_the_photos(youngest: float, oldest: float, first: int, last: int) -> None:
    ages = preview_ages(youngest, oldest)
    assert (ages[0], ages[-1]) == (first, last) and ages == sorted(ages) and len(ages) <= 9


def test_a_preview_has_two_rows_for_each_face(trained: Trainer) -> None:
    picture = preview(trained.setting)
    columns, rows = 1 + len(preview_ages(20, 40)), 6
    assert picture.size == (columns * 148 - 4, 22 + rows * 148)
    tile = picture.crop((148, 40, 292, 166)).getcolors(1 << 16)
    assert tile is not None and len(tile) > 100


def test_the_evaluation_finds_a_model_that_draws_the_truth() -> None:
    """A prior that draws the true photo whatever it is asked has likeness 1; one of noise has less."""
    base, album = TinyNets(), tiny_album([30.0, 31.0, 32.0, 60.0])
    inputs = album.part([3])

    class Perfect(TinyNets):
        mirrored = False

        def encode(self, crop: torch.Tensor, age: Any, origin: Any = None) -> torch.Tensor:
            return crop

    perfect = Perfect()
    perfect.own.synthesis.forward = lambda ws: album.crops[:1]  # type: ignore[method-assign]
    album.points[:] = album.points[:1]
    inputs.points[:] = album.points[:1]
    eyes = Eyes(TinyRecogniser(), TinyAge())  # type: ignore[arg-type]
    begun, result = evaluate(base, perfect, inputs, album.part([0, 1, 2]), [30.0, 60.0], eyes)
    assert [row.target for row in begun.rows] == [30.0] and begun.rows == result.rows[:1]
    first, second = result.rows
    assert first.likeness_own == pytest.approx(1.0, abs=1e-4) and first.likeness_global < 0.999  # type: ignore[operator]
    assert first.bound is not None and first.truth is not None
    assert second.likeness_own is None and second.bound is None and second.truth is None
    assert len(result.drawings) == 2 and len(result.drawings[0]) == 3


def test_the_report_has_its_numbers_and_its_picture() -> None:
    rows = [Row(30, 0.5, 0.71, 33, 31, 0.9, 29), Row(40, None, None, 44, 41, None, None)]
    tiles = [[torch.zeros(1, 3, 8, 8)] * 3 for _ in range(4)]
    evaluation = Evaluation([20.0, 70.0], rows, tiles)
    page = report("Ada <b>", {"ages": [20.0, 70.0], "photos": 50}, evaluation)
    assert "Ada &lt;b&gt;" in page and "<b>" not in page
    assert "Likeness 0.71, where everybody's aging reaches 0.50" in page
    assert "off by 1.0 years, 3.5 before" in page and page.count("–") == 4
    assert "data:image/jpeg;base64," in page and "src='http" not in page
    assert contact_sheet(evaluation).size == (3 * 148 - 4, 22 + 4 * 148)
