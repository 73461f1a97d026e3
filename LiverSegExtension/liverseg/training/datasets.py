"""Where labeled scans lie: one adapter for each way of laying out a data folder, chosen by name.

An adapter lists scans and reads no voxel; whether the files are sound is for
:mod:`liverseg.training.integrity` to say.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from liverseg.errors import InputRefused, UsageError
from liverseg.training.persons import person_of

# A case whose labels are another program's output, not a reader's.
_NOT_A_READERS = frozenset({"totalseg_example"})
# Healthy donors: their liver labels say that there are no lesions.
_HEALTHY = "chaos_"
VERSIONS = ("whole", "3mm", "roi")
# Names under which data sets list the lesions of the liver.
_LESION_NAMES = ("lesion", "tumor", "tumour", "cancer")


@dataclass(frozen=True)
class LabeledScan:
    """A CT with its labels.

    Attributes:
        case: unique within a data set.
        person: who was scanned (:func:`liverseg.training.persons.person_of`); splits are by person.
        ct: gray values in HU.
        label: liver and lesions on the CT's grid.
        couinaud: readings of the Couinaud segments 1..8 on the same grid.
        vessels: 1 portal vein, 2 hepatic veins and cava, 3 either, on the same grid.
        anatomy: other organs, in the same world but perhaps on another grid.
        liver_only: the label tells no lesions apart: whether there are any is not said.
        liver_value, lesion_value: what ``label`` calls them.
    """

    case: str
    person: str
    ct: Path
    label: Path
    couinaud: tuple[Path, ...] = ()
    vessels: Path | None = None
    anatomy: Path | None = None
    liver_only: bool = False
    liver_value: int = 1
    lesion_value: int = 2


def standard_label(label: np.ndarray, scan: LabeledScan) -> np.ndarray:
    """A scan's label map as 0 outside, 1 liver, 2 lesion (uint8); the scan says which values it uses."""
    result = (label == scan.liver_value).astype(np.uint8)
    if not scan.liver_only:
        result[label == scan.lesion_value] = 2
    return result


def project_folder(root: Path, version: str) -> list[LabeledScan]:
    """Our own layout: ``ct/<case>/`` with a CT and its labels, full size or in compact versions.

    Full size: ``ct``, ``liver_lesion`` or ``liver``, perhaps ``couinaud``. Compact: ``ct_<version>``,
    ``liver_lesion_<version>``, perhaps ``couinaud_<version>`` or two readings ``_a`` and ``_b`` of it, and
    ``vessels_<version>``. ``anatomy`` lies beside the full-size CT or in ``anatomy/<case>``.

    Args:
        root: the data folder.
        version: ``"3mm"`` (whole scans, for stage 1) or ``"roi"`` (livers with their surroundings, for
            stage 2), each with the full-size scan where there is one; ``"whole"`` for those alone.

    Raises:
        UsageError: no such version.
        InputRefused: no folder, or no labeled scan of this version in it.
    """
    if version not in VERSIONS:
        raise UsageError(f"no version {version!r} of the data; choose one of {', '.join(VERSIONS)}")
    _check_folder(root, "ct")
    scans = []
    for folder in sorted(path for path in (root / "ct").iterdir() if path.is_dir()):
        if folder.name in _NOT_A_READERS:
            continue
        whole = (folder / "ct.nii.gz").is_file()
        if whole or version == "whole":
            scan = _project_scan(root, folder, "")
        else:
            scan = _project_scan(root, folder, f"_{version}")
        if scan is not None:
            scans.append(scan)
    if not scans:
        raise InputRefused(
            f"{root / 'ct'} holds no labeled scan of version {version!r}: each case needs a folder with "
            "ct.nii.gz and liver_lesion.nii.gz or liver.nii.gz (or ct_3mm, ct_roi and their labels)"
        )
    return scans


def _project_scan(root: Path, folder: Path, suffix: str) -> LabeledScan | None:
    """One case; None where this version has no CT. A label that is missing is named all the same."""
    ct = folder / f"ct{suffix}.nii.gz"
    if not ct.is_file():
        return None
    label, liver = folder / f"liver_lesion{suffix}.nii.gz", folder / f"liver{suffix}.nii.gz"
    only_liver = liver.is_file() and not label.is_file()
    readings = [folder / f"couinaud{suffix}{reading}.nii.gz" for reading in ("", "_a", "_b")]
    anatomies = (folder / "anatomy.nii.gz", root / "anatomy" / f"{folder.name}.nii.gz")
    vessels = folder / f"vessels{suffix}.nii.gz"
    return LabeledScan(
        case=folder.name,
        person=person_of(folder.name),
        ct=ct,
        label=liver if only_liver else label,
        couinaud=tuple(path for path in readings if path.is_file()),
        vessels=vessels if vessels.is_file() else None,
        anatomy=next((path for path in anatomies if path.is_file()), None),
        liver_only=only_liver and not folder.name.startswith(_HEALTHY),
    )


def decathlon_folder(root: Path) -> list[LabeledScan]:
    """The layout of the Medical Segmentation Decathlon, as Task03_Liver has it.

    ``dataset.json`` lists the training pairs and names the labels; the CTs lie in ``imagesTr``, the labels
    in ``labelsTr``. Label values are taken by name (``liver``; ``cancer``, ``tumor``, ``tumour`` or
    ``lesion``), in either direction of the table. Scans without labels (``imagesTs``) are left out.

    Raises:
        InputRefused: no such folder, a ``dataset.json`` that is missing, damaged or lists no pair, or one
            without a label for the liver.
    """
    _check_folder(root, "imagesTr", "labelsTr")
    path = root / "dataset.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        values = _label_values(content["labels"])
        pairs = [(str(entry["image"]), str(entry["label"])) for entry in content["training"]]
    except OSError as error:
        raise InputRefused(f"{path} cannot be read: give the folder that holds dataset.json") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputRefused(
            f"{path} is no Decathlon description ({error!r}): it needs 'labels' and 'training'"
        ) from error
    if not pairs:
        raise InputRefused(f"{path} lists no training pair")
    if "liver" not in values:
        named = ", ".join(sorted(values)) or "none"
        raise InputRefused(f"{path} names no label 'liver' (labels: {named}): give a data set of livers")
    lesion = next((values[name] for name in _LESION_NAMES if name in values), None)
    scans = []
    for image, label in sorted(pairs):
        case = Path(image).name.split(".nii")[0]
        scans.append(
            LabeledScan(
                case=case,
                person=person_of(case),
                ct=root / image,
                label=root / label,
                liver_only=lesion is None,
                liver_value=values["liver"],
                lesion_value=2 if lesion is None else lesion,
            )
        )
    return scans


def _label_values(labels: dict[str, Any]) -> dict[str, int]:
    """Value by lower-case name; the Decathlon lists value: name, its followers name: value."""
    values = {}
    for key, entry in labels.items():
        name, value = (entry, key) if isinstance(entry, str) else (key, entry)
        values[name.strip().lower()] = int(value)
    return values


def _check_folder(root: Path, *parts: str) -> None:
    if not root.is_dir():
        raise InputRefused(f"the data folder {root} does not exist")
    for part in parts:
        if not (root / part).is_dir():
            raise InputRefused(f"{root} has no folder {part!r}: is it laid out as this adapter wants it?")


Adapter = Callable[[Path], list[LabeledScan]]

ADAPTERS: dict[str, Adapter] = {
    "project-whole": partial(project_folder, version="whole"),
    "project-3mm": partial(project_folder, version="3mm"),
    "project-roi": partial(project_folder, version="roi"),
    "decathlon": decathlon_folder,
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
