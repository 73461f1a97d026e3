"""The liver of a scene split anew into segments: by another method, moved landmarks, after edits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from liverseg.remnant import planned_again
from liverseg.segment_tags import LAST_LESION_ID, LAST_LESION_ID_PARAMETER
from liverseg.volume import Volume
from liverseg_mrml.case_nodes import READOUT, CaseNodes
from liverseg_mrml.drawn_split import drawn_split, keep_drawn_split
from liverseg_mrml.landmark_points import Landmarks, landmarks_of, show_landmarks
from liverseg_mrml.readout_json import StoredReadout, stored_readout
from liverseg_mrml.scene import Node, Scene
from liverseg_mrml.segments_reading import number_lesions, read_segments
from liverseg_mrml.to_scene import refresh
from liverseg_mrml.translation import _
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


@dataclass(frozen=True, eq=False)
class SplitInput:
    """What a new split goes by, as it is in the scene now.

    Attributes:
        ct: the CT; masks are on its grid.
        liver: bool (k, j, i), lesions included.
        vessels: uint8 or None: 1 portal vein, 2 hepatic veins and cava.
        landmarks: points that a person moved, and those that still lie where they were guessed.
    """

    ct: Volume
    liver: np.ndarray
    vessels: np.ndarray | None
    landmarks: Landmarks


Splitter = Callable[[SplitInput, SplitWish], Split]


def split_input(nodes: CaseNodes) -> SplitInput:
    """What a new split would go by.

    Raises:
        InputRefused: there is no liver; or as :func:`liverseg_mrml.from_scene.case_from_nodes`.
        UsageError: a landmark is not known.
    """
    ct = volume_of(nodes.volume)
    return _input(nodes, ct, read_segments(nodes.segmentation, ct))


def split_by(bundle: Bundle | None) -> Splitter:
    """Splits in this process, by a model's network where the method wants it, which loads PyTorch."""

    def split(given: SplitInput, wish: SplitWish) -> Split:
        points = given.landmarks
        options = SplitOptions(wish.method, wish.split_segment_4, points.placed, points.guessed)
        return split_mask(given.liver, given.ct, bundle, options, given.vessels)

    return split


def guess_landmarks(scene: Scene, nodes: CaseNodes, bundle: Bundle | None) -> Node:
    """Show where the landmarks are guessed to lie in the liver as it is drawn now.

    Args:
        bundle: whose learned split is the guess; without one it comes from the liver's shape.

    Raises:
        InputRefused, UsageError: as :func:`split_input`.
    """
    given = split_input(nodes)
    crop = LiverCrop.of(given.liver, given.ct.geometry)
    assert crop is not None
    return show_landmarks(scene, nodes, first_landmarks(crop, bundle))


def split_again(
    scene: Scene, nodes: CaseNodes, wish: SplitWish, split: Splitter, weights: Mapping[str, str] | None = None
) -> tuple[Case, CaseNodes]:
    """Split the liver as it is drawn now, measure, and bring the scene up to the new case.

    Vessels are those of the segmentation, landmarks those of :func:`guess_landmarks` as a person left them. A
    planned resection is measured again; where its segments are gone, a warning says so.

    Args:
        split: does it; :func:`split_by`, or a process of its own.
        weights: hashes of the networks that do it, for the provenance.

    Raises:
        UsageError: the method or a landmark is not known.
        InputRefused: edits are to be kept and nobody knows them; or as :func:`split_input`. Nothing changed
            then.
    """
    if wish.method not in METHODS:
        raise UsageError(
            _("the Couinaud method {method} is not known; use {methods}").format(
                method=repr(wish.method), methods=", ".join(METHODS)
            )
        )
    stored = stored_readout(nodes.segmentation.GetAttribute(READOUT))
    ct = volume_of(nodes.volume, stored.source)
    number_lesions(nodes.segmentation)
    read = read_segments(nodes.segmentation, ct)
    given = _input(nodes, ct, read)
    before = drawn_split(nodes.segmentation, ct.geometry)
    if wish.keep_edits and before is None:
        raise InputRefused(
            _(
                "what you drew cannot be told from what the last method drew: this result was measured from "
                "given masks, saved by an earlier version, or its CT was moved; split without keeping edits"
            )
        )
    if wish.keep_edits and before is not None:
        found = split_keeping_edits(
            given.liver, read.masks.couinaud, before, ct.geometry, lambda liver: split(given, wish)
        )
        said = (*found.split.warnings, kept_sentence(found.kept_ml))
        result, fresh = replace(found.split, warnings=said), found.fresh
    else:
        result = split(given, wish)
        fresh = result.labels
    run_warnings = (*(text for text in stored.warnings if not is_of_a_split(text)), *result.warnings)
    case = _measured(nodes, ct, read, stored, result, run_warnings, weights or {}, wish)
    shown = refresh(scene, nodes, case, run_warnings)
    keep_drawn_split(nodes.segmentation, np.where(case.masks.liver, fresh, np.uint8(0)), ct.geometry)
    return case, shown


def fresh_split(nodes: CaseNodes, bundle: Bundle | None) -> Callable[[np.ndarray, Volume], Split]:
    """Splits liver that was added by hand, by the method of the case; reads the scene when it is called.

    Args:
        bundle: None for planes in place of the network: nothing loads PyTorch then.
    """

    def split(liver: np.ndarray, ct: Volume) -> Split:
        parameters = stored_readout(nodes.segmentation.GetAttribute(READOUT)).provenance.parameters
        method = parameters.get("couinaud_method")
        method = method if method in METHODS else next(iter(METHODS))
        wish = SplitWish(
            method="landmarks" if bundle is None and method == "shape" else method,
            split_segment_4=parameters.get("split_segment_4") is True,
        )
        given = replace(split_input(nodes), ct=ct, liver=liver)
        return split_by(bundle)(given, wish)

    return split


def _input(nodes: CaseNodes, ct: Volume, read: ReadMasks) -> SplitInput:
    liver = read.masks.liver | (read.masks.lesions > 0)
    if not liver.any():
        raise InputRefused(_("there is no liver to split"))
    return SplitInput(ct, liver, read.masks.vessels, landmarks_of(nodes))


def _measured(
    nodes: CaseNodes,
    ct: Volume,
    read: ReadMasks,
    stored: StoredReadout,
    split: Split,
    warnings: tuple[str, ...],
    weights: Mapping[str, str],
    wish: SplitWish,
) -> Case:
    provenance = stored.provenance
    hashes = {**provenance.weights_sha256, **weights}
    parameters = {
        **provenance.parameters,
        "measured_from": "segmentation node",
        "couinaud_method": wish.method,
        "split_segment_4": wish.split_segment_4,
        LAST_LESION_ID_PARAMETER: int(nodes.segmentation.GetAttribute(LAST_LESION_ID) or 0),
    }
    case = measure(
        ct,
        replace(read.masks, couinaud=split.labels),
        method=split.method,
        provenance=replace(provenance, parameters=parameters, weights_sha256=hashes),
        tracking_uids=read.tracking_uids,
        reviews=read.reviews,
        confidences=read.confidences,
        warnings=(*warnings, *read.warnings),
    )
    return planned_again(case, stored.remnant)
