"""The future liver remnant, against sums done by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from liverseg.case import Case, Remnant
from liverseg.cli import main
from liverseg.errors import UsageError
from liverseg.remnant import future_liver_remnant, remnant_outside_mask, standardized_liver_ml
from liverseg.writers import write_case
from liverseg.writers.volumes import write_nifti
from made_cases import make_case


def test_the_remnant_is_what_stays_without_its_tumor() -> None:
    case = make_case()
    by_name = {segment.name: segment for segment in case.segments}
    resected = ("V", "VI", "VII", "VIII")
    kept = sum(s.volume_ml - s.lesion_ml for name, s in by_name.items() if name not in resected)
    tumor = sum(lesion.volume_ml for lesion in case.lesions)
    remnant = future_liver_remnant(case.segments, ["VIII", "VI", "v", "VII"])
    assert remnant.resected == resected
    assert remnant.remnant_ml == pytest.approx(kept)
    assert remnant.percent_of_liver == pytest.approx(100 * kept / (case.liver.volume_ml - tumor))
    assert remnant.standardized_liver_ml is None
    assert remnant.percent_of_standardized is None


def test_all_segments_resected_leave_nothing() -> None:
    case = make_case()
    remnant = future_liver_remnant(case.segments, [segment.name for segment in case.segments])
    assert remnant.remnant_ml == 0.0
    assert remnant.percent_of_liver == 0.0


def test_segment_iv_means_both_of_its_parts() -> None:
    case = make_case(split_segment_4=True)
    whole = future_liver_remnant(case.segments, ["IV"])
    assert whole == future_liver_remnant(case.segments, ["IVb", "IVa"])
    assert whole.resected == ("IVa", "IVb")
    assert future_liver_remnant(case.segments, ["IVa"]).remnant_ml > whole.remnant_ml


def test_the_standardized_volume_is_vautheys() -> None:
    # BSA by Mosteller of 180 cm and 80 kg is exactly 2 m2.
    assert standardized_liver_ml(180, 80) == pytest.approx(-794.41 + 1267.28 * 2)
    case = make_case()
    remnant = future_liver_remnant(case.segments, ["I"], height_cm=165, weight_kg=62)
    expected = -794.41 + 1267.28 * math.sqrt(165 * 62 / 3600)
    assert remnant.standardized_liver_ml == pytest.approx(expected)
    assert remnant.percent_of_standardized == pytest.approx(100 * remnant.remnant_ml / expected)


@pytest.mark.parametrize("names", [["IX"], ["V", "left"], ["IVa"], [""], []])
def test_a_segment_that_this_liver_lacks_is_refused(names: list[str]) -> None:
    with pytest.raises(UsageError, match="segment"):
        future_liver_remnant(make_case().segments, names)


@pytest.mark.parametrize(
    ("height_cm", "weight_kg", "word"),
    [
        (1.75, 70, "height"),
        (175, 0, "weight"),
        (175, float("nan"), "weight"),
        (-175, 70, "height"),
        (175, None, "both"),
        (None, 70, "both"),
        (60, 12, "too small"),
    ],
)
def test_a_height_or_weight_of_no_adult_is_refused(
    height_cm: float | None, weight_kg: float | None, word: str
) -> None:
    with pytest.raises(UsageError, match=word):
        future_liver_remnant(make_case().segments, ["I"], height_cm, weight_kg)


def masks_of(case: Case, resected: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    masks = case.masks
    resect = np.isin(masks.couinaud, resected)
    return masks.liver, masks.lesions, resect, case.ct.geometry.voxel_volume_ml


def test_tumor_is_told_inside_and_outside_of_the_resected_part() -> None:
    case = make_case()
    total = sum(lesion.volume_ml for lesion in case.lesions)
    for names in (["V", "VI", "VII", "VIII"], ["II", "III"], ["I"]):
        remnant = future_liver_remnant(case.segments, names)
        gone = [s for s in case.segments if s.name in names]
        assert remnant.resected_ml == pytest.approx(sum(s.volume_ml for s in gone))
        assert remnant.tumor_resected_ml == pytest.approx(sum(s.lesion_ml for s in gone))
        assert remnant.tumor_resected_ml + remnant.tumor_left_ml == pytest.approx(total)
        assert remnant.resected_ml + remnant.remnant_ml + remnant.tumor_left_ml == pytest.approx(
            case.liver.volume_ml
        )


@pytest.mark.parametrize("split", [False, True])
def test_a_mask_of_whole_segments_gives_what_their_names_give(split: bool) -> None:
    case = make_case(split_segment_4=split)
    by_mask = remnant_outside_mask(*masks_of(case, (4, 9, 5, 8)), height_cm=170, weight_kg=70)
    by_name = future_liver_remnant(case.segments, ["IV", "V", "VIII"], 170, 70)
    assert by_mask.resected == ()
    for field in fields(Remnant):
        if field.name != "resected":
            assert getattr(by_mask, field.name) == pytest.approx(getattr(by_name, field.name)), field.name


def test_a_mask_may_cut_segments_and_lesions_and_reach_outside_the_liver() -> None:
    case = make_case()
    liver, lesions, _, voxel_ml = masks_of(case, (1,))
    resect = np.zeros_like(liver)
    resect[:, :, :20] = True
    remnant = remnant_outside_mask(liver, lesions, resect, voxel_ml)
    assert remnant.resected_ml == pytest.approx(liver[:, :, :20].sum() * voxel_ml)
    assert remnant.tumor_resected_ml == pytest.approx((lesions[:, :, :20] > 0).sum() * voxel_ml)
    assert remnant.remnant_ml == pytest.approx((liver & (lesions == 0))[:, :, 20:].sum() * voxel_ml)


def test_a_mask_that_resects_nothing_is_refused() -> None:
    liver, lesions, resect, voxel_ml = masks_of(make_case(), (5,))
    nothing = np.zeros_like(liver)
    with pytest.raises(UsageError, match="empty"):
        remnant_outside_mask(liver, lesions, nothing, voxel_ml)
    with pytest.raises(UsageError, match="outside of the liver"):
        remnant_outside_mask(liver, lesions, ~liver, voxel_ml)
    with pytest.raises(UsageError, match="no liver"):
        remnant_outside_mask(nothing, lesions, resect, voxel_ml)


def test_the_command_takes_a_mask_and_refuses_one_of_another_grid(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    case = make_case()
    write_case(case, tmp_path / "out", ["liver", "lesions", "report"])
    resect = np.isin(case.masks.couinaud, (5, 8)).astype(np.uint8)
    write_nifti(resect, case.ct.geometry, tmp_path / "resect.nii.gz")
    other = make_case((26, 34, 48), (2.5, 2.0, 1.6))
    write_nifti(other.masks.liver.astype(np.uint8), other.ct.geometry, tmp_path / "other.nii.gz")
    write_nifti(np.zeros_like(resect), case.ct.geometry, tmp_path / "empty.nii.gz")
    report = tmp_path / "out" / "report.json"
    before = report.read_bytes()
    for name, code, word in (
        ("other", 3, "grid"),
        ("empty", 2, "empty"),
        ("missing", 3, "does not exist"),
    ):
        arguments = ["flr", str(tmp_path / "out"), "--resect-mask", str(tmp_path / f"{name}.nii.gz")]
        assert main(arguments) == code
        lines = capfd.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert word in lines[0]
        assert report.read_bytes() == before
    assert main(["flr", str(tmp_path / "out"), "--resect-mask", str(tmp_path / "resect.nii.gz")]) == 0
    told = json.loads(report.read_text(encoding="utf-8"))["remnant"]
    by_name = future_liver_remnant(case.segments, ["V", "VIII"])
    assert told["remnant_ml"] == pytest.approx(by_name.remnant_ml, abs=1e-3)
    assert told["tumor_left_ml"] == pytest.approx(by_name.tumor_left_ml, abs=1e-3)
    schema = Path(__file__).parents[2] / "Resources" / "Schemas" / "report.schema.json"
    jsonschema.validate(
        json.loads(report.read_text(encoding="utf-8")), json.loads(schema.read_text(encoding="utf-8"))
    )
    with pytest.raises(SystemExit) as stopped:
        main(["flr", str(tmp_path / "out")])
    assert stopped.value.code == 2


def test_a_mask_beside_changed_label_maps_and_a_result_without_a_liver_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    case = make_case()
    write_case(case, tmp_path / "out", ["liver", "lesions", "report"])
    liver = case.masks.liver.copy()
    write_nifti(liver.astype(np.uint8), case.ct.geometry, tmp_path / "resect.nii.gz")
    liver[: liver.shape[0] // 2] = False
    write_nifti(liver.astype(np.uint8), case.ct.geometry, tmp_path / "out" / "liver.nii.gz")
    words = ["flr", str(tmp_path / "out" / "report.json")]
    assert main([*words, "--resect-mask", str(tmp_path / "resect.nii.gz")]) == 3
    assert "were changed since" in capfd.readouterr().err
    assert main([*words, "--resect", "V"]) == 0, "the report's own numbers"
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    report["liver"]["volume_ml"] = 0.0
    (tmp_path / "out" / "report.json").write_text(json.dumps(report), encoding="utf-8")
    assert main([*words, "--resect", "V"]) == 3
    assert "nothing to resect" in capfd.readouterr().err


def without(*keys: str) -> Callable[[dict], None]:
    """Take a key out of a report."""

    def change(report: dict) -> None:
        for key in keys[:-1]:
            report = report[key]
        del report[keys[-1]]

    return change


@pytest.mark.parametrize(
    "change",
    [
        without("liver"),
        without("liver", "complete"),
        without("method", "approximate"),
        lambda report: report.update(method=None),
        lambda report: report["segments"][0].update(volume_ml=None),
        lambda report: report["segments"][3].update(lesion_ml="12"),
        lambda report: report["segments"][3].update(volume_ml=float("nan")),
        lambda report: report["segments"][3].update(name=None),
    ],
)
def test_a_report_that_lacks_what_a_remnant_needs_is_refused_before_anything_is_written(
    change: Callable[[dict], None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    case = make_case()
    write_case(case, tmp_path, ["liver", "lesions", "report"])
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    change(report)
    (tmp_path / "report.json").write_text(json.dumps(report), encoding="utf-8")
    before = (tmp_path / "report.json").read_bytes()
    for what in (["--resect", "V"], ["--resect-mask", str(tmp_path / "liver.nii.gz")]):
        assert main(["flr", str(tmp_path), *what]) == 3
        told = capfd.readouterr().err.strip().splitlines()
        assert len(told) == 1 and "run LiverSeg again" in told[0]
        assert (tmp_path / "report.json").read_bytes() == before
