"""Labels that tell less apart teach less, and nothing false."""

from __future__ import annotations

import monai.losses
import pytest
import torch

from liverseg.training.cache import Known
from liverseg.training.losses import LOSSES, SMOOTH, dice_ce, dice_focal, merge_classes, sample_loss
from liverseg.training.tasks import LesionTask

EVERY_CLASS = ((0,), (1,), (2,), (3,), (4,))


@pytest.fixture
def scan():
    torch.manual_seed(1)
    logits = torch.randn(1, 5, 6, 8, 10)
    target = torch.randint(0, 5, (6, 8, 10))
    return logits, target, torch.ones_like(target, dtype=torch.bool)


def one_hot(target: torch.Tensor, classes: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(target, classes).movedim(-1, 0)[None]


def test_with_all_known_the_losses_are_those_of_monai(scan):
    logits, target, counted = scan
    dice = monai.losses.DiceLoss(
        softmax=True, to_onehot_y=True, include_background=False, smooth_nr=SMOOTH, smooth_dr=SMOOTH
    )(logits, target[None, None])
    entropy = torch.nn.functional.cross_entropy(logits, target[None])
    assert dice_ce(logits, target[None], counted[None], 1) == pytest.approx(float(dice + entropy), abs=1e-5)
    focal = monai.losses.FocalLoss(use_softmax=True, to_onehot_y=True, gamma=2.0, reduction="none")(
        logits, target[None, None]
    )
    expected = float(dice) + float(focal.sum(dim=1).mean())
    assert dice_focal(logits, target[None], counted[None], 1) == pytest.approx(expected, abs=1e-5)


def test_merged_classes_have_the_sum_of_the_probabilities(scan):
    logits, target, _ = scan
    merged, codes = merge_classes(logits, target, ((0,), (1, 3, 4), (2,)))
    score, parts = torch.softmax(merged, 1), torch.softmax(logits, 1)
    torch.testing.assert_close(score[:, 1], parts[:, [1, 3, 4]].sum(1))
    torch.testing.assert_close(score[:, 2], parts[:, 2])
    assert ((codes == 1) == torch.isin(target, torch.tensor([1, 3, 4]))).all()
    assert ((codes == 2) == (target == 2)).all()


def test_a_liver_without_drawn_vessels_says_nothing_about_vessels(scan):
    logits, _, counted = scan
    target = torch.full((6, 8, 10), 1)
    groups = LesionTask.groups_of(Known(vessels="none"))
    logits.requires_grad_()
    sample_loss(logits[0], target, counted, groups, dice_ce, 1).backward()
    assert logits.grad is not None
    share = torch.softmax(logits.detach(), 1)
    inside = [1, 3, 4]
    # All channels of the merged class move together: their gradients are in the ratio of their probabilities.
    ratio = logits.grad[:, inside] / share[:, inside]
    torch.testing.assert_close(ratio[:, 1], ratio[:, 0], rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(ratio[:, 2], ratio[:, 0], rtol=1e-3, atol=1e-7)


def test_a_vessel_of_unknown_kind_may_be_either(scan):
    logits, _, counted = scan
    target = torch.full((6, 8, 10), 5)
    groups = LesionTask.groups_of(Known(vessels="vessels"))

    def loss_when_sure_of(channel: int) -> float:
        sure = torch.full_like(logits, -12.0)
        sure[:, channel] = 12.0
        return float(sample_loss(sure[0], target, counted, groups, dice_ce, 1))

    # The Dice of the classes that are absent stays at zero thanks to the smoothing.
    assert loss_when_sure_of(3) == pytest.approx(loss_when_sure_of(4), abs=1e-4)
    assert loss_when_sure_of(3) < 0.01
    assert loss_when_sure_of(1) > 1


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_uncounted_voxels_change_nothing(name, scan):
    logits, target, counted = scan
    counted[:, :4] = False
    other_logits, other_target = logits.clone(), target.clone()
    other_logits[..., :4, :] = 7 * torch.randn(1, 5, 6, 4, 10)
    other_target[:, :4] = 0
    first, second = (
        LOSSES[name](a, b[None], counted[None], 1)
        for a, b in ((logits, target), (other_logits, other_target))
    )
    assert first == pytest.approx(float(second), abs=1e-6)
    assert torch.isfinite(first)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_the_truth_has_the_smallest_loss(name, scan):
    _, target, counted = scan
    right = 20.0 * one_hot(target, 5).float() - 10
    wrong = right.roll(1, dims=1)
    good, bad = (float(LOSSES[name](x, target[None], counted[None], 1)) for x in (right, wrong))
    assert good < 0.01
    assert bad > 0.5


def test_coarser_levels_are_compared_at_their_own_resolution():
    target = torch.zeros(8, 8, 8, dtype=torch.long)
    target[:4] = 1
    fine = 20.0 * one_hot(target, 5).float() - 10
    coarse = (
        fine[..., ::2, ::2, ::2].repeat_interleave(2, -1).repeat_interleave(2, -2).repeat_interleave(2, -3)
    )
    counted = torch.ones_like(target, dtype=torch.bool)
    heads = torch.cat([fine, coarse])
    assert sample_loss(heads, target, counted, EVERY_CLASS, dice_ce, 1) < 0.01
    spoiled = torch.cat([fine, coarse.roll(1, dims=1)])
    assert sample_loss(spoiled, target, counted, EVERY_CLASS, dice_ce, 1) > 1
