"""Strange read-outs through every writer: valid outputs, a warning or one clear line, nothing half."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
import SimpleITK as sitk
from PIL import Image
from pypdf import PdfReader

from liverseg import writers
from liverseg.case import Case
from liverseg.cli import main
from liverseg.cli.validate import violations
from liverseg.errors import UsageError
from liverseg.phantom_other import water_box
from liverseg.reading import to_sitk
from liverseg.writers import DEFAULT_NAMES, pdf_content, write_case
from made_cases import make_case
from strange_cases import STRANGE, UNICODE, no_lesion, one_voxel, outside_of_the_liver, unicode_names

NAMES = [*DEFAULT_NAMES, "ct_liver", "pdf"]


@pytest.fixture(autouse=True)
def light_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of a few pixels, none in 3D: full ones would only cost seconds."""
    monkeypatch.setattr(pdf_content, "_DETAIL_SIDE", 90)
    monkeypatch.setattr(pdf_content, "_SMALL_SIZE", (84, 68))
    monkeypatch.setattr(pdf_content, "render_looks", lambda case, looks, background: None)
    monkeypatch.setattr("liverseg.writers.preview.render_3d", lambda case, size: None)


@pytest.mark.parametrize("make", STRANGE)
def test_every_writer_gives_a_valid_file(tmp_path: Path, make) -> None:
    case = make()
    files = write_case(case, tmp_path, NAMES)
    assert set(files) >= {*DEFAULT_NAMES, "pdf"} - {"vessels"}
    report = json.loads(files["report"].read_text(encoding="utf-8"))
    assert violations(report) == []
    lesions = pandas.read_csv(files["lesions_table"])
    assert lesions["id"].tolist() == [lesion.id for lesion in case.lesions]
    long = pandas.read_csv(files["measurements"])
    assert not long.duplicated(["object", "quantity"]).any()
    assert np.issubdtype(long["value"].dtype, np.number)
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(files["lesions"])))
    assert np.array_equal(labels, case.masks.lesions)
    segmentation = sitk.ReadImage(str(files["segmentation"]))
    assert segmentation.GetMetaData("Segment0_Name")
    with Image.open(files["preview"]) as picture:
        assert picture.size == (1600, 1000)
    pages = PdfReader(files["pdf"]).pages
    pages_of_lesions = min(len(case.lesions), pdf_content.LESION_PAGES)
    assert sum("Tracking UID" in page.extract_text() for page in pages) == pages_of_lesions


def test_a_lesion_outside_of_the_liver_is_added_to_it_and_told_in_report_and_pdf(tmp_path: Path) -> None:
    files = write_case(outside_of_the_liver(), tmp_path, NAMES)
    report = json.loads(files["report"].read_text(encoding="utf-8"))
    told = [warning for warning in report["warnings"] if "Lesion 7" in warning or "lesion 7" in warning]
    assert told
    words = " ".join(PdfReader(files["pdf"]).pages[0].extract_text().split())
    assert told[0] in words


def test_one_voxel_has_sizes_and_no_shape(tmp_path: Path) -> None:
    case = one_voxel()
    row = pandas.read_csv(write_case(case, tmp_path, ["lesions_table"])["lesions_table"]).iloc[0]
    assert row["long_axis_mm"] > 0
    assert row["volume_ml"] == pytest.approx(case.ct.geometry.voxel_volume_ml, abs=1e-4)
    assert pandas.isna(row["sphericity"])
    assert not row["recist_measurable"]


def test_unicode_comes_back_unchanged(tmp_path: Path) -> None:
    files = write_case(unicode_names(), tmp_path / "Ergebnis 山田 é", NAMES)
    report = json.loads(files["report"].read_text(encoding="utf-8"))
    assert report["lesions"][0]["review"]["reader"] == UNICODE
    row = pandas.read_csv(files["lesions_table"]).iloc[0]
    assert row["review_reader"] == UNICODE
    assert row["review_comment"] == UNICODE
    words = PdfReader(files["pdf"]).pages[1].extract_text()
    assert "“quoted”" in words


def test_the_tables_have_the_types_of_statistics_programs(tmp_path: Path) -> None:
    case = replace(make_case(), warnings=())
    files = write_case(case, tmp_path, ["lesions_table", "measurements"])
    wide = pandas.read_csv(files["lesions_table"])
    assert wide["recist_measurable"].dtype == bool
    assert wide["touches_volume_edge"].dtype == bool
    numbers = [name for name in wide if name.endswith(("_mm", "_ml", "_percent", "_hu"))]
    assert len(numbers) > 20
    assert all(np.issubdtype(wide[name].dtype, np.number) for name in numbers)
    empty = pandas.read_csv(write_case(no_lesion(), tmp_path / "none", ["lesions_table"])["lesions_table"])
    assert list(empty) == list(wide)
    raw = files["measurements"].read_bytes()
    assert raw.decode("utf-8").startswith("case,object,quantity,value,unit\r\n")
    long = pandas.read_csv(files["measurements"])
    assert set(long["unit"]) == {"ml", "HU", "%", "mm", "1"}
    volumes = long[(long["quantity"] == "volume") & long["object"].str.startswith("Segment")]
    assert volumes["value"].sum() == pytest.approx(case.liver.volume_ml, abs=0.01)


def test_a_ct_without_a_liver_ends_in_4_with_a_pdf_that_says_so(tmp_path: Path) -> None:
    volume = water_box()
    sitk.WriteImage(to_sitk(volume.array, volume.geometry), str(tmp_path / "ct.nii.gz"))
    out = tmp_path / "out"
    assert main(["segment", str(tmp_path / "ct.nii.gz"), "-o", str(out), "--device", "cpu", "--pdf"]) == 4
    pages = PdfReader(out / "report.pdf").pages
    assert len(pages) == 1
    assert "No liver was found" in pages[0].extract_text()
    assert main(["validate", str(out)]) == 0
    assert main(["flr", str(out), "--resect", "V"]) == 3
    assert json.loads((out / "report.json").read_text(encoding="utf-8"))["remnant"] is None


@pytest.mark.parametrize("name", [n for n in NAMES if n != "vessels"])
def test_a_disk_that_is_full_halfway_leaves_the_earlier_result_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    case = make_case()
    write_case(case, tmp_path, NAMES)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    resolve = writers._resolve

    def half(which: str, output: writers.Output) -> writers.Writer:
        def write(case: Case, path: Path, **settings: object) -> None:
            resolve(which, output)(case, path, **settings)
            content = path.read_bytes()
            path.write_bytes(content[: len(content) // 2])
            raise OSError(28, "No space left on device")

        return write if which == name else resolve(which, output)

    monkeypatch.setattr(writers, "_resolve", half)
    with pytest.raises(UsageError, match="no space left on the disk"):
        write_case(make_case(lesions=()), tmp_path, NAMES, overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_file_in_the_place_of_the_folder_is_refused_before_any_work(tmp_path: Path, capsys) -> None:
    (tmp_path / "out").write_text("notes")
    assert main(["segment", str(tmp_path / "ct.nii.gz"), "-o", str(tmp_path / "out"), "--pdf"]) == 2
    assert "is a file, not a folder" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "notes"


def test_a_folder_in_the_place_of_the_pdf_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "report.pdf").mkdir()
    with pytest.raises(UsageError, match=r"report\.pdf.*folder"):
        write_case(make_case(), tmp_path, ["pdf"], overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["report.pdf"]
