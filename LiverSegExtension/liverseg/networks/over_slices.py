"""A network over slices that also takes volumes: slice by slice, each with its neighbors as channels."""

from __future__ import annotations

import torch
from torch import nn


def with_neighbors(x: torch.Tensor, context: int) -> torch.Tensor:
    """Each slice of a volume beside its neighbors; beyond the ends the last slice is repeated.

    Args:
        x: (batch, channels, z, y, x).
        context: slices in all, an odd number.

    Returns:
        (batch * z, channels * context, y, x); a channel's slices follow one another by rising z.
    """
    count = x.shape[2]
    reach = context // 2
    numbers = torch.arange(count, device=x.device)[:, None] + torch.arange(-reach, reach + 1, device=x.device)
    stack = x[:, :, numbers.clamp(0, count - 1)]
    # (batch, channels, z, context, y, x) -> (batch, z, channels, context, y, x)
    return stack.movedim(2, 1).flatten(2, 3).flatten(0, 1)


class SliceNetwork(nn.Module):
    """A 2D network for slices (4 axes) and, folded slice by slice, for volumes (5 axes).

    Args:
        plane: takes (batch, channels * context, y, x).
        context: neighboring slices in all that a slice is seen with.
    """

    def __init__(self, plane: nn.Module, context: int) -> None:
        super().__init__()
        self.plane = plane
        self.context = context

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channels, z, y, x) to logits there, or stacked slices (batch, channels * context, y, x)."""
        if x.dim() == 4:
            return self.plane(x)
        logits = self.plane(with_neighbors(x, self.context))
        return logits.unflatten(0, (x.shape[0], x.shape[2])).movedim(1, 2)
