"""A teacher's labels on unlabeled scans, kept only where they can be believed.

Several opinions (other networks, or the same one on a slightly changed scan) are compared. A lesion is kept
when they agree on it and it is plausible: sure, large enough, inside the liver, visible, no larger than
livers bear. What is neither surely lesion nor surely none is not counted in the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cc3d
import numpy as np
from scipy.ndimage import binary_dilation

from liverseg.errors import LiverSegError
from liverseg.training.synth.fields import LESION, LIVER, local_tissue

Spacing = tuple[float, float, float]
_AROUND_MM = 14.0


class PseudoLabelRefused(LiverSegError):
    """The teachers do not agree on this scan; the message says on what."""


@dataclass(frozen=True)
class PseudoRules:
    """When a teacher is believed.

    Attributes:
        claim: a lesion is claimed where the mean score reaches this.
        sure: mean score from which a lesion voxel counts, when every teacher says at least ``claim``.
        never: score below which, for every teacher, a voxel is surely no lesion.
        least_peak: highest mean score that a claim must reach.
        least_agreement: lowest Dice between the outlines of two teachers within a claim.
        smallest_ml: smaller claims are not counted.
        largest_share: of the liver's volume, that one claim may fill.
        least_inside: share of a claim that must lie in every teacher's liver.
        least_cnr: contrast to the liver around over the standard deviation of a liver voxel.
        least_contrast_hu: the same in HU.
        least_liver_dice: between the livers of any two teachers, or the scan is refused.
        border_mm: uncounted rim around a claim that is not believed.
    """

    claim: float = 0.5
    sure: float = 0.7
    never: float = 0.25
    least_peak: float = 0.85
    least_agreement: float = 0.6
    smallest_ml: float = 0.15
    largest_share: float = 0.6
    least_inside: float = 0.9
    least_cnr: float = 1.0
    least_contrast_hu: float = 10.0
    least_liver_dice: float = 0.93
    border_mm: float = 3.0


@dataclass(frozen=True)
class Claim:
    """One lesion that the teachers claim (a 26-connected component).

    Attributes:
        volume_ml: of the claim.
        peak: its highest mean score.
        agreement: lowest Dice between two teachers within it.
        contrast_hu: its mean minus the mean of the liver around; None where no liver is left around.
        reason: why it is not believed; empty for one that is kept.
    """

    volume_ml: float
    peak: float
    agreement: float
    contrast_hu: float | None
    reason: str


@dataclass(frozen=True, eq=False)
class PseudoLabel:
    """Label (uint8: 0, 1 liver, 2 lesion), where errors count (bool), and what became of the claims."""

    label: np.ndarray
    counted: np.ndarray
    claims: tuple[Claim, ...]

    @property
    def kept(self) -> tuple[Claim, ...]:
        """The believed ones."""
        return tuple(claim for claim in self.claims if not claim.reason)


def pseudo_label(
    hu: np.ndarray,
    livers: Sequence[np.ndarray],
    scores: Sequence[np.ndarray],
    spacing_mm: Spacing,
    rules: PseudoRules | None = None,
) -> PseudoLabel:
    """Label a scan by its teachers.

    Args:
        hu: (z, y, x) Hounsfield units.
        livers: one bool mask (z, y, x) a teacher, lesions included; at least one.
        scores: one lesion probability map (z, y, x) a teacher or test-time variant; at least one.

    Raises:
        ValueError: no mask or score, or sizes differ.
        PseudoLabelRefused: there is no liver, or the teachers differ on it.
    """
    rules = rules or PseudoRules()
    if not livers or not scores or any(a.shape != hu.shape for a in (*livers, *scores)):
        raise ValueError("give at least one liver and one score map, all of the scan's size")
    liver = np.mean([m.astype(np.float32) for m in livers], axis=0) > 0.5
    everyone, anyone = np.all(livers, axis=0), np.any(livers, axis=0)
    if not everyone.any():
        raise PseudoLabelRefused("the teachers find no liver; leave the scan out")
    lowest = min(dice(a, b) for a in livers for b in livers)
    if lowest < rules.least_liver_dice:
        raise PseudoLabelRefused(
            f"the teachers' livers agree with a Dice of {lowest:.3f} only "
            f"(at least {rules.least_liver_dice:g} is asked); leave the scan out"
        )
    mean = np.asarray(np.mean(scores, axis=0, dtype=np.float32))
    least, most = np.min(scores, axis=0), np.max(scores, axis=0)
    label = np.where(liver, LIVER, 0).astype(np.uint8)
    counted = (everyone == anyone) & ~(liver & (most >= rules.never))
    claimed = liver & (mean >= rules.claim)
    believed = (mean >= rules.sure) & (least >= rules.claim)
    parts, count = cc3d.connected_components(claimed, connectivity=26, return_N=True)
    claims = []
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    liver_ml = np.count_nonzero(liver) * voxel_ml
    reach = [int(np.ceil(_AROUND_MM / s)) for s in spacing_mm]
    boxes = cc3d.statistics(parts)["bounding_boxes"] if count else []
    for number in range(1, count + 1):
        box = tuple(
            slice(max(0, s.start - r), min(n, s.stop + r))
            for s, r, n in zip(boxes[number], reach, hu.shape, strict=True)
        )
        own = parts[box] == number
        around = liver[box] & (most[box] < rules.never)
        claim = _judge(
            own,
            hu[box],
            around,
            everyone[box],
            [score[box] for score in scores],
            mean[box],
            (voxel_ml, liver_ml),
            rules,
        )
        claims.append(claim)
        if claim.reason:
            rim = binary_dilation(own, iterations=max(1, round(rules.border_mm / min(spacing_mm))))
            counted[box] &= ~rim
        else:
            label[box][own] = LESION
            counted[box] |= own & believed[box]
    return PseudoLabel(label, counted, tuple(claims))


def _judge(
    own: np.ndarray,
    hu: np.ndarray,
    around: np.ndarray,
    everyone: np.ndarray,
    scores: Sequence[np.ndarray],
    mean: np.ndarray,
    volumes_ml: tuple[float, float],
    rules: PseudoRules,
) -> Claim:
    """One claim in its box: kept, or the first reason against it. ``volumes_ml``: a voxel's, the liver's."""
    voxel_ml, liver_ml = volumes_ml
    volume = float(np.count_nonzero(own)) * voxel_ml
    peak = float(mean[own].max())
    # Where each teacher draws this lesion: its own claim within the common one's surroundings.
    near = binary_dilation(own, iterations=2)
    drawn = [near & (score >= rules.claim) for score in scores]
    agreement = min((dice(a, b) for n, a in enumerate(drawn) for b in drawn[:n]), default=1.0)
    inside = float(everyone[own].mean())
    tissue = local_tissue(hu.astype(np.float32), around)
    contrast = float(hu[own].mean()) - tissue.mean if tissue else None
    reason = ""
    if volume < rules.smallest_ml:
        reason = f"smaller than {rules.smallest_ml:g} ml"
    elif volume > rules.largest_share * liver_ml:
        reason = f"more than {rules.largest_share:.0%} of the liver"
    elif peak < rules.least_peak:
        reason = f"no score above {rules.least_peak:g}"
    elif agreement < rules.least_agreement:
        reason = "the teachers draw it differently"
    elif inside < rules.least_inside:
        reason = "reaches out of the liver"
    elif tissue is None or contrast is None:
        reason = "no liver around to compare with"
    elif abs(contrast) < max(rules.least_contrast_hu, rules.least_cnr * tissue.sd):
        reason = "hardly differs from the liver around"
    return Claim(volume, peak, agreement, contrast, reason)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Dice of two masks; 1 when both are empty."""
    size = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2.0 * int(np.count_nonzero(a & b)) / size if size else 1.0
