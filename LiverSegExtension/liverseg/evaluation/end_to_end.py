"""Predictions of labeled cases, on the road that a user's CT takes.

A case is a whole scan (``ct.nii.gz``), which goes through :mod:`liverseg.pipeline` itself, or a pair: a
whole scan at 3 mm (``ct_3mm.nii.gz``) and the region of the liver at full resolution (``ct_roi.nii.gz``) in
one world. Of a pair, stage 1 sees the first, its mask is carried to the second by world coordinates, and
stage 2 and the Couinaud split work there. The region was cut around the labeled liver, so what stage 1
claims outside of it is lost to the later scores; its own mask is kept and scored on its own scan.

With the true liver in place of stage 1's, the later stages are judged alone: stage 2 sees the true liver,
and the result's liver and Couinaud split are those of the true liver.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from liverseg import __version__, calibration, stages
from liverseg.bundle import Bundle, find_bundle
from liverseg.case import Case, CouinaudMethod, Masks, Provenance
from liverseg.couinaud import DEFAULT_METHOD, SplitOptions, split_liver
from liverseg.couinaud.second_head import chosen_method
from liverseg.device import Rung
from liverseg.errors import InputRefused, UsageError
from liverseg.evaluation.case_files import STAGE1_FILE, WHOLE_SCAN, read_case
from liverseg.evaluation.evaluate import LESION_SCORES_FILE
from liverseg.geometry import CanonicalOrder, Geometry, bounding_box
from liverseg.measure import label_lesions, measure
from liverseg.pipeline import SegmentOptions, segment_with_score
from liverseg.reading import describe_input, read_volume
from liverseg.training.persons import person_of
from liverseg.volume import Volume
from liverseg.writers import write_case
from liverseg.writers.atomic import written_whole
from liverseg.writers.volumes import write_nifti

WHOLE, COARSE, REGION = WHOLE_SCAN, "ct_3mm.nii.gz", "ct_roi.nii.gz"
OUTPUTS = ("liver", "couinaud", "lesions", "vessels", "lesions_table", "measurements", "report")


@dataclass(frozen=True, eq=False)
class Predicted:
    """A read-out, the lesion probability on its grid, and stage 1's mask with its own grid, if kept."""

    case: Case
    score: np.ndarray
    stage1: tuple[np.ndarray, Geometry] | None = None


def refuse_seen(cases: list[str], bundle: Bundle) -> None:
    """Refuse cases of persons that the model may have seen in training.

    A card says ``held_out`` (cases whose persons were left out) or ``trained_on`` (cases that were not).

    Raises:
        UsageError: a case's person was seen, or the card does not tell.
    """
    card = bundle.card
    if "held_out" not in card and "trained_on" not in card:
        raise UsageError(
            f"the card of {bundle.name} says neither held_out nor trained_on, so nothing tells which cases "
            "are unseen; add one of them to it, or give --seen-too for a mere trial"
        )
    unseen = {person_of(case) for case in card.get("held_out", [])}
    trained = {person_of(case) for case in card.get("trained_on", [])}
    seen = [
        case
        for case in cases
        if person_of(case) in trained or ("trained_on" not in card and person_of(case) not in unseen)
    ]
    if seen:
        raise UsageError(
            f"{bundle.name} was trained on the persons of {', '.join(seen)}: scores of these say nothing; "
            "leave them out, or give --seen-too for a mere trial"
        )


def case_folders(data: Path, cases: list[str], bundle: Bundle, seen_too: bool = False) -> list[Path]:
    """The folders ``data/ct/<case>`` of cases that may be scored.

    Args:
        seen_too: also cases of persons that the model saw in training, for a mere trial.

    Raises:
        UsageError: see :func:`refuse_seen`.
        InputRefused: a case has no folder.
    """
    if not seen_too:
        refuse_seen(cases, bundle)
    folders = [data / "ct" / case for case in cases]
    missing = [folder for folder in folders if not folder.is_dir()]
    if missing:
        raise InputRefused(f"there is no case folder {missing[0]}; look into {data / 'ct'}")
    return folders


