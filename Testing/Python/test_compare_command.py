"""``liverseg compare`` on result folders: its files, and one clear line for strange input."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from liverseg.case import Case
from liverseg.cli import main
from liverseg.compare import TimePoint, compare_cases, read_time_point
from liverseg.reading import to_sitk
from liverseg.volume import Source
from liverseg.writers import write_case
from liverseg.writers.volumes import write_nifti
from made_cases import make_case

SCHEMA = Path(__file__).parents[2] / "Resources" / "Schemas" / "comparison.schema.json"
NAMES = ["liver", "lesions", "report"]
GREW = ((0.3, -0.2, -0.4), 11.0)
CAME = ((0.1, 0.4, 0.1), 5.0)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two result folders: a lesion grew, one is gone, one came."""
    folder = tmp_path_factory.mktemp("visits")
    write_case(make_case(source=Source(sha256="aa" * 32)), folder / "before", NAMES)
    write_case(make_case(lesions=(GREW, CAME), source=Source(sha256="bb" * 32)), folder / "after", NAMES)
    return folder / "before", folder / "after"


def without_ct(case: Case) -> TimePoint:
    return replace(TimePoint.of(case), ct=None)


def compare(*arguments: Path | str) -> int:
    return main(["compare", *(str(argument) for argument in arguments)])


def the_line(capfd: pytest.CaptureFixture[str]) -> str:
    """The one line that a refusal says."""
    told = capfd.readouterr()
    lines = [line for line in told.err.splitlines() if line.strip()]
    assert len(lines) == 1, told.err
    assert lines[0].startswith("liverseg: ")
    return lines[0]


def test_the_schema_is_valid_by_its_own_draft() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA.read_text(encoding="utf-8")))


