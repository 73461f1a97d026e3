"""Many CTs, one after the other, with one set of loaded networks.

Every case gets a folder of its own, which remembers its CT (:data:`liverseg.batch_inputs.RECORD`). A folder
of the same CT with a ``report.json`` is complete and is not done again, so a batch that was stopped goes on
where it was. A folder with the results of another CT is left alone: names of cases come from file names, and
may move on when a list grows. What is wrong with one CT never stops the others.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import chain, count
from pathlib import Path

from liverseg.batch_inputs import RECORD, BatchInput, is_there, real_path
from liverseg.batch_summary import DONE, FAILED, NO_LIVER, CaseRow, reason_of, write_summary
from liverseg.case import Case
from liverseg.errors import Cancelled, InputRefused, LiverSegError, UsageError
from liverseg.progress import Progress, part_of, silent
from liverseg.writers import DEFAULT_NAMES, OUTPUTS, check_output_folder, write_case
from liverseg.writers.atomic import make_folder, plain_reason, remove_leftovers, written_whole
from liverseg.writers.report_json import read_report

log = logging.getLogger(__name__)

SUMMARY, LOG = "summary.csv", "batch.log"
REPORT = "report.json"
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
        inputs: with names that are all different. A CT whose name is that of a folder with the results of
            another CT gets a further number.
        folder: for the cases' folders.
        read_out: makes a case of an input.
        names: of the outputs (:data:`liverseg.writers.OUTPUTS`).
        overwrite: do cases again that are done.
        progress: hears of the whole batch; may raise ``Cancelled``.

    Raises:
        UsageError: the folder cannot be written to, or results would go where a CT lies.
        Cancelled: from ``progress``; what is done stays, and the summary tells of it.
    """
    inputs, recognized = _placed(inputs, folder, overwrite, progress)
    _check_apart(inputs, folder)
    make_folder(folder)
    rows = {each.name: _row(each, folder) for each in inputs}
    done_before = {n for n, row in rows.items() if row.report is not None and not overwrite}
    _tell_of_lacking([folder / n for n in done_before if rows[n].status == DONE], names)
    for each in inputs:
        if each.name in recognized & done_before:
            _remember(folder / each.name, _Record(each.key(), each.stamp(), done=True))
    numbers = {each.name: n for n, each in enumerate(inputs, start=1)}
    todo = [each for each in inputs if each.name not in done_before]
    todo.sort(key=lambda each: is_there(folder / each.name / UNDER_WORK))
    with _log_file(folder / LOG) as say:
        say(f"batch of {len(inputs)} cases, {len(done_before)} done before")
        try:
            for each in todo:
                rows[each.name] = replace(rows[each.name], status="pending", report=None)
            write_summary(list(rows.values()), folder / SUMMARY)
            for place, each in enumerate(todo):
                low, high = (n / len(todo) for n in (place, place + 1))
                listener = part_of(progress, low, high, f"{each.name} ({place + 1} of {len(todo)})")
                rows[each.name] = _one(each, folder / each.name, read_out, names, listener)
                row = rows[each.name]
                say(f"case {numbers[each.name]}: {row.status}, {row.seconds or 0.0:.1f} s")
                write_summary(list(rows.values()), folder / SUMMARY)
        except (Cancelled, KeyboardInterrupt):
            say("cancelled")
            raise
        say("the batch ended")
    return BatchResult(tuple(rows.values()), len(done_before))


# --- whose folder it is -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Record:
    """Of which CT a folder's results are.

    Attributes:
        key, stamp: of the input (:class:`liverseg.batch_inputs.BatchInput`) when it was read.
        done: False from the moment on that the case is done again: a report there is an earlier one.
    """

    key: str
    stamp: str
    done: bool


