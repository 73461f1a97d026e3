"""The one road from a CT to a ``Case``: check, stage 1, crop, stage 2, Couinaud, lesions, measure."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import torch

from liverseg import __version__, calibration, stages
from liverseg.bundle import Bundle, find_bundle
from liverseg.case import Case, CouinaudMethod, Masks, Point, Provenance
from liverseg.checks import check_volume
from liverseg.couinaud import DEFAULT_METHOD, SplitOptions, split_liver
from liverseg.couinaud.second_head import chosen_method
from liverseg.device import TILES, Rung, choose_device, is_out_of_memory
from liverseg.errors import OutOfMemory, UsageError
from liverseg.geometry import CanonicalOrder
from liverseg.gray_values import numbered
from liverseg.labels import AORTA
from liverseg.measure import label_lesions, measure
from liverseg.progress import Progress, part_of, silent
from liverseg.reading import describe_input
from liverseg.uneven import labels_to_read_grid, needs_even_grid, to_even_grid
from liverseg.volume import Volume

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SegmentOptions:
    """How a CT is read out.

    Attributes:
        device: "auto", "cuda", "mps" or "cpu".
        quality: "full" or "fast" (windows of stage 2 overlap less).
        model: name or folder of a bundle; None for the default.
        split_segment_4: segment IV as IVa and IVb.
        couinaud_method: one of ``liverseg.couinaud.METHODS``.
        landmarks: RAS mm by name, for the planes of the method ``landmarks``.
        guessed: points that nobody placed, which the planes pass by all the same.
        force: go on where the gray values are no plausible HU.
        tile: "auto" (windows as large as memory lets them be) or "half" (less memory, more time).
    """

    device: str = "auto"
    quality: str = "full"
    model: str | None = None
    split_segment_4: bool = False
    couinaud_method: str = DEFAULT_METHOD
    landmarks: Mapping[str, Point] = field(default_factory=dict)
    guessed: Mapping[str, Point] = field(default_factory=dict)
    force: bool = False
    tile: str = "auto"


@dataclass
class Stopwatch:
    """Seconds spent in each named stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times the block."""
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 2)
        log.info("%s: %.1f s", name, self.seconds[name])


@dataclass(frozen=True, eq=False)
class NetworkMasks:
    """Liver, lesions (bool), lesion score and vessels, what each stage ran on, and warnings.

    Arrays are in canonical order; ``vessels`` is as in :class:`~liverseg.case.Masks`, ``segments`` those of a
    stage 2 with two heads, as far as it looked.
    """

    liver: np.ndarray
    lesions: np.ndarray
    score: np.ndarray
    vessels: np.ndarray | None
    rungs: tuple[Rung, ...]
    warnings: tuple[str, ...]
    segments: np.ndarray | None = None


def segment(ct: Volume, options: SegmentOptions | None = None, progress: Progress = silent) -> Case:
    """Read out a CT.

    Args:
        ct: Hounsfield units, any orientation and spacing.
        progress: hears of every window; may raise ``Cancelled``.

    Returns:
        The read-out; with an empty liver when none was found (volume 0, no lesions).

    Raises:
        InputRefused: the volume is no CT that can be read out.
        ModelError: the model is missing or damaged.
        OutOfMemory: on every rung of the ladder.
        Cancelled: from ``progress``.
    """
    return segment_with_score(ct, options, progress)[0]


def segment_with_score(
    ct: Volume, options: SegmentOptions | None = None, progress: Progress = silent
) -> tuple[Case, np.ndarray]:
    """:func:`segment`, and the lesion probability (float32) on the CT's grid, to tune thresholds with."""
    try:
        return _segment(ct, options or SegmentOptions(), progress)
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise OutOfMemory("out of memory; close programs or crop the CT to the abdomen") from error
        raise


