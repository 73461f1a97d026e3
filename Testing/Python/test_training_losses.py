"""Labels that tell less apart teach less, and nothing false."""

from __future__ import annotations

import monai.losses
import pytest
import torch

from liverseg.training.cached_cases import Known
from liverseg.training.losses import (
    LOSSES,
    SMOOTH,
    LossSettings,
    WeightedCrossEntropy,
    blobs,
    boundary,
    build_loss,
    dice,
    dice_ce,
    dice_focal,
    divergence,
    merge_classes,
    reconstruction,
    sample_loss,
)
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
def test_a_sample_that_counts_nowhere_teaches_nothing(name, scan):
    logits, target, counted = scan
    outputs = logits.repeat(2, 1, 1, 1, 1).requires_grad_()
    loss = sample_loss(outputs, target, torch.zeros_like(counted), EVERY_CLASS, LOSSES[name], 1)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-5)
    assert float(outputs.grad.abs().max()) == 0


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


def two_blobs() -> tuple[torch.Tensor, torch.Tensor]:
    """A target with a component of 64 voxels and one of a single voxel, and all of it counted."""
    target = torch.zeros(1, 12, 12, 12, dtype=torch.long)
    target[0, 1:5, 1:5, 1:5] = 1
    target[0, 9, 9, 9] = 1
    return target, torch.ones_like(target, dtype=torch.bool)


def sure_of(classes: torch.Tensor) -> torch.Tensor:
    return 40.0 * one_hot(classes[0], 2).float() - 20


def test_a_missed_small_lesion_costs_the_size_aware_term_half_and_the_dice_nothing_much():
    target, counted = two_blobs()
    seen = target.clone()
    seen[0, 9, 9, 9] = 0
    # The Dice of the missed one is (0 + 1) / (0 + 1 + 1), that of the other 1.
    assert blobs(sure_of(seen), target, counted, 1) == pytest.approx(0.25, abs=1e-5)
    expected = 1 - (2 * 64 + SMOOTH) / (64 + 65 + SMOOTH)
    assert dice(sure_of(seen), target, counted, 1) == pytest.approx(expected, abs=1e-5)
    assert blobs(sure_of(target), target, counted, 1) == pytest.approx(0, abs=1e-5)


def test_false_voxels_are_shared_by_the_lesions_according_to_their_volume():
    target, counted = two_blobs()
    seen = target.clone()
    seen[0, 9, 1, :13] = 1
    false = 12.0
    small = 1 - 3 / (2 + false / 65 + 1)
    large = 1 - 129 / (128 + false * 64 / 65 + 1)
    assert blobs(sure_of(seen), target, counted, 1) == pytest.approx((small + large) / 2, abs=1e-5)


def test_without_a_component_the_size_aware_term_is_zero_and_can_be_learned_from():
    target = torch.zeros(1, 4, 4, 4, dtype=torch.long)
    logits = torch.randn(1, 2, 4, 4, 4, requires_grad=True)
    loss = blobs(logits, target, target == 0, 1)
    loss.backward()
    assert float(loss.detach()) == 0


def test_the_boundary_loss_is_the_distance_of_wrong_voxels_to_the_true_border():
    target = torch.zeros(1, 8, 8, 16, dtype=torch.long)
    target[..., :8] = 1
    counted = torch.ones_like(target, dtype=torch.bool)
    assert boundary(sure_of(target), target, counted, 1) == pytest.approx(0, abs=1e-5)
    for end, distances in ((9, 0.5), (11, 0.5 + 1.5 + 2.5), (6, 0.5 + 1.5)):
        seen = torch.zeros_like(target)
        seen[..., :end] = 1
        # So many millimeters on each of the 64 lines of 16 voxels.
        assert boundary(sure_of(seen), target, counted, 1) == pytest.approx(distances / 16, abs=1e-4)


def test_the_weighted_cross_entropy_is_that_of_pytorch(scan):
    logits, target, counted = scan
    weights = (0.1, 1.0, 4.0, 2.0, 2.0)
    ours = WeightedCrossEntropy(weights)
    expected = torch.nn.functional.cross_entropy(logits, target[None], torch.tensor(weights))
    assert ours(logits, target[None], counted[None], 1) == pytest.approx(float(expected), abs=1e-5)
    assert ours.for_groups(((0,), (1, 3, 4), (2,))).weights == pytest.approx((0.1, 5 / 3, 4.0))


def test_without_given_weights_a_rare_class_counts_by_the_root_of_its_rarity():
    target = torch.zeros(1, 1, 1, 100, dtype=torch.long)
    target[..., :4] = 1
    counted = torch.ones_like(target, dtype=torch.bool)
    logits = torch.zeros(1, 2, 1, 1, 100)
    logits[:, 1] = 1.0
    right, wrong = (-float(torch.log_softmax(torch.tensor([0.0, 1.0]), 0)[n]) for n in (1, 0))
    rare, common = 4 * (100 / 4) ** 0.5, 96 * (100 / 96) ** 0.5
    expected = (rare * right + common * wrong) / (rare + common)
    assert WeightedCrossEntropy()(logits, target, counted, 1) == pytest.approx(expected, abs=1e-5)


def test_the_terms_of_the_variational_branch_have_their_known_values():
    standard = torch.zeros(2, 5), torch.ones(2, 5)
    assert divergence(*standard) == pytest.approx(0, abs=1e-6)
    mean, deviation = torch.full((2, 5), 0.7), torch.full((2, 5), 0.4)
    known = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, deviation), torch.distributions.Normal(*standard)
    )
    assert divergence(mean, deviation) == pytest.approx(float(known.mean()), abs=1e-5)
    image = torch.rand(1, 1, 4, 4, 4)
    assert reconstruction(image + 0.5, image) == pytest.approx(0.25, abs=1e-6)


def test_settings_change_a_loss(scan):
    logits, target, counted = scan
    arguments = (logits, target[None], counted[None], 1)
    plain = float(LOSSES["dice_ce"](*arguments))
    assert build_loss("boundary", LossSettings(boundary=0.0))(*arguments) == pytest.approx(plain, abs=1e-6)
    assert build_loss("size_aware", LossSettings(blobs=0.0))(*arguments) == pytest.approx(plain, abs=1e-6)
    assert build_loss("dice_focal", LossSettings(gamma=0.0))(*arguments) == pytest.approx(plain, abs=1e-5)
