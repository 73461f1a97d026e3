"""The liver of a scene split anew into segments: by another method, moved landmarks, after edits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from liverseg.bundle import Bundle
from liverseg.case import Case
from liverseg.couinaud import METHODS, Split, SplitOptions, split_keeping_edits, split_mask
from liverseg.couinaud.crop import LiverCrop
from liverseg.couinaud.landmarks import first_landmarks
from liverseg.couinaud.said import is_of_a_split, kept_sentence
from liverseg.errors import InputRefused, UsageError
from liverseg.given_masks import ReadMasks
from liverseg.measure import measure
from liverseg.segment_tags import LAST_LESION_ID, LAST_LESION_ID_PARAMETER
from liverseg.volume import Volume
from liverseg_mrml.case_nodes import READOUT, CaseNodes
from liverseg_mrml.drawn_split import drawn_split, keep_drawn_split
from liverseg_mrml.landmark_points import landmarks_of, show_landmarks
from liverseg_mrml.readout_json import StoredReadout, stored_readout
from liverseg_mrml.scene import Node, Scene
from liverseg_mrml.segments_reading import number_lesions, read_segments
from liverseg_mrml.to_scene import refresh
from liverseg_mrml.volume_node import volume_of


@dataclass(frozen=True)
class SplitWish:
    """What a person asks of a new split.

    Attributes:
        method: one of ``liverseg.couinaud.METHODS``.
        split_segment_4: segment IV as IVa and IVb.
        keep_edits: segments that a person drew since the last split stay as they are.
    """

    method: str
    split_segment_4: bool = False
    keep_edits: bool = True


def guess_landmarks(scene: Scene, nodes: CaseNodes, bundle: Bundle | None) -> Node:
    """Show where the landmarks are guessed to lie in the liver as it is drawn now.

    Args:
        bundle: whose learned split is the guess; without one it comes from the liver's shape.

    Raises:
        InputRefused: there is no liver.
        UsageError: as :func:`liverseg_mrml.landmark_points.show_landmarks`.
    """
    ct = volume_of(nodes.volume)
    crop = LiverCrop.of(_liver(read_segments(nodes.segmentation, ct)), ct.geometry)
    if crop is None:
        raise InputRefused("there is no liver to place landmarks in")
    return show_landmarks(scene, nodes, first_landmarks(crop, bundle))


def split_again(
    scene: Scene, nodes: CaseNodes, bundle: Bundle | None, wish: SplitWish
) -> tuple[Case, CaseNodes]:
    """Split the liver as it is drawn now, measure, and bring the scene up to the new case.

    Vessels are those of the segmentation, landmarks those of :func:`guess_landmarks` as a person left them.

    Args:
        bundle: the model whose network splits by shape and gives the first guess; None without PyTorch.

    Raises:
        UsageError: the method or a landmark is not known.
        InputRefused: edits are to be kept and nobody knows them; or as
            :func:`liverseg_mrml.from_scene.case_from_nodes`. Nothing changed then.
    """
    if wish.method not in METHODS:
        raise UsageError(f"the Couinaud method {wish.method!r} is not known; use {', '.join(METHODS)}")
    stored = stored_readout(nodes.segmentation.GetAttribute(READOUT))
    ct = volume_of(nodes.volume, stored.source)
    number_lesions(nodes.segmentation)
    read = read_segments(nodes.segmentation, ct)
    liver = _liver(read)
    if not liver.any():
        raise InputRefused("there is no liver to split")
    split = _splitter(nodes, bundle, wish, read.masks.vessels)
    if wish.keep_edits:
        before = drawn_split(nodes.segmentation, ct.geometry)
        if before is None:
            raise InputRefused(
                "what you drew cannot be told from what the last method drew, because this result was "
                "measured from given masks or its CT was moved; split without keeping edits"
            )
        found = split_keeping_edits(
            liver, read.masks.couinaud, before, ct.geometry, lambda mask: split(mask, ct)
        )
        result, fresh = found.split, found.fresh
        result = replace(result, warnings=(*result.warnings, kept_sentence(found.kept_ml)))
    else:
        result = split(liver, ct)
        fresh = result.labels
    run_warnings = (*(text for text in stored.warnings if not is_of_a_split(text)), *result.warnings)
    case = _measured(nodes, ct, read, stored, result, run_warnings, bundle, wish)
    shown = refresh(scene, nodes, case, run_warnings)
    keep_drawn_split(nodes.segmentation, np.where(case.masks.liver, fresh, np.uint8(0)), ct.geometry)
    return case, shown


def fresh_split(nodes: CaseNodes, bundle: Bundle | None) -> Callable[[np.ndarray, Volume], Split]:
    """Splits liver that was added by hand, by the method of the case; reads the scene when it is called."""

    def split(liver: np.ndarray, ct: Volume) -> Split:
        parameters = stored_readout(nodes.segmentation.GetAttribute(READOUT)).provenance.parameters
        method = parameters.get("couinaud_method")
        wish = SplitWish(
            method=method if method in METHODS else next(iter(METHODS)),
            split_segment_4=parameters.get("split_segment_4") is True,
        )
        vessels = read_segments(nodes.segmentation, ct).masks.vessels if wish.method == "vessels" else None
        return _splitter(nodes, bundle, wish, vessels)(liver, ct)

    return split


def _liver(read: ReadMasks) -> np.ndarray:
    return read.masks.liver | (read.masks.lesions > 0)


def _splitter(
    nodes: CaseNodes, bundle: Bundle | None, wish: SplitWish, vessels: np.ndarray | None
) -> Callable[[np.ndarray, Volume], Split]:
    points = landmarks_of(nodes)
    options = SplitOptions(wish.method, wish.split_segment_4, points.placed, points.guessed)
    return lambda liver, ct: split_mask(liver, ct, bundle, options, vessels)


def _measured(
    nodes: CaseNodes,
    ct: Volume,
    read: ReadMasks,
    stored: StoredReadout,
    split: Split,
    warnings: tuple[str, ...],
    bundle: Bundle | None,
    wish: SplitWish,
) -> Case:
    provenance = stored.provenance
    weights = dict(provenance.weights_sha256)
    if bundle is not None and "couinaud" in bundle.sha256:
        weights["couinaud"] = bundle.sha256["couinaud"]
    parameters = {
        **provenance.parameters,
        "measured_from": "segmentation node",
        "couinaud_method": wish.method,
        "split_segment_4": wish.split_segment_4,
        LAST_LESION_ID_PARAMETER: int(nodes.segmentation.GetAttribute(LAST_LESION_ID) or 0),
    }
    return measure(
        ct,
        replace(read.masks, couinaud=split.labels),
        method=split.method,
        provenance=replace(provenance, parameters=parameters, weights_sha256=weights),
        tracking_uids=read.tracking_uids,
        reviews=read.reviews,
        confidences=read.confidences,
        warnings=(*warnings, *read.warnings),
    )
