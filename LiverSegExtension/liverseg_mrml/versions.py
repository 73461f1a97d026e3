"""Several results of one CT in a scene: a new run never replaces an older result."""

from __future__ import annotations

from liverseg_mrml.case_nodes import CaseNodes, find_case_nodes
from liverseg_mrml.node_removal import remove_node
from liverseg_mrml.renderings import hide_renderings, remove_renderings
from liverseg_mrml.scene import Node, Scene
from liverseg_mrml.subject_hierarchy import folder_name, remove_folder


def cases_of_volume(scene: Scene, volume: Node) -> list[CaseNodes]:
    """The results of a CT, in the order in which they came into the scene."""
    return [nodes for nodes in find_case_nodes(scene) if nodes.volume is volume]


def next_version_name(scene: Scene, name: str = "LiverSeg") -> str:
    """``name``, or with the next number after it where the scene has such results already."""
    taken = {folder_name(scene, nodes.folder) for nodes in find_case_nodes(scene)}
    if name not in taken:
        return name
    number = 2
    while f"{name} ({number})" in taken:
        number += 1
    return f"{name} ({number})"


def version_name(scene: Scene, nodes: CaseNodes) -> str:
    """What people read of a result: the name of its folder."""
    return folder_name(scene, nodes.folder)


def show_case(nodes: CaseNodes, visible: bool) -> None:
    """Show or hide the segmentation and the axes of a result; hidden, its volume renderings are, too."""
    for node in nodes.nodes():
        if node is nodes.volume or node is nodes.table:
            continue
        if node.GetDisplayNode() is not None:
            node.GetDisplayNode().SetVisibility(visible)
    if not visible:
        hide_renderings(nodes, surface=False)


def remove_case(scene: Scene, nodes: CaseNodes) -> None:
    """Take a result out of the scene with its folder and all that was made to show it. The CT stays."""
    last = len(cases_of_volume(scene, nodes.volume)) == 1
    remove_renderings(scene, nodes, surface=last)
    for node in list(nodes.nodes()):
        if node is not nodes.volume:
            remove_node(scene, node)
    remove_folder(scene, nodes.folder)