def predict_case(folder: Path, options: SegmentOptions, true_liver: bool = False) -> Predicted:
    """Read out a labeled case, whichever kind it is.

    Args:
        folder: with ``ct.nii.gz``, or with ``ct_3mm.nii.gz`` and ``ct_roi.nii.gz``; and with labels when
            ``true_liver`` is set.
        options: device, model and quality.
        true_liver: use the labeled liver in place of the one that stage 1 finds.

    Raises:
        InputRefused: the CTs or the labels are missing or cannot be read.
    """
    whole, region = folder / WHOLE, folder / REGION
    if not whole.exists() and not (region.exists() and (folder / COARSE).exists()):
        raise InputRefused(f"{folder} has neither {WHOLE} nor {COARSE} with {REGION}; name a folder with CTs")
    if whole.exists() and not true_liver:
        case, score = segment_with_score(read_volume(whole), options)
        return Predicted(case, score)
    fine = read_volume(whole if whole.exists() else region)
    bundle = find_bundle(options.model)
    if true_liver:
        liver = read_case(folder, fine.geometry).liver
        return _read_out(fine, liver, bundle, options, true_liver=True)
    coarse = read_volume(folder / COARSE)
    mask, geometry = stage1_mask(coarse, bundle, options.device)
    predicted = _read_out(fine, carried(mask, geometry, fine.geometry), bundle, options)
    return Predicted(predicted.case, predicted.score, on_scan(mask, coarse))


def stage1_mask(ct: Volume, bundle: Bundle, device: str) -> tuple[np.ndarray, Geometry]:
    """Stage 1's liver (bool, all False without one) on its own coarse grid, and that grid."""
    order = CanonicalOrder.of(ct.geometry)
    grid = order.geometry(ct.geometry)
    hu = np.ascontiguousarray(order.apply(ct.array))
    rough, _ = stages.find_liver(hu, grid.spacing_kji, bundle, device)
    mask = np.zeros((1, 1, 1), dtype=bool) if rough is None else rough.mask
    return mask, same_box(grid, mask.shape)


def on_scan(mask: np.ndarray, ct: Volume) -> tuple[np.ndarray, Geometry]:
    """Stage 1's mask, bool, on the grid of the scan that it saw, as the pipeline lays it there."""
    order = CanonicalOrder.of(ct.geometry)
    shape = order.geometry(ct.geometry).shape
    everything = (slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2]))
    fine = stages.mask_on_crop(stages.RoughLiver(mask, everything), shape, shape).numpy() > 0
    return np.ascontiguousarray(order.undo(fine)), ct.geometry


def same_box(geometry: Geometry, shape: tuple[int, ...]) -> Geometry:
    """The grid of another size whose outer voxel faces are those of ``geometry``."""
    ratio = np.array(geometry.shape) / np.array(shape)
    matrix = geometry.ijk_to_ras.copy()
    matrix[:3, :3] *= ratio[::-1]
    matrix[:3, 3] = geometry.to_ras((ratio - 1) / 2)
    return Geometry((shape[0], shape[1], shape[2]), matrix)


def carried(mask: np.ndarray, geometry: Geometry, target: Geometry) -> np.ndarray:
    """A bool mask on another grid of the same world: linear between voxel centers, from one half upwards."""
    change = np.linalg.inv(geometry.ijk_to_ras) @ target.ijk_to_ras
    soft = ndimage.affine_transform(
        mask.astype(np.float32),
        change[:3, :3][::-1, ::-1],
        change[:3, 3][::-1],
        output_shape=target.shape,
        order=1,
        mode="nearest",
    )
    return soft > 0.5


