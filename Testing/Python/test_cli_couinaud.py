"""The Couinaud methods at the shell's door."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from liverseg.cli import main
from liverseg.phantom import make_phantom, write_nifti


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(seed=78, shape_kji=(64, 96, 110), spacing_kji=(4.0, 3.6, 3.4))


@pytest.fixture(scope="module")
def patient(phantom, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("patient")
    write_nifti(phantom, folder)
    return folder


@pytest.fixture(autouse=True)
def no_3d_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """The preview's 3D picture has tests of its own, and would cost a second a run."""
    monkeypatch.setattr("liverseg.writers.preview.render_3d", lambda case, size: None)


def labels_of(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def couinaud(patient: Path, out: Path, *options: str) -> int:
    return main(["couinaud", str(patient / "liver.nii.gz"), "-o", str(out), *options])


def test_vessels_guide_the_split_when_they_are_given(patient, tmp_path, capsys):
    out = tmp_path / "vessels.nii.gz"
    assert couinaud(patient, out, "--vessels", str(patient / "vessels.nii.gz"), "--split-segment-4") == 0
    assert "guided by vessels, confidence 0." in capsys.readouterr().out
    assert set(np.unique(labels_of(out))) == set(range(10))


def test_a_method_without_its_vessels_warns_and_falls_back(patient, tmp_path, capsys):
    assert couinaud(patient, tmp_path / "c.nii.gz", "--method", "vessels") == 0
    said = capsys.readouterr()
    assert "no vessels were given" in said.err
    assert "learned from shape" in said.out


def test_saved_landmarks_can_be_moved_and_given_back(patient, tmp_path, capsys):
    first, second, points = (tmp_path / n for n in ("a.nii.gz", "b.nii.gz", "points.mrk.json"))
    assert couinaud(patient, first, "--method", "landmarks", "--save-landmarks", str(points)) == 0
    assert "guessed from the liver's shape" in capsys.readouterr().err
    markups = json.loads(points.read_text())
    for point in markups["markups"][0]["controlPoints"]:
        if point["label"] == "portal_bifurcation":
            point["position"][2] += 25
    points.write_text(json.dumps(markups))
    assert couinaud(patient, second, "--landmarks", str(points)) == 0
    assert "planes from landmarks" in capsys.readouterr().out
    upper = [np.count_nonzero(np.isin(labels_of(path), (7, 8))) for path in (first, second)]
    assert upper[1] < 0.9 * upper[0]


def test_bad_guides_are_refused_and_nothing_is_written(patient, tmp_path):
    out = tmp_path / "c.nii.gz"
    wrong = tmp_path / "wrong.json"
    wrong.write_text("[]")
    assert couinaud(patient, out, "--landmarks", str(wrong)) == 3
    assert couinaud(patient, out, "--landmarks", str(tmp_path / "none.json")) == 3
    assert couinaud(patient, out, "--vessels", str(patient / "ct.nii.gz")) == 3
    assert couinaud(patient, out, "--save-landmarks", str(tmp_path / "points.json")) == 2
    assert not out.exists()


@pytest.mark.parametrize("flag", ["--report", "--save-landmarks"])
def test_two_outputs_of_one_name_are_refused(patient, tmp_path, monkeypatch, capsys, flag):
    monkeypatch.chdir(tmp_path)
    out, same = Path("c.nii.gz"), tmp_path / "c.nii.gz"
    if flag == "--save-landmarks":
        monkeypatch.setattr("liverseg.cli.couinaud.LANDMARK_SUFFIX", ".nii.gz")
    assert couinaud(patient, out, flag, str(same), "--overwrite") == 2
    assert "are one file" in capsys.readouterr().err
    assert not same.exists()


@pytest.mark.parametrize("name", ["folder", "file/report.json", f"{'n' * 250}.json"])
def test_a_report_that_cannot_be_written_is_told_before_the_work(tmp_path, capsys, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    words = ["couinaud", str(tmp_path / "no_mask.nii.gz"), "-o", str(tmp_path / "new" / "c.nii.gz")]
    assert main([*words, "--report", str(tmp_path / name), "--overwrite"]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1 and "no_mask" not in said
    assert not (tmp_path / "new").exists()


def test_when_one_output_fails_none_appears(patient, tmp_path, monkeypatch, capsys):
    def full(split: object, bundle: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("liverseg.cli.couinaud._report", full)
    options = ["--report", str(tmp_path / "report.json"), "--save-landmarks", str(tmp_path / "p.mrk.json")]
    assert couinaud(patient, tmp_path / "c.nii.gz", *options) == 2
    assert "report.json: no space left" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_measure_splits_by_the_method_asked_for_when_the_masks_hold_no_segments(patient, phantom, tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    for name in ("liver", "vessels"):
        (masks / f"{name}.nii.gz").write_bytes((patient / f"{name}.nii.gz").read_bytes())
    out = tmp_path / "out"
    asked = ["--couinaud-method", "vessels"]
    assert main(["measure", str(patient / "ct.nii.gz"), "--masks", str(masks), "-o", str(out), *asked]) == 0
    method = json.loads((out / "report.json").read_text())["method"]
    assert method["name"] == "guided by vessels"
    assert 0.5 < method["confidence"] < 1


def test_measure_keeps_the_segments_that_were_drawn_and_splits_the_rest_anew(patient, tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    (masks / "liver.nii.gz").write_bytes((patient / "liver.nii.gz").read_bytes())
    image = sitk.ReadImage(str(patient / "couinaud.nii.gz"))
    drawn = sitk.GetArrayFromImage(image)
    levels = np.flatnonzero(drawn.any(axis=(1, 2)))
    drawn[: levels[0] + len(levels) // 4] = 0
    part = sitk.GetImageFromArray(drawn)
    part.CopyInformation(image)
    sitk.WriteImage(part, str(masks / "couinaud.nii.gz"))
    out = tmp_path / "out"
    assert main(["measure", str(patient / "ct.nii.gz"), "--masks", str(masks), "-o", str(out)]) == 0
    found = labels_of(out / "couinaud.nii.gz")
    assert np.array_equal(found[drawn > 0], drawn[drawn > 0])
    report = json.loads((out / "report.json").read_text())
    assert report["provenance"]["weights_sha256"].keys() == {"couinaud"}, "the network was called in"


def measured(patient: Path, out: Path, change: Callable[[np.ndarray], None], *flags: str) -> dict:
    """The report of the patient's masks with changed segments."""
    masks = out.parent / f"{out.name}_masks"
    masks.mkdir()
    for name in ("liver", "lesions"):
        (masks / f"{name}.nii.gz").write_bytes((patient / f"{name}.nii.gz").read_bytes())
    image = sitk.ReadImage(str(patient / "couinaud.nii.gz"))
    drawn = sitk.GetArrayFromImage(image)
    change(drawn)
    changed = sitk.GetImageFromArray(drawn)
    changed.CopyInformation(image)
    sitk.WriteImage(changed, str(masks / "couinaud.nii.gz"))
    words = ["measure", str(patient / "ct.nii.gz"), "--masks", str(masks), "-o", str(out), *flags]
    assert main(words) == 0
    return json.loads((out / "report.json").read_text())


def test_measure_tells_that_drawn_segments_are_kept_whatever_method_is_asked_for(patient, tmp_path):
    report = measured(patient, tmp_path / "out", lambda drawn: None, "--couinaud-method", "landmarks")
    assert any("are kept" in warning for warning in report["warnings"])
    plain = measured(patient, tmp_path / "plain", lambda drawn: None)
    assert not any("are kept" in warning for warning in plain["warnings"])


def test_drawn_segments_are_checked_as_a_new_split_is(patient, tmp_path):
    def without_the_caudate(drawn: np.ndarray) -> None:
        drawn[drawn == 1] = 8

    report = measured(patient, tmp_path / "out", without_the_caudate)
    assert report["method"]["approximate"]
    assert any("segment I" in warning and "approximate" in warning for warning in report["warnings"])


def test_an_edited_result_is_split_by_another_method_and_keeps_the_edits(patient, phantom, tmp_path):
    """Segment VIII gains a ball from V; a piece is added to the liver; then planes through landmarks."""
    before = tmp_path / "before"
    before.mkdir()
    image = sitk.ReadImage(str(patient / "liver.nii.gz"))
    whole = sitk.GetArrayFromImage(image)
    levels = np.flatnonzero(whole.any(axis=(1, 2)))
    less = whole.copy()
    less[: levels[0] + 4] = 0
    first = np.where(less > 0, labels_of(patient / "couinaud.nii.gz"), 0).astype(np.uint8)
    write_like(image, less, before / "liver.nii.gz")
    write_like(image, first, before / "couinaud.nii.gz")

    edited = tmp_path / "edited"
    edited.mkdir()
    drawn = first.copy()
    z, y, x = np.indices(drawn.shape)
    touching = np.argwhere((drawn == 5) & (np.roll(drawn == 8, -1, axis=0) | np.roll(drawn == 8, 1, axis=0)))
    k, j, i = touching[len(touching) // 2]
    ball = (drawn == 5) & (16 * (z - k) ** 2 + 13 * (y - j) ** 2 + 11.6 * (x - i) ** 2 < 15**2)
    drawn[ball] = 8
    write_like(image, drawn, edited / "couinaud.nii.gz")
    write_like(image, whole, edited / "liver.nii.gz")

    out = tmp_path / "out"
    flags = ["--edited-since", str(before), "--couinaud-method", "landmarks", "--split-segment-4"]
    ct = str(patient / "ct.nii.gz")
    assert main(["measure", ct, "--masks", str(edited), "-o", str(out), *flags]) == 0
    found = labels_of(out / "couinaud.nii.gz")
    report = json.loads((out / "report.json").read_text())
    assert report["method"]["name"] == "planes from landmarks"
    assert any("drawn by hand and kept" in warning for warning in report["warnings"])
    assert ball.sum() > 30 and np.all(found[ball] == 8), "the person's stroke is kept"
    assert np.array_equal(found > 0, whole > 0), "the added liver has segments, too"
    assert set(np.unique(found)) == set(range(10)), "IVa and IVb were asked for"
    planes = tmp_path / "planes.nii.gz"
    assert couinaud(patient, planes, "--method", "landmarks", "--split-segment-4") == 0
    far = np.isin(drawn, (2, 3)) & (whole > 0)
    assert np.array_equal(found[far], labels_of(planes)[far]), "all else is that of the new method"
    assert not np.array_equal(found[far], drawn[far])


def test_the_result_before_the_edits_must_hold_segments(patient, tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    (masks / "liver.nii.gz").write_bytes((patient / "liver.nii.gz").read_bytes())
    words = ["measure", str(patient / "ct.nii.gz"), "--masks", str(patient), "-o", str(tmp_path / "out")]
    assert main([*words, "--edited-since", str(masks)]) == 3
    assert main([*words, "--edited-since", str(tmp_path / "nowhere")]) == 3
    assert not (tmp_path / "out").exists()


def write_like(image: sitk.Image, array: np.ndarray, path: Path) -> None:
    written = sitk.GetImageFromArray(array)
    written.CopyInformation(image)
    sitk.WriteImage(written, str(path))


def test_the_mask_is_never_replaced_by_its_own_segments(tmp_path: Path, capfd) -> None:
    mask = tmp_path / "liver.nii.gz"
    mask.write_bytes(b"mine")
    again = tmp_path / "x" / ".." / "liver.nii.gz"
    assert main(["couinaud", str(mask), "-o", str(again), "--overwrite"]) == 2
    assert "is an input of the same command" in capfd.readouterr().err
    assert mask.read_bytes() == b"mine"
