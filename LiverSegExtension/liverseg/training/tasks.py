"""What each network learns: how a sample is drawn, and which classes its labels tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch

from liverseg.errors import InputRefused
from liverseg.intensity import hu_of, normalize_hu
from liverseg.shape_input import shape_input
from liverseg.training import augment
from liverseg.training.cache import COUINAUD_SPACING, STAGE1_SPACING, STAGE2_SPACING
from liverseg.training.cached_cases import WINDOW, CachedCase, Code, Known
from liverseg.training.sampling import CaseDraw, Places, Shares, with_tissue
from liverseg.training.synth.planted import plant_lesions

Groups = tuple[tuple[int, ...], ...]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Sample:
    """One training sample.

    Attributes:
        inputs: (channels, z, y, x) float.
        target: (z, y, x) integer label codes.
        counted: (z, y, x) bool, where errors count.
        groups: which codes the labels of this case tell apart, see ``losses.merge_classes``.
    """

    inputs: torch.Tensor
    target: torch.Tensor
    counted: torch.Tensor
    groups: Groups


@dataclass
class Task:
    """Base of the tasks.

    Attributes:
        cases: the training cases by name.
        shares: how often a patch is centered on what.
        phantom_share: how often a made-up case is drawn.
        patch: size of a patch in voxels (z, y, x).
        further: names of cases beside the labeled persons' (pseudo-labels, hard negatives).
        further_share: how often one of these is drawn.
        planted_share: how many patches of stage 2 get planted lesions.
        flip: axes (0 z, 1 y, 2 x) along which half of the patches of stage 2 are mirrored.
        aorta_share: how often stage 1 draws a case whose aorta is drawn; 0 where it learns none.
        least_tissue: share of a patch that is no air; emptier ones are dropped and drawn anew.
        device: where the cases are kept and the samples made.
    """

    cases: Mapping[str, CachedCase]
    shares: Shares
    phantom_share: float
    patch: Shape
    further: tuple[str, ...] = ()
    further_share: float = 0.0
    planted_share: float = 0.0
    flip: tuple[int, ...] = ()
    aorta_share: float = 0.0
    least_tissue: float = 0.0
    device: torch.device = torch.device("cpu")

    spacing_mm: ClassVar[float]
    window_hu: ClassVar[tuple[float, float] | None] = WINDOW
    classes: ClassVar[tuple[str, ...]]
    in_channels: ClassVar[int]
    foreground_from: ClassVar[int] = 1

    def __post_init__(self) -> None:
        self.cases = {name: case.on(self.device) for name, case in self.cases.items()}
        own = [name for name in self.cases if name not in self.further]
        self._draw = CaseDraw(own, self.phantom_share, self.further, self.further_share)
        drawn = [name for name in own if self.cases[name].aorta is not None]
        self._draw_aorta = CaseDraw(drawn, 0.0) if drawn and self.aorta_share else None

    @cached_property
    def _places(self) -> dict[str, Places]:
        return {}

    def center(self, case: CachedCase, rng: np.random.Generator) -> np.ndarray:
        """Where a patch of this case is centered, a little moved."""
        if case.case not in self._places:
            self._places[case.case] = Places.of(case)
        places = self._places[case.case]
        return with_tissue(
            lambda: places.center(self.shares, rng) + rng.normal(0, 8, 3),
            case.image,
            self.patch,
            self.least_tissue,
        )

    def draw_case(self, rng: np.random.Generator) -> CachedCase:
        """A random case, every person as often as any other but those whose aorta is asked for."""
        if self._draw_aorta is not None and rng.random() < self.aorta_share:
            return self.cases[self._draw_aorta.draw(rng)]
        return self.cases[self._draw.draw(rng)]

    def sample(self, rng: np.random.Generator) -> Sample:
        """A random sample; the same for the same state of ``rng``."""
        raise NotImplementedError


def _image(case: CachedCase) -> torch.Tensor:
    if case.image is None:
        raise InputRefused(f"{case.case} has no image in the cache; give data.cache that of this task")
    return case.image


class LiverTask(Task):
    """Stage 1: liver (lesions included), and the aorta where asked, against all else in a whole scan."""

    spacing_mm = STAGE1_SPACING
    classes = ("background", "liver")
    in_channels = 1
    change = augment.SpatialRange(rotation_deg=12, scale=0.2, stretch=0.1, bend_voxels=1.0)

    def groups_of(self, aorta_drawn: bool) -> Groups:
        """The classes that labels tell apart."""
        if not self.aorta_share:
            return ((0,), (1,))
        return ((0,), (1,), (2,)) if aorta_drawn else ((0, 2), (1,))

    def sample(self, rng: np.random.Generator) -> Sample:
        case = self.draw_case(rng)
        drawn = [case.aorta] if self.aorta_share and case.aorta is not None else []
        image, label, *aorta = augment.sample_patch(
            [_image(case), case.label > 0, *drawn],
            ["bilinear", "bilinear", *["bilinear" for _ in drawn]],
            self.center(case, rng),
            self.patch,
            rng,
            self.change,
        )
        image = image / 255
        if rng.random() < 0.25:
            image, label, *aorta = augment.cut_field_of_view([image, label, *aorta], rng)
        liver = label > 0.5
        image = augment.change_gray_values(image, liver, rng)
        target = liver.long()
        if aorta:
            target[(aorta[0] > 0.5) & ~liver] = 2
        return Sample(image[None], target, torch.ones_like(liver), self.groups_of(bool(aorta)))


class LesionTask(Task):
    """Stage 2: liver tissue, lesions and vessels in a fine crop, given stage 1's rough liver."""

    spacing_mm = STAGE2_SPACING
    classes = ("background", "liver", "lesion", "portal vein", "hepatic vein")
    in_channels = 2
    change = augment.SpatialRange(rotation_deg=15, scale=0.2, stretch=0.1, bend_voxels=1.5)
    _groups: ClassVar[dict[tuple[bool, str], Groups]] = {
        (True, "kinds"): ((0,), (1,), (2,), (3,), (4,)),
        (True, "vessels"): ((0,), (1,), (2,), (3, 4, 5)),
        (True, "none"): ((0,), (1, 3, 4), (2,)),
        (False, "kinds"): ((0,), (1, 2), (3,), (4,)),
        (False, "vessels"): ((0,), (1, 2), (3, 4, 5)),
        (False, "none"): ((0,), (1, 2, 3, 4)),
    }

    @classmethod
    def groups_of(cls, known: Known) -> Groups:
        """The classes that labels tell apart."""
        return cls._groups[known.lesions, known.vessels]

    def sample(self, rng: np.random.Generator) -> Sample:
        case = self.draw_case(rng)
        trusted = [] if case.counted is None else [case.counted]
        image, label, *rest = augment.sample_patch(
            [_image(case), case.label, *trusted],
            ["bilinear", "nearest", *["nearest" for _ in trusted]],
            self.center(case, rng),
            self.patch,
            rng,
            self.change,
        )
        mirrored = [axis for axis in self.flip if rng.random() < 0.5]
        image, label, *rest = (patch.flip(mirrored) for patch in (image, label, *rest))
        image = image / 255
        target = label.round().long()
        counted = rest[0] > 0.5 if rest else torch.ones_like(target, dtype=torch.bool)
        if case.known.lesions and not rest and rng.random() < self.planted_share:
            image, target = plant_into(image, target, rng)
        if case.known.vessels != "none" and rng.random() < 0.25:
            kinds = [target == code for code in (Code.PORTAL_VEIN, Code.HEPATIC_VEIN, Code.VESSEL)]
            image = augment.change_vessels(image, kinds, rng)
        image = augment.change_gray_values(image, target > 0, rng)
        rough = imitate_stage1(target, image, rng)
        return Sample(
            torch.stack([image, rough]),
            target,
            counted,
            self.groups_of(case.known),
        )


