"""Landmarks of a liver as RAS points: what they are called, read from and written to files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from liverseg.case import Point
from liverseg.errors import InputRefused

# Name: where a person places it.
LANDMARKS = {
    "cava": "the middle of the inferior vena cava where the hepatic veins enter",
    "gallbladder_fossa": "the bed of the gallbladder, in its middle",
    "middle_hepatic_vein": "the middle hepatic vein, some cm before the cava",
    "right_hepatic_vein": "the right hepatic vein, some cm before the cava",
    "left_hepatic_vein": "the left hepatic vein, some cm before the cava",
    "umbilical_fissure": "where the left portal vein turns forward into the fissure of the round ligament",
    "portal_bifurcation": "where the portal vein divides into right and left",
    "caudate_lobe": "the middle of the caudate lobe",
}
# Other words people write.
_ALSO = {
    "ivc": "cava",
    "inferior_vena_cava": "cava",
    "vena_cava": "cava",
    "gallbladder": "gallbladder_fossa",
    "mhv": "middle_hepatic_vein",
    "rhv": "right_hepatic_vein",
    "lhv": "left_hepatic_vein",
    "umbilical_portion": "umbilical_fissure",
    "portal_vein_bifurcation": "portal_bifurcation",
    "bifurcation": "portal_bifurcation",
    "caudate": "caudate_lobe",
}


def landmark_name(text: str) -> str | None:
    """The landmark that people call so, or None."""
    key = text.strip().lower().replace(" ", "_").replace("-", "_")
    key = _ALSO.get(key, key)
    return key if key in LANDMARKS else None


def read_landmarks(path: Path) -> dict[str, Point]:
    """Landmarks by name, RAS mm, of a JSON file or of a Slicer markups file (``.mrk.json``).

    Those under ``"guessed"`` are not among them (:func:`read_guessed`); beside such there may be none.

    Plain JSON: ``{"cava": [r, a, s], ...}``, or the same under ``"landmarks"``; RAS unless
    ``"coordinateSystem": "LPS"`` stands beside it. Markups: control points whose label is a landmark's name;
    points not yet placed are passed over.

    Raises:
        InputRefused: no such file, no JSON, no landmark in it, an unknown name or a point that is no point.
    """
    if not path.is_file():
        raise InputRefused(f"{path} is not there; give a JSON file or markups (.mrk.json) with landmarks")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputRefused(f"{path.name} is no JSON; give landmarks as JSON or as .mrk.json") from error
    if not isinstance(content, dict):
        raise InputRefused(f"{path.name} holds no landmarks by name; see docs/couinaud.md")
    if "markups" in content:
        named = _markups_points(content["markups"], path.name)
    else:
        points = content.get("landmarks", {} if "guessed" in content else content)
        if not isinstance(points, dict):
            raise InputRefused(f"{path.name} holds no landmarks by name; see docs/couinaud.md")
        system = content.get("coordinateSystem", "RAS")
        named = [(k, _point(v, system, k, path.name)) for k, v in points.items() if k != "coordinateSystem"]
    found: dict[str, Point] = {}
    for name, point in named:
        key = landmark_name(name)
        if key is None:
            raise InputRefused(
                f"{path.name} has a landmark {name!r}, which is not known; known are {', '.join(LANDMARKS)}"
            )
        if key in found:
            raise InputRefused(f"{path.name} has the landmark {key} twice; keep one")
        found[key] = point
    if not found and "guessed" not in content:
        raise InputRefused(f"{path.name} holds no landmark; name points {', '.join(LANDMARKS)}")
    return found


def read_guessed(path: Path) -> dict[str, Point]:
    """The landmarks of a plain JSON file that were shown and not moved: those under ``"guessed"``, RAS mm.

    Raises:
        InputRefused: a point is no point or has an unknown name; :func:`read_landmarks` tells the rest.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    points = content.get("guessed", {})
    found = {}
    for name, value in points.items() if isinstance(points, dict) else ():
        if name not in LANDMARKS:
            raise InputRefused(f"{path.name} has a guessed landmark {name!r}, which is not known")
        found[name] = _point(value, content.get("coordinateSystem", "RAS"), name, path.name)
    return found


def write_landmarks(points: Mapping[str, Point], path: Path) -> None:
    """Write landmarks as a Slicer markups file of a point list, for a person to move.

    Schema: Slicer's markups-schema-v1.0.3, control points in LPS mm.
    """
    controls = [
        {
            "id": str(number),
            "label": name,
            "description": LANDMARKS[name],
            "position": [-r, -a, s],
            "selected": True,
            "locked": False,
            "visibility": True,
            "positionStatus": "defined",
        }
        for number, (name, (r, a, s)) in enumerate(points.items(), start=1)
    ]
    markups = {"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": controls}
    schema = (
        "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/"
        "Resources/Schema/markups-schema-v1.0.3.json#"
    )
    text = json.dumps({"@schema": schema, "markups": [markups]}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def _markups_points(markups: Any, file: str) -> list[tuple[str, Point]]:
    points: list[tuple[str, Point]] = []
    for group in markups if isinstance(markups, list) else []:
        system = group.get("coordinateSystem", "LPS") if isinstance(group, dict) else "LPS"
        for control in group.get("controlPoints", []) if isinstance(group, dict) else []:
            if control.get("positionStatus", "defined") == "defined":
                label = str(control.get("label", ""))
                points.append((label, _point(control.get("position"), system, label, file)))
    return points


def _point(value: Any, system: Any, name: str, file: str) -> Point:
    """RAS mm of three numbers; ``system`` is RAS or LPS (0 and 1 in old markups)."""
    try:
        x, y, z = (float(number) for number in value)
    except (TypeError, ValueError):
        raise InputRefused(f"{file}: the landmark {name!r} is no list of three numbers (mm)") from None
    if not np.isfinite((x, y, z)).all():
        raise InputRefused(f"{file}: the landmark {name!r} is no list of three finite numbers (mm)")
    if system in ("RAS", "0", 0):
        return x, y, z
    if system in ("LPS", "1", 1):
        return -x, -y, z
    raise InputRefused(f"{file}: the coordinate system {system!r} is not known; use RAS or LPS")
