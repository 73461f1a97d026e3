"""Files appear whole or not at all, and foreign files stay."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from liverseg import writers
from liverseg.errors import Cancelled, UsageError
from liverseg.writers import OUTPUTS, check_output_folder, write_case
from liverseg.writers.atomic import written_whole
from writer_cases import make_case

LIGHT = ["report", "lesions_table"]


def test_a_file_appears_under_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "liver.nii.gz"
    with written_whole(path) as temporary:
        temporary.write_bytes(b"whole")
        assert temporary.parent == tmp_path
        assert temporary.name.endswith(".nii.gz")
        assert not path.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["liver.nii.gz"]
    assert path.read_bytes() == b"whole"


@pytest.mark.parametrize("error", [ValueError("defect"), Cancelled("stop"), KeyboardInterrupt()])
def test_an_exception_leaves_the_earlier_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "report.json"
    path.write_text("earlier")
    with pytest.raises(type(error)), written_whole(path) as temporary:
        temporary.write_text("half")
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]
    assert path.read_text() == "earlier"


def test_a_folder_in_the_way_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "report.json").mkdir()
    with pytest.raises(UsageError, match=r"report\.json.*folder") as caught:
        write_case(make_case(), tmp_path, ["report"], overwrite=True)
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_a_file_as_output_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("notes")
    for act in (check_output_folder, lambda folder: write_case(make_case(), folder, LIGHT)):
        with pytest.raises(UsageError, match="is a file, not a folder"):
            act(path)
    with pytest.raises(UsageError, match="is a file"):
        check_output_folder(path / "deeper")
    assert path.read_text() == "notes"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused_before_any_work(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(UsageError, match="permission"):
            check_output_folder(tmp_path / "out")
    finally:
        tmp_path.chmod(0o700)


def test_earlier_results_are_refused_unless_forced(tmp_path: Path) -> None:
    write_case(make_case(), tmp_path, LIGHT)
    before = (tmp_path / "report.json").read_bytes()
    with pytest.raises(UsageError, match=r"holds results already.*--overwrite") as caught:
        check_output_folder(tmp_path)
    assert str(tmp_path) in str(caught.value)
    with pytest.raises(UsageError, match="--overwrite"):
        write_case(make_case(lesion_count=1), tmp_path, LIGHT)
    assert (tmp_path / "report.json").read_bytes() == before
    check_output_folder(tmp_path, overwrite=True)
    write_case(make_case(lesion_count=1), tmp_path, LIGHT, overwrite=True)
    assert (tmp_path / "report.json").read_bytes() != before


def test_checking_a_folder_makes_nothing(tmp_path: Path) -> None:
    check_output_folder(tmp_path / "new" / "deeper")
    assert list(tmp_path.iterdir()) == []


def test_foreign_files_stay_and_stale_results_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The 3D view has a test of its own; here it would only cost seconds.
    monkeypatch.setattr("liverseg.writers.preview.render_3d", lambda case, size: None)
    (tmp_path / "notes.txt").write_text("mine")
    case = make_case(vessels=True)
    write_case(case, tmp_path)
    assert (tmp_path / "vessels.nii.gz").exists()
    without = replace(case, masks=replace(case.masks, vessels=None))
    # A part of the outputs leaves the others alone; a whole result replaces all of the earlier one.
    write_case(without, tmp_path, ["report"], overwrite=True)
    assert (tmp_path / "vessels.nii.gz").exists()
    written = write_case(without, tmp_path, overwrite=True)
    assert not (tmp_path / "vessels.nii.gz").exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in written.values()} | {"notes.txt"}


def test_what_a_killed_run_left_is_tidied_up(tmp_path: Path) -> None:
    # A killed process renames nothing: the half file stays under its temporary name alone.
    program = (
        "import os, sys; from pathlib import Path; from liverseg.writers.atomic import written_whole\n"
        "with written_whole(Path(sys.argv[1]) / 'report.json') as path:\n"
        "    path.write_text('{'); os._exit(9)"
    )
    root = Path(writers.__file__).parents[2]
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=root, timeout=60, check=False)
    (tmp_path / ".notes.part.txt").write_text("mine")
    (left,) = tmp_path.glob(".*.part.report.json")
    write_case(make_case(), tmp_path, ["lesions_table"])
    assert left.exists(), "another run may be writing it"
    (tmp_path / "lesions.csv").unlink()
    os.utime(left, (0, 0))
    check_output_folder(tmp_path)
    write_case(make_case(), tmp_path, ["lesions_table"])
    assert {p.name for p in tmp_path.iterdir()} == {".notes.part.txt", "lesions.csv"}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_overwrite_that_ends_early_keeps_the_earlier_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def ends_early(case: object, path: Path) -> None:
        path.write_text("half")
        raise error

    write_case(make_case(), tmp_path, LIGHT)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr("liverseg.writers.report_json.write_report", ends_early)
    with pytest.raises((KeyboardInterrupt, UsageError)) as caught:
        write_case(make_case(lesion_count=1), tmp_path, LIGHT, overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    if isinstance(error, OSError):
        assert "report.json: no space left" in str(caught.value)


def test_a_file_that_cannot_be_replaced_gives_the_earlier_report_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_case(make_case(), tmp_path, LIGHT)
    before = (tmp_path / "report.json").read_bytes()
    replace_file = Path.replace

    def held_open(self: Path, target: Path) -> Path:
        if target.name == "lesions.csv":
            raise PermissionError(13, "Permission denied")
        return replace_file(self, target)

    monkeypatch.setattr(Path, "replace", held_open)
    with pytest.raises(UsageError, match=r"lesions\.csv"):
        write_case(make_case(lesion_count=1), tmp_path, LIGHT, overwrite=True)
    assert (tmp_path / "report.json").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"report.json", "lesions.csv"}


def test_the_report_is_written_last() -> None:
    assert list(OUTPUTS)[-1] == "report"
