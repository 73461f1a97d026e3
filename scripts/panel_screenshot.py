#!/usr/bin/env python3
"""Picture the module's panel with a made-up patient's result, for the documentation.

scripts/panel_screenshot.py --out Resources/Screenshots/Panel.png

Needs the packages of the extras ``mrml`` and ``dev``. The panel is that of the product; Slicer's own widgets
are the plain stand-ins of the tests (``Testing/QtHost``).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "Testing" / "QtHost"), str(ROOT / "LiverSegExtension")]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


def main() -> None:
    """Open the panel, show the patient, review and plan a little, and take the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="the .png to write")
    out = parser.parse_args().out
    from host import Host

    with tempfile.TemporaryDirectory() as temporary:
        host = Host(Path(temporary))
        widget = host.open()
        from LiverSegModuleLib.SelfTest import showPatient

        showPatient(widget)
        ui, session = widget.ui, widget.panel.session
        session.review(1, "accepted", "", "Reader", "2026-01-02T03:04:05+00:00")
        session.review(3, "rejected", "a cyst", "Reader", "2026-01-02T03:04:05+00:00")
        session.selectLesion(2)
        for name in ("correct", "remnant", "views", "export"):
            getattr(ui, f"{name}CollapsibleButton").collapsed = False
        for numeral in ("V", "VI", "VII", "VIII"):
            widget.panel.remnant.boxes[numeral].click()
        host.settle(200)
        host.picture(out)
        host.close()


if __name__ == "__main__":
    main()
