"""Section "Remnant": tick what is to be resected, read what would stay."""

from __future__ import annotations

from html import escape
from typing import Any

import qt
from slicer.i18n import tr as _

from LiverSegModuleLib.EngineWords import inUsersLanguage
from LiverSegModuleLib.Messages import telling
from LiverSegModuleLib.Session import Session


class RemnantSection:
    """The future liver remnant; it follows every tick and every correction.

    A plan belongs to its result and comes back with it. A result without one is planned as the one before.
    """

    def __init__(self, ui: Any, session: Session) -> None:
        self.ui, self.session = ui, session
        self.boxes: dict[str, Any] = {}
        self._filling = False
        ui.heightSpinBox.valueChanged.connect(lambda *_args: self.plan())
        ui.weightSpinBox.valueChanged.connect(lambda *_args: self.plan())
        session.caseChanged.connect(self.onCaseChanged)
        session.readoutChanged.connect(self.onReadoutChanged)
        session.staleChanged.connect(self.onStaleChanged)

    def onCaseChanged(self) -> None:
        """A box for each segment of the result, ticked as planned."""
        from liverseg_mrml.planning import segment_readouts, stored_plan

        nodes = self.session.nodes
        names = [segment.name for segment in segment_readouts(nodes)] if nodes else []
        plan = stored_plan(nodes) if nodes else None
        ticked = self.resected() if plan is None else plan.resected
        if names != list(self.boxes):
            self._makeBoxes(names)
        self._filling = True
        for name, box in self.boxes.items():
            box.checked = name in ticked
        self._filling = False

    def _makeBoxes(self, names: list[str]) -> None:
        layout = self.ui.resectFrame.layout()
        for box in self.boxes.values():
            layout.removeWidget(box)
            box.hide()
            box.deleteLater()
        self.boxes = {}
        for n, name in enumerate(names):
            box = qt.QCheckBox(name)
            box.toggled.connect(lambda *_args: self.plan())
            layout.addWidget(box, n // 5, n % 5)
            self.boxes[name] = box

    def onStaleChanged(self) -> None:
        """Say whether the remnant belongs to the masks."""
        self.ui.staleRemnantLabel.visible = self.session.isStale and bool(self.resected())

    def resected(self) -> list[str]:
        """The numerals that are ticked."""
        return [name for name, box in self.boxes.items() if box.checked]

    def onReadoutChanged(self) -> None:
        """Show the plan of the result."""
        from liverseg_mrml.planning import stored_plan

        plan = stored_plan(self.session.nodes) if self.session.nodes else None
        if plan is None:
            self.plan()
        else:
            self.onStaleChanged()
            self._show(plan)

    def plan(self) -> None:
        """Compute the remnant of what is ticked, keep it with the result, and show it."""
        from liverseg.errors import LiverSegError
        from liverseg_mrml.planning import plan_resection

        if self._filling:
            return
        nodes, resected = self.session.nodes, self.resected()
        self.onStaleChanged()
        if nodes is None or not resected:
            self.ui.remnantLabel.text = escape(_("Tick the segments to be resected."))
            if nodes is not None:
                with telling(_("The plan could not be dropped.")):
                    plan_resection(nodes, ())
            return
        height, weight = self.ui.heightSpinBox.value, self.ui.weightSpinBox.value
        # 0 is shown as "not given".
        size = (height, weight) if height > 0 and weight > 0 else (None, None)
        try:
            remnant = plan_resection(nodes, resected, *size)
        except LiverSegError as error:
            self.ui.remnantLabel.text = escape(str(error))
            return
        self._show(remnant)

    def _show(self, remnant: Any) -> None:
        self.ui.remnantLabel.text = "<br>".join(escape(line) for line in _lines(remnant))


def _lines(remnant: Any) -> list[str]:
    from liverseg.remnant import USUAL_LIMITS

    percent = "-" if remnant.percent_of_liver is None else f"{remnant.percent_of_liver:.0f} %"
    lines = [
        _("Remnant {volume} ml, {percent} of the liver without tumor").format(
            volume=round(remnant.remnant_ml), percent=percent
        )
    ]
    if remnant.percent_of_standardized is not None:
        lines.append(
            _("{percent} % of the standardized liver volume ({volume} ml)").format(
                percent=round(remnant.percent_of_standardized), volume=round(remnant.standardized_liver_ml)
            )
        )
    return [*lines, _("For information: {limits}").format(limits=inUsersLanguage(USUAL_LIMITS))]
