"""Reads masks back, after a person has corrected them: a folder of NIfTI files or a ``.seg.nrrd``."""

from __future__ import annotations

from pathlib import Path

from liverseg.errors import InputRefused
from liverseg.given_masks import ReadMasks
from liverseg.label_grids import onto_grid
from liverseg.masks_in_folder import read_folder
from liverseg.masks_in_segmentation import read_segmentation
from liverseg.volume import Volume

__all__ = ["ReadMasks", "onto_grid", "read_masks"]


def read_masks(path: Path, ct: Volume) -> ReadMasks:
    """Read corrected masks and lay them onto the grid of their CT.

    Args:
        path: a folder with ``liver.nii.gz`` or ``couinaud.nii.gz`` (and ``lesions.nii.gz``,
            ``vessels.nii.gz``, ``report.json``, each optional), or a ``.seg.nrrd``.
        ct: the CT that the masks belong to.

    Raises:
        InputRefused: nothing to read, an unreadable file, a grid that is not the CT's, or a folder whose
            ``segmentation.seg.nrrd`` was edited after its label maps were written.
    """
    path = Path(path)
    if not path.exists():
        raise InputRefused(f"{path} is not there; give a folder of masks or a .seg.nrrd")
    if path.is_dir():
        if not (path / "liver.nii.gz").exists() and not (path / "couinaud.nii.gz").exists():
            raise InputRefused(
                f"{path} has neither liver.nii.gz nor couinaud.nii.gz; give a folder with masks"
            )
        return read_folder(path, ct)
    if path.name.lower().endswith(".nrrd"):
        return read_segmentation(path, ct)
    raise InputRefused(f"{path.name} is no folder of masks and no .seg.nrrd; give one of these")
