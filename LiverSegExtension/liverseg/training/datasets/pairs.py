"""A plain folder pair: ``images/`` and ``labels/`` with files of the same names, from any source.

Beside them there may be ``vessels/`` (1 portal vein, 2 hepatic veins and cava, 3 either), ``labels.json`` and
``persons.csv``. ``labels.json`` tells what the labels' values mean and which cases tell no lesions apart::

    {"liver": 1, "lesion": 2, "lesions_unknown": ["case_7"]}

``"liver": null`` stands for labels without a liver, and without ``"lesion"`` no case has any told apart.
``persons.csv`` has the columns ``case`` and ``person``: without it every case is a person of its own.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from liverseg.errors import InputRefused
from liverseg.training.datasets.scan import LabeledScan, check_folder, image_files, stem_of
from liverseg.training.persons import case_of, person_of

LABELS_FILE, PERSONS_FILE = "labels.json", "persons.csv"
# nnU-Net numbers the channels of an image.
_CHANNEL = "_0000"


@dataclass(frozen=True)
class _Meaning:
    liver: int | None = 1
    lesion: int | None = 2
    unknown: frozenset[str] = frozenset()


def pairs_folder(root: Path) -> list[LabeledScan]:
    """Every image with the label of its name; a missing half is named all the same.

    Raises:
        InputRefused: no such folders, no image in them, or a ``labels.json`` or ``persons.csv`` that is
            damaged or names a case that is not there.
    """
    check_folder(root, "images", "labels")
    images = {stem_of(path).removesuffix(_CHANNEL): path for path in image_files(root / "images")}
    labels = {stem_of(path): path for path in image_files(root / "labels")}
    if not images:
        raise InputRefused(f"{root / 'images'} holds no image: give .nii, .nii.gz, .nrrd, .mha or .mhd files")
    vessels = (
        {stem_of(path): path for path in image_files(root / "vessels")} if (root / "vessels").is_dir() else {}
    )
    meaning = _meaning(root / LABELS_FILE)
    persons = _persons(root / PERSONS_FILE)
    names = sorted(images.keys() | labels.keys())
    _refuse_strangers(persons, names, root / PERSONS_FILE)
    _refuse_strangers(meaning.unknown, names, root / LABELS_FILE)
    scans = []
    for name in names:
        case = case_of(persons.get(name), name)
        scans.append(
            LabeledScan(
                case=case,
                person=person_of(case),
                ct=images.get(name, root / "images" / f"{name}.nii.gz"),
                label=labels.get(name, root / "labels" / f"{name}.nii.gz"),
                vessels=vessels.get(name),
                liver_only=meaning.lesion is None or name in meaning.unknown,
                liver_value=meaning.liver,
                lesion_value=2 if meaning.lesion is None else meaning.lesion,
            )
        )
    return scans


def _meaning(path: Path) -> _Meaning:
    if not path.is_file():
        return _Meaning()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        liver, lesion = content["liver"], content.get("lesion")
        return _Meaning(
            None if liver is None else int(liver),
            None if lesion is None else int(lesion),
            frozenset(map(str, content.get("lesions_unknown", []))),
        )
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputRefused(
            f'{path} is damaged ({error!r}): it is to hold {{"liver": 1, "lesion": 2}}'
        ) from error


def _persons(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [(row["case"].strip(), row["person"].strip()) for row in csv.DictReader(file)]
    except (OSError, KeyError, AttributeError, UnicodeDecodeError) as error:
        raise InputRefused(f"{path} cannot be read: it needs the columns case and person") from error
    persons: dict[str, str] = {}
    for case, person in rows:
        if "/" in person or "\\" in person:
            raise InputRefused(f"{path}: the person {person} of {case}: a name may hold no / or \\; rename")
        if persons.setdefault(case, person) != person:
            raise InputRefused(f"{path}: {case} is of {persons[case]} and of {person}: keep one of the rows")
    return persons


def _refuse_strangers(named: Iterable[str], names: Sequence[str], path: Path) -> None:
    """A file that names a case which is not there: what it says of that case would go unheard."""
    strangers = sorted(set(named) - set(names))
    if strangers:
        raise InputRefused(
            f"{path} names {strangers[0]!r}, and no image or label is called so: write a file's name without "
            f"its ending (such as {names[0]}), or take the entry out"
        )
