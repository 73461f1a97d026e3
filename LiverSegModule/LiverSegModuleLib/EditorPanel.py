"""The embedded Segment Editor: on the result's segmentation and CT, with masks that fit the task."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from LiverSegModuleLib.Session import Session

NODE_TAG = "LiverSegEditor"


class EditorPanel:
    """Holds the widget and lets go of the scene when it must.

    With a view still observed, closing the scene while an effect is active brings the application down, so
    :meth:`release` is called before every close and whenever the module is left.
    """

    def __init__(self, frame: Any, session: Session) -> None:
        self.session = session
        # Views and keys belong to the editor only while its module is on screen.
        self.onScreen = False
        # What was visible before only two segments were, by segment id.
        self._visibleBefore: dict[str, bool] = {}
        self.widget = slicer.qMRMLSegmentEditorWidget()
        self.widget.setMaximumNumberOfUndoStates(10)
        self.widget.setSegmentationNodeSelectorVisible(False)
        self.widget.setSourceVolumeNodeSelectorVisible(False)
        frame.layout().addWidget(self.widget)

    @property
    def parameters(self) -> Any:
        """The editor's own parameter node in the scene, apart from that of the Segment Editor module."""
        scene = self.session.scene
        node = scene.GetSingletonNode(NODE_TAG, "vtkMRMLSegmentEditorNode")
        if node is None:
            node = scene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
            node.UnRegister(None)
            node.SetSingletonTag(NODE_TAG)
            node = scene.AddNode(node)
        return node

    def show(self) -> None:
        """Put the result on screen into the editor, or nothing."""
        nodes = self.session.nodes
        self.restoreVisibility()
        if nodes is None or not self.onScreen:
            self.release()
            return
        self.widget.setMRMLSegmentEditorNode(self.parameters)
        self.widget.setMRMLScene(self.session.scene)
        self.widget.setSegmentationNode(nodes.segmentation)
        self.widget.setSourceVolumeNode(nodes.volume)
        self.maskInside("liver", overwriteVisible=False)
        self.widget.installKeyboardShortcuts()

    def release(self) -> None:
        """Let go of effect, views, shortcuts and segmentation."""
        self.restoreVisibility()
        self.widget.setActiveEffect(None)
        self.widget.uninstallKeyboardShortcuts()
        self.widget.removeViewObservations()
        self.widget.setSegmentationNode(None)

    def saveStateForUndo(self) -> None:
        """So that the editor's Undo takes an edit of whole lesions back."""
        if self.widget.segmentationNode() is not None:
            self.widget.saveStateForUndo()

    def forgetUndo(self) -> None:
        """The editor's Undo ends here: an older state would no longer fit what the scene knows of edits."""
        node = self.widget.segmentationNode()
        if node is not None:
            self.widget.setSegmentationNode(None)
            self.widget.setSegmentationNode(node)

    def maskInside(self, segmentKey: str, overwriteVisible: bool) -> None:
        """Allow painting inside of one segment only.

        Args:
            segmentKey: the key in the segment's tags, such as "liver".
            overwriteVisible: whether what is painted is taken from the other segments that are visible.
        """
        from liverseg_mrml.segmentation_node import segment_ids

        segment = segment_ids(self.session.nodes.segmentation).get(segmentKey)
        node = self.parameters
        if segment is None:
            node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere)
        else:
            node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
            node.SetMaskSegmentID(segment)
        visible = slicer.vtkMRMLSegmentEditorNode.OverwriteVisibleSegments
        nothing = slicer.vtkMRMLSegmentEditorNode.OverwriteNone
        node.SetOverwriteMode(visible if overwriteVisible else nothing)

    def editLesion(self, lesionID: int) -> None:
        """Paint on a lesion. The liver keeps what is painted: a lesion is a part of it."""
        from liverseg_mrml.segment_voxels import SegmentVoxels

        self.restoreVisibility()
        segment = SegmentVoxels(self.session.nodes).lesion_segment(lesionID)
        self.maskInside("liver", overwriteVisible=False)
        self._paint(segment)

    def addLesion(self) -> int:
        """A new, empty lesion to be painted; returns its id."""
        import numpy as np

        from liverseg_mrml.segment_voxels import SegmentVoxels

        self.saveStateForUndo()
        voxels = SegmentVoxels(self.session.nodes)
        lesionID = voxels.add_lesion(np.zeros(voxels.grid.shape, dtype=bool))
        self.editLesion(lesionID)
        return lesionID

    def moveBorder(self, giver: str, taker: str) -> None:
        """Paint segment ``taker`` inside of segment ``giver``; only these two are on screen and change."""
        from liverseg.errors import UsageError
        from liverseg_mrml.segment_voxels import SegmentVoxels

        if giver == taker:
            raise UsageError(_("choose two different segments to move the border between"))
        voxels = SegmentVoxels(self.session.nodes)
        pair = voxels.couinaud_segment(giver), voxels.couinaud_segment(taker)
        self.restoreVisibility()
        display = self.session.nodes.segmentation.GetDisplayNode()
        segmentation = self.session.nodes.segmentation.GetSegmentation()
        for n in range(segmentation.GetNumberOfSegments()):
            segment = segmentation.GetNthSegmentID(n)
            self._visibleBefore[segment] = bool(display.GetSegmentVisibility(segment))
            display.SetSegmentVisibility(segment, segment in pair)
        node = self.parameters
        node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
        node.SetMaskSegmentID(pair[0])
        node.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteVisibleSegments)
        self._paint(pair[1])

    def restoreVisibility(self) -> None:
        """Show again what was hidden for moving a border."""
        before, self._visibleBefore = self._visibleBefore, {}
        node = self.widget.segmentationNode()
        if not before or node is None:
            return
        for segment, visible in before.items():
            if node.GetSegmentation().GetSegment(segment) is not None:
                node.GetDisplayNode().SetSegmentVisibility(segment, visible)

    def _paint(self, segment: str) -> None:
        self.widget.setCurrentSegmentID(segment)
        self.widget.setActiveEffectByName("Paint")
        effect = self.widget.activeEffect()
        if effect is not None:
            # A ball, not a disk: borders and lesions go through the slices. Paint and Erase share the brush;
            # setParameter would keep a value for Paint alone, which the check box could not change any more.
            effect.setCommonParameter("BrushSphere", "1")
