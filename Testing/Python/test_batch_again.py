"""A batch that is started again: what is done stays done, and nobody gets the results of another."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from liverseg import batch
from liverseg.batch_inputs import RECORD, BatchInput, find_inputs
from liverseg.case import Case
from liverseg.errors import Cancelled, InputRefused
from liverseg.progress import Progress
from liverseg.reading import read_volume
from liverseg.volume import Source
from made_batches import NAMES, Reader, summary, three_inputs, write_ct
from made_cases import make_case


@pytest.fixture
def inputs(tmp_path) -> list[BatchInput]:
    return three_inputs(tmp_path)


class Killed(BaseException):
    """Ends a batch as a crash of the process does: nobody tidies up."""


def read_out_by_hash(each: BatchInput, progress: Progress) -> Case:
    """A made-up case with the hash of the true scan."""
    case = make_case()
    source = Source("file", "x", read_volume(each.path).source.sha256)
    return replace(case, ct=replace(case.ct, source=source))


def hash_of_results(folder: Path) -> str:
    return json.loads((folder / "report.json").read_text())["provenance"]["input"]["sha256"]


def listed(folder: Path, *persons: str) -> list[BatchInput]:
    """The inputs of a list with a CT a person, all files called alike; written when they are not there."""
    for person in persons:
        path = folder / person / "abdomen.nii.gz"
        if not path.exists():
            write_ct(path, sum(person.encode()))
    (folder / "list.txt").write_text("".join(f"{person}/abdomen.nii.gz\n" for person in persons))
    return find_inputs(folder / "list.txt")


@pytest.mark.parametrize("remembered", [True, False])
def test_a_line_put_into_a_list_gives_no_person_the_results_of_another(tmp_path, remembered):
    out = tmp_path / "out"
    batch.run_batch(listed(tmp_path, "bert", "carl"), out, read_out_by_hash, NAMES)
    for record in out.glob(f"*/{RECORD}") if not remembered else ():
        record.unlink()
    result = batch.run_batch(listed(tmp_path, "anna", "bert", "carl"), out, read_out_by_hash, NAMES)
    rows = summary(out)
    assert [row["status"] for row in rows] == ["done"] * 3
    for row in rows:
        assert hash_of_results(out / row["case"]) == read_volume(Path(row["input"])).source.sha256
    assert hash_of_results(out / "abdomen") == read_volume(tmp_path / "bert/abdomen.nii.gz").source.sha256
    assert result.skipped == (2 if remembered else 0)
    again = batch.run_batch(listed(tmp_path, "carl", "anna"), out, read_out_by_hash, NAMES)
    assert again.skipped == 2


def test_a_disk_in_another_place_and_results_that_remember_nothing_are_known_by_the_scans(tmp_path):
    out, said = tmp_path / "out", []
    write_ct(tmp_path / "disk" / "anna.nii.gz", 1)
    batch.run_batch(find_inputs(tmp_path / "disk"), out, read_out_by_hash, NAMES)
    (tmp_path / "disk").rename(tmp_path / "moved")
    reader = Reader()
    for _ in range(2):
        result = batch.run_batch(
            find_inputs(tmp_path / "moved"), out, reader, NAMES, progress=lambda f, m: said.append(m)
        )
        assert result.skipped == 1
    assert not reader.seen and said == ["anna: reading"]
    (out / "anna" / RECORD).unlink()
    assert batch.run_batch(find_inputs(tmp_path / "moved"), out, reader, NAMES).skipped == 1


def test_another_ct_at_the_same_path_is_read_out_beside_the_earlier_results(tmp_path, caplog):
    out, path = tmp_path / "out", tmp_path / "in" / "today.nii.gz"
    write_ct(path, 1)
    batch.run_batch(find_inputs(path.parent), out, read_out_by_hash, NAMES)
    first = hash_of_results(out / "today")
    write_ct(path, 2)
    for expected in (0, 1):
        result = batch.run_batch(find_inputs(path.parent), out, read_out_by_hash, NAMES)
        assert (result.rows[0].name, result.skipped) == ("today_2", expected)
    assert hash_of_results(out / "today") == first != hash_of_results(out / "today_2")
    assert caplog.text.count("The folder today is another CT's") == 1
    write_ct(path, 3)
    result = batch.run_batch(find_inputs(path.parent), out, read_out_by_hash, NAMES, overwrite=True)
    assert result.rows[0].name == "today"


def test_what_a_crash_left_of_one_person_never_becomes_a_folder_of_another(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(Killed):
        batch.run_batch(listed(tmp_path, "bert"), out, Reader(abdomen=Killed()), NAMES)
    (out / "abdomen" / "liver.nii.gz").write_bytes(b"of bert")
    batch.run_batch(listed(tmp_path, "anna"), out, Reader(abdomen_2=InputRefused("no")), NAMES)
    assert [path.name for path in out.iterdir() if path.is_dir()] == ["abdomen"]
    result = batch.run_batch(listed(tmp_path, "anna", "bert"), out, read_out_by_hash, NAMES)
    assert [row.name for row in result.rows] == ["abdomen_2", "abdomen"]


def test_a_ct_that_is_gone_since_stays_done(tmp_path):
    write_ct(tmp_path / "in" / "anna.nii.gz", 1)
    inputs = find_inputs(tmp_path / "in")
    batch.run_batch(inputs, tmp_path / "out", read_out_by_hash, NAMES)
    shutil.rmtree(tmp_path / "in")
    assert batch.run_batch(inputs, tmp_path / "out", read_out_by_hash, NAMES).skipped == 1


@pytest.mark.parametrize("error", [InputRefused("no"), Cancelled("stop"), KeyboardInterrupt(), Killed()])
def test_a_case_that_failed_when_done_again_is_not_done_and_keeps_its_earlier_results(
    inputs, tmp_path, error
):
    out = tmp_path / "out"
    batch.run_batch(inputs, out, Reader(), NAMES)
    before = (out / "b" / "report.json").read_bytes()
    try:
        batch.run_batch(inputs, out, Reader(b=error), NAMES, overwrite=True)
        assert "earlier results" in summary(out)[1]["reason"]
    except (Cancelled, KeyboardInterrupt, Killed):
        pass
    assert (out / "b" / "report.json").read_bytes() == before
    assert summary(out)[1]["status"] != "done"
    again = Reader()
    batch.run_batch(inputs, out, again, NAMES)
    assert again.seen == ["b"]
    assert batch.run_batch(inputs, out, again, NAMES).skipped == 3
