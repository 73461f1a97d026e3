"""Run the module's self test inside 3D Slicer; the exit code tells whether it passed.

Slicer --testing --no-splash --ignore-slicerrc --additional-module-paths LiverSegModule \
  --python-script Testing/Slicer/run_self_test.py

With ``--testing`` Slicer ends by itself: with 0, or with 1 after an exception.
"""

from __future__ import annotations

from pathlib import Path

import slicer.testing

MODULE = Path(__file__).resolve().parents[2] / "LiverSegModule"

slicer.testing.runUnitTest([str(MODULE)], "LiverSegModule")