def _read_out(
    ct: Volume, liver: np.ndarray, bundle: Bundle, options: SegmentOptions, true_liver: bool = False
) -> Predicted:
    """Stage 2, Couinaud and measurements in a CT whose rough (or true) liver is known on its grid."""
    order = CanonicalOrder.of(ct.geometry)
    spacing = order.geometry(ct.geometry).spacing_kji
    hu = np.ascontiguousarray(order.apply(ct.array))
    known = np.ascontiguousarray(order.apply(liver))
    found, lesions = np.zeros(hu.shape, dtype=bool), np.zeros(hu.shape, dtype=bool)
    score = np.zeros(hu.shape, dtype=np.float32)
    margins = [int(np.ceil(stages.MARGIN_MM / s)) for s in spacing]
    box = bounding_box(known, (margins[0], margins[1], margins[2]))
    vessels: np.ndarray | None = None
    segments: np.ndarray | None = None
    rung: Rung | None = None
    if box is not None:
        rough = stages.RoughLiver(known, box)
        fine, ran = stages.find_lesions(hu, spacing, rough, bundle, options.device, options.quality)
        rung = ran.rung
        if fine is not None:
            found[box], lesions[box], score[box] = fine.liver, fine.lesions, fine.lesion_score
            if fine.vessels is not None:
                vessels = np.zeros(hu.shape, dtype=np.uint8)
                vessels[box] = fine.vessels
            if fine.segments is not None:
                segments = np.zeros(hu.shape, dtype=np.uint8)
                segments[box] = fine.segments
    if true_liver:
        found, lesions = known, lesions & known
    found, lesions, score = (np.ascontiguousarray(order.undo(a)) for a in (found, lesions, score))
    vessels = None if vessels is None else np.ascontiguousarray(order.undo(vessels))
    segments = None if segments is None else np.ascontiguousarray(order.undo(segments))
    split = split_liver(
        found, ct.geometry, bundle, SplitOptions(chosen_method(DEFAULT_METHOD, bundle, segments))
    )
    labels = label_lesions(lesions, ct.geometry)
    provenance = Provenance(
        version=__version__,
        model_name=bundle.name,
        weights_sha256=bundle.sha256,
        device=rung.device if rung else None,
        precision=rung.precision if rung else None,
        torch=torch.__version__,
        parameters={"quality": options.quality, "true_liver": true_liver, "scan": "region"},
        input=describe_input(ct),
    )
    case = measure(
        ct,
        Masks(liver=found, couinaud=split.labels, lesions=labels, vessels=vessels),
        method=split.method if found.any() else CouinaudMethod("none"),
        provenance=provenance,
        confidences=calibration.confidences(labels, score, ct.geometry.voxel_volume_ml, None),
        warnings=(*ct.warnings, *split.warnings),
    )
    return Predicted(case, score)


def lesion_scores(labels: np.ndarray, score: np.ndarray) -> list[dict[str, float]]:
    """Mean and largest lesion probability in each lesion (id > 0)."""
    inside = labels > 0
    largest = np.zeros(int(labels.max(initial=0)) + 1, dtype=np.float32)
    np.maximum.at(largest, labels[inside], score[inside])
    return [
        {"id": lesion, "mean": mean, "max": round(float(largest[lesion]), 4)}
        for lesion, mean in calibration.confidences(labels, score, 1.0, None).items()
    ]


def write_predicted(predicted: Predicted, folder: Path) -> None:
    """Write what ``liverseg evaluate`` reads, in the layout of ``liverseg segment``.

    Raises:
        UsageError: a file cannot be written.
    """
    for optional in ("vessels.nii.gz", STAGE1_FILE):
        # Of an earlier prediction; this one may have none.
        (folder / optional).unlink(missing_ok=True)
    write_case(predicted.case, folder, OUTPUTS, overwrite=True)
    with written_whole(folder / LESION_SCORES_FILE) as temporary:
        rows = lesion_scores(predicted.case.masks.lesions, predicted.score)
        temporary.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if predicted.stage1 is not None:
        mask, geometry = predicted.stage1
        with written_whole(folder / STAGE1_FILE) as temporary:
            write_nifti(mask.astype(np.uint8), geometry, temporary)
