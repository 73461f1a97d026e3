"""Losses over partly labeled scans: classes a case does not tell apart are merged, uncounted voxels left out.

Merging adds the probabilities of classes (a log-sum-exp of their logits), so that a liver whose vessels
nobody drew still teaches liver, lesion and background, and says nothing about vessels (the marginal loss
of Shi et al., "Marginal loss and exclusion loss for partially supervised multi-organ segmentation", 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

# Added to overlap and size in voxels: a class that is absent or tiny in a patch pulls little.
SMOOTH = 50.0

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, int], torch.Tensor]


def merge_classes(
    logits: torch.Tensor, target: torch.Tensor, groups: Sequence[Sequence[int]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and target of merged classes.

    Args:
        logits: (1, classes, z, y, x).
        target: (z, y, x) integer label codes.
        groups: for each merged class, the label codes in it. Codes below the number of classes are also
            channels of the network; others stand in the target alone ("vessel of unknown kind").

    Returns:
        Logits (1, groups, z, y, x) and the target as group numbers.
    """
    classes = logits.shape[1]
    table = torch.zeros(1 + max(max(group) for group in groups), dtype=torch.long, device=target.device)
    merged = []
    for number, group in enumerate(groups):
        table[torch.tensor(list(group), device=target.device)] = number
        channels = [code for code in group if code < classes]
        part = logits[:, channels]
        merged.append(part if len(channels) == 1 else torch.logsumexp(part, dim=1, keepdim=True))
    return torch.cat(merged, dim=1), table[target]


def _dice(score: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    overlap = (score * truth).flatten(2).sum(-1)
    size = (score + truth).flatten(2).sum(-1)
    return 1 - (2 * overlap + SMOOTH) / (size + SMOOTH)


def _mean(values: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    # A product and not a selection: a GPU need not be waited for.
    return (values * counted).sum() / counted.sum().clamp(min=1)


def _scores(
    logits: torch.Tensor, target: torch.Tensor, counted: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    inside = counted[:, None]
    score = torch.softmax(logits, dim=1) * inside
    truth = F.one_hot(target, logits.shape[1]).movedim(-1, 1) * inside
    return score, truth


def dice_ce(
    logits: torch.Tensor, target: torch.Tensor, counted: torch.Tensor, foreground_from: int
) -> torch.Tensor:
    """Cross-entropy plus soft Dice over the counted voxels of one sample.

    Args:
        logits: (1, classes, z, y, x).
        target: (1, z, y, x) classes.
        counted: (1, z, y, x) bool.
        foreground_from: the first class in the Dice term (1 leaves the background out).
    """
    logits = logits.float()
    entropy = _mean(F.cross_entropy(logits, target, reduction="none"), counted)
    score, truth = _scores(logits, target, counted)
    return entropy + _dice(score, truth)[:, foreground_from:].mean()


def dice_focal(
    logits: torch.Tensor, target: torch.Tensor, counted: torch.Tensor, foreground_from: int
) -> torch.Tensor:
    """Focal loss (gamma 2, Lin et al. 2017) plus soft Dice; arguments as :func:`dice_ce`."""
    logits = logits.float()
    entropy = F.cross_entropy(logits, target, reduction="none")
    focal = _mean((1 - torch.exp(-entropy)) ** 2 * entropy, counted)
    score, truth = _scores(logits, target, counted)
    return focal + _dice(score, truth)[:, foreground_from:].mean()


def focal_tversky(
    logits: torch.Tensor, target: torch.Tensor, counted: torch.Tensor, foreground_from: int
) -> torch.Tensor:
    """Focal Tversky loss (alpha 0.7 on missed voxels, gamma 4/3; Abraham and Khan 2019) plus cross-entropy.

    Arguments as :func:`dice_ce`.
    """
    logits = logits.float()
    entropy = _mean(F.cross_entropy(logits, target, reduction="none"), counted)
    score, truth = _scores(logits, target, counted)
    hit = (score * truth).flatten(2).sum(-1)
    missed = ((1 - score) * truth).flatten(2).sum(-1)
    false = (score * (1 - truth)).flatten(2).sum(-1)
    tversky = (hit + SMOOTH) / (hit + 0.7 * missed + 0.3 * false + SMOOTH)
    return entropy + ((1 - tversky) ** 0.75)[:, foreground_from:].mean()


LOSSES: dict[str, Loss] = {"dice_ce": dice_ce, "dice_focal": dice_focal, "focal_tversky": focal_tversky}


def sample_loss(
    outputs: torch.Tensor,
    target: torch.Tensor,
    counted: torch.Tensor,
    groups: Sequence[Sequence[int]],
    loss: Loss,
    foreground_from: int,
) -> torch.Tensor:
    """The loss of one sample over all outputs of a network.

    Args:
        outputs: (classes, z, y, x), or (1 + levels, classes, z, y, x) with deep supervision. Level n was
            computed at ``2 ** n`` times the spacing and repeated; it counts half as much as the one before.
        target: (z, y, x) label codes.
        counted: (z, y, x) bool.
        groups: merged classes, see :func:`merge_classes`.
    """
    heads = outputs[None] if outputs.dim() == 4 else outputs
    weights = [0.5**level for level in range(len(heads))]
    total = outputs.new_zeros((), dtype=torch.float32)
    for level, (head, weight) in enumerate(zip(heads, weights, strict=True)):
        step = (slice(None, None, 2**level),) * 3
        logits, merged = merge_classes(head[(slice(None), *step)][None], target[step], groups)
        inside = counted[step]
        total = total + weight / sum(weights) * loss(logits, merged[None], inside[None], foreground_from)
    return total
