"""The files of a run: which ones, on which grid, and what is in them."""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from liverseg import writers
from liverseg.case import Remnant
from liverseg.errors import UsageError
from liverseg.geometry import Geometry
from liverseg.reading import read_labels
from liverseg.volume import Source
from liverseg.writers import DEFAULT_NAMES, OUTPUTS, Output, write_case
from liverseg.writers.tables import case_name, measurements_of
from writer_cases import empty_case, grids, make_case, on_other_axes

VOLUMES = ["liver", "couinaud", "lesions", "vessels", "ct_liver"]


@pytest.fixture(autouse=True)
def no_3d_view(monkeypatch: pytest.MonkeyPatch) -> None:
    """The 3D view has its own tests; here it would only cost seconds."""
    monkeypatch.setattr("liverseg.writers.preview.render_3d", lambda case, size: None)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_default_set_is_that_of_the_contract(tmp_path: Path) -> None:
    written = write_case(make_case(), tmp_path / "a" / "b")
    assert {p.name for p in (tmp_path / "a" / "b").iterdir()} == {
        *("report.json", "lesions.csv", "measurements.csv", "liver.nii.gz", "couinaud.nii.gz"),
        *("lesions.nii.gz", "vessels.nii.gz", "segmentation.seg.nrrd", "preview.png"),
    }
    assert set(written) == set(DEFAULT_NAMES)
    assert all(path.is_file() for path in written.values())


def test_a_case_without_vessels_has_no_vessel_file(tmp_path: Path) -> None:
    written = write_case(make_case(vessels=False), tmp_path, ["liver", "vessels"])
    assert set(written) == {"liver"}
    assert not (tmp_path / "vessels.nii.gz").exists()


def test_a_case_without_a_liver_gets_empty_valid_files(tmp_path: Path) -> None:
    written = write_case(empty_case(), tmp_path)
    assert not np.asarray(nibabel.load(written["liver"]).dataobj).any()
    assert rows_of(written["lesions_table"]) == []
    numbers = {(r["object"], r["quantity"]): r["value"] for r in rows_of(written["measurements"])}
    assert numbers["Liver", "volume"] == "0.0"
    assert numbers["Liver", "mean_attenuation"] == ""


def test_nifti_files_lie_where_the_ct_lies_on_every_axis_order(tmp_path: Path) -> None:
    upright = make_case()
    for n, (flips, axes) in enumerate(grids()):
        case = on_other_axes(upright, flips, axes)
        written = write_case(case, tmp_path / str(n), ["lesions"])
        image = nibabel.load(written["lesions"])
        np.testing.assert_allclose(image.affine, case.ct.geometry.ijk_to_ras, atol=1e-4)
        array = np.asarray(image.dataobj).transpose()
        assert np.array_equal(array, case.masks.lesions)
        # In the world, each lesion is where it was before the axes were turned.
        for lesion in upright.lesions:
            center = np.mean(np.nonzero(np.asarray(image.dataobj) == lesion.id), axis=1)
            world = nibabel.affines.apply_affine(image.affine, center)
            np.testing.assert_allclose(world, lesion.centroid_ras_mm, atol=1e-3)


def test_a_tilted_gantry_keeps_its_shear(tmp_path: Path) -> None:
    case = make_case()
    matrix = case.ct.geometry.ijk_to_ras.copy()
    matrix[:3, 2] += 0.25 * matrix[:3, 1]
    geometry = Geometry(case.ct.geometry.shape, matrix)
    case = replace(case, ct=replace(case.ct, geometry=geometry))
    image = nibabel.load(write_case(case, tmp_path, ["couinaud"])["couinaud"])
    np.testing.assert_allclose(image.affine, matrix, atol=1e-4)
    assert np.array_equal(np.asarray(image.dataobj).T, case.masks.couinaud)
    array, read = read_labels(tmp_path / "couinaud.nii.gz")
    assert read.matches(geometry)
    assert np.array_equal(array, case.masks.couinaud)


def test_volumes_have_the_labels_types_and_both_forms_of_the_affine(tmp_path: Path) -> None:
    case = make_case(split=True)
    written = write_case(case, tmp_path, VOLUMES)
    images = {name: nibabel.load(path) for name, path in written.items()}
    for image in images.values():
        np.testing.assert_allclose(image.get_sform(), case.ct.geometry.ijk_to_ras, atol=1e-4)
        np.testing.assert_allclose(image.get_qform(), case.ct.geometry.ijk_to_ras, atol=1e-4)
    assert images["liver"].get_data_dtype() == np.uint8
    assert images["couinaud"].get_data_dtype() == np.uint8
    assert images["lesions"].get_data_dtype() == np.uint16
    assert set(np.unique(images["couinaud"].dataobj)) == set(range(10))
    assert set(np.unique(images["vessels"].dataobj)) == {0, 1, 2}
    assert np.array_equal(np.asarray(images["couinaud"].dataobj).T, case.masks.couinaud)


def test_the_masked_ct_is_air_outside_the_liver_and_untouched_inside(tmp_path: Path) -> None:
    case = make_case()
    image = nibabel.load(write_case(case, tmp_path, ["ct_liver"])["ct_liver"])
    array = np.asarray(image.dataobj).T
    assert image.get_data_dtype() == np.int16
    assert np.array_equal(array[case.masks.liver], case.ct.array[case.masks.liver])
    assert set(np.unique(array[~case.masks.liver])) == {-1024}


