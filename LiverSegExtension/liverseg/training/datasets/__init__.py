"""Where labeled scans lie: one adapter for each way of laying out a data folder, chosen by name.

An adapter lists scans and reads no voxel; whether the files are sound is for
:mod:`liverseg.training.integrity` to say. Another layout is a file in this folder and a line in ``ADAPTERS``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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
from liverseg.training.persons import person_of, refuse_other_persons

__all__ = [
    "ADAPTERS",
    "VERSIONS",
    "Adapter",
    "LabeledScan",
    "ScanLabels",
    "ScanReader",
    "decathlon_folder",
    "list_maps",
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


def list_scans(adapter: str, root: Path, exclude: Sequence[str] = ()) -> list[LabeledScan]:
    """The labeled scans of a data folder by the adapter of that name.

    Args:
        exclude: cases that are left out, such as those with a fault that nobody can mend.

    Raises:
        UsageError: no such adapter, no such case to leave out, or none is left.
        InputRefused: the folder is not what the adapter wants.
    """
    if adapter not in ADAPTERS:
        raise UsageError(f"no adapter named {adapter!r}; choose one of {', '.join(sorted(ADAPTERS))}")
    scans = ADAPTERS[adapter](root)
    unknown = sorted(set(exclude) - {scan.case for scan in scans})
    if unknown:
        raise UsageError(f"there is no case {unknown[0]} to leave out (cases: {scans[0].case}, ...)")
    kept = [scan for scan in scans if scan.case not in set(exclude)]
    if not kept:
        raise UsageError("every case is left out; leave out fewer")
    return kept


def list_maps(folder: Path, cases: Iterable[str], exclude: Iterable[str] = ()) -> list[Path]:
    """The label maps without a CT (``<case>.nii.gz``) of a folder; none where there is no folder.

    Args:
        cases: of the listed scans, which a map may be of.
        exclude: cases whose persons are left out, under whatever name.

    Raises:
        InputRefused: a map that is called as one of the cases and would count as another person.
    """
    paths = {path.name.removesuffix(".nii.gz"): path for path in sorted(folder.glob("*.nii.gz"))}
    left_out = set(exclude)
    refuse_other_persons(paths, {*cases, *left_out})
    persons = {person_of(case) for case in left_out}
    return [path for name, path in paths.items() if person_of(name) not in persons]
