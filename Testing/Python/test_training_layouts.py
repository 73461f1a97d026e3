"""Every public layout gives the same scan, and what is wrong in one is told by file and reason."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch

from liverseg.errors import InputRefused, UsageError
from liverseg.geometry import CanonicalOrder, Geometry
from liverseg.training.cache import cache_scan
from liverseg.training.cached_cases import Code, load_cached
from liverseg.training.datasets import ADAPTERS, LabeledScan, list_scans, standard_label
from liverseg.training.datasets.convert import convert_scans
from liverseg.training.integrity import check_data
from liverseg.training.persons import person_of
from liverseg.training.road_config import ScanConfig
from liverseg.training.scan_cache import cache_on_grid
from made_data import MadeScan, made_scan, write_array, write_folder
from made_layouts import (
    PERSONS,
    WRITERS,
    vessels_of,
    volume_of,
    write_hcc_tace,
    write_ircad,
    write_pairs,
    write_task08,
)

ROOT = Path(__file__).resolve().parents[2]


def upright(array: np.ndarray, geometry: Geometry) -> np.ndarray:
    return CanonicalOrder.of(geometry).apply(array)


def read(scan: LabeledScan) -> tuple[np.ndarray, np.ndarray]:
    """HU and standard label in canonical order."""
    ct, labels = scan.reader.ct(scan), scan.reader.labels(scan)
    label = standard_label(labels.label, scan)
    return upright(ct.array, ct.geometry), upright(label, labels.geometry)


def expected(made: MadeScan, layout: str) -> tuple[np.ndarray, np.ndarray]:
    volume = volume_of(made)
    label = made.label
    if layout == "chaos":
        label = (label > 0).astype(np.uint8)
    if layout == "ircad":
        label = np.where((vessels_of(made) > 0) & (label == 1), 0, label)
    return upright(volume.array, volume.geometry), upright(label, volume.geometry)


@pytest.fixture(scope="module")
def made() -> MadeScan:
    return made_scan("x", lesion=True)


@pytest.mark.parametrize("layout", WRITERS)
def test_every_layout_gives_the_same_scan_checked_converted_and_cached(layout, made, tmp_path):
    root, plain, cache = tmp_path / "data", tmp_path / "plain", tmp_path / "cache"
    WRITERS[layout](root, made)
    (scan,) = list_scans(layout, root)
    assert scan.person == PERSONS[layout] == person_of(scan.case)
    hu, label = read(scan)
    true_hu, true_label = expected(made, layout)
    assert np.array_equal(hu, true_hu)
    assert np.array_equal(label, true_label)

    report = check_data([scan], root)
    assert not report.fatal, report.lines()
    assert report.scans[0].lesions == (0 if layout == "chaos" else 1)

    convert_scans([scan], plain)
    (again,) = list_scans("pairs", plain)
    assert again.case == scan.case
    for one, other in zip(read(again), (hu, label), strict=True):
        assert np.array_equal(one, other)

    cache_scan(scan, 4.0, cache / "one", 12.0)
    cache_scan(again, 4.0, cache / "other", 12.0)
    one, other = (load_cached(cache / name, scan.case) for name in ("one", "other"))
    assert one.image is not None and other.image is not None
    assert np.array_equal(one.label, other.label) and np.array_equal(one.image, other.image)
    assert one.known == other.known
    assert one.known.vessels == {"ircad": "kinds", "msd-task08": "vessels"}.get(layout, "none")

    cache_on_grid(
        scan, ScanConfig(spacing_mm=[4.0, 4.0, 4.0], region="liver", margin_mm=12.0), cache / "grid"
    )
    grid = load_cached(cache / "grid", scan.case)
    assert torch.equal(grid.image, one.image)
    assert torch.equal(grid.label > 0, one.label > 0)
    assert torch.equal(grid.label == Code.LESION, one.label == Code.LESION)


def test_every_adapter_is_tested_here_or_beside():
    assert set(ADAPTERS) == {*WRITERS, "project-whole", "project-3mm", "project-roi", "decathlon"}


def test_ircads_archives_are_read_as_they_come(made, tmp_path):
    write_ircad(tmp_path, made, zipped=True)
    (scan,) = list_scans("ircad", tmp_path)
    assert scan.ct.name == "PATIENT_DICOM.zip"
    for found, true in zip(read(scan), expected(made, "ircad"), strict=True):
        assert np.array_equal(found, true)
    scan.label.write_bytes(b"PK damaged")
    (finding,) = check_data([scan], tmp_path).fatal
    assert finding.file == "3Dircadb1.5/MASKS_DICOM.zip" and "no sound archive" in finding.text


def test_of_two_phases_in_one_series_the_segmented_one_is_read(made, tmp_path):
    write_hcc_tace(tmp_path, made, two_phases=True)
    (scan,) = list_scans("hcc-tace", tmp_path)
    assert np.array_equal(read(scan)[0], expected(made, "hcc-tace")[0])


def test_without_a_liver_task08_can_be_checked_and_converted_and_is_no_training_data(made, tmp_path):
    write_task08(tmp_path / "data", made, liver=False)
    (scan,) = list_scans("msd-task08", tmp_path / "data")
    report = check_data([scan], tmp_path / "data")
    assert not report.fatal and [note.check for note in report.notes if note.check == "no liver"]
    assert report.scans[0].lesions == 1
    with pytest.raises(InputRefused, match="nobody drew the liver"):
        cache_scan(scan, 4.0, tmp_path / "cache", None)
    convert_scans([scan], tmp_path / "plain")
    (again,) = list_scans("pairs", tmp_path / "plain")
    assert again.liver_value is None
    assert np.array_equal(read(again)[1], read(scan)[1])
    with pytest.raises(InputRefused, match="nobody drew the liver"):
        cache_on_grid(scan, ScanConfig(), tmp_path / "cache")


def test_a_table_of_persons_keeps_their_scans_together(made, tmp_path):
    write_pairs(tmp_path, made)
    other = made_scan("y", 3)
    write_array(other.hu.astype(np.int16), other.ct_affine, tmp_path / "images" / "second.nii.gz")
    write_array(other.label, other.label_affine, tmp_path / "labels" / "second.nii.gz")
    assert len({scan.person for scan in list_scans("pairs", tmp_path)}) == 2
    (tmp_path / "persons.csv").write_text("case,person\nfirst,anna\nsecond,anna\n")
    scans = list_scans("pairs", tmp_path)
    assert [scan.case for scan in scans] == ["anna__first", "anna__second"]
    assert {scan.person for scan in scans} == {person_of(scan.case) for scan in scans} == {"anna"}
    (tmp_path / "persons.csv").write_text("file,who\nfirst,anna\n")
    with pytest.raises(InputRefused, match="columns case and person"):
        list_scans("pairs", tmp_path)


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("persons.csv", "case,person\nfirst,anna\nfrist,anna\n", "names 'frist', and no image"),
        ("labels.json", '{"liver": 1, "lesion": 2, "lesions_unknown": ["one"]}', "names 'one', and no image"),
        ("persons.csv", "case,person\nfirst,ward/anna\n", "may hold no / or"),
        ("persons.csv", "case,person\nfirst,ward\\anna\n", "may hold no / or"),
        ("persons.csv", "case,person\nfirst,anna\nfirst,bob\n", "first is of anna and of bob"),
    ],
)
def test_what_is_said_of_cases_that_are_not_there_or_of_no_person_is_refused(
    file, text, reason, made, tmp_path
):
    write_pairs(tmp_path, made)
    (tmp_path / file).write_text(text)
    with pytest.raises(InputRefused, match=reason) as refused:
        list_scans("pairs", tmp_path)
    assert file in str(refused.value)


@pytest.mark.parametrize(
    ("drawn", "known", "codes"),
    [
        ((1, 2), "kinds", {3, 4}),
        ((1, 3), "vessels", {3, 5}),
        ((3,), "vessels", {5}),
        ((1,), "none", set()),
        ((2,), "none", set()),
        ((), "none", set()),
    ],
)
def test_vessels_are_told_apart_only_where_both_kinds_were_drawn(drawn, known, codes, made, tmp_path):
    write_pairs(tmp_path, made)
    vessels = np.zeros_like(made.label)
    for place, value in enumerate(drawn):
        vessels[10, 6:16, 6 + 3 * place : 8 + 3 * place] = value
    write_array(vessels, made.label_affine, tmp_path / "vessels" / "first.nii.gz")
    (scan,) = list_scans("pairs", tmp_path)
    cache_scan(scan, 4.0, tmp_path / "cache", 12.0)
    case = load_cached(tmp_path / "cache", "first")
    assert case.known.vessels == known
    assert {int(v) for v in case.label.unique()} == {0, 1, 2, *codes}


def test_an_anatomy_map_without_vessels_does_not_say_that_there_are_none(made, tmp_path):
    write_folder("project-whole", tmp_path, [made])
    anatomy = np.where(made.label > 0, 4, 1).astype(np.uint8)
    write_array(anatomy, made.ct_affine, tmp_path / "ct" / made.case / "anatomy.nii.gz")
    (scan,) = list_scans("project-whole", tmp_path)
    cache_scan(scan, 4.0, tmp_path / "cache", None)
    assert load_cached(tmp_path / "cache", made.case).known.vessels == "none"


def test_cases_can_be_left_out_by_name(made, tmp_path):
    write_pairs(tmp_path, made)
    write_array(made.label, made.label_affine, tmp_path / "labels" / "alone.nii.gz")
    assert [scan.case for scan in list_scans("pairs", tmp_path, ["alone"])] == ["first"]
    with pytest.raises(UsageError, match="no case other"):
        list_scans("pairs", tmp_path, ["other"])
    with pytest.raises(UsageError, match="every case"):
        list_scans("pairs", tmp_path, ["alone", "first"])


def test_labels_of_a_plain_folder_are_named(made, tmp_path):
    write_pairs(tmp_path, made)
    (tmp_path / "labels.json").write_text('{"liver": 2, "lesion": 1}')
    (scan,) = list_scans("pairs", tmp_path)
    assert (scan.liver_value, scan.lesion_value, scan.liver_only) == (2, 1, False)
    (tmp_path / "labels.json").write_text('{"liver": 1}')
    assert list_scans("pairs", tmp_path)[0].liver_only
    (tmp_path / "labels.json").write_text('{"lever": 1}')
    with pytest.raises(InputRefused, match="labels.json is damaged"):
        list_scans("pairs", tmp_path)


# --- damage


def remove(path: str) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        (found,) = root.glob(path)
        shutil.rmtree(found) if found.is_dir() else found.unlink()

    return damage


def surplus_value(root: Path) -> None:
    made = made_scan("x")
    made.label[5, 8, 8] = 7
    write_array(made.label, made.label_affine, root / "labelsTr" / "hepaticvessel_012.nii.gz")


def shifted_mask(root: Path) -> None:
    path = root / "3Dircadb1.5" / "MASKS_DICOM" / "liver" / "image_7"
    image = pydicom.dcmread(path)
    image.ImagePositionPatient = [x + 2.5 for x in image.ImagePositionPatient]
    image.save_as(path)


def other_grid(root: Path) -> None:
    (path,) = root.glob("HCC_017/*/300*/*.dcm")
    seg = pydicom.dcmread(path)
    seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [1.0, 1.0]
    seg.save_as(path)


DAMAGES = [
    ("lits", remove("Training Batch 2/*.gz"), "Training Batch 1/segmentation-3.nii", "does not exist"),
    ("msd-task08", surplus_value, "labelsTr/hepaticvessel_012.nii.gz", r"values [7]"),
    ("ircad", remove("3Dircadb1.5/MASKS_DICOM/liver"), "3Dircadb1.5/MASKS_DICOM", "no folder 'liver'"),
    ("ircad", shifted_mask, "3Dircadb1.5/MASKS_DICOM", "image_7 lies at"),
    ("chaos", remove("Train_Sets/CT/14/Ground/liver_GT_003.png"), "Train_Sets/CT/14/Ground", "15 pictures"),
    ("hcc-tace", other_grid, "1-1.dcm", "another pixel size"),
    ("pairs", remove("labels/first.nii.gz"), "labels/first.nii.gz", "does not exist"),
]


@pytest.mark.parametrize(("layout", "damage", "file", "reason"), DAMAGES)
def test_what_is_wrong_is_told_by_file_and_reason(layout, damage, file, reason, made, tmp_path):
    WRITERS[layout](tmp_path, made)
    damage(tmp_path)
    (finding,) = check_data(list_scans(layout, tmp_path), tmp_path).fatal
    assert finding.file.endswith(file)
    assert reason in finding.text


def test_a_segmentation_whose_ct_was_not_downloaded_is_told(made, tmp_path):
    write_hcc_tace(tmp_path, made)
    remove("HCC_017/*/103*")(tmp_path)
    findings = check_data(list_scans("hcc-tace", tmp_path), tmp_path).fatal
    assert all(f.check == "readable" and "names, is not there" in f.text for f in findings) and findings


@pytest.mark.parametrize("layout", WRITERS)
def test_an_empty_or_missing_folder_is_one_clear_line(layout, tmp_path):
    for root in (tmp_path / "missing", tmp_path):
        with pytest.raises(InputRefused, match=str(root)):
            list_scans(layout, root)


def test_the_scripts_take_every_layout(made, tmp_path, monkeypatch):
    def run(script: str, *arguments: object) -> None:
        path = str(ROOT / "scripts" / script)
        monkeypatch.setattr(sys, "argv", [path, *map(str, arguments)])
        with pytest.raises(SystemExit, match="0"):
            runpy.run_path(path, run_name="__main__")

    write_ircad(tmp_path / "data", made)
    given = ("--data", tmp_path / "data", "--adapter", "ircad")
    run("convert_data.py", *given, "--out", tmp_path / "plain")
    assert json.loads((tmp_path / "plain" / "labels.json").read_text())["liver"] == 1
    run("prepare_data.py", *given, "--cache", tmp_path / "cache", "--phantoms", 0)
    assert (tmp_path / "cache" / "stage2" / "ircad_05" / "case.json").is_file()
