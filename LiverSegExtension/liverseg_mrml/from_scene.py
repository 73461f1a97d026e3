"""From the nodes of a scene back to a ``Case``: as it was stored, or measured anew after edits."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from liverseg.case import Case, InvariantError
from liverseg.errors import InputRefused
from liverseg.fingerprints import EarlierReadout, Fingerprints
from liverseg.label_grids import onto_grid
from liverseg.segment_tags import LAST_LESION_ID, LAST_LESION_ID_PARAMETER
from liverseg.volume import Volume
from liverseg_mrml.case_nodes import READOUT, CaseNodes
from liverseg_mrml.drawn_split import follow_mending
from liverseg_mrml.edited_parts import numbers_fit, stored_fingerprints
from liverseg_mrml.readout_json import stored_readout
from liverseg_mrml.segments_reading import number_lesions, read_segments
from liverseg_mrml.translation import _
from liverseg_mrml.volume_node import volume_of

if TYPE_CHECKING:
    from liverseg.couinaud import Split


def case_from_nodes(nodes: CaseNodes, split: Callable[[np.ndarray, Volume], Split] | None = None) -> Case:
    """Measure what the segmentation node shows now, after edits; :func:`to_scene.refresh` shows the result.

    Lesions that are as they were are not measured again.

    What a segment is, its tags decide, whatever it is called. New segments count as lesions when their
    terminology says so; they and copies of lesions get the next id that was never given, which is written
    into their tags. Segments that are nothing LiverSeg knows are left out with a warning.

    Args:
        split: splits a liver (bool, k, j, i) on the grid of the CT; asked where much liver was added that
            no segment covers (:func:`liverseg_mrml.resplitting.fresh_split`). Without it such liver takes
            the nearest segment.

    Returns:
        A case on the volume node's grid in world RAS mm, linear parent transforms included. The method,
        the provenance and the warnings of the networks' run are those stored in the scene; a planned
        resection is measured again.

    Raises:
        InputRefused: no LiverSeg read-out in the scene, no Couinaud segments, a transform that is not
            linear, or a volume node without a usable CT.
    """
    # Imported here because finding nodes and reading a stored case need no measuring.
    from liverseg.measure import measure  # noqa: PLC0415
    from liverseg.remnant import planned_again  # noqa: PLC0415

    stored = stored_readout(nodes.segmentation.GetAttribute(READOUT))
    ct = volume_of(nodes.volume, stored.source)
    number_lesions(nodes.segmentation)
    read = read_segments(nodes.segmentation, ct)
    if not read.couinaud_given and read.masks.liver.any():
        raise InputRefused(
            _("the segmentation has no Couinaud segments any more; undo, or run LiverSeg again")
        )
    parameters = {
        **stored.provenance.parameters,
        "measured_from": "segmentation node",
        LAST_LESION_ID_PARAMETER: int(nodes.segmentation.GetAttribute(LAST_LESION_ID) or 0),
    }
    asked: list[Split] = []

    def fresh(liver: np.ndarray) -> np.ndarray:
        assert split is not None
        asked.append(split(liver, ct))
        return asked[-1].labels

    before = stored_fingerprints(nodes.segmentation)
    case = measure(
        ct,
        read.masks,
        method=read.method or stored.method,
        provenance=replace(stored.provenance, parameters=parameters),
        tracking_uids=read.tracking_uids,
        reviews=read.reviews,
        confidences=read.confidences,
        warnings=(*stored.warnings, *read.warnings),
        fresh_split=None if split is None else fresh,
        earlier=EarlierReadout(before, stored.lesions),
    )
    case = planned_again(case, stored.remnant)
    follow_mending(nodes.segmentation, read.masks.couinaud, case.masks.couinaud, ct.geometry)
    if asked or case.method.approximate or Fingerprints.of(ct, case.masks).couinaud != before.couinaud:
        return _with_split_checked(case, asked)
    return case


def _with_split_checked(case: Case, asked: list[Split]) -> Case:
    """A case whose segments were edited, or added to by ``asked``: what a normal liver would not show."""
    from liverseg.couinaud import doubts_of_given  # noqa: PLC0415
    from liverseg.couinaud.said import is_of_the_segments  # noqa: PLC0415

    doubtful = doubts_of_given(case.masks.couinaud, case.ct.geometry)
    approximate = case.method.approximate or bool(doubtful) or any(s.method.approximate for s in asked)
    kept = [text for text in case.warnings if not is_of_the_segments(text)]
    said = [text for each in asked for text in each.warnings if not is_of_the_segments(text)]
    return replace(
        case,
        method=replace(case.method, approximate=approximate),
        warnings=tuple(dict.fromkeys((*kept, *said, *doubtful))),
    )


def current_case(nodes: CaseNodes) -> Case:
    """The case as it is drawn now: as stored when nothing was edited or moved, else measured.

    Masks, table and axes in the scene stay as they are.

    Raises:
        InputRefused: as :func:`case_from_nodes`.
    """
    with suppress(InvariantError, InputRefused):
        if numbers_fit(nodes):
            return stored_case(nodes)
    return case_from_nodes(nodes)


def stored_case(nodes: CaseNodes) -> Case:
    """The stored numbers with the masks as they are drawn now, nothing measured, on the original grid.

    Whether they belong together, :func:`liverseg_mrml.edited_parts.numbers_fit` tells: an edit that keeps
    the liver covered and the lesions' ids is not noticed here. A left-handed grid comes back right-handed
    when Slicer reads a saved volume; here it is turned again.

    Raises:
        InputRefused: no read-out in the scene, or the CT was moved or resampled since.
        liverseg.case.InvariantError: the masks contradict each other, or hold other lesions.
    """
    stored = stored_readout(nodes.segmentation.GetAttribute(READOUT))
    now = volume_of(nodes.volume)
    array, _cut = onto_grid(now.array, now.geometry, stored.geometry, nodes.volume.GetName(), same_box=True)
    ct = Volume(array, stored.geometry, stored.source)
    return stored.case(ct, read_segments(nodes.segmentation, ct).masks)
