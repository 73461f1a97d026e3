"""``liverseg couinaud``: a label map of the segments from any liver mask."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from liverseg.errors import InputRefused, UsageError

if TYPE_CHECKING:
    import numpy as np

    from liverseg.bundle import Bundle
    from liverseg.case import CouinaudMethod, Masks, Point
    from liverseg.cli.console import Listener
    from liverseg.couinaud import Split, SplitOptions
    from liverseg.geometry import Geometry
    from liverseg.volume import Volume

METHOD_NAMES = ("shape", "vessels", "landmarks")
LANDMARK_SUFFIX = ".mrk.json"
# File systems take 255 bytes, and the temporary name beside the real one is longer by 15.
LONGEST_NAME_BYTES = 240


def add_couinaud(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's options."""
    p = commands.add_parser("couinaud", help="split any liver mask into the Couinaud segments")
    p.add_argument("mask", type=Path, metavar="LIVER_MASK", help="every voxel above 0 is liver")
    p.add_argument("-o", "--out", type=Path, required=True, metavar="FILE", help="label map to write")
    p.add_argument("--model", metavar="NAME")
    add_method(p, "--method")
    add_landmarks(p)
    p.add_argument(
        "--vessels",
        type=Path,
        metavar="FILE",
        help="vessels on the mask's grid: 1 portal vein, 2 hepatic veins and cava, 3 kind not told",
    )
    p.add_argument(
        "--save-landmarks",
        type=Path,
        metavar="FILE",
        help=f"also write the first guess of the landmarks as {LANDMARK_SUFFIX}, to be moved in 3D Slicer",
    )
    p.add_argument("--split-segment-4", action="store_true", help="segment IV as IVa (4) and IVb (9)")
    p.add_argument(
        "--report", type=Path, metavar="FILE", help="also write method, confidence and warnings as JSON"
    )
    p.add_argument("--overwrite", action="store_true", help="replace the output files")
    p.add_argument("--json-progress", action="store_true", help="one JSON object a line on standard output")


def add_method(p: argparse.ArgumentParser, flag: str) -> None:
    """The choice of the method."""
    p.add_argument(
        flag,
        dest="couinaud_method",
        choices=METHOD_NAMES,
        help="how the liver is split: learned from shape (default), by vessels, or by planes from landmarks",
    )


def add_landmarks(p: argparse.ArgumentParser) -> None:
    """The landmarks of one liver."""
    p.add_argument(
        "--landmarks",
        type=Path,
        metavar="FILE",
        help="landmarks as JSON (RAS mm by name) or .mrk.json; those not in it are guessed",
    )


class Splitter:
    """Splits livers of one scan by a command's ``--couinaud-method``, ``--landmarks`` and ``--model``.

    Attributes:
        bundle: the model, once it was called in.
        last: the last split.
    """

    def __init__(self, arguments: argparse.Namespace, volume: Volume, vessels: np.ndarray | None) -> None:
        """Read the landmarks; ``vessels`` are on the volume's grid."""
        self.bundle: Bundle | None = None
        self.last: Split | None = None
        self._arguments, self._volume, self._vessels = arguments, volume, vessels
        self._landmarks, self._guessed = read_points(arguments.landmarks)

    def split(self, liver: np.ndarray) -> Split:
        """Split a liver (bool, k, j, i) on the volume's grid."""
        from liverseg.bundle import find_bundle
        from liverseg.couinaud import split_mask

        self.bundle = find_bundle(self._arguments.model)
        self.last = split_mask(
            liver,
            self._volume,
            self.bundle,
            split_options(self._arguments, False, self._landmarks, self._guessed),
            self._vessels,
        )
        return self.last

    def split_again(self, masks: Masks, before: np.ndarray) -> tuple[Masks, CouinaudMethod, tuple[str, ...]]:
        """Split the liver of edited masks anew; what differs from ``before`` is kept.

        Args:
            masks: on the volume's grid, their segments as edited.
            before: uint8, the segments before the edits.

        Returns:
            The masks with the new segments, the method, and what is to be said of it.
        """
        from liverseg.couinaud import split_keeping_edits
        from liverseg.couinaud.said import kept_sentence

        liver = masks.liver | (masks.lesions > 0)
        found = split_keeping_edits(liver, masks.couinaud, before, self._volume.geometry, self.split)
        masks = replace(masks, couinaud=found.split.labels)
        return masks, found.split.method, (*found.split.warnings, kept_sentence(found.kept_ml))


def read_before(path: Path, volume: Volume) -> np.ndarray:
    """The segments (uint8) of a result before it was edited.

    Raises:
        InputRefused: nothing to read, another grid, or no segments in it.
    """
    from liverseg.masks_reading import read_masks

    read = read_masks(path, volume)
    if not read.couinaud_given:
        raise InputRefused(f"{path} holds no Couinaud segments; give the result as it was before the edits")
    return read.masks.couinaud


def read_points(path: Path | None) -> tuple[dict[str, Point], dict[str, Point]]:
    """The landmarks of a file, those that a person placed and those that nobody moved; none without a file.

    Raises:
        InputRefused: see :func:`liverseg.couinaud.landmark_file.read_landmarks`.
    """
    from liverseg.couinaud.landmark_file import read_guessed, read_landmarks

    return ({}, {}) if path is None else (read_landmarks(path), read_guessed(path))


