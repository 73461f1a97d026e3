"""A ``Case`` into a scene, and a newer ``Case`` into the nodes of an older one."""

from __future__ import annotations

import logging

from liverseg.case import Case
from liverseg.errors import InputRefused
from liverseg.fingerprints import Fingerprints
from liverseg.segment_tags import LAST_LESION_ID, last_lesion_id
from liverseg_mrml.case_nodes import READOUT, TABLE_ROLE, CaseNodes
from liverseg_mrml.drawn_checksum import keep_drawn_checksum
from liverseg_mrml.drawn_split import is_edited, keep_drawn_split
from liverseg_mrml.edited_parts import keep_fingerprints
from liverseg_mrml.markups import AxisLines, axes_of, place_axes
from liverseg_mrml.readout_json import readout_text, stored_readout
from liverseg_mrml.scene import Node, Scene
from liverseg_mrml.segmentation_node import add_segmentation, write_segments
from liverseg_mrml.segments_reading import tag_redrawn
from liverseg_mrml.staleness import set_stale
from liverseg_mrml.subject_hierarchy import make_folder, put_into
from liverseg_mrml.table_node import fill_table
from liverseg_mrml.translation import _
from liverseg_mrml.volume_node import add_volume, node_geometry

log = logging.getLogger(__name__)

# Largest distance (mm) between corners of a case's grid and of the volume node that is said to be its CT.
SAME_GRID_MM = 0.1


def add_case_to_scene(
    scene: Scene, case: Case, volume_node: Node | None = None, name: str = "LiverSeg"
) -> CaseNodes:
    """Show a case: CT, segmentation with surfaces, lesion table and axes, under one folder.

    Args:
        scene: a ``vtkMRMLScene``: the application's, or one of :func:`liverseg_mrml.scene.make_scene`.
        case: the read-out.
        volume_node: the CT where it is in the scene already; it is used and not changed. The segmentation
            and the axes follow its (linear) parent transform. None: a node is made from the case.
        name: of the folder.

    Raises:
        InputRefused: the volume node is not on the case's grid, or its transform is not linear.
    """
    if volume_node is not None and not node_geometry(volume_node).matches(case.ct.geometry, SAME_GRID_MM):
        raise InputRefused(
            _("{name} is not the CT of this result; choose the volume it came from").format(
                name=volume_node.GetName()
            )
        )
    folder = make_folder(scene, name, beside=volume_node)
    volume = add_volume(scene, case.ct, "CT") if volume_node is None else volume_node
    segmentation = add_segmentation(scene, case, volume, f"{name} segmentation")
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", f"{name} lesions")
    segmentation.SetNodeReferenceID(TABLE_ROLE, table.GetID())
    put_into(scene, folder, [segmentation, table] if volume is volume_node else [volume, segmentation, table])
    nodes = CaseNodes(volume, segmentation, table, {}, folder)
    keep_drawn_split(segmentation, None if is_edited(case) else case.masks.couinaud, case.ct.geometry)
    return _show_readout(scene, nodes, case, case.warnings)


def refresh(
    scene: Scene, nodes: CaseNodes, case: Case, run_warnings: tuple[str, ...] | None = None
) -> CaseNodes:
    """Bring the nodes of a case up to a newer read-out of it, in place.

    The CT, segmentation, table and the lines of lesions that are still there keep their node ids. Lines of
    lesions that are gone are removed, new lesions get theirs, closed surfaces are made anew, and segments
    take the repairs that measuring made (the Couinaud segments fit the liver again).

    Args:
        case: from :func:`liverseg_mrml.from_scene.case_from_nodes`.
        run_warnings: what stays true whatever a person corrects; None keeps what was kept before.

    Returns:
        The nodes as they are now.
    """
    if run_warnings is None:
        run_warnings = stored_readout(nodes.segmentation.GetAttribute(READOUT)).warnings
    tag_redrawn(nodes.segmentation)
    write_segments(nodes.segmentation, case)
    return _show_readout(scene, nodes, case, run_warnings)


def _show_readout(scene: Scene, nodes: CaseNodes, case: Case, run_warnings: tuple[str, ...]) -> CaseNodes:
    """Table, axes and attributes from a case."""
    segmentation = nodes.segmentation
    fill_table(nodes.table, case)
    axes = _place_all_axes(scene, segmentation, case)
    put_into(scene, nodes.folder, [node for lines in axes.values() for node in (lines.long, lines.short)])
    segmentation.SetAttribute(READOUT, readout_text(case, run_warnings))
    last = max([int(segmentation.GetAttribute(LAST_LESION_ID) or 0), last_lesion_id(case)])
    segmentation.SetAttribute(LAST_LESION_ID, str(last))
    shown = CaseNodes(nodes.volume, segmentation, nodes.table, axes, nodes.folder)
    keep_fingerprints(segmentation, Fingerprints.of(case.ct, case.masks))
    keep_drawn_checksum(shown)
    set_stale(shown, False)
    log.debug("scene shows %d lesions", len(case.lesions))
    return shown


def _place_all_axes(scene: Scene, segmentation: Node, case: Case) -> dict[int, AxisLines]:
    present = axes_of(scene, segmentation)
    for lesion_id in present.keys() - {lesion.id for lesion in case.lesions}:
        for node in present[lesion_id].values():
            scene.RemoveNode(node)
    return {
        lesion.id: place_axes(scene, segmentation, lesion, present.get(lesion.id, {}))
        for lesion in case.lesions
    }
