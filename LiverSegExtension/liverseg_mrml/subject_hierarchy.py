"""One folder of the subject hierarchy holds all nodes of a case."""

from __future__ import annotations

from collections.abc import Iterable

import slicer
import vtk

from liverseg_mrml.scene import Node, Scene

# Slicer's plugins for the kinds of nodes a case has. Slicer finds them itself; a scene made outside of it
# must name them.
PLUGINS = {
    "vtkMRMLScalarVolumeNode": "Volumes",
    "vtkMRMLSegmentationNode": "Segmentations",
    "vtkMRMLTableNode": "Tables",
    "vtkMRMLMarkupsLineNode": "Markups",
    "vtkMRMLMarkupsFiducialNode": "Markups",
}


def make_folder(scene: Scene, name: str, beside: Node | None = None) -> int:
    """A new folder at the top, or beside a node (in the same study as the CT that was already there).

    Returns:
        Its item id, which is valid in this scene only.
    """
    hierarchy = _hierarchy(scene)
    parent = hierarchy.GetSceneItemID()
    if beside is not None and (item := hierarchy.GetItemByDataNode(beside)):
        parent = hierarchy.GetItemParent(item)
    folder = hierarchy.CreateFolderItem(parent, name)
    hierarchy.SetItemOwnerPluginName(folder, "Folder")
    return int(folder)


def put_into(scene: Scene, folder: int, nodes: Iterable[Node]) -> None:
    """Make the nodes children of a folder."""
    hierarchy = _hierarchy(scene)
    for node in nodes:
        # Makes an item for a node that has none, and moves the one it has otherwise.
        hierarchy.CreateItem(folder, node, PLUGINS[node.GetClassName()])


def folder_of(scene: Scene, node: Node) -> int:
    """The item id of the folder that holds a node; the top where none does."""
    hierarchy = _hierarchy(scene)
    item = hierarchy.GetItemByDataNode(node)
    return int(hierarchy.GetItemParent(item) if item else hierarchy.GetSceneItemID())


def folder_name(scene: Scene, folder: int) -> str:
    """The name of a folder."""
    return str(_hierarchy(scene).GetItemName(folder))


def remove_folder(scene: Scene, folder: int) -> None:
    """Remove a folder; what is still in it moves to where the folder was. The scene itself stays."""
    hierarchy = _hierarchy(scene)
    if folder == hierarchy.GetSceneItemID():
        return
    children = vtk.vtkIdList()
    hierarchy.GetItemChildren(folder, children, False)
    for n in range(children.GetNumberOfIds()):
        hierarchy.SetItemParent(children.GetId(n), hierarchy.GetItemParent(folder))
    hierarchy.RemoveItem(folder, False, False)


def _hierarchy(scene: Scene) -> Node:
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
