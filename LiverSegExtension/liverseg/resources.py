"""Finds the shared ``Resources`` folder, in a source tree and in an installed Slicer extension."""

from __future__ import annotations

from pathlib import Path

from liverseg.errors import ModelError


def resources_folder() -> Path:
    """``Resources`` of the source tree, or the one installed beside the package.

    Raises:
        ModelError: neither is there.
    """
    package = Path(__file__).resolve().parent
    # Source tree: <root>/LiverSegExtension/liverseg; installed: <modules folder>/liverseg.
    for folder in (package.parents[1] / "Resources", package.parent / "Resources"):
        if (folder / "Models").is_dir():
            return folder
    raise ModelError(f"no Resources folder beside {package}; install LiverSeg again")
