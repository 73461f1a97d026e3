"""Many CTs, one after the other, with one set of loaded networks.

Every case gets a folder of its own. A folder with a ``report.json`` is complete and is not done again, so a
batch that was stopped goes on where it was. What is wrong with one CT never stops the others.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from liverseg.batch_inputs import BatchInput
from liverseg.batch_summary import DONE, FAILED, NO_LIVER, CaseRow, write_summary
from liverseg.case import Case
from liverseg.errors import Cancelled, InputRefused, LiverSegError
from liverseg.progress import Progress, part_of, silent
from liverseg.writers import DEFAULT_NAMES, check_output_folder, write_case
from liverseg.writers.atomic import make_folder
from liverseg.writers.report_json import read_report

log = logging.getLogger(__name__)

SUMMARY, LOG = "summary.csv", "batch.log"
# In a case's folder while it is worked on. One that is left there ended the whole process: it is done last.
UNDER_WORK = ".under-work"

ReadOut = Callable[[BatchInput, Progress], Case]


@dataclass(frozen=True)
class BatchResult:
    """What came of a batch; ``rows`` are in the order of the inputs."""

    rows: tuple[CaseRow, ...]
    skipped: int

    def count(self, status: str) -> int:
        """The number of cases with a status."""
        return sum(row.status == status for row in self.rows)


def run_batch(
    inputs: Sequence[BatchInput],
    folder: Path,
    read_out: ReadOut,
    names: Sequence[str] = DEFAULT_NAMES,
    overwrite: bool = False,
    progress: Progress = silent,
) -> BatchResult:
    """Read out every CT into a folder of its own; ``summary.csv`` and ``batch.log`` grow with each.

    The log holds no names: it speaks of cases by their number in the summary.

    Args:
        inputs: with names that are all different.
        folder: for the cases' folders.
        read_out: makes a case of an input (:func:`reader_of`).
        names: of the outputs (:data:`liverseg.writers.OUTPUTS`).
        overwrite: do cases again that are done.
        progress: hears of the whole batch; may raise ``Cancelled``.

    Raises:
        UsageError: the folder cannot be written to.
        Cancelled: from ``progress``; what is done stays, and the summary tells of it.
    """
    make_folder(folder)
    rows = {each.name: _row(each, folder) for each in inputs}
    done_before = {n for n, row in rows.items() if row.report is not None and not overwrite}
    numbers = {each.name: n for n, each in enumerate(inputs, start=1)}
    todo = [each for each in inputs if each.name not in done_before]
    todo.sort(key=lambda each: (folder / each.name / UNDER_WORK).exists())
    with _log_file(folder / LOG):
        log.info("batch of %d cases, %d done before", len(inputs), len(done_before))
        try:
            for each in todo:
                rows[each.name] = replace(rows[each.name], status="pending", report=None)
            write_summary(list(rows.values()), folder / SUMMARY)
            for place, each in enumerate(todo):
                low, high = (n / len(todo) for n in (place, place + 1))
                listener = part_of(progress, low, high, f"{each.name} ({place + 1} of {len(todo)})")
                rows[each.name] = _one(each, folder / each.name, read_out, names, listener)
                row = rows[each.name]
                log.info("case %d: %s, %.1f s", numbers[each.name], row.status, row.seconds or 0.0)
                write_summary(list(rows.values()), folder / SUMMARY)
        except (Cancelled, KeyboardInterrupt):
            log.info("cancelled")
            raise
        log.info("the batch ended")
    return BatchResult(tuple(rows.values()), len(done_before))


def _row(each: BatchInput, folder: Path) -> CaseRow:
    """What is known of a case before it is worked on."""
    row = CaseRow(each.name, str(each.path))
    try:
        report = read_report(folder / each.name / "report.json")
        status = DONE if report["liver"]["volume_ml"] > 0 else NO_LIVER
        done = replace(row, status=status, report=report)
        done.cells()
    except (InputRefused, KeyError, TypeError):
        return row
    return done


def _one(
    each: BatchInput, folder: Path, read_out: ReadOut, names: Sequence[str], progress: Progress
) -> CaseRow:
    began = time.monotonic()
    row = CaseRow(each.name, str(each.path))
    try:
        check_output_folder(folder, overwrite=True)
        make_folder(folder)
        (folder / UNDER_WORK).touch()
        case = read_out(each, progress)
        write_case(case, folder, names, overwrite=True)
        row = _row(each, folder.parent)
    except Cancelled:
        _leave(folder)
        raise
    except LiverSegError as error:
        row = replace(row, status=FAILED, reason=" ".join(str(error).split()))
    except MemoryError:
        row = replace(row, status=FAILED, reason="out of memory; close programs or crop the CT")
    except Exception as error:  # one bad case never stops the rest
        log.debug("unexpected", exc_info=True)
        text = f"an unexpected error: {type(error).__name__}: {error}"
        row = replace(row, status=FAILED, reason=" ".join(text.split()))
    except KeyboardInterrupt:
        _leave(folder)
        raise
    _leave(folder)
    return replace(row, seconds=time.monotonic() - began)


def _leave(folder: Path) -> None:
    """Take the mark away, and the folder when nothing was written."""
    try:
        (folder / UNDER_WORK).unlink(missing_ok=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        log.debug("could not tidy up: %s", type(error).__name__)


@contextmanager
def _log_file(path: Path) -> Iterator[None]:
    """This module's lines, with times, at the end of a file."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        handler.close()