def test_the_lesion_table_has_one_row_a_lesion(tmp_path: Path) -> None:
    case = make_case(split=True)
    rows = rows_of(write_case(case, tmp_path, ["lesions_table"])["lesions_table"])
    assert [r["id"] for r in rows] == ["1", "2"]
    first, lesion = rows[0], case.lesions[0]
    assert first["case"] == "liver_07"
    assert first["long_axis_mm"] == "12.1235"
    assert (first["share_II_percent"], first["share_III_percent"]) == ("60.0", "40.0")
    assert first["share_IVa_percent"] == first["share_IVb_percent"] == first["sphericity"] == ""
    point = [float(first[f"long_axis_p2_{axis}_mm"]) for axis in "ras"]
    np.testing.assert_allclose(point, lesion.long_axis_points_ras_mm[1], atol=1e-3)
    assert first["recist_measurable"] == "true"
    assert first["review_reader"] == "Dr. Müller | reader 2"
    whole = write_case(make_case(), tmp_path / "whole", ["lesions_table"])["lesions_table"]
    assert list(rows_of(whole)[0]) == list(first), "tables of many cases can be stacked"


def test_the_long_table_is_tidy_and_holds_every_number(tmp_path: Path) -> None:
    case = replace(make_case(), remnant=Remnant(("V", "VI"), 800.0, 55.5))
    path = write_case(case, tmp_path, ["measurements"])["measurements"]
    assert path.read_bytes().splitlines(keepends=True)[0] == b"case,object,quantity,value,unit\r\n"
    rows = rows_of(path)
    found = {(r["object"], r["quantity"]): (r["value"], r["unit"]) for r in rows}
    assert len(found) == len(rows)
    assert found["Liver", "mean_attenuation"] == ("104.25", "HU")
    assert found["Segment IV", "share_of_liver"] == ("12.5", "%")
    assert found["Lesion 2", "long_axis"] == ("12.1235", "mm")
    assert found["Lesion 1", "share_in_III"] == ("40.0", "%")
    assert found["Lesion 1", "sphericity"] == ("", "1")
    assert found["Remnant", "share_of_liver"] == ("55.5", "%")
    assert found["Remnant", "standardized_liver_volume"] == ("", "ml")
    assert {r["case"] for r in rows} == {"liver_07"}
    assert [r["value"] for r in rows if r["value"]] == [r["value"] for r in rows if _is_number(r["value"])]


def _is_number(text: str) -> bool:
    return bool(text) and np.isfinite(float(text))


def test_numbers_that_are_none_or_not_finite_are_empty_cells(tmp_path: Path) -> None:
    case = make_case()
    case = replace(case, liver=replace(case.liver, sd_hu=float("nan"), mean_hu=None))
    rows = rows_of(write_case(case, tmp_path, ["measurements"])["measurements"])
    values = {r["quantity"]: r["value"] for r in rows if r["object"] == "Liver"}
    assert values["sd_attenuation"] == values["mean_attenuation"] == ""
    assert next(measurements_of(case)) == ("Liver", "volume", case.liver.volume_ml, "ml")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (Source("file", "/data/a b/ct.NII.GZ", "cd" * 32), "ct"),
        (Source("dicom", "DOE^JANE portal", "cd" * 32), "cdcdcdcdcdcd"),
        (Source("array", "", "cd" * 32), "cdcdcdcdcdcd"),
    ],
)
def test_a_case_is_named_by_its_file_but_never_by_a_dicom_name(source: Source, name: str) -> None:
    case = make_case()
    assert case_name(replace(case, ct=replace(case.ct, source=source))) == name


def test_no_file_of_a_dicom_case_holds_the_series_name(tmp_path: Path) -> None:
    case = make_case()
    case = replace(case, ct=replace(case.ct, source=Source("dicom", "DOE^JANE", "cd" * 32)))
    for path in write_case(case, tmp_path).values():
        assert b"DOE" not in path.read_bytes(), path.name


def test_an_unknown_output_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'pictures'.*report") as caught:
        write_case(make_case(), tmp_path / "out", ["report", "pictures"])
    assert all(name in str(caught.value) for name in OUTPUTS)
    assert not (tmp_path / "out").exists()


def test_a_writer_whose_library_is_missing_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = Output(
        "scene.mrb", "no_such_package_here:write", on_request=True, needs="the package slicer-core"
    )
    monkeypatch.setitem(writers.OUTPUTS, "scene", missing)
    with pytest.raises(UsageError, match=r"'scene' needs the package slicer-core"):
        write_case(make_case(), tmp_path / "out", ["report", "scene"])
    assert not (tmp_path / "out").exists()


def test_the_registry_loads_no_heavy_library() -> None:
    program = (
        "import sys, liverseg.writers; "
        "print([m for m in ('torch', 'monai', 'vtk', 'slicer', 'PIL', 'liverseg_mrml') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=Path(writers.__file__).parents[2],
    )
    assert result.stdout.strip() == "[]"
