"""The layout for reading lesion after lesion: a large axial slice, the rest beside it. Free of Qt."""

from __future__ import annotations

from typing import Any

# Slicer's own layouts end at 100 (vtkMRMLLayoutNode::SlicerLayoutUserView); extensions go far above.
REVIEW_LAYOUT = 7312
REVIEW_LAYOUT_XML = """
<layout type="horizontal" split="true">
 <item splitSize="600"><view class="vtkMRMLSliceNode" singletontag="Red">
  <property name="orientation" action="default">Axial</property>
  <property name="viewlabel" action="default">R</property>
  <property name="viewcolor" action="default">#F34A33</property></view></item>
 <item splitSize="400"><layout type="vertical" split="true">
  <item><view class="vtkMRMLSliceNode" singletontag="Green">
   <property name="orientation" action="default">Coronal</property>
   <property name="viewlabel" action="default">G</property>
   <property name="viewcolor" action="default">#6EB04B</property></view></item>
  <item><view class="vtkMRMLSliceNode" singletontag="Yellow">
   <property name="orientation" action="default">Sagittal</property>
   <property name="viewlabel" action="default">Y</property>
   <property name="viewcolor" action="default">#EDD54C</property></view></item>
  <item><view class="vtkMRMLViewNode" singletontag="1">
   <property name="viewlabel" action="default">1</property></view></item>
 </layout></item>
</layout>
"""


def registerReviewLayout(scene: Any) -> Any:
    """Make the layout known to the scene's layout node, and return that node (None: the scene has none).

    A scene names its layout by number alone: one that was saved with ours shows no view at all in an
    application that does not know the number.
    """
    node = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    if node is not None and not node.IsLayoutDescription(REVIEW_LAYOUT):
        node.AddLayoutDescription(REVIEW_LAYOUT, REVIEW_LAYOUT_XML)
    return node
