"""Labeled scans are found in both layouts, and a damaged one is named before anything is trained."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from liverseg.errors import InputRefused, LiverSegError, UsageError
from liverseg.reading import read_labels
from liverseg.training.cached_cases import cached_names
from liverseg.training.datasets import decathlon_folder, list_scans, project_folder, standard_label
from liverseg.training.integrity import DataReport, check_data
from made_data import LAYOUTS, SHAPE, MadeScan, made_scan, paths, write_array, write_folder

CASES = {"project-whole": "ircad_01", "project-roi": "ircad_01", "decathlon": "liver_3"}


def check(layout: str, root: Path) -> DataReport:
    return check_data(list_scans(layout, root), root)


# --- adapters


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_scans_and_their_persons(layout, tmp_path):
    names = ["lits_001", "lits_000"] if layout != "decathlon" else ["liver_1", "liver_0"]
    write_folder(layout, tmp_path, [made_scan(name, n) for n, name in enumerate(names)])
    scans = list_scans(layout, tmp_path)
    assert [scan.case for scan in scans] == sorted(names)
    assert {scan.person for scan in scans} == {"lits_000"}, "two scans of one person, whatever their names"
    assert all(scan.ct.is_file() and scan.label.is_file() and not scan.liver_only for scan in scans)


def test_a_full_size_scan_goes_before_compact_versions(tmp_path):
    write_folder("project-roi", tmp_path, [made_scan("lits_004"), made_scan("lits_005")])
    write_folder("project-whole", tmp_path, [made_scan("lits_004")])
    assert [scan.ct.name for scan in project_folder(tmp_path, "roi")] == ["ct.nii.gz", "ct_roi.nii.gz"]
    assert [scan.case for scan in project_folder(tmp_path, "whole")] == ["lits_004"]
    assert [scan.case for scan in project_folder(tmp_path, "3mm")] == ["lits_004"]


def test_a_project_scan_brings_its_other_maps(tmp_path):
    write_folder("project-roi", tmp_path, [made_scan("ircad_02")])
    folder = tmp_path / "ct" / "ircad_02"
    others = ["couinaud_roi_a.nii.gz", "couinaud_roi_b.nii.gz", "vessels_roi.nii.gz"]
    for path in [folder / name for name in others] + [tmp_path / "anatomy" / "ircad_02.nii.gz"]:
        write_array(made_scan("x").label, np.eye(4), path)
    (scan,) = project_folder(tmp_path, "roi")
    assert [path.name for path in scan.couinaud] == others[:2]
    assert scan.vessels == folder / others[2]
    assert scan.anatomy == tmp_path / "anatomy" / "ircad_02.nii.gz"


def test_a_label_of_the_liver_alone_is_known_as_such(tmp_path):
    write_folder("project-whole", tmp_path, [made_scan(n, lesion=False) for n in ("chaos_03", "lits_004")])
    for label in tmp_path.glob("ct/*/liver_lesion.nii.gz"):
        label.rename(label.with_name("liver.nii.gz"))
    donor, patient = project_folder(tmp_path, "whole")
    assert patient.liver_only
    assert not donor.liver_only, "a healthy donor's liver label says that there are no lesions"


def test_labels_made_by_a_program_are_left_out(tmp_path):
    write_folder("project-whole", tmp_path, [made_scan("totalseg_example"), made_scan("lits_002")])
    assert [scan.case for scan in project_folder(tmp_path, "whole")] == ["lits_002"]


@pytest.mark.parametrize(
    "labels",
    [{"0": "background", "2": "Liver", "1": "Tumour"}, {"background": 0, "liver": 2, "cancer": 1}],
)
def test_decathlon_labels_are_read_by_name(tmp_path, labels):
    made = made_scan("liver_7")
    made.label = np.array([0, 2, 1], np.uint8)[made.label]
    write_folder("decathlon", tmp_path, [made])
    content = json.loads((tmp_path / "dataset.json").read_text()) | {"labels": labels}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    (scan,) = decathlon_folder(tmp_path)
    assert np.array_equal(standard_label(read_labels(scan.label)[0], scan), made_scan("x").label)
    assert not check("decathlon", tmp_path).fatal


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_empty_or_missing_folder_is_one_clear_error(layout, tmp_path):
    for root in (tmp_path / "missing", tmp_path):
        with pytest.raises(InputRefused, match=str(root)):
            list_scans(layout, root)
    for name in ("ct", "imagesTr", "labelsTr"):
        (tmp_path / name).mkdir()
    with pytest.raises(InputRefused, match="no labeled scan|dataset.json"):
        list_scans(layout, tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "no Decathlon description"),
        ('{"labels": {"1": "liver"}}', "'training'"),
        ('{"labels": {"1": "spleen"}, "training": [{"image": "a", "label": "b"}]}', "no label 'liver'"),
        ('{"labels": {"1": "liver"}, "training": []}', "no training pair"),
        ('{"labels": ["liver"], "training": []}', "no Decathlon description"),
    ],
)
def test_a_damaged_decathlon_description_is_one_clear_error(tmp_path, content, reason):
    for name in ("imagesTr", "labelsTr"):
        (tmp_path / name).mkdir()
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(InputRefused, match=reason):
        decathlon_folder(tmp_path)


def test_an_unknown_adapter_or_version_is_named_with_the_known_ones(tmp_path):
    with pytest.raises(UsageError, match="decathlon"):
        list_scans("nifti", tmp_path)
    with pytest.raises(UsageError, match="3mm"):
        project_folder(tmp_path, "5mm")
    assert issubclass(UsageError, LiverSegError)


# --- integrity


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_sound_folder_has_nothing_fatal_and_true_facts(layout, tmp_path):
    made = made_scan(CASES[layout])
    report = check(layout, write_folder(layout, tmp_path, [made]))
    assert not report.fatal
    (scan,) = report.scans
    assert scan.size_ijk == SHAPE[::-1] and scan.spacing_ijk_mm == (4.0, 4.0, 5.0)
    assert scan.lesions == 1
    assert scan.lesion_ml == pytest.approx((made.label == 2).sum() * 0.08)
    assert scan.liver_ml == pytest.approx((made.label > 0).sum() * 0.08, abs=0.1)


def smaller_label(made: MadeScan) -> None:
    made.label = made.label[:-1]


def moved_label(made: MadeScan) -> None:
    made.label_affine[0, 3] += 3.0


def flipped_label(made: MadeScan) -> None:
    made.label_affine[0, 0] *= -1


def huge_voxels(made: MadeScan) -> None:
    made.ct_affine[:3, :3] *= 5
    made.label_affine[:3, :3] *= 5


def unknown_value(made: MadeScan) -> None:
    made.label[5, 8, 8] = 7


def no_liver(made: MadeScan) -> None:
    made.label[:] = 0


def stray_lesion(made: MadeScan) -> None:
    made.label[1:3, 20:22, 22:24] = 2


def some_nan(made: MadeScan) -> None:
    made.hu[3, 5, 6:9] = np.nan


def infinite(made: MadeScan) -> None:
    made.hu[3, 5, 6] = np.inf


def normalized(made: MadeScan) -> None:
    made.hu = (made.hu + 1100) / 2200


DAMAGES: list[tuple[Callable[[MadeScan], None], str, str, str]] = [
    (smaller_label, "grid", "label", "28 x 24 x 15 voxels, but .* has 28 x 24 x 16"),
    (moved_label, "grid", "label", "lies elsewhere than"),
    (flipped_label, "grid", "label", "lies elsewhere than"),
    (huge_voxels, "spacing", "ct", "voxels of 20 x 20 x 25 mm"),
    (unknown_value, "label values", "label", r"holds the values \[7\]"),
    (no_liver, "empty label", "label", "holds no liver"),
    (stray_lesion, "stray lesion", "label", "1 lesions of up to 0.64 ml touch no liver"),
    (some_nan, "numbers", "ct", "NaN"),
    (infinite, "numbers", "ct", "NaN or infinite"),
    (normalized, "values", "ct", "no HU"),
]


@pytest.mark.parametrize("layout", ["project-roi", "decathlon"])
@pytest.mark.parametrize(("damage", "word", "which", "reason"), DAMAGES, ids=[d[0].__name__ for d in DAMAGES])
def test_one_damage_is_one_fatal_finding_with_file_and_reason(layout, damage, word, which, reason, tmp_path):
    sound, damaged = made_scan("lits_020", 1), made_scan(CASES[layout], 2)
    damage(damaged)
    write_folder(layout, tmp_path, [sound, damaged])
    report = check(layout, tmp_path)
    file = paths(layout, tmp_path, damaged.case)[which == "label"].relative_to(tmp_path).as_posix()
    assert [(f.check, f.file) for f in report.fatal] == [(word, file)]
    found = report.fatal[0].text
    assert re.search(reason, found), found
    assert not next(s for s in report.scans if s.case == "lits_020").fatal
    assert f"FATAL {word}: {file}: {found}" in report.lines()


@pytest.mark.parametrize("layout", ["project-roi", "decathlon"])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("how", ["missing", "cut off", "text"])
def test_a_file_that_cannot_be_read_is_named(layout, which, how, tmp_path):
    write_folder(layout, tmp_path, [made_scan(CASES[layout])])
    path = paths(layout, tmp_path, CASES[layout])[which]
    if how == "missing":
        if layout == "project-roi" and which == 0:
            path.rename(path.with_name("ct_3mm.nii.gz"))
            with pytest.raises(InputRefused, match="no labeled scan"):
                check(layout, tmp_path)
            return
        path.unlink()
    else:
        path.write_bytes(
            path.read_bytes()[: path.stat().st_size * 2 // 3] if how == "cut off" else b"not an image"
        )
    report = check(layout, tmp_path)
    assert [(f.check, f.file) for f in report.fatal] == [("readable", path.relative_to(tmp_path).as_posix())]


def test_a_flat_or_four_dimensional_file_is_named(tmp_path):
    import SimpleITK as sitk  # noqa: N813

    write_folder("decathlon", tmp_path, [made_scan("liver_3")])
    ct, _ = paths("decathlon", tmp_path, "liver_3")
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2, *SHAPE), np.int16), isVector=False), str(ct))
    (finding,) = check("decathlon", tmp_path).fatal
    assert finding.file == "imagesTr/liver_3.nii.gz" and "4D" in finding.text
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((24, 28), np.int16)), str(ct))
    (finding,) = check("decathlon", tmp_path).fatal
    assert finding.file == "imagesTr/liver_3.nii.gz" and "2D" in finding.text


def test_clipped_scans_are_told_and_not_refused(tmp_path):
    made = made_scan("lits_014")
    made.hu = np.clip(made.hu, -160, 240)
    report = check("project-roi", write_folder("project-roi", tmp_path, [made]))
    assert not report.fatal
    assert any("clipped at -160" in note.text for note in report.notes)


def test_a_lesion_at_the_livers_rim_touches_it_and_a_slip_of_the_brush_is_a_note(tmp_path):
    made = made_scan("lits_014")
    made.label[6:9, 9:12, 2:5] = 2
    made.label[1, 22, 25] = 2
    report = check("project-roi", write_folder("project-roi", tmp_path, [made]))
    assert not report.fatal
    assert [note.text for note in report.notes if note.check == "stray lesion"] == [
        "1 lesions of up to 0.08 ml touch no liver"
    ]


def test_the_same_voxels_under_two_persons_are_fatal_and_of_one_person_a_note(tmp_path):
    write_folder("project-roi", tmp_path, [made_scan("lits_014"), made_scan("lits_015")])
    report = check("project-roi", tmp_path)
    assert not report.fatal and [note.check for note in report.notes if note.check == "duplicate"]
    write_folder("project-roi", tmp_path, [made_scan("lits_020")])
    (finding,) = check("project-roi", tmp_path).fatal
    assert finding.check == "duplicate" and finding.file == "ct/lits_020/ct_roi.nii.gz"


def test_segments_and_vessels_are_checked_on_the_labels_grid(tmp_path):
    write_folder("project-roi", tmp_path, [made_scan("ircad_02")])
    folder, made = tmp_path / "ct" / "ircad_02", made_scan("ircad_02")
    write_array(made.label * 50, made.label_affine, folder / "couinaud_roi.nii.gz")
    write_array(made.label[1:], made.label_affine, folder / "vessels_roi.nii.gz")
    found = {(f.check, f.file.split("/")[-1]) for f in check("project-roi", tmp_path).fatal}
    assert found == {("label values", "couinaud_roi.nii.gz"), ("grid", "vessels_roi.nii.gz")}


# --- the scripts


def exit_code(root: Path, monkeypatch: pytest.MonkeyPatch, script: str, *arguments: object) -> int:
    """What a script exits with, run in this process."""
    path = str(root / "scripts" / script)
    monkeypatch.setattr(sys, "argv", [path, *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(path, run_name="__main__")
    return int(ended.value.code)


def run_script(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = Path(__file__).resolve().parents[2] / "scripts" / "check_data.py"
    return subprocess.run(
        [sys.executable, str(script), "--data", str(root), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_script_exits_by_what_it_found_and_writes_its_report(tmp_path):
    root, out = tmp_path / "data", tmp_path / "report.json"
    made = made_scan("liver_3")
    write_folder("decathlon", root, [made])
    done = run_script(root, "--adapter", "decathlon", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1].startswith("1 scan of 1 person: 0 fatal")
    unknown_value(made)
    write_folder("decathlon", root, [made])
    done = run_script(root, "--adapter", "decathlon", "--out", str(out))
    assert done.returncode == 1, done.stderr
    assert "FATAL label values: labelsTr/liver_3.nii.gz" in done.stdout
    report = json.loads(out.read_text())
    assert report["fatal"] == 1
    (finding,) = [f for f in report["scans"][0]["findings"] if f["fatal"]]
    assert (finding["check"], finding["file"]) == ("label values", "labelsTr/liver_3.nii.gz")
    done = run_script(tmp_path / "nowhere", "--adapter", "decathlon")
    assert done.returncode == 3 and "Traceback" not in done.stderr


def damage_map(root: Path) -> str:
    """A Couinaud map without a CT that is no image."""
    (root / "couinaud").mkdir()
    (root / "couinaud" / "lits_070.nii.gz").write_bytes(b"garbage")
    return "couinaud/lits_070.nii.gz"


def damage_anatomy(root: Path) -> str:
    """A map of the anatomy that is no image."""
    (root / "ct" / "ircad_02" / "anatomy.nii.gz").write_bytes(b"garbage")
    return "ct/ircad_02/anatomy.nii.gz"


@pytest.mark.parametrize("damage", [damage_map, damage_anatomy])
def test_a_damaged_map_beside_the_scans_is_found_before_anything_is_written(
    damage, root, tmp_path, monkeypatch, capsys
):
    data, cache = (
        write_folder("project-whole", tmp_path / "data", [made_scan("ircad_02")]),
        tmp_path / "cache",
    )
    file = damage(data)
    given = ("--data", data, "--adapter", "project-whole")
    assert exit_code(root, monkeypatch, "check_data.py", *given) == 1
    assert f"FATAL readable: {file}: " in capsys.readouterr().out
    assert exit_code(root, monkeypatch, "prepare_data.py", *given, "--cache", cache, "--phantoms", 0) == 1
    assert f"FATAL readable: {file}: " in capsys.readouterr().err
    assert not cache.exists()


def test_who_is_left_out_is_left_out_of_the_couinaud_maps_too(root, tmp_path, monkeypatch):
    made = [made_scan("lits_014", 1), made_scan("lits_020", 2)]
    data, cache = write_folder("project-whole", tmp_path / "data", made), tmp_path / "cache"
    for name in ("lits_015", "lits_020", "lits_070"):
        write_array(3 * (made[0].label > 0), made[0].label_affine, data / "couinaud" / f"{name}.nii.gz")
    given = ("--data", data, "--adapter", "project-whole", "--cache", cache, "--phantoms", 0)
    assert exit_code(root, monkeypatch, "prepare_data.py", *given, "--exclude", "lits_014") == 0
    assert cached_names(cache / "stage2") == ["lits_020"]
    assert cached_names(cache / "couinaud") == ["lits_020", "lits_070"], "014 and 015 are one person"


def test_a_cache_that_cannot_be_made_is_one_clear_line(root, tmp_path, monkeypatch, capsys):
    data, cache = write_folder("project-whole", tmp_path / "data", [made_scan("lits_020")]), tmp_path / "file"
    cache.touch()
    given = ("--data", data, "--adapter", "project-whole", "--cache", cache, "--phantoms", 0)
    assert exit_code(root, monkeypatch, "prepare_data.py", *given) == 2
    assert "prepare_data: cannot write" in capsys.readouterr().err


# --- real scans


@pytest.mark.data
def test_the_real_scans_are_listed_and_sound(data):
    scans = list_scans("project-roi", data)
    assert len(scans) >= 25 and len({scan.person for scan in scans}) < len(scans)
    report = check_data(scans[:6], data)
    assert not report.fatal, report.lines()
    assert any(scan.lesions for scan in report.scans)
