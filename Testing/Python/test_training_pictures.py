"""What a run shows while it learns, read back from TensorBoard's own file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from liverseg.training.cached_cases import Known
from liverseg.training.config import DataConfig, OptimizerConfig, RunConfig, TaskConfig, TrainerConfig
from liverseg.training.pictures import ENLARGED, beside, dice_by_class
from liverseg.training.run import train
from liverseg.training.tasks import LesionTask, Sample
from made_data import write_tiny_livers

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE = 16


@pytest.fixture
def cache(tmp_path) -> Path:
    return write_tiny_livers(tmp_path / "cache", ("lits_004", "ircad_02"))


def run(cache: Path, folder: Path, validate: int = 2, **trainer: object) -> EventAccumulator:
    settings = {"steps": 4, "steps_an_epoch": 2, "accumulate": 1, "precision": "32-true", "pictures": 2}
    config = RunConfig(
        run=str(folder),
        data=DataConfig(cache=str(cache), workers=0, exclude=["ircad_02"], validate=validate),
        task=TaskConfig(name="stage2", patch=[SIDE] * 3, filters=[4, 8, 8], deep_supervision=1),
        optimizer=OptimizerConfig(warm_up=1),
        trainer=TrainerConfig(**{**settings, **trainer}),
    )
    train(config)
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"images": 0})
    return events.Reload()


def test_each_epoch_has_losses_dice_by_class_and_the_same_pictures(cache, tmp_path):
    events = run(cache, tmp_path / "run")
    scalars, images = set(events.Tags()["scalars"]), set(events.Tags()["images"])
    assert {"loss", "val_loss"} <= scalars
    named = {"dice_held_out/lesion", "dice_held_out/liver + portal vein + hepatic vein"}
    assert {tag for tag in scalars if tag.startswith("dice")} == named
    for tag in named:
        told = events.Scalars(tag)
        assert [event.step for event in told] == [2, 4]
        assert all(0 <= event.value <= 1 for event in told)
    assert images == {"held_out/0", "held_out/1"}
    first, second = (
        np.array(Image.open(io.BytesIO(e.encoded_image_string))) for e in events.Images("held_out/0")
    )
    assert first.shape == (ENLARGED * SIDE, ENLARGED * (3 * SIDE + 2), 3)
    # Image and truth stay, whatever the network does.
    known = ENLARGED * (2 * SIDE + 1)
    assert (first[:, :known] == second[:, :known]).all()


def test_without_held_out_samples_the_tags_say_that_they_were_seen(cache, tmp_path):
    events = run(cache, tmp_path / "run", validate=0, steps=2)
    assert "seen/0" in events.Tags()["images"]
    assert "dice_seen/lesion" in events.Tags()["scalars"]


def test_pictures_change_nothing_of_what_is_learned(cache, tmp_path):
    run(cache, tmp_path / "with")
    run(cache, tmp_path / "without", pictures=0)
    one, other = (
        torch.load(tmp_path / name / "last.ckpt", weights_only=False)["current_model_state"]
        for name in ("with", "without")
    )
    for name, weights in one.items():
        torch.testing.assert_close(weights, other[name], rtol=0, atol=0)


def made_sample(known: Known) -> tuple[Sample, torch.Tensor]:
    """A slab of liver with a lesion; the network calls half of the lesion liver."""
    target = torch.zeros(4, 8, 8, dtype=torch.long)
    target[:, 2:6] = 1
    target[2, 3:5, 2:6] = 2
    found = target.clone()
    found[2, 3:5, 2:4] = 1
    logits = torch.nn.functional.one_hot(found, 5).movedim(-1, 0).float() * 10
    inputs = torch.zeros(2, 4, 8, 8)
    counted = torch.ones_like(target, dtype=torch.bool)
    return Sample(inputs, target, counted, LesionTask.groups_of(known)), logits


def test_dice_is_of_what_the_labels_tell_apart():
    sample, logits = made_sample(Known())
    dices = dice_by_class([logits], [sample], LesionTask)
    liver = 4 * 4 * 8 - 8
    assert dices == {
        "liver + portal vein + hepatic vein": pytest.approx(2 * liver / (2 * liver + 4)),
        "lesion": pytest.approx(2 * 4 / (8 + 4)),
    }
    plain, logits = made_sample(Known(lesions=False))
    assert set(dice_by_class([logits], [plain], LesionTask).values()) == {1.0}


def test_the_picture_is_of_the_slice_that_holds_the_lesion():
    sample, logits = made_sample(Known())
    picture = beside(sample, logits, 1)[::ENLARGED, ::ENLARGED]
    gray, truth, found = picture[:, :8], picture[:, 9:17], picture[:, 18:]
    assert not gray.any()
    lesion = truth[3, 3]
    assert (truth[3:5, 2:6] == lesion).all()
    assert (found[3:5, 2:4] == truth[2, 0]).all() and (found[3:5, 4:6] == lesion).all()
    assert not (lesion == truth[2, 0]).all()


def test_what_the_labels_do_not_tell_apart_has_one_color_in_the_picture():
    sample, logits = made_sample(Known())
    # Liver that the network takes for a hepatic vein, of which these labels say nothing.
    logits[4, :, 2:4] = 20
    picture = beside(sample, logits, 1)[::ENLARGED, ::ENLARGED]
    assert (picture[2, 9:17] == picture[2, 18:]).all()
