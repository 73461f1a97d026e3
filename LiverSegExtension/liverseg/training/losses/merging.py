"""Losses over partly labeled scans: classes a case does not tell apart are merged, uncounted voxels left out.

Merging adds the probabilities of classes (a log-sum-exp of their logits), so that a liver whose vessels
nobody drew still teaches liver, lesion and background, and says nothing about vessels (the marginal loss
of Shi et al., "Marginal loss and exclusion loss for partially supervised multi-organ segmentation", 2021).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from liverseg.training.losses.kinds import Loss
from liverseg.training.losses.overlap import WeightedCrossEntropy


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
    if isinstance(loss, WeightedCrossEntropy):
        loss = loss.for_groups(groups)
    total = outputs.new_zeros((), dtype=torch.float32)
    for level, (head, weight) in enumerate(zip(heads, weights, strict=True)):
        step = (slice(None, None, 2**level),) * 3
        logits, merged = merge_classes(head[(slice(None), *step)][None], target[step], groups)
        inside = counted[step]
        total = total + weight / sum(weights) * loss(logits, merged[None], inside[None], foreground_from)
    return total