def plant_into(
    image: torch.Tensor, target: torch.Tensor, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A patch (values 0..1 of the window) and its label codes with made-up lesions in it."""
    hu = hu_of(image.cpu().numpy(), WINDOW)
    spacing = (STAGE2_SPACING,) * 3
    hu, label = plant_lesions(hu, target.cpu().numpy().astype(np.uint8), spacing, rng)
    planted = torch.from_numpy(normalize_hu(hu, WINDOW))
    return planted.to(image.device), torch.from_numpy(label).long().to(image.device)


def imitate_stage1(target: torch.Tensor, image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """A liver mask as stage 1 may give it: rough, dented, without lesions at the rim, with neighbors.

    Without false neighbors a network believes the mask: bowel in it becomes liver, and a gallbladder, dark
    and round, becomes a lesion.

    Args:
        target: (z, y, x) label codes.
        image: (z, y, x), normalized HU.
    """
    shape = (target.shape[0], target.shape[1], target.shape[2])
    known = (target > 0).float()
    if rng.random() < 0.2:
        left_out = augment.smooth_noise(rng, shape, 5, target.device) > 0
        known = torch.where((target == Code.LESION) & left_out, 0.0, known)
    neighbors = rng.random()
    if neighbors < 0.45:
        known = torch.maximum(known, _false_neighbors(known, image, rng))
    elif neighbors < 0.6:
        known = (augment.box_mean(known, 2 * int(rng.integers(3, 9)) + 1) > 0.1).float()
    if rng.random() < 0.15:
        known = torch.where(augment.smooth_noise(rng, shape, 4, target.device) > 1.2, 0.0, known)
    soft = augment.box_mean(known, 7)
    noise = augment.smooth_noise(rng, shape, 12, target.device) * float(rng.uniform(0, 0.3))
    noise += augment.smooth_noise(rng, shape, 5, target.device) * float(rng.uniform(0, 0.2))
    return ((soft + noise + float(rng.normal(0, 0.1)) > 0.5) & (soft > 0)).float()


def _false_neighbors(known: torch.Tensor, image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Tissue of one brightness near the liver, as a whole or in part: gallbladder, bowel, kidney."""
    shape = (known.shape[0], known.shape[1], known.shape[2])
    near = (augment.box_mean(known, 21) > 0) & (known == 0)
    # Half of the time as dark as bile (-20 to 60 HU), else of any tissue but fat.
    brightness = rng.uniform(0.35, 0.55) if rng.random() < 0.5 else rng.uniform(0.35, 1.0)
    like = (augment.box_mean(image, 5) - float(brightness)).abs() < 0.1
    part = augment.smooth_noise(rng, shape, 4, known.device) > float(rng.uniform(-2, 1))
    return (near & like & part).float()


def imitate_stage2(liver: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """A liver (z, y, x; 0 and 1) as it may be found: rough, with neighbors, without pieces of its rim."""
    shape = (liver.shape[0], liver.shape[1], liver.shape[2])
    if rng.random() < 0.3:
        near = augment.box_mean(liver, 5) > 0
        part = augment.smooth_noise(rng, shape, 5, liver.device) > float(rng.uniform(0.6, 1.6))
        liver = torch.maximum(liver, (near & part).float())
    if rng.random() < 0.3:
        rim = augment.box_mean(liver, 5) < 0.85
        part = augment.smooth_noise(rng, shape, 5, liver.device) > float(rng.uniform(0.6, 1.6))
        liver = torch.where(rim & part, 0.0, liver)
    if rng.random() < 0.5:
        noise = augment.smooth_noise(rng, shape, 8, liver.device) * float(rng.uniform(0, 0.25))
        soft = augment.box_mean(liver, 3)
        liver = ((soft + noise > 0.5) & (soft > 0)).float()
    return liver


class CouinaudTask(Task):
    """Segments 1..8 (classes 0..7) from the liver's shape; only voxels of the liver count.

    ``patch`` is the largest side; smaller livers are taken in smaller boxes.
    """

    spacing_mm = COUINAUD_SPACING
    window_hu = None
    classes = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII")
    in_channels = 4
    foreground_from = 0
    change = augment.SpatialRange(rotation_deg=10, scale=0.15, stretch=0.12, bend_voxels=1.0)
    groups: Groups = tuple((n,) for n in range(8))

    def sample(self, rng: np.random.Generator) -> Sample:
        label = self.draw_case(rng).label
        sides = zip(label.shape, self.patch, strict=True)
        z, y, x = (min(side, -(-(n + 2) // 16) * 16) for n, side in sides)
        center = (np.array(label.shape) - 1) / 2 + rng.normal(0, 1, 3)
        (patch,) = augment.sample_patch([label], ["nearest"], center, (z, y, x), rng, self.change)
        target = patch.round().long()
        liver = imitate_stage2((target > 0).float(), rng)
        counted = (target > 0) & (liver > 0)
        return Sample(shape_input(liver), (target - 1).clamp(min=0), counted, self.groups)


TASKS: dict[str, type[Task]] = {"stage1": LiverTask, "stage2": LesionTask, "couinaud": CouinaudTask}


def network_description(
    task: type[Task], filters: Sequence[int], kernels: Sequence[Sequence[int]]
) -> dict[str, Any]:
    """What ``networks.build_network`` needs: the configured levels with the task's channels and classes."""
    description = {"name": "DynUNet", "filters": list(filters)}
    if kernels:
        description["kernels"] = [list(kernel) for kernel in kernels]
    return {**description, "in_channels": task.in_channels, "out_channels": len(task.classes)}
