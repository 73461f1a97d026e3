"""The task ``scan``: liver and lesions from the CT alone, in patches or slices of scans on any grid."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from liverseg.training import augment
from liverseg.training.cache import CachedCase, Code
from liverseg.training.road_config import ScanConfig
from liverseg.training.tasks import Groups, Sample, Task

# Random numbers of the queue's order and of the scans in it, apart from those of the patches.
_ORDER, _SCANS = 1, 2


def classes_of(scan: ScanConfig) -> tuple[str, ...]:
    """The classes of the network's output: the background, and what is told apart, liver first."""
    return ("background", *(name for name in ("liver", "lesion") if name in scan.classes))


@dataclass
class ScanTask(Task):
    """See the module.

    Attributes:
        settings: what is told apart, and how patches are changed.
        context: slices that a slice is seen with; more than 1 makes samples of stacked slices.
    """

    settings: ScanConfig = field(default_factory=ScanConfig)
    context: int = 1

    def numbered(self, seed: int, number: int) -> Sample:
        """Sample ``number`` of a run, out of a queue of mixed patches where one is set.

        Of each block of ``queue`` samples ``per_volume`` come from one scan, in a random order, as with a
        queue that loads a scan and takes so many patches from it.
        """
        rng = np.random.default_rng((seed, number))
        length = self.settings.queue
        if not length:
            return self.sample(rng)
        block, place = divmod(number, length)
        order = np.random.default_rng((seed, _ORDER, block)).permutation(length)
        volume = (block * length + int(order[place])) // self.settings.per_volume
        return self.sample_of(self.draw_case(np.random.default_rng((seed, _SCANS, volume))), rng)

    def sample(self, rng: np.random.Generator) -> Sample:
        """A random patch of a random scan."""
        return self.sample_of(self.draw_case(rng), rng)

    def center(self, case: CachedCase, rng: np.random.Generator) -> np.ndarray:
        """A voxel of what the shares say, shifted by up to the set translation."""
        reach = self.settings.translate_voxels
        return self.place(case, rng) + rng.uniform(-reach, reach, 3)

    def place(self, case: CachedCase, rng: np.random.Generator) -> np.ndarray:
        """A voxel (z, y, x) of what the shares say."""
        from liverseg.training.sampling import Places

        if case.case not in self._places:
            self._places[case.case] = Places.of(case)
        return self._places[case.case].center(self.shares, rng)

    def sample_of(self, case: CachedCase, rng: np.random.Generator) -> Sample:
        """A random patch of this scan: (1, z, y, x), or (context, y, x) around a slice."""
        if case.image is None:
            raise ValueError(f"{case.case} has no image in the cache")
        settings = self.settings
        change = augment.SpatialRange(
            settings.rotation_deg, settings.scale, settings.stretch, settings.bend_voxels
        )
        z, y, x = self.patch
        volumes = [case.image, case.label] + ([] if case.counted is None else [case.counted])
        center = self.center(case, rng)
        still = not any((change.rotation_deg, change.scale, change.stretch, change.bend_voxels))
        image, label, *trusted = augment.sample_patch(
            volumes,
            ["bilinear", *("nearest" for _ in volumes[1:])],
            center.round() if still else center,
            (z + self.context - 1, y, x),
            rng,
            None if still else change,
        )
        image, codes = image / 255, label.round().long()
        counted = trusted[0] > 0.5 if trusted else torch.ones_like(codes, dtype=torch.bool)
        axes = [axis for axis in settings.flip if rng.random() < 0.5]
        image, codes, counted = (t.flip(axes) if axes else t for t in (image, codes, counted))
        if settings.gray_values:
            image = augment.change_gray_values(image, codes > 0, rng)
        if settings.noise:
            generator = torch.Generator(image.device).manual_seed(int(rng.integers(2**31)))
            noise = torch.randn(image.shape, generator=generator, device=image.device)
            image = (image + noise * float(rng.uniform(0, settings.noise))).clamp(0, 1)
        target, counted, groups = self._told_apart(codes, counted, case.known.lesions)
        if self.context == 1:
            return Sample(image[None], target, counted, groups)
        middle = slice(self.context // 2, self.context // 2 + z)
        return Sample(image, target[middle], counted[middle], groups)

    def _told_apart(
        self, codes: torch.Tensor, counted: torch.Tensor, lesions_known: bool
    ) -> tuple[torch.Tensor, torch.Tensor, Groups]:
        """Label codes as classes of the network, where they count, and which of them the labels know."""
        lesion, liver = codes == Code.LESION, codes > 0
        names = classes_of(self.settings)
        if names == ("background", "liver"):
            return liver.long(), counted, ((0,), (1,))
        if names == ("background", "lesion"):
            # Where lesions are part of the liver's label only the surroundings are known.
            return lesion.long(), counted if lesions_known else counted & ~liver, ((0,), (1,))
        target = liver.long() + lesion
        return target, counted, ((0,), (1,), (2,)) if lesions_known else ((0,), (1, 2))
