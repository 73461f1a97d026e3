"""The two terms of a variational branch (Myronenko 2018): the redrawn input, and the latent distribution."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def reconstruction(redrawn: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """The mean squared difference of the redrawn input and the input, of one shape."""
    return F.mse_loss(redrawn.float(), inputs.float())


def divergence(mean: torch.Tensor, deviation: torch.Tensor) -> torch.Tensor:
    """The Kullback-Leibler divergence of normal distributions from the standard one, the mean over all.

    Args:
        mean, deviation: of one shape; deviations are above 0.
    """
    variance = deviation.float() ** 2
    return 0.5 * (mean.float() ** 2 + variance - torch.log(variance + 1e-8) - 1).mean()
