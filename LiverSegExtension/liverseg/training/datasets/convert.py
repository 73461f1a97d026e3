"""Any data set as a plain folder pair (:mod:`liverseg.training.datasets.pairs`).

Slow layouts are then read once, and the labels can be looked at in 3D Slicer.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from liverseg.errors import InputRefused
from liverseg.geometry import Geometry
from liverseg.reading import read_labels, to_sitk
from liverseg.training.datasets.pairs import LABELS_FILE
from liverseg.training.datasets.scan import LabeledScan, standard_label
from liverseg.uneven import is_sheared
from liverseg.writers.atomic import written_whole

log = logging.getLogger(__name__)


def convert_scans(scans: Sequence[LabeledScan], folder: Path) -> None:
    """Write CTs, labels (1 liver, 2 lesion) and vessels as .nii.gz; cases that are there already are kept.

    Raises:
        InputRefused: a scan that cannot be read or is sheared (NIfTI cannot hold that), or a data set in
            which the liver is drawn in some cases alone.
        UsageError: the folder cannot be written.
    """
    if len({scan.liver_value is None for scan in scans}) > 1:
        missing = [scan.case for scan in scans if scan.liver_value is None]
        raise InputRefused(
            f"nobody drew the liver in {len(missing)} of {len(scans)} cases ({missing[0]}): add its maps or "
            "take these cases out"
        )
    for scan in scans:
        image, label = (folder / part / f"{scan.case}.nii.gz" for part in ("images", "labels"))
        if image.exists() and label.exists():
            continue
        ct, labels = scan.reader.ct(scan), scan.reader.labels(scan)
        if is_sheared(ct.geometry):
            raise InputRefused(
                f"{scan.case}: the slices are slanted, which NIfTI cannot hold: resample first"
            )
        vessels, grid = labels.vessels, labels.geometry
        if scan.vessels is not None:
            vessels, grid = read_labels(scan.vessels)
        _write(vessels, grid, folder / "vessels" / f"{scan.case}.nii.gz")
        _write(standard_label(labels.label, scan), labels.geometry, label)
        # The image comes last: with it the case is whole.
        _write(ct.array, ct.geometry, image)
        log.info("%s: %s voxels", scan.case, " x ".join(map(str, reversed(ct.geometry.shape))))
    meaning = {
        "liver": None if any(scan.liver_value is None for scan in scans) else 1,
        "lesion": 2,
        "lesions_unknown": sorted(scan.case for scan in scans if scan.liver_only),
    }
    with written_whole(folder / LABELS_FILE) as path:
        path.write_text(json.dumps(meaning, indent=1) + "\n", encoding="utf-8")


def _write(array: np.ndarray | None, geometry: Geometry, path: Path) -> None:
    if array is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as temporary:
        sitk.WriteImage(to_sitk(array, geometry), str(temporary), useCompression=True)
