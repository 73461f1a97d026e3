"""What can be typed. Loads nothing heavy, so that ``--help`` is instant."""

from __future__ import annotations

import argparse
from pathlib import Path

from liverseg import __version__
from liverseg.cli import compare
from liverseg.cli.batch import add_batch
from liverseg.cli.couinaud import add_couinaud, add_landmarks, add_method
from liverseg.cli.devices import add_devices
from liverseg.cli.evaluate import add_evaluate
from liverseg.cli.validate import add_validate


def build_parser() -> argparse.ArgumentParser:
    """The parser of the ``liverseg`` command."""
    parser = argparse.ArgumentParser(
        prog="liverseg",
        description="Liver, lesions and Couinaud segments from an abdominal CT. "
        "Research use, not a medical device.",
        epilog="Exit codes: 0 done, 2 usage, 3 input refused, 4 no liver found, 5 out of memory, "
        "6 some cases of a batch failed, 130 cancelled.",
    )
    parser.add_argument("--version", action="version", version=f"liverseg {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="say what happens on the way")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _segment(commands)
    _measure(commands)
    add_couinaud(commands)
    _flr(commands)
    compare.add_parser(commands)
    _series(commands)
    _check(commands)
    _models(commands)
    add_devices(commands)
    add_evaluate(commands)
    add_validate(commands)
    add_batch(commands)
    for command in commands.choices.values():
        # Also after the command's name; SUPPRESS keeps what was said before it.
        command.add_argument("-v", "--verbose", action="store_true", default=argparse.SUPPRESS)
    return parser


def _segment(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    p = commands.add_parser("segment", help="read out a CT with the networks")
    _ct(p)
    _out(p)
    p.add_argument("--device", default="auto", choices=("auto", "cuda", "mps", "cpu"))
    p.add_argument(
        "--quality", default="full", choices=("fast", "full"), help="fast: one look, full: all views"
    )
    p.add_argument(
        "--tile", default="auto", choices=("auto", "half"), help="half: smaller windows, less memory, slower"
    )
    p.add_argument("--model", metavar="NAME", help="a name from 'liverseg models', or a bundle's folder")
    p.add_argument("--split-segment-4", action="store_true", help="segment IV as IVa (4) and IVb (9)")
    add_method(p, "--couinaud-method")
    add_landmarks(p)
    _results(p)
    _progress(p)


def _measure(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    p = commands.add_parser("measure", help="the same outputs from corrected masks")
    _ct(p)
    p.add_argument(
        "--masks", type=Path, required=True, metavar="DIR|FILE", help="a result folder or a .seg.nrrd"
    )
    _out(p)
    p.add_argument(
        "--model", metavar="NAME", help="splits the liver when the masks hold no Couinaud segments"
    )
    p.add_argument("--split-segment-4", action="store_true", help="IVa and IVb, when the liver is split anew")
    add_method(p, "--couinaud-method")
    add_landmarks(p)
    p.add_argument(
        "--edited-since",
        type=Path,
        metavar="DIR|FILE",
        help="the result before the edits: the liver is split anew, and what was drawn since is kept",
    )
    _results(p)
    _progress(p)


def _flr(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    p = commands.add_parser("flr", help="future liver remnant of a planned resection")
    p.add_argument("folder", type=Path, metavar="OUT", help="a result folder; its report gets the remnant")
    what = p.add_mutually_exclusive_group(required=True)
    what.add_argument("--resect", metavar="V,VI,...", help="segments to be resected; IV, or IVa and IVb")
    what.add_argument(
        "--resect-mask", type=Path, metavar="FILE", help="or a mask of any resected part, on the CT's grid"
    )
    p.add_argument("--height-cm", type=float)
    p.add_argument("--weight-kg", type=float)


def _series(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    p = commands.add_parser("series", help="list the DICOM series of a folder")
    p.add_argument("folder", type=Path)
    p.add_argument("--json", action="store_true", help="as JSON")


def _check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    p = commands.add_parser("check", help="whether a CT can be read out, without doing it")
    _ct(p)
    p.add_argument("--force", action="store_true", help="go on where the values are no plausible HU")
    p.add_argument("--json", action="store_true", help="as JSON")


def _models(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    p = commands.add_parser("models", help="list the installed models and check their weights")
    p.add_argument("--folder", type=Path, help="of a bundle, or of folders of bundles, in place of our own")
    p.add_argument("--json", action="store_true", help="as JSON")


def _ct(p: argparse.ArgumentParser) -> None:
    p.add_argument("ct", type=Path, metavar="CT", help=".nii, .nii.gz, .nrrd, .mha, .mhd, or a DICOM folder")
    p.add_argument("--series", metavar="UID", help="which DICOM series, from 'liverseg series'")


def _out(p: argparse.ArgumentParser) -> None:
    p.add_argument("-o", "--out", type=Path, required=True, metavar="OUT", help="folder for the results")


def _results(p: argparse.ArgumentParser) -> None:
    p.add_argument("--masked-ct", action="store_true", help="also ct_liver.nii.gz, air outside of the liver")
    p.add_argument("--scene", action="store_true", help="also scene.mrb for 3D Slicer")
    p.add_argument("--dicom", action="store_true", help="also seg.dcm and sr.dcm, a DICOM SEG and its report")
    p.add_argument(
        "--dicom-seg",
        choices=("binary", "labelmap"),
        help="implies --dicom; labelmap: seg_liver.dcm, seg_couinaud.dcm, ... in place of seg.dcm",
    )
    p.add_argument(
        "--surfaces",
        action="append",
        default=[],
        choices=("stl", "obj", "glb"),
        help="also closed surfaces: surfaces_ras.glb, ...; may be given several times",
    )
    p.add_argument(
        "--surface-space", default="ras", choices=("ras", "lps"), help="coordinates of the surfaces, in mm"
    )
    p.add_argument("--pdf", action="store_true", help="also report.pdf")
    p.add_argument("--paper", default="a4", choices=("a4", "letter"), help="of report.pdf")
    p.add_argument(
        "--patient-name", metavar="TEXT", help="print this in report.pdf, which names nobody otherwise"
    )
    p.add_argument("--overwrite", action="store_true", help="replace earlier results in OUT")
    p.add_argument("--force", action="store_true", help="go on where the values are no plausible HU")


def _progress(p: argparse.ArgumentParser) -> None:
    p.add_argument("--json-progress", action="store_true", help="one JSON object a line on standard output")
