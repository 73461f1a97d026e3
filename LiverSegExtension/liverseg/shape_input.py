"""What the Couinaud network sees: the liver's mask and where a voxel lies in the liver's box."""

from __future__ import annotations

import torch

from liverseg.geometry import bounding_box


def shape_input(mask: torch.Tensor) -> torch.Tensor:
    """(4, z, y, x) float input for a liver mask (z, y, x) with values 0..1 in canonical (S, P, L) order.

    Channel 0 is the mask, channels 1 to 3 run from -1 to 1 over the liver's bounding box along z, y, x
    and go on outside of it up to 1.5 in size.
    """
    box = bounding_box((mask > 0.5).cpu().numpy())
    channels = [mask.float()]
    for axis, size in enumerate(mask.shape):
        low, high = (box[axis].start, box[axis].stop) if box else (0, size)
        middles = torch.arange(size, dtype=torch.float32, device=mask.device) + 0.5
        line = (middles - low) / (high - low) * 2.0 - 1.0
        view = [1, 1, 1]
        view[axis] = size
        channels.append(line.clamp(-1.5, 1.5).view(view).expand(mask.shape))
    return torch.stack(channels)