def run_couinaud(arguments: argparse.Namespace, listener: Listener) -> int:
    """A label map of the segments from any liver mask."""
    out, places, report = arguments.out, arguments.save_landmarks, arguments.report
    outputs = [path for path in (out, places, report) if path is not None]
    if not out.name.endswith(".nii.gz"):
        raise UsageError(f"{out.name} is no name for a label map; end it with .nii.gz")
    if places and not places.name.endswith(LANDMARK_SUFFIX):
        raise UsageError(f"{places.name} is no name for landmarks; end it with {LANDMARK_SUFFIX}")
    _check_outputs(outputs, arguments.overwrite)
    inputs = (arguments.mask, arguments.vessels, arguments.landmarks)
    for path in outputs:
        if any(given is not None and path.resolve() == given.resolve() for given in inputs):
            raise UsageError(f"{path} is an input of the same command; give the output another name")
    from liverseg.bundle import find_bundle
    from liverseg.couinaud import split_mask
    from liverseg.couinaud.landmark_file import write_landmarks
    from liverseg.reading import read_labels
    from liverseg.volume import Volume
    from liverseg.writers.atomic import make_folder, written_whole
    from liverseg.writers.volumes import write_nifti

    mask, geometry = read_labels(arguments.mask)
    liver = mask > 0
    if not liver.any():
        raise InputRefused(f"{arguments.mask.name} holds no voxel above 0, so there is no liver to split")
    landmarks, guessed = read_points(arguments.landmarks)
    vessels = read_vessels(arguments.vessels, geometry) if arguments.vessels else None
    bundle = find_bundle(arguments.model)
    options = split_options(arguments, vessels is not None, landmarks, guessed)
    split = split_mask(liver, Volume(mask, geometry), bundle, options, vessels)
    points = _guessed(liver, geometry, bundle) if places else {}
    for path in outputs:
        make_folder(path.resolve().parent)
    with ExitStack() as whole:
        # None appears before all are written.
        write_nifti(split.labels, geometry, whole.enter_context(written_whole(out)))
        if places:
            write_landmarks(points, whole.enter_context(written_whole(places)))
        if report:
            whole.enter_context(written_whole(report)).write_text(_report(split, bundle), encoding="utf-8")
    for warning in split.warnings:
        listener.warning(warning)
    sure = "" if split.method.confidence is None else f", confidence {split.method.confidence:.2f}"
    approximate = ", approximate" if split.method.approximate else ""
    lines = [f"Couinaud segments: {out} ({split.method.name}{sure}{approximate})"]
    listener.done(str(out), lines + ([f"Landmarks: {places}"] if places else []))
    return 0


def _check_outputs(paths: Sequence[Path], overwrite: bool) -> None:
    """Refuse files that cannot be written, before any work is done.

    Raises:
        UsageError: one is there already, is a folder, has a name too long or a folder that cannot be written
            to, or two are the same file.
    """
    from liverseg.writers import check_output_folder

    places: dict[str, Path] = {}
    for path in paths:
        if len(os.fsencode(path.name)) > LONGEST_NAME_BYTES:
            raise UsageError(
                f"the name {path.name[:40]}... is too long; choose one of at most {LONGEST_NAME_BYTES} bytes"
            )
        if path.is_dir():
            raise UsageError(f"{path} is a folder; give the name of a file")
        if path.exists() and not overwrite:
            raise UsageError(f"{path} is there already; choose another name, or --overwrite")
        place = os.path.normcase(path.resolve())
        if place in places:
            raise UsageError(f"{places[place]} and {path} are one file; give each output a name of its own")
        places[place] = path
        check_output_folder(path.resolve().parent, overwrite=True)


def split_options(
    arguments: argparse.Namespace, has_vessels: bool, landmarks: dict[str, Point], guessed: dict[str, Point]
) -> SplitOptions:
    """How a command's options want a liver split."""
    from liverseg.couinaud import SplitOptions

    method = method_for(arguments.couinaud_method, has_vessels, bool(landmarks or guessed))
    return SplitOptions(method, arguments.split_segment_4, landmarks, guessed)


def _report(split: Split, bundle: Bundle) -> str:
    told = {
        "method": asdict(split.method),
        "warnings": list(split.warnings),
        "model": bundle.name,
        "weights_sha256": {name: sha for name, sha in bundle.sha256.items() if name == "couinaud"},
    }
    return json.dumps(told, indent=1) + "\n"


def method_for(asked: str | None, has_vessels: bool, has_landmarks: bool) -> str:
    """The method asked for; else the one whose guide was given, else by shape."""
    if asked:
        return asked
    if has_landmarks:
        return "landmarks"
    return "vessels" if has_vessels else "shape"


def read_vessels(path: Path, geometry: Geometry) -> np.ndarray:
    """Vessel labels 0..4 on a grid.

    Raises:
        InputRefused: unreadable, another grid, or other labels.
    """
    from liverseg.label_grids import onto_grid
    from liverseg.labels import AORTA
    from liverseg.reading import read_labels

    array, own = read_labels(path)
    array, _ = onto_grid(array, own, geometry, path.name, same_box=True)
    low, high = int(array.min(initial=0)), int(array.max(initial=0))
    if low < 0 or high > AORTA.label:
        raise InputRefused(
            f"{path.name} has labels from {low} to {high}; expected 1 portal vein, 2 hepatic veins and cava, "
            "3 vessel (and 4 aorta, which is no guide)"
        )
    return array.astype("uint8")


def _guessed(liver: np.ndarray, geometry: Geometry, bundle: Bundle) -> dict[str, Point]:
    from liverseg.couinaud.crop import LiverCrop
    from liverseg.couinaud.landmarks import first_landmarks

    crop = LiverCrop.of(liver, geometry)
    if crop is None:
        raise InputRefused("there is no liver to split")
    return first_landmarks(crop, bundle)
