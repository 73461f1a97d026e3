"""``scene.mrb``: a case as a scene that 3D Slicer opens with a double click."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import slicer

from liverseg.case import Case
from liverseg.errors import UsageError
from liverseg_mrml.scene import Scene, make_scene
from liverseg_mrml.to_scene import add_case_to_scene
from liverseg_mrml.translation import _


def write_scene(case: Case, path: Path) -> None:
    """Write a case as a scene bundle (a zip of the scene file and the data of its nodes).

    Raises:
        UsageError: the bundle could not be written.
    """
    made = make_scene()
    add_case_to_scene(made.scene, case)
    save_scene(made.scene, path)


def save_scene(scene: Scene, path: Path) -> None:
    """Save a scene as ``.mrb``. The scene itself stays as it is.

    Raises:
        UsageError: the bundle could not be written.
    """
    # MRML packs beside the bundle and leaves what it packed behind when it fails.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".scene-") as folder:
        # MRML refuses a relative path.
        bundle = Path(folder).resolve() / "LiverSeg.mrb"
        messages = slicer.vtkMRMLMessageCollection()
        if not scene.WriteToMRB(str(bundle), None, messages) or not bundle.exists():
            raise UsageError(
                _("the scene could not be written to {path}: {reason}").format(
                    path=path, reason=_first_error(messages)
                )
            )
        bundle.replace(path)


def _first_error(messages: Any) -> str:
    texts = [messages.GetNthMessageText(n) for n in range(messages.GetNumberOfMessages())]
    return texts[0] if texts else _("is there room on the disk?")
