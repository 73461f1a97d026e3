"""``liverseg batch``: many CTs in one go, with resume."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from liverseg.cli.couinaud import add_method, method_for

if TYPE_CHECKING:
    from liverseg.cli.console import Listener

DONE, SOME_FAILED = 0, 6


def add_batch(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's options."""
    p = commands.add_parser("batch", help="read out many CTs, a folder a case; goes on where it was stopped")
    p.add_argument(
        "inputs",
        type=Path,
        metavar="FOLDER|LIST|CSV",
        help="a folder of CTs, a .txt with a path a line, or a .csv with a column 'ct' ('name', 'series')",
    )
    p.add_argument(
        "-o", "--out", type=Path, required=True, metavar="OUT", help="folder of the cases' folders"
    )
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
    p.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="OUTPUT",
        help="write one more output of each case, such as scene or ct_liver; may be repeated",
    )
    p.add_argument("--overwrite", action="store_true", help="do cases again that are done")
    p.add_argument("--force", action="store_true", help="go on where the values are no plausible HU")
    p.add_argument("--json-progress", action="store_true", help="one JSON object a line on standard output")


def run_batch(arguments: argparse.Namespace, listener: Listener) -> int:
    """Read out many CTs; the exit code says whether any failed."""
    from liverseg import batch
    from liverseg.batch_inputs import BatchInput, find_inputs, real_path
    from liverseg.batch_summary import DONE as CASE_DONE
    from liverseg.batch_summary import FAILED, NO_LIVER
    from liverseg.bundle import find_bundle, networks_kept
    from liverseg.case import Case
    from liverseg.errors import UsageError
    from liverseg.progress import Progress
    from liverseg.reading import read_volume
    from liverseg.writers import DEFAULT_NAMES, check_writers

    names = [*DEFAULT_NAMES, *(name for name in arguments.also if name not in DEFAULT_NAMES)]
    check_writers(names)
    if real_path(arguments.inputs) == real_path(arguments.out / batch.SUMMARY):
        raise UsageError(f"{arguments.inputs} would be replaced by the batch's summary; name a copy of it")
    inputs = find_inputs(arguments.inputs)
    if arguments.out.is_dir() and arguments.inputs.is_dir():
        # Results inside the searched folder are no CTs of the next run.
        inside = real_path(arguments.out)
        inputs = [each for each in inputs if inside not in real_path(each.path).parents] or inputs
    # A model that is not there fails every case: said once, before any.
    find_bundle(arguments.model)
    from liverseg.pipeline import SegmentOptions, segment

    options = SegmentOptions(
        device=arguments.device,
        quality=arguments.quality,
        model=arguments.model,
        split_segment_4=arguments.split_segment_4,
        couinaud_method=method_for(arguments.couinaud_method, False, False),
        force=arguments.force,
        tile=arguments.tile,
    )

    def read_out(each: BatchInput, progress: Progress) -> Case:
        progress(0.0, "reading")
        return segment(read_volume(each.path, each.series_uid), options, progress)

    with networks_kept():
        result = batch.run_batch(inputs, arguments.out, read_out, names, arguments.overwrite, listener)
    for row in result.rows:
        if row.status == FAILED:
            listener.warning(f"{row.name}: {row.reason}")
    listener(1.0, "done")
    counts = [f"{result.count(status)} {status}" for status in (CASE_DONE, NO_LIVER, FAILED)]
    lines = [
        f"{len(result.rows)} cases: {', '.join(counts)} ({result.skipped} were done before)",
        f"Summary: {arguments.out / batch.SUMMARY}",
    ]
    listener.done(str(arguments.out), lines)
    return SOME_FAILED if result.count(FAILED) else DONE
