"""The layout of the Medical Segmentation Decathlon, as Task03_Liver has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from liverseg.errors import InputRefused
from liverseg.training.datasets.scan import LabeledScan, check_folder
from liverseg.training.persons import person_of

# Names under which data sets list the lesions of the liver.
LESION_NAMES = ("lesion", "tumor", "tumour", "cancer")


def decathlon_folder(root: Path) -> list[LabeledScan]:
    """The layout of the Medical Segmentation Decathlon, as Task03_Liver has it.

    ``dataset.json`` lists the training pairs and names the labels; the CTs lie in ``imagesTr``, the labels
    in ``labelsTr``. Label values are taken by name (``liver``; ``cancer``, ``tumor``, ``tumour`` or
    ``lesion``), in either direction of the table. Scans without labels (``imagesTs``) are left out.

    Raises:
        InputRefused: no such folder, a ``dataset.json`` that is missing, damaged or lists no pair, or one
            without a label for the liver.
    """
    check_folder(root, "imagesTr", "labelsTr")
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
    lesion = next((values[name] for name in LESION_NAMES if name in values), None)
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