def _segment(ct: Volume, options: SegmentOptions, progress: Progress) -> tuple[Case, np.ndarray]:
    if options.quality not in stages.OVERLAP:
        raise UsageError(f"the quality {options.quality!r} is not known; use fast or full")
    if options.tile not in TILES:
        raise UsageError(f"the tile {options.tile!r} is not known; use one of {', '.join(TILES)}")
    watch = Stopwatch()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    with watch.stage("check"):
        progress(0.0, "checking the CT")
        checked = check_volume(ct, force=options.force)
        bundle = find_bundle(options.model)
        calibrated = calibration.from_card(bundle.card)
        device = choose_device(options.device)
    uneven = needs_even_grid(ct)
    with watch.stage("grid"):
        even = to_even_grid(ct) if uneven else ct
    order = CanonicalOrder.of(even.geometry)
    # A network would spread one voxel without a number over all of its window.
    hu = numbered(np.ascontiguousarray(order.apply(even.array)))
    spacing = order.geometry(even.geometry).spacing_kji
    found = _networks(hu, spacing, bundle, device, options, watch, progress)
    liver, lesions, score = (
        np.ascontiguousarray(order.undo(a)) for a in (found.liver, found.lesions, found.score)
    )
    vessels, segments = (
        None if a is None else np.ascontiguousarray(order.undo(a)) for a in (found.vessels, found.segments)
    )
    with watch.stage("couinaud"):
        progress(0.8, "Couinaud segments")
        split = split_liver(
            liver,
            even.geometry,
            bundle,
            SplitOptions(
                chosen_method(options.couinaud_method, bundle, segments),
                options.split_segment_4,
                options.landmarks,
                options.guessed,
            ),
            vessels,
        )
    couinaud = split.labels
    if uneven:
        couinaud = labels_to_read_grid(couinaud, even.geometry, ct)
        lesions = labels_to_read_grid(lesions.astype(np.uint8), even.geometry, ct) > 0
        score = labels_to_read_grid(score, even.geometry, ct)
        vessels = None if vessels is None else labels_to_read_grid(vessels, even.geometry, ct)
        liver = couinaud > 0
    with watch.stage("lesions"):
        progress(0.87, "lesions")
        labels = label_lesions(lesions, ct.geometry)
        provenance = Provenance(
            version=__version__,
            model_name=bundle.name,
            weights_sha256=bundle.sha256,
            device=found.rungs[-1].device,
            precision=found.rungs[-1].precision,
            torch=torch.__version__,
            started=started,
            seconds=watch.seconds,
            parameters={
                "quality": options.quality,
                "tile": options.tile,
                "split_segment_4": options.split_segment_4,
                "couinaud_method": options.couinaud_method,
                "confidence": "raw" if calibrated is None else "calibrated",
            },
            input=describe_input(ct),
        )
        case = measure(
            ct,
            Masks(liver=liver, couinaud=couinaud, lesions=labels, vessels=vessels),
            method=split.method if liver.any() else CouinaudMethod("none"),
            provenance=provenance,
            confidences=calibration.confidences(labels, score, ct.geometry.voxel_volume_ml, calibrated),
            warnings=(*ct.warnings, *checked.warnings, *found.warnings, *split.warnings),
        )
    progress(0.95, "measured")
    return case, score


def _networks(
    hu: np.ndarray,
    spacing: tuple[float, float, float],
    bundle: Bundle,
    device: str,
    options: SegmentOptions,
    watch: Stopwatch,
    progress: Progress,
) -> NetworkMasks:
    """Stage 1 and stage 2 over a canonical CT; all empty when there is no liver."""
    liver, lesions = np.zeros(hu.shape, dtype=bool), np.zeros(hu.shape, dtype=bool)
    score = np.zeros(hu.shape, dtype=np.float32)
    with watch.stage("stage1"):
        rough, ran1 = stages.find_liver(
            hu, spacing, bundle, device, part_of(progress, 0.02, 0.25, "liver"), TILES[options.tile]
        )
    if rough is None:
        return NetworkMasks(liver, lesions, score, None, (ran1.rung,), ran1.warnings)
    with watch.stage("stage2"):
        listener = part_of(progress, 0.25, 0.78, "lesions")
        fine, ran2 = stages.find_lesions(
            hu, spacing, rough, bundle, device, options.quality, listener, TILES[options.tile]
        )
    if fine is None:
        return NetworkMasks(liver, lesions, score, None, (ran1.rung,), ran1.warnings)
    liver[rough.box], lesions[rough.box], score[rough.box] = fine.liver, fine.lesions, fine.lesion_score
    vessels, segments = (_in_scan(a, rough.box, hu.shape) for a in (fine.vessels, fine.segments))
    vessels = _with_aorta(vessels, rough.aorta, liver)
    return NetworkMasks(
        liver,
        lesions,
        score,
        vessels,
        (ran1.rung, ran2.rung),
        (*ran1.warnings, *ran2.warnings),
        segments,
    )


def _with_aorta(vessels: np.ndarray | None, aorta: np.ndarray | None, liver: np.ndarray) -> np.ndarray | None:
    """Vessels of a whole scan with the aorta, which lies outside of the liver."""
    if aorta is None:
        return vessels
    drawn = np.zeros(liver.shape, dtype=np.uint8) if vessels is None else vessels
    return np.where(aorta & ~liver & (drawn == 0), np.uint8(AORTA.label), drawn)


def _in_scan(labels: np.ndarray | None, box: stages.Box, shape: tuple[int, ...]) -> np.ndarray | None:
    """Labels of a crop in the whole scan, where there are any."""
    if labels is None:
        return None
    whole = np.zeros(shape, dtype=np.uint8)
    whole[box] = labels
    return whole
