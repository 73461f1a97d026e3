"""Open the panel where the engine's packages are not installed yet, as at first use; prints the pre-flight.

fresh_slicer.py FOLDER PACKAGE...    temporary folder; names of packages that cannot be imported
"""

from __future__ import annotations

import importlib.abc
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "LiverSegExtension"))


class Missing(importlib.abc.MetaPathFinder):
    """Finds nothing of the named packages."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.split(".", maxsplit=1)[0] in sys.argv[2:]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Missing())

import numpy as np  # noqa: E402

from host import Host  # noqa: E402

host = Host(Path(sys.argv[1]))
sys.modules["slicer.packaging"].pip_check = lambda requirement: False  # type: ignore[attr-defined]
widget = host.open()
from liverseg.geometry import Geometry  # noqa: E402
from liverseg.volume import Volume  # noqa: E402
from liverseg_mrml.volume_node import add_volume  # noqa: E402

noise = np.random.default_rng(0).normal(0, 200, (60, 80, 80)).astype(np.int16)
ct = Volume(noise, Geometry(noise.shape, np.diag([4.0, 4.0, 4.0, 1.0])))
widget._parameterNode.inputVolume = add_volume(host.scene, ct, "CT")
host.settle()
print("DIALOGS", host.dialogs)
print("APPLY", widget.ui.applyButton.enabled)
print("DEVICES", widget.ui.devicesLabel.text)
print("PREFLIGHT", widget.ui.preflightLabel.text)
host.close()