def _record(folder: Path) -> _Record | None:
    """What a case's folder remembers, if it does."""
    try:
        return _Record(**json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _remember(folder: Path, record: _Record) -> None:
    with written_whole(folder / RECORD) as temporary:
        temporary.write_text(json.dumps(asdict(record)) + "\n", encoding="utf-8")


def _is_own(folder: Path, each: BatchInput) -> bool:
    """Whether a folder is known to be this CT's, and a report there that of its files as they are now."""
    record = _record(folder)
    if record is None or record.key != each.key():
        return False
    # A CT that is not there any more, as on a disk that was taken away, contradicts nothing.
    return not is_there(folder / REPORT) or each.stamp() in ("", record.stamp)


def _placed(
    inputs: Sequence[BatchInput], folder: Path, overwrite: bool, progress: Progress
) -> tuple[list[BatchInput], set[str]]:
    """The inputs under the names of folders that are their own or free. Changes nothing.

    A folder that remembers the CT may have its name with another number, from a shorter or longer list. Where
    no folder does, the scans of earlier results are compared.

    Args:
        inputs, folder, progress: as in :func:`run_batch`.
        overwrite: take a folder, too, whose CT was replaced by another one at the same path.

    Returns:
        The inputs, and the names of those whose results were found by the scan itself.
    """
    kept = _kept(folder)
    places: dict[str, str] = {}
    remembered: dict[str, list[str]] = {}
    taken: set[str] = set()
    for each in inputs:
        family = [n for n in kept.get(each.key(), ()) if _unnumbered(n) == _unnumbered(each.name)]
        remembered[each.name] = sorted(family, key=lambda name: (name != each.name, name))
        for name in remembered[each.name]:
            if name.lower() not in taken and (overwrite or _is_own(folder / name, each)):
                places[each.name] = name
                taken.add(name.lower())
                break
    waiting = [each for each in inputs if each.name not in places]
    asked_for = {each.name.lower() for each in waiting}
    recognized = set()
    for each in waiting:
        asked_for.discard(each.name.lower())
        numbered = (f"{each.name}_{number}" for number in count(2))
        names = chain(remembered[each.name], [each.name], numbered)
        free = (name for name in names if name.lower() not in taken and name.lower() not in asked_for)
        places[each.name], same = _first_fit(each, free, folder, progress)
        taken.add(places[each.name].lower())
        recognized |= {places[each.name]} if same else set()
    return [replace(each, name=places[each.name]) for each in inputs], recognized


def _kept(folder: Path) -> dict[str, list[str]]:
    """The names of the folders that remember their CT, by its key."""
    kept: dict[str, list[str]] = {}
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return kept
    for path in paths:
        record = _record(path)
        if record is not None:
            kept.setdefault(record.key, []).append(path.name)
    return kept


def _unnumbered(name: str) -> str:
    return re.sub(r"_\d+$", "", name)


def _first_fit(each: BatchInput, names: Iterator[str], folder: Path, progress: Progress) -> tuple[str, bool]:
    """The first name whose folder is nobody else's, or has the report of the same scan, which is told."""
    scan = ""
    for name in names:
        record = _record(folder / name)
        if not is_there(folder / name / REPORT):
            if record is not None and record.key != each.key():
                continue
            if name != each.name:
                log.warning(
                    "The folder %s is another CT's; the results of %s go to %s", each.name, each.path, name
                )
            return name, False
        if not scan:
            progress(0.0, f"{each.name}: reading")
            scan = _scan_hash(each)
        if scan == _hash_in_report(folder / name):
            return name, True
    raise ValueError(f"no name is left for {each.name}")


def _scan_hash(each: BatchInput) -> str:
    """The hash of a CT's voxels and grid; a word that is no hash where it cannot be read."""
    from liverseg.reading import read_volume

    try:
        return read_volume(each.path, each.series_uid).source.sha256
    except Exception as error:  # told when its turn comes
        log.debug("not compared: %s", reason_of(error))
        return "unknown"


def _hash_in_report(folder: Path) -> str | None:
    """The hash of the CT that a folder's report is of, if it can be read."""
    try:
        return str(read_report(folder / REPORT)["provenance"]["input"]["sha256"])
    except (InputRefused, KeyError, TypeError):
        return None


def _check_apart(inputs: Sequence[BatchInput], folder: Path) -> None:
    """Refuse results where CTs lie: files beside a CT may be a user's own masks of the same names."""
    inside: dict[Path, Path] = {}
    for each in inputs:
        place = real_path(each.path)
        inside |= dict.fromkeys((place, *place.parents), each.path)
    for each in inputs:
        place = real_path(folder / each.name)
        if place in inside:
            raise UsageError(
                f"the results of {each.name} would go to {place}, where the CT {inside[place]} lies; "
                "choose another output folder"
            )


# --- one case -----------------------------------------------------------------------------------------


def _row(each: BatchInput, folder: Path) -> CaseRow:
    """What is known of a case before it is worked on."""
    row = CaseRow(each.name, str(each.path))
    record = _record(folder / each.name)
    if record is not None and not record.done:
        return row
    try:
        report = read_report(folder / each.name / REPORT)
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
        remove_leftovers(folder, {RECORD})
        record = _Record(each.key(), each.stamp(), done=False)
        # First of all: whatever happens from here on, an earlier report does not count.
        _remember(folder, record)
        (folder / UNDER_WORK).touch()
        case = read_out(each, progress)
        write_case(case, folder, names, overwrite=True)
        _remember(folder, replace(record, done=True))
        row = _row(each, folder.parent)
    except Cancelled:
        _leave(folder)
        raise
    except LiverSegError as error:
        row = replace(row, status=FAILED, reason=reason_of(error))
    except MemoryError:
        row = replace(row, status=FAILED, reason="out of memory; close programs or crop the CT")
    except Exception as error:  # one bad case never stops the rest
        log.debug("unexpected", exc_info=True)
        text = f"an unexpected error: {type(error).__name__}: {reason_of(error)}"
        row = replace(row, status=FAILED, reason=text)
    except KeyboardInterrupt:
        _leave(folder)
        raise
    _leave(folder)
    if row.status == FAILED and is_there(folder / REPORT):
        row = replace(row, reason=f"{row.reason} (in the folder lie earlier results)")
    return replace(row, seconds=time.monotonic() - began)


def _tell_of_lacking(folders: Sequence[Path], names: Sequence[str]) -> None:
    """Warn where cases that were done before have not all that is asked for now."""
    for name in names:
        output = OUTPUTS[name]
        lacking = sum(not is_there(folder / output.filename) for folder in folders)
        if output.on_request and lacking:
            told = "%d of the cases done before have no %s; --overwrite does them again"
            log.warning(told, lacking, output.filename)


def _leave(folder: Path) -> None:
    """Take the mark away, and the folder when no result was written."""
    try:
        (folder / UNDER_WORK).unlink(missing_ok=True)
        if folder.is_dir() and all(path.name == RECORD for path in folder.iterdir()):
            (folder / RECORD).unlink(missing_ok=True)
            folder.rmdir()
    except OSError as error:
        log.debug("could not tidy up: %s", type(error).__name__)


@contextmanager
def _log_file(path: Path) -> Iterator[Callable[[str], None]]:
    """What writes lines, with times, at the end of a file; they are heard by the module's log too.

    Raises:
        UsageError: the file cannot be written to.
    """
    try:
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {plain_reason(error)}; choose another output folder"
        ) from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    # Of no family: levels and listeners of the other logs are their users' to choose.
    lines = logging.Logger("batch")
    lines.addHandler(handler)

    def say(text: str) -> None:
        lines.info(text)
        log.info(text)

    try:
        yield say
    finally:
        handler.close()
