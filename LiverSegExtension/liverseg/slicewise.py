"""Networks over slices: each slice of a volume with its neighbors as channels, and the answers stacked again.

A card says so by ``"dimensions": 2`` and ``"context"`` in the network's description: the slices in all that a
slice is seen with, an odd number (1: itself alone; 3, 5: "2.5D").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from liverseg.device import Rung
from liverseg.inference import sliding_scores
from liverseg.networks import channels_last, context_of, resolution_levels
from liverseg.progress import Progress, silent

if TYPE_CHECKING:
    from liverseg.bundle import NetworkCard

# Slices that go through the network together.
BATCH = 8
# What a network without a number of levels in its description may halve: five times.
_MULTIPLE = 32


def neighbor_numbers(number: int, count: int, context: int) -> list[int]:
    """The slices that slice ``number`` of ``count`` is seen with; beyond the ends the last one is repeated.

    Raises:
        ValueError: ``context`` is no odd number above 0.
    """
    if context < 1 or context % 2 == 0:
        raise ValueError(f"a slice is seen with an odd number of slices, not {context}")
    reach = context // 2
    return [min(max(n, 0), count - 1) for n in range(number - reach, number + reach + 1)]


def with_context(volume: torch.Tensor, numbers: Sequence[int], context: int) -> torch.Tensor:
    """Slices of a volume beside their neighbors.

    Args:
        volume: (channels, z, y, x).
        numbers: which slices.
        context: slices in all, an odd number.

    Returns:
        (len(numbers), channels * context, y, x); a channel's slices follow one another by rising z.
    """
    table = [neighbor_numbers(n, volume.shape[1], context) for n in numbers]
    return volume[:, torch.tensor(table)].movedim(1, 0).flatten(1, 2)


def stack_slices(slices: torch.Tensor, numbers: Sequence[int], depth: int) -> torch.Tensor:
    """Class scores of single slices as a volume; slices that nobody asked about are background.

    Args:
        slices: (n, classes, y, x).
        numbers: the place of each along z.
        depth: slices of the volume.

    Returns:
        (classes, depth, y, x).
    """
    volume = slices.new_zeros((slices.shape[1], depth, *slices.shape[2:]))
    volume[0] = 1.0
    volume[:, torch.as_tensor(list(numbers), dtype=torch.long)] = slices.movedim(0, 1)
    return volume


def predict_slicewise(
    network: torch.nn.Module,
    volume: torch.Tensor,
    context: int = 1,
    *,
    rung: Rung | None = None,
    multiple: int = _MULTIPLE,
    where: torch.Tensor | None = None,
    progress: Progress = silent,
) -> torch.Tensor:
    """Class probabilities over a volume, slice by slice along z.

    Args:
        network: takes (batch, channels * context, y, x), see :func:`with_context`.
        volume: (channels, z, y, x) float32 on the CPU; 0 is what lies outside of it.
        context: slices in all that a slice is seen with, an odd number.
        rung: device and precision; half-size tiles halve the slices that go together. None for the CPU.
        multiple: sides of a slice are padded to multiples of it.
        where: (z, y, x) bool; slices without any true voxel are skipped (their class is 0).
        progress: called after each batch of slices with the share done.

    Returns:
        (classes, z, y, x) float32 on the CPU.

    Raises:
        ValueError: an even context, or ``where`` without a true voxel.
        liverseg.errors.Cancelled: from ``progress``.
    """
    rung = rung or Rung("cpu", "fp32")
    depth, rows, columns = volume.shape[1:]
    wanted = [n for n in range(depth) if where is None or bool(where[n].any())]
    if not wanted:
        raise ValueError("no slice holds a voxel of interest")
    pads = []
    for size in (columns, rows):
        # One voxel at the bottom has no deviation to normalize by.
        missing = max(2 * multiple - size, -size % multiple)
        pads += [missing // 2, missing - missing // 2]
    device = torch.device(rung.device)
    network = channels_last(network).to(device)
    batch = max(1, int(BATCH * rung.tile))
    parts = []
    for first in range(0, len(wanted), batch):
        numbers = wanted[first : first + batch]
        inputs = F.pad(with_context(volume, numbers, context), pads).to(device)
        with (
            torch.inference_mode(),
            torch.autocast(device.type, rung.dtype, enabled=rung.precision != "fp32"),
        ):
            logits = network(inputs)
        scores = torch.softmax(logits.float(), dim=1).cpu()
        parts.append(scores[..., pads[2] : pads[2] + rows, pads[0] : pads[0] + columns].clone())
        progress((first + len(numbers)) / len(wanted), f"slice {first + len(numbers)} of {len(wanted)}")
    return stack_slices(torch.cat(parts), wanted, depth)


def is_over_slices(description: Mapping[str, Any]) -> bool:
    """Whether a network's description is of one over slices."""
    return int(description.get("dimensions", 3)) == 2


def card_scores(
    network: torch.nn.Module,
    card: NetworkCard,
    inputs: torch.Tensor,
    rung: Rung,
    overlap: float,
    where: torch.Tensor | None = None,
    progress: Progress = silent,
) -> torch.Tensor:
    """Class probabilities as a network's card wants them: in windows, or slice by slice.

    Args and result: as :func:`liverseg.inference.sliding_scores`.
    """
    levels = resolution_levels(card.network)
    if is_over_slices(card.network):
        return predict_slicewise(
            network,
            inputs,
            context_of(card.network),
            rung=rung,
            multiple=2 ** (levels[-1] - 1),
            where=where,
            progress=progress,
        )
    return sliding_scores(network, inputs, card.patch, levels, rung, overlap, where, progress)
