"""Where labeled scans lie: one adapter for each way of laying out a data folder, chosen by name.

An adapter lists scans and reads no voxel; whether the files are sound is for
:mod:`liverseg.training.integrity` to say. Another layout is a file in this folder and a line in ``ADAPTERS``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from liverseg.errors import UsageError
from liverseg.training.datasets.chaos import chaos_folder
from liverseg.training.datasets.decathlon import decathlon_folder
from liverseg.training.datasets.hcc_tace import hcc_tace_folder
from liverseg.training.datasets.hepatic_vessels import hepatic_vessels_folder
from liverseg.training.datasets.ircad import ircad_folder
from liverseg.training.datasets.lits import lits_folder
from liverseg.training.datasets.pairs import pairs_folder
from liverseg.training.datasets.project import VERSIONS, project_folder
from liverseg.training.datasets.scan import LabeledScan, ScanLabels, ScanReader, standard_label

__all__ = [
    "ADAPTERS",
    "VERSIONS",
    "Adapter",
    "LabeledScan",
    "ScanLabels",
    "ScanReader",
    "decathlon_folder",
    "list_scans",
    "project_folder",
    "standard_label",
]

Adapter = Callable[[Path], list[LabeledScan]]

ADAPTERS: dict[str, Adapter] = {
    "project-whole": partial(project_folder, version="whole"),
    "project-3mm": partial(project_folder, version="3mm"),
    "project-roi": partial(project_folder, version="roi"),
    "decathlon": decathlon_folder,
    "lits": lits_folder,
    "msd-task08": hepatic_vessels_folder,
    "ircad": ircad_folder,
    "chaos": chaos_folder,
    "hcc-tace": hcc_tace_folder,
    "pairs": pairs_folder,
}


def list_scans(adapter: str, root: Path) -> list[LabeledScan]:
    """The labeled scans of a data folder by the adapter of that name.

    Raises:
        UsageError: no such adapter.
        InputRefused: the folder is not what the adapter wants.
    """
    if adapter not in ADAPTERS:
        raise UsageError(f"no adapter named {adapter!r}; choose one of {', '.join(sorted(ADAPTERS))}")
    return ADAPTERS[adapter](root)
