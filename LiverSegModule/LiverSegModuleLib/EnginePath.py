"""Finds the packages ``liverseg`` and ``liverseg_mrml`` beside the module or in the source tree."""

from __future__ import annotations

import importlib.util
from collections.abc import MutableSequence
from pathlib import Path

from LiverSegModuleLib.Translation import _


def packages_folder(module_folder: Path) -> Path:
    """The folder that holds the packages.

    Installed, they lie beside the module; in the source tree in ``LiverSegExtension`` beside its folder.

    Raises:
        FileNotFoundError: neither is there.
    """
    for folder in (module_folder, module_folder.parent / "LiverSegExtension"):
        if (folder / "liverseg" / "__init__.py").is_file():
            return folder
    raise FileNotFoundError(
        _("the package liverseg is neither in {folder} nor in a source tree; install LiverSeg again").format(
            folder=module_folder
        )
    )


def add_engine_to_path(module_folder: Path, path: MutableSequence[str]) -> None:
    """Append the packages' folder to ``path`` (``sys.path``) when ``liverseg`` cannot be imported yet.

    Raises:
        FileNotFoundError: the packages are not there.
    """
    if importlib.util.find_spec("liverseg") is None:
        folder = str(packages_folder(module_folder))
        if folder not in path:
            path.append(folder)