def test_three_files_are_written_and_agree(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert compare(*folders, "-o", out) == 0
    assert sorted(path.name for path in out.iterdir()) == ["compare.csv", "compare.json", "compare.png"]
    report = json.loads((out / "compare.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8"))).validate(report)
    assert [x["status"] for x in report["lesions"]] == ["matched", "gone", "new"]
    with (out / "compare.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["matched", "gone", "new"]
    for row, lesion in zip(rows, report["lesions"], strict=True):
        assert float(row["volume_ml_change"]) == lesion["volume_ml"]["change"]
    assert rows[2]["volume_ml_percent"] == ""
    one, other = (json.loads((f / "report.json").read_text(encoding="utf-8")) for f in folders)
    change = other["lesions"][0]["volume_ml"] - one["lesions"][0]["volume_ml"]
    assert report["lesions"][0]["volume_ml"]["change"] == pytest.approx(change, abs=2e-4)
    assert "Sum of diameters of target lesions 1 and 2" in capsys.readouterr().out


def test_the_picture_shows_both_outlines_in_red(folders: tuple[Path, Path], tmp_path: Path) -> None:
    assert compare(*folders, "-o", tmp_path / "out") == 0
    with Image.open(tmp_path / "out" / "compare.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    red = (pixels == (255, 64, 48)).all(axis=2)
    first_row = red[132 : 132 + 270]
    before, after = first_row[:, 12:572].sum(), first_row[:, 584:1144].sum()
    assert before > 60
    # The outline of a ball of 11 mm is longer than that of one of 9 mm.
    assert after > before


def test_the_same_folder_twice_is_no_change_with_a_warning(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    assert compare(folders[0], folders[0], "-o", tmp_path / "out") == 0
    report = json.loads((tmp_path / "out" / "compare.json").read_text(encoding="utf-8"))
    assert {x["status"] for x in report["lesions"]} == {"matched"}
    assert {x["volume_ml"]["change"] for x in report["lesions"]} == {0.0}
    assert report["targets"]["from_baseline"]["change"] == 0.0
    assert any("same CT" in warning for warning in report["warnings"])


def test_a_folder_reads_back_as_the_case_it_was_written_from(tmp_path: Path) -> None:
    case = make_case(source=Source(sha256="aa" * 32))
    write_case(case, tmp_path / "one", [*NAMES, "ct_liver"])
    point = read_time_point(tmp_path / "one")
    assert point.ct is not None
    assert np.array_equal(point.ct[point.liver_mask], case.ct.array[case.masks.liver])
    other = make_case(lesions=(GREW, CAME))
    direct, read = compare_cases(case, other), compare_cases(point, other)
    for one, same in zip(direct.lesions, read.lesions, strict=True):
        assert one.volume_ml.change == pytest.approx(same.volume_ml.change, abs=1e-3)
        assert (one.status, one.before, one.after) == (same.status, same.before, same.after)


def test_other_grids_of_one_liver_compare_alike() -> None:
    before = make_case()
    permuted = make_case(lesions=(GREW, CAME), permutation=(2, 0, 1), flips=(True, False, True))
    fine = without_ct(make_case((39, 34, 48), (2.0, 2.0, 1.6), lesions=(GREW, CAME)))
    expected = [(x.status, x.before, x.after) for x in compare_cases(before, permuted).lesions]
    assert expected == [("matched", (1,), (1,)), ("gone", (2,), ()), ("new", (), (2,))]
    assert [(x.status, x.before, x.after) for x in compare_cases(before, fine).lesions] == expected


def test_one_scan_without_lesions(folders: tuple[Path, Path], tmp_path: Path) -> None:
    write_case(make_case(lesions=()), tmp_path / "none", NAMES)
    assert compare(folders[0], tmp_path / "none", "-o", tmp_path / "gone") == 0
    assert compare(tmp_path / "none", folders[0], "-o", tmp_path / "came") == 0
    for name, status in (("gone", "gone"), ("came", "new")):
        report = json.loads((tmp_path / name / "compare.json").read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8"))).validate(report)
        assert {x["status"] for x in report["lesions"]} == {status}
    assert report["targets"]["sums_mm"] == [None, None]


def spoil_report(folder: Path) -> None:
    (folder / "report.json").write_text('{"schema_version": "1.0", "liver": 3', encoding="utf-8")


def without_lesion_field(folder: Path) -> None:
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    del report["lesions"][0]["long_axis_mm"]
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")


def text_for_a_number(folder: Path) -> None:
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    report["lesions"][0]["volume_ml"] = "much"
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")


def no_object(folder: Path) -> None:
    (folder / "report.json").write_text("[1, 2]", encoding="utf-8")


def newer_version(folder: Path) -> None:
    (folder / "report.json").write_text('{"schema_version": "9.0"}', encoding="utf-8")


def edit_after_the_report(folder: Path) -> None:
    case = make_case(lesions=(GREW,))
    write_nifti(case.masks.lesions, case.ct.geometry, folder / "lesions.nii.gz")


def other_grid(folder: Path) -> None:
    case = make_case((26, 34, 40))
    write_nifti(case.masks.lesions, case.ct.geometry, folder / "lesions.nii.gz")


def no_labels(folder: Path) -> None:
    (folder / "lesions.nii.gz").unlink()


def half_a_file(folder: Path) -> None:
    path = folder / "liver.nii.gz"
    path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (spoil_report, "no LiverSeg report"),
        (no_object, "no LiverSeg report"),
        (without_lesion_field, "lesions are damaged"),
        (text_for_a_number, "lesions are damaged"),
        (newer_version, "schema version 9"),
        (edit_after_the_report, "liverseg measure"),
        (other_grid, "different grids"),
        (no_labels, "lesions.nii.gz"),
        (half_a_file, "liver.nii.gz"),
        (shutil.rmtree, "no folder"),
    ],
)
def test_a_damaged_result_is_refused_with_one_line_and_nothing_is_written(
    folders: tuple[Path, Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    spoil: Callable[[Path], None],
    word: str,
) -> None:
    shutil.copytree(folders[1], tmp_path / "bad")
    spoil(tmp_path / "bad")
    assert compare(folders[0], tmp_path / "bad", "-o", tmp_path / "out") == 3
    assert word in the_line(capfd)
    assert not (tmp_path / "out").exists()


def test_wrong_calls_end_in_2(
    folders: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert compare(folders[0], "-o", tmp_path / "out") == 2
    assert "two result folders" in the_line(capfd)
    assert compare(*folders, "-o", tmp_path / "out", "--ct", tmp_path / "a.nii.gz") == 2
    assert "one for each" in the_line(capfd)
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    assert compare(*folders, "-o", in_the_way) == 2
    assert "is a file" in the_line(capfd)
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "compare.json").write_text("{}")
    assert compare(*folders, "-o", tmp_path / "done") == 2
    assert "--overwrite" in the_line(capfd)
    assert compare(*folders, "-o", tmp_path / "done", "--overwrite") == 0


def test_a_ct_of_another_grid_is_refused(
    folders: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import SimpleITK as sitk

    case = make_case((20, 34, 48))
    sitk.WriteImage(to_sitk(case.ct.array, case.ct.geometry), str(tmp_path / "ct.nii.gz"))
    ct = tmp_path / "ct.nii.gz"
    assert compare(*folders, "-o", tmp_path / "out", "--ct", ct, ct) == 3
    assert "grid" in the_line(capfd)


def with_hu(case: Case, shift: int) -> Case:
    liver = replace(case.liver, mean_hu=(case.liver.mean_hu or 0) + shift)
    return replace(case, liver=liver)


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        (make_case(), with_hu(make_case(), 45), "phases of contrast"),
        (make_case(), make_case((16, 34, 48), (4.875, 2.0, 1.6)), "Slices are 3 mm apart"),
        (make_case(), make_case((26, 34, 48), (4.0, 2.8, 2.3)), "one person"),
        (
            make_case(),
            replace(make_case(), provenance=replace(make_case().provenance, model_name="other")),
            "different versions or models",
        ),
        (
            make_case(),
            replace(make_case(), liver=replace(make_case().liver, complete=False)),
            "cuts the liver off",
        ),
    ],
)
def test_what_makes_a_comparison_doubtful_is_told(before: Case, after: Case, word: str) -> None:
    comparison = compare_cases(without_ct(before), without_ct(after))
    assert any(word in warning for warning in comparison.warnings)
