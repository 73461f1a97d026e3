"""The hash of a volume: the same voxels, type and grid have the same one, whatever file they came in."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from liverseg.volume import Volume


def volume_hash(volume: Volume) -> str:
    """sha256 (hex) of shape, affine and voxels in C order, little endian, slice by slice."""
    digest = hashlib.sha256(np.array(volume.geometry.shape, dtype="<i8").tobytes())
    digest.update(volume.geometry.ijk_to_ras.astype("<f8").tobytes())
    little = volume.array.dtype.newbyteorder("<")
    for image in volume.array:
        digest.update(np.ascontiguousarray(image, dtype=little).data)
    return digest.hexdigest()


def with_hash(volume: Volume) -> Volume:
    """The same volume with its hash in ``source.sha256``."""
    return replace(volume, source=replace(volume.source, sha256=volume_hash(volume)))
