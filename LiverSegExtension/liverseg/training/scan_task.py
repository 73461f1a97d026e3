"""The task ``scan``: liver and lesions from the CT alone, in patches or slices of scans on any grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from liverseg.errors import InputRefused
from liverseg.training import augment
from liverseg.training.cached_cases import CachedCase, Code
from liverseg.training.road_config import ScanConfig
from liverseg.training.sampling import Places, with_tissue
from liverseg.training.tasks import Groups, Sample, Task

NUMERALS = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII")
# Label codes beyond the classes: liver and lesion of an unknown segment.
_LIVER_SOMEWHERE, _LESION_SOMEWHERE = 17, 18
# Random numbers of the queue's order and of the scans in it, apart from those of the patches.
_ORDER, _SCANS = 1, 2


def classes_of(scan: ScanConfig) -> tuple[str, ...]:
    """The classes of the network's output: the background, and what is told apart, liver first."""
    told = [name for name in ("liver", "lesion") if name in scan.classes]
    if scan.segments:
        return ("background", *(f"{name} {segment}" for name in told for segment in NUMERALS))
    return ("background", *told)


@dataclass
class ScanTask(Task):
    """See the module.

    Attributes:
        settings: what is told apart, and how patches are changed.
        context: slices that a slice is seen with; more than 1 makes samples of stacked slices.
        segments: Couinaud segments 1..8 of a case on its grid (z, y, x), of the cases that have them.
    """

    settings: ScanConfig = field(default_factory=ScanConfig)
    context: int = 1
    segments: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.segments = {case: segments.to(self.device) for case, segments in self.segments.items()}

    def numbered(self, seed: int, number: int) -> Sample:
        """Sample ``number`` of a run, out of a queue of mixed patches where one is set."""
        return self.sample_of(*self.drawn(seed, number))

    def drawn(self, seed: int, number: int) -> tuple[CachedCase, np.random.Generator]:
        """The scan of sample ``number`` of a run, and the random numbers of its patch.

        Of each block of ``queue`` samples ``per_volume`` come from one scan, in a random order, as with a
        queue that loads a scan and takes so many patches from it.
        """
        rng = np.random.default_rng((seed, number))
        length = self.settings.queue
        if not length:
            return self.draw_case(rng), rng
        block, place = divmod(number, length)
        order = np.random.default_rng((seed, _ORDER, block)).permutation(length)
        volume = (block * length + int(order[place])) // self.settings.per_volume
        return self.draw_case(np.random.default_rng((seed, _SCANS, volume))), rng

    def sample(self, rng: np.random.Generator) -> Sample:
        """A random patch of a random scan."""
        return self.sample_of(self.draw_case(rng), rng)

    def center(self, case: CachedCase, rng: np.random.Generator) -> np.ndarray:
        """A voxel of what the shares say, shifted by up to the set translation."""
        reach = self.settings.translate_voxels
        return with_tissue(
            lambda: self.place(case, rng) + rng.uniform(-reach, reach, 3),
            case.image,
            self.patch,
            self.least_tissue,
        )

    def place(self, case: CachedCase, rng: np.random.Generator) -> np.ndarray:
        """A voxel (z, y, x) of what the shares say."""
        if case.case not in self._places:
            self._places[case.case] = Places.of(case)
        return self._places[case.case].center(self.shares, rng)

    def sample_of(self, case: CachedCase, rng: np.random.Generator) -> Sample:
        """A random patch of this scan: (1, z, y, x), or (context, y, x) around a slice."""
        if case.image is None:
            raise InputRefused(f"{case.case} has no image in the cache; give data.cache that of this task")
        settings = self.settings
        change = augment.SpatialRange(
            settings.rotation_deg, settings.scale, settings.stretch, settings.bend_voxels
        )
        z, y, x = self.patch
        segments = self.segments.get(case.case) if settings.segments else None
        volumes = [case.image, case.label, *(v for v in (case.counted, segments) if v is not None)]
        center = self.center(case, rng)
        still = not any((change.rotation_deg, change.scale, change.stretch, change.bend_voxels))
        image, label, *further = augment.sample_patch(
            volumes,
            ["bilinear", *("nearest" for _ in volumes[1:])],
            center.round() if still else center,
            (z + self.context - 1, y, x),
            rng,
            None if still else change,
        )
        image, codes = image / 255, label.round().long()
        places = further.pop().round().long() if segments is not None else torch.zeros_like(codes)
        counted = further[0] > 0.5 if further else torch.ones_like(codes, dtype=torch.bool)
        axes = [axis for axis in settings.flip if rng.random() < 0.5]
        image, codes, counted, places = (t.flip(axes) for t in (image, codes, counted, places))
        if settings.gray_values:
            image = augment.change_gray_values(image, codes > 0, rng)
        if settings.noise:
            generator = torch.Generator(image.device).manual_seed(int(rng.integers(2**31)))
            noise = torch.randn(image.shape, generator=generator, device=image.device)
            image = (image + noise * float(rng.uniform(0, settings.noise))).clamp(0, 1)
        if settings.segments:
            target, counted, groups = in_segments(
                codes, places, counted, case.known.lesions, segments is not None
            )
        else:
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


def in_segments(
    codes: torch.Tensor,
    places: torch.Tensor,
    counted: torch.Tensor,
    lesions_known: bool,
    segments_known: bool,
) -> tuple[torch.Tensor, torch.Tensor, Groups]:
    """Tissue and segment as one of the 17 pairs of ``networks.two_heads``, and what the labels know of them.

    Args:
        codes: label codes of ``cache.Code``.
        places: segments 1..8, 0 where there is none.
        counted: where labels can be trusted; liver without a segment is taken out where segments are known.

    Returns:
        Target, counted, and the groups of pairs that the labels tell apart.
    """
    lesion, liver = codes == Code.LESION, codes > 0
    numbers = range(1, 9)
    if segments_known:
        target = torch.where(liver, places + 8 * lesion, 0)
        apart: Groups = ((0,), *((n,) for n in range(1, 17)))
        together: Groups = ((0,), *((n, n + 8) for n in numbers))
        known = apart if lesions_known else together
        return target, counted & ~(liver & (places == 0)), known
    target = torch.where(lesion, _LESION_SOMEWHERE, torch.where(liver, _LIVER_SOMEWHERE, 0))
    livers, lesions = (*numbers, _LIVER_SOMEWHERE), (*(n + 8 for n in numbers), _LESION_SOMEWHERE)
    return target, counted, ((0,), livers, lesions) if lesions_known else ((0,), livers + lesions)
