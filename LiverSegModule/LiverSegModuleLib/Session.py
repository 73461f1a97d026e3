"""What the sections of the panel share: the scene, the parameters, the result on screen, and its edits."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from LiverSegModuleLib.Signal import Signal
from LiverSegModuleLib.TimeLeft import ReviewClock


class Session:
    """The result that the panel works on.

    Sections ask it for the nodes, change the result through it, and hear of changes by its signals. It knows
    no widget.

    Attributes:
        logic: the module's logic.
        parameters: the scene's parameter node, None while there is no scene.
        nodes: ``liverseg_mrml.case_nodes.CaseNodes`` of the result, or None.
        caseChanged: another result is on screen, or none.
        othersChanged: results that are not on screen were taken out of the scene.
        readoutChanged: its numbers or reviews changed.
        staleChanged: its masks were edited, or its numbers brought up to date.
        lesionSelected: a lesion's id, or None.
    """

    def __init__(self, logic: Any, scene: Any) -> None:
        self.logic = logic
        self.scene = scene
        self.parameters: Any = None
        self.nodes: Any = None
        self.lesionID: int | None = None
        self.caseChanged, self.othersChanged, self.readoutChanged = Signal(), Signal(), Signal()
        self.staleChanged, self.lesionSelected = Signal(), Signal()
        self.clock = ReviewClock()
        self._watch: Any = None
        # How many results the scene had when a section last heard of it.
        self._count = 0

    # --- the result on screen

    def show(self, nodes: Any, fresh: bool = False) -> None:
        """Work on another result, or on none; its CT is shown, and all other results of that are hidden.

        Args:
            nodes: ``liverseg_mrml.case_nodes.CaseNodes``, or None.
            fresh: it was just put into the scene; otherwise its voxels are compared with what was measured,
                for nobody watched it until now.
        """
        from liverseg_mrml.case_nodes import find_case_nodes
        from liverseg_mrml.navigation import bring_into_view, show_ct_of
        from liverseg_mrml.staleness import EditWatch
        from liverseg_mrml.versions import cases_of_volume, show_case

        self._keepReviewTime()
        self._stopWatching()
        self.nodes, self.lesionID = nodes, None
        if nodes is not None:
            for other in cases_of_volume(self.scene, nodes.volume):
                show_case(other, other.segmentation is nodes.segmentation)
            show_ct_of(self.scene, nodes)
            if fresh:
                bring_into_view(self.scene, nodes)
            else:
                self._markUnwatchedEdits()
            self._watch = EditWatch(nodes, self._onEdit)
            self.clock.touch()
        self._count = len(find_case_nodes(self.scene))
        self.caseChanged.emit()
        self.readoutChanged.emit()
        self.staleChanged.emit()

    def showNewest(self) -> None:
        """The newest result of the input volume, else of the scene, else none."""
        from liverseg_mrml.case_nodes import find_case_nodes

        found = find_case_nodes(self.scene)
        volume = self.parameters.inputVolume if self.parameters else None
        own = [nodes for nodes in found if nodes.volume is volume]
        chosen = (own or found)[-1] if found else None
        if chosen is None and self.nodes is None:
            return
        self.show(chosen)

    def forgetRemoved(self) -> None:
        """A node went out of the scene, by whatever hand: a result that lost one is a result no more."""
        from liverseg_mrml.case_nodes import find_case_nodes

        if self.nodes is None:
            return
        found = find_case_nodes(self.scene)
        if all(nodes.segmentation is not self.nodes.segmentation for nodes in found):
            self._stopWatching()
            self.nodes = None
            self.show(None)
            self.showNewest()
        elif len(found) != self._count:
            self._count = len(found)
            self.othersChanged.emit()

    def forget(self) -> None:
        """Let go of the scene's nodes, which are about to go away."""
        self._stopWatching()
        self.nodes, self.lesionID = None, None
        self.caseChanged.emit()

    def removeShown(self) -> None:
        """Take the result on screen out of the scene; the one before it comes back."""
        from liverseg_mrml.versions import remove_case

        nodes = self.nodes
        if nodes is None:
            return
        self._stopWatching()
        self.nodes = None
        remove_case(self.scene, nodes)
        self.show(None)
        self.showNewest()

    # --- numbers and edits

    @property
    def isStale(self) -> bool:
        """Whether the masks were edited since the numbers were measured."""
        from liverseg_mrml.staleness import is_stale

        return self.nodes is not None and is_stale(self.nodes)

    @property
    def lesions(self) -> tuple[Any, ...]:
        """The lesions as they were last measured; empty without a result."""
        from liverseg_mrml.reviewing import lesion_readouts

        return lesion_readouts(self.nodes) if self.nodes is not None else ()

    def lesion(self, lesionID: int | None) -> Any:
        """One lesion's read-out, or None."""
        return next((lesion for lesion in self.lesions if lesion.id == lesionID), None)

    def selectLesion(self, lesionID: int | None) -> None:
        """Bring the views to a lesion and tell everyone."""
        from liverseg_mrml.navigation import jump_to_lesion

        self.clock.touch()
        self.lesionID = lesionID
        lesion = self.lesion(lesionID)
        if lesion is not None:
            jump_to_lesion(self.scene, self.nodes, lesion)
        self.lesionSelected.emit(lesionID)

    def update(self) -> Any:
        """Measure what was edited and bring the scene up to it.

        Returns:
            The ``liverseg.case.Case``.

        Raises:
            liverseg.errors.LiverSegError: the masks cannot be measured; nothing changed.
        """
        from liverseg_mrml.from_scene import case_from_nodes
        from liverseg_mrml.resplitting import fresh_split
        from liverseg_mrml.to_scene import refresh

        self._keepReviewTime()
        with self._watch.paused():
            # Added liver is split by planes: the network would load PyTorch into Slicer.
            case = case_from_nodes(self.nodes, fresh_split(self.nodes, None))
            self.nodes = refresh(self.scene, self.nodes, case)
            self._watch.nodes = self.nodes
        self.readoutChanged.emit()
        self.staleChanged.emit()
        return case

    def splitAgain(self, wish: Any, split: Any, weights: dict[str, str]) -> Any:
        """Split the liver as it is drawn now, measure, and bring the scene up to it.

        Args:
            wish: ``liverseg_mrml.resplitting.SplitWish``.
            split: ``liverseg_mrml.resplitting.Splitter``.
            weights: hashes of the networks that split.

        Returns:
            The ``liverseg.case.Case``.

        Raises:
            liverseg.errors.LiverSegError: it cannot be split; nothing changed.
        """
        from liverseg_mrml.resplitting import split_again

        self._keepReviewTime()
        with self._watch.paused():
            case, self.nodes = split_again(self.scene, self.nodes, wish, split, weights)
            self._watch.nodes = self.nodes
        self.caseChanged.emit()
        self.readoutChanged.emit()
        self.staleChanged.emit()
        return case

    def currentCase(self) -> Any:
        """The result as a ``liverseg.case.Case``, brought up to date when it is stale."""
        from liverseg.case import InvariantError
        from liverseg.errors import InputRefused
        from liverseg_mrml.edited_parts import numbers_fit
        from liverseg_mrml.from_scene import stored_case

        self._keepReviewTime()
        with suppress(InvariantError, InputRefused):
            if numbers_fit(self.nodes):
                return stored_case(self.nodes)
        # Edited, perhaps while nobody watched, or moved by a transform.
        return self.update()

    def review(self, lesionID: int, state: str, comment: str | None, reader: str | None, time: str) -> None:
        """Keep what the reader says of a lesion."""
        from liverseg.case import Review
        from liverseg_mrml.reviewing import review_lesion

        self.clock.touch()
        with self._watch.paused():
            review_lesion(self.nodes, lesionID, Review(state, reader, time, comment or None))
        self.readoutChanged.emit()

    def edit(self, change: Callable[..., Any], *arguments: Any) -> Any:
        """Change the masks by a function of ``liverseg_mrml``; the result becomes stale."""
        self.clock.touch()
        return change(self.nodes, *arguments)

    # --- inside

    def _markUnwatchedEdits(self) -> None:
        """Mark the result as edited if it was while it was not on screen, say in the Segment Editor."""
        from liverseg.errors import InputRefused
        from liverseg_mrml.drawn_checksum import is_as_measured, keep_drawn_checksum
        from liverseg_mrml.staleness import is_stale, set_stale

        if is_stale(self.nodes) or is_as_measured(self.nodes):
            return
        try:
            from liverseg_mrml.edited_parts import edited_parts

            edited = bool(edited_parts(self.nodes))
        except ModuleNotFoundError as error:
            # A scene with a result is opened before the engine's packages are installed.
            logging.info("LiverSeg: edits made elsewhere are not looked for: %s", error)
            return
        except InputRefused as error:
            # Nobody can tell whether the numbers fit such masks; Update says what to do.
            logging.warning("LiverSeg: %s", error)
            edited = True
        if edited:
            set_stale(self.nodes, True)
        else:
            keep_drawn_checksum(self.nodes)

    def _onEdit(self) -> None:
        self.clock.touch()
        self.staleChanged.emit()

    def _keepReviewTime(self) -> None:
        self.keepReviewTime()
        if self.nodes is not None and self.clock.isCounting:
            self.clock.touch()

    def keepReviewTime(self) -> None:
        """Keep what was spent so far; this alone is no sign that somebody still reads."""
        from liverseg_mrml.reviewing import add_review_seconds

        seconds = self.clock.take()
        if self.nodes is not None and seconds >= 1:
            add_review_seconds(self.nodes, seconds)

    def pauseReview(self) -> None:
        """The reader leaves the panel; what was spent so far is kept."""
        self._keepReviewTime()
        self.clock.pause()

    def _stopWatching(self) -> None:
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
