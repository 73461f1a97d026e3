"""Our own layout: ``ct/<case>/`` with a CT and its labels, full size or in compact versions."""

from __future__ import annotations

from pathlib import Path

from liverseg.errors import InputRefused, UsageError
from liverseg.training.datasets.scan import LabeledScan, check_folder
from liverseg.training.persons import person_of

# A case whose labels are another program's output, not a reader's.
_NOT_A_READERS = frozenset({"totalseg_example"})
# Healthy donors: their liver labels say that there are no lesions.
_HEALTHY = "chaos_"
VERSIONS = ("whole", "3mm", "roi")


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
    check_folder(root, "ct")
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
