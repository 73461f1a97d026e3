"""LiTS as its organizers give it: ``volume-N.nii`` and ``segmentation-N.nii`` (1 liver, 2 tumor).

The files may be compressed, and lie in one folder or in several (the training batches).
"""

from __future__ import annotations

import re
from pathlib import Path

from liverseg.errors import InputRefused
from liverseg.training.datasets.scan import LabeledScan, check_folder
from liverseg.training.persons import person_of

_FILE = re.compile(r"(volume|segmentation)-(\d+)\.nii(\.gz)?")


def lits_folder(root: Path) -> list[LabeledScan]:
    """Every volume with its segmentation; a missing half is named all the same, test volumes are left out.

    Raises:
        InputRefused: no folder, no volume in it, or a number that stands twice.
    """
    check_folder(root)
    found: dict[str, dict[int, Path]] = {"volume": {}, "segmentation": {}}
    for path in sorted(root.rglob("*.nii*")):
        match = _FILE.fullmatch(path.name)
        if match is None:
            continue
        other = found[match[1]].setdefault(int(match[2]), path)
        if other != path:
            raise InputRefused(f"{path} and {other} are the same volume: keep one of them")
    volumes, segmentations = found["volume"], found["segmentation"]
    if not volumes:
        raise InputRefused(f"{root} holds no volume-N.nii: give the folder with the training batches of LiTS")
    scans = []
    for number in sorted(volumes.keys() | segmentations.keys()):
        there = volumes.get(number) or segmentations[number]
        case = f"lits_{number:03d}"
        scans.append(
            LabeledScan(
                case=case,
                person=person_of(case),
                ct=volumes.get(number, there.with_name(f"volume-{number}.nii")),
                label=segmentations.get(number, there.with_name(f"segmentation-{number}.nii")),
            )
        )
    return scans
