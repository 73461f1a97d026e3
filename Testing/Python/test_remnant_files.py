"""A planned resection in a result folder: flr puts it into every file, measure keeps it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas
import pytest
from PIL import Image
from pypdf import PdfReader

from liverseg.cli import main
from liverseg.phantom import make_phantom, write_nifti
from liverseg.writers import pdf_content


@pytest.fixture(autouse=True)
def light_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of a few pixels, none in 3D: full ones would only cost seconds."""
    fake = Image.new("RGB", (60, 40), (90, 120, 150))
    monkeypatch.setattr(pdf_content, "_DETAIL_SIDE", 90)
    monkeypatch.setattr(pdf_content, "_SMALL_SIZE", (84, 68))
    monkeypatch.setattr(pdf_content, "render_looks", lambda case, looks, background: [fake] * len(looks))
    monkeypatch.setattr("liverseg.writers.preview.render_3d", lambda case, size: None)


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("patient")
    write_nifti(make_phantom(seed=3, shape_kji=(40, 60, 70), spacing_kji=(6.0, 5.6, 5.2)), folder)
    return folder


def measured(patient: Path, out: Path, *more: str, masks: Path | None = None) -> Path:
    arguments = ["measure", str(patient / "ct.nii.gz"), "--masks", str(masks or patient), "-o", str(out)]
    assert main([*arguments, *more]) == 0
    return out


def remnant_of(folder: Path) -> dict | None:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))["remnant"]


def table_of(folder: Path) -> pandas.DataFrame:
    table = pandas.read_csv(folder / "measurements.csv")
    return table[table["object"] == "Remnant"].set_index("quantity")["value"]


def summary_of(folder: Path) -> str:
    return " ".join(PdfReader(folder / "report.pdf").pages[0].extract_text().split())


def test_flr_brings_report_table_and_pdf_up_to_date_and_a_second_one_replaces_the_first(
    patient: Path, tmp_path: Path
) -> None:
    out = measured(patient, tmp_path / "out", "--pdf", "--paper", "letter", "--patient-name", "Jürgen 山田")
    before = PdfReader(out / "report.pdf")
    rows = len(pandas.read_csv(out / "measurements.csv"))
    assert (
        main(["flr", str(out), "--resect", "V,VI,VII,VIII", "--height-cm", "170", "--weight-kg", "70"]) == 0
    )
    assert table_of(out)["volume"] == pytest.approx(remnant_of(out)["remnant_ml"])
    assert "Resection of V, VI, VII, VIII leaves" in summary_of(out)
    assert main(["flr", str(out), "--resect", "II,III"]) == 0
    assert remnant_of(out)["resected"] == ["II", "III"]
    assert table_of(out)["share_of_liver"] == pytest.approx(remnant_of(out)["percent_of_liver"], abs=1e-4)
    assert pandas.isna(table_of(out)["standardized_liver_volume"])
    assert len(pandas.read_csv(out / "measurements.csv")) == rows + 7
    after = PdfReader(out / "report.pdf")
    assert "Resection of II, III leaves" in summary_of(out)
    assert "VIII leaves" not in summary_of(out)
    # Paper, name, pages and pictures are those of the earlier file.
    assert after.pages[0].mediabox == before.pages[0].mediabox
    assert "Jürgen" in summary_of(out)
    assert len(after.pages) == len(before.pages)
    assert [i.data for i in after.pages[1].images] == [i.data for i in before.pages[1].images]
    assert "voxels of" in summary_of(out)
    assert {p.name for p in out.iterdir() if p.name.startswith(".")} == set()
    assert main(["validate", str(out)]) == 0


def test_a_later_measure_keeps_the_resection_and_measures_it_again(patient: Path, tmp_path: Path) -> None:
    out = measured(patient, tmp_path / "out")
    assert main(["flr", str(out), "--resect", "V,VI", "--height-cm", "170", "--weight-kg", "70"]) == 0
    earlier = remnant_of(out)
    # The same masks in place, from the folder and from the segmentation in it.
    for masks in (out, out / "segmentation.seg.nrrd"):
        measured(patient, out, "--overwrite", "--pdf", masks=masks)
        again = remnant_of(out)
        assert again["resected"] == earlier["resected"]
        for name in set(earlier) - {"resected"}:
            assert again[name] == pytest.approx(earlier[name], abs=2e-4)
        assert table_of(out)["volume"] == pytest.approx(earlier["remnant_ml"])
        assert "Resection of V, VI leaves" in summary_of(out)
    # Without the lesions, all of the liver is functional: another volume, the same resection.
    masks = tmp_path / "masks"
    masks.mkdir()
    for name in ("liver.nii.gz", "couinaud.nii.gz"):
        (masks / name).write_bytes((out / name).read_bytes())
    measured(patient, out, "--overwrite", masks=masks)
    again = remnant_of(out)
    assert again["resected"] == ["V", "VI"]
    assert again["standardized_liver_ml"] == earlier["standardized_liver_ml"]
    segments = json.loads((out / "report.json").read_text(encoding="utf-8"))["segments"]
    kept = sum(s["volume_ml"] for s in segments if s["name"] not in ("V", "VI"))
    assert again["remnant_ml"] == pytest.approx(kept, rel=1e-5)


def test_another_ct_has_no_resection(patient: Path, tmp_path: Path) -> None:
    out = measured(patient, tmp_path / "out")
    assert main(["flr", str(out), "--resect", "V,VI"]) == 0
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    report["provenance"]["input"]["sha256"] = "0" * 64
    (out / "report.json").write_text(json.dumps(report), encoding="utf-8")
    measured(patient, out, "--overwrite", masks=out)
    assert remnant_of(out) is None


def test_files_that_are_not_ours_are_left_alone_and_told(
    patient: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = measured(patient, tmp_path / "out")
    (out / "report.pdf").write_bytes(b"%PDF-1.4 someone else's")
    assert main(["flr", str(out), "--resect", "V"]) == 0
    assert "report.pdf does not show this remnant" in capsys.readouterr().err
    assert (out / "report.pdf").read_bytes() == b"%PDF-1.4 someone else's"
    assert table_of(out)["volume"] == pytest.approx(remnant_of(out)["remnant_ml"])
    before = (out / "report.json").read_bytes()
    (out / "measurements.csv").write_text("my,own\n1,2\n")
    assert main(["flr", str(out), "--resect", "VI"]) == 3
    assert "measurements.csv" in capsys.readouterr().err
    assert (out / "report.json").read_bytes() == before
    (out / "measurements.csv").unlink()
    (out / "report.pdf").unlink()
    assert main(["flr", str(out), "--resect", "VI"]) == 0
    assert not (out / "measurements.csv").exists()
