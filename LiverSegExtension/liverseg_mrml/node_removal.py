"""Takes a node out of a scene with what belongs to it alone; the scene removes the one node only."""

from __future__ import annotations

from liverseg_mrml.scene import Node, Scene


def remove_node(scene: Scene, node: Node) -> None:
    """Remove a node with its display nodes, their volume properties and crop boxes, and its storage node.

    Its item of the subject hierarchy goes, too. Color tables, transforms and views stay.
    """
    belonging = [node]
    if node.IsA("vtkMRMLDisplayableNode"):
        for n in range(node.GetNumberOfDisplayNodes()):
            belonging += _with_its_own(node.GetNthDisplayNode(n))
    if node.IsA("vtkMRMLStorableNode"):
        belonging.append(node.GetStorageNode())
    for each in belonging:
        if each is not None and scene.IsNodePresent(each):
            scene.RemoveNode(each)


def remove_display(scene: Scene, display: Node) -> None:
    """Remove a display node with its volume property and crop box."""
    for each in _with_its_own(display):
        if each is not None and scene.IsNodePresent(each):
            scene.RemoveNode(each)


def _with_its_own(display: Node) -> list[Node]:
    """A display node with what was made for it; only volume renderings have something."""
    if display is None or not display.IsA("vtkMRMLVolumeRenderingDisplayNode"):
        return [display]
    return [display, display.GetVolumePropertyNode(), display.GetROINode()]
