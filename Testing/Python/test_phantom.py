"""The made-up patient is the ground truth of other tests: here its own truth is held to known answers."""

import itertools
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from liverseg.errors import UsageError
from liverseg.geometry import CanonicalOrder
from liverseg.phantom import PlannedLesion, make_grid, make_phantom, write_nifti
from liverseg.phantom_dicom import SeriesTags, write_dicom_series
from liverseg.phantom_other import make_head_phantom, make_knee_phantom, water_box
from liverseg.phantom_patient import Patient
from liverseg.volume import Volume

SMALL = {"shape_kji": (75, 96, 120), "spacing_kji": (4.0, 3.0, 3.0)}
SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "make_phantom.py"


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(seed=3, **SMALL, noise_hu=0)


def volume_ml(mask, phantom):
    return mask.sum() * phantom.ct.geometry.voxel_volume_ml


def center_ras(mask, phantom):
    return phantom.ct.geometry.to_ras(np.argwhere(mask).mean(axis=0))


@pytest.mark.parametrize("seed", range(6))
def test_livers_have_the_volume_of_livers_and_all_eight_segments(seed):
    phantom = make_phantom(seed, **SMALL, noise_hu=0)
    assert 1200 < volume_ml(phantom.masks.liver, phantom) < 1900
    shares = np.bincount(phantom.masks.couinaud[phantom.masks.liver], minlength=9) / phantom.masks.liver.sum()
    assert shares[0] == 0
    # Ranges of livers in the literature, wide: the caudate lobe is the smallest.
    assert shares[1:].min() == shares[1] > 0.02
    assert shares[1:].max() < 0.30
    right = shares[5:].sum()
    assert 0.55 < right < 0.80


def test_the_liver_lies_on_the_right_of_the_patient(phantom):
    body = phantom.ct.array > -300
    liver, middle = center_ras(phantom.masks.liver, phantom), center_ras(body, phantom)
    assert liver[0] > middle[0] + 30
    # Stored as LPS, columns run from the right to the left.
    order = CanonicalOrder.of(phantom.ct.geometry)
    assert order.axes == (0, 1, 2)
    assert order.flips == (False, False, False)
    columns = np.flatnonzero(phantom.masks.liver.any(axis=(0, 1)))
    assert columns.mean() < phantom.ct.array.shape[2] / 2


def test_segments_lie_as_couinaud_numbered_them(phantom):
    at = {s: center_ras(phantom.masks.couinaud == s, phantom) for s in range(1, 9)}
    right, anterior, superior = 0, 1, 2
    assert min(at[s][right] for s in (5, 6, 7, 8)) > at[4][right] > max(at[s][right] for s in (2, 3))
    assert at[5][anterior] > at[6][anterior]
    assert at[8][anterior] > at[7][anterior]
    assert at[8][superior] > at[5][superior]
    assert at[7][superior] > at[6][superior]
    assert at[2][superior] > at[3][superior]
    assert at[1][anterior] < at[4][anterior]


def test_masks_hold_the_invariants_of_a_case(phantom):
    masks = phantom.masks
    assert masks.liver.dtype == bool
    assert (masks.couinaud.dtype, masks.lesions.dtype, masks.vessels.dtype) == (np.uint8, np.uint16, np.uint8)
    assert np.array_equal(masks.couinaud > 0, masks.liver)
    assert not np.any((masks.lesions > 0) & ~masks.liver)
    assert set(np.unique(masks.vessels)) == {0, 1, 2}
    assert not np.any((masks.lesions > 0) & (masks.vessels > 0))


def test_organs_have_the_hu_of_a_portal_venous_scan(phantom):
    hu, masks = phantom.ct.array, phantom.masks
    plain = masks.liver & (masks.lesions == 0) & (masks.vessels == 0)
    assert 90 < np.median(hu[plain]) < 125
    inside = masks.vessels > 0
    assert np.median(hu[inside]) > np.median(hu[plain]) + 15
    assert np.median(hu[:, 0, :]) == -1000
    assert hu.max() > 300


def test_lesions_have_the_planned_volume_place_and_contrast():
    phantom = make_phantom(seed=4, shape_kji=(100, 160, 160), spacing_kji=(2.0, 1.6, 1.6), noise_hu=0)
    assert [lesion.id for lesion in phantom.lesions] == [1, 2, 3, 4]
    volumes = [lesion.volume_ml for lesion in phantom.lesions]
    assert volumes == sorted(volumes, reverse=True)
    liver_hu = np.median(phantom.ct.array[phantom.masks.liver & (phantom.masks.lesions == 0)])
    for lesion in phantom.lesions:
        mask = phantom.masks.lesions == lesion.id
        assert volume_ml(mask, phantom) == pytest.approx(lesion.volume_ml, rel=0.08)
        assert np.linalg.norm(center_ras(mask, phantom) - lesion.center_ras_mm) < 1.5
        k, j, i = np.rint(phantom.ct.geometry.to_kji(lesion.center_ras_mm)).astype(int)
        core = float(phantom.ct.array[k, j, i])
        if lesion.kind == "cyst":
            assert core == pytest.approx(5, abs=6)
        else:
            assert liver_hu - 75 < core < liver_hu - 35


@pytest.mark.parametrize("seed", range(6))
def test_planned_lesions_do_not_touch_each_other_nor_the_surface(seed):
    patient = Patient.of(seed)
    lesions = patient.plan_lesions((40, 25, 18, 12))
    for one, other in itertools.combinations(lesions, 2):
        gap = np.linalg.norm(np.subtract(one.center_ras_mm, other.center_ras_mm))
        assert gap > one.radius_mm + other.radius_mm + 3
    phantom = make_phantom(seed, **SMALL, noise_hu=0)
    surface = phantom.masks.liver & ~_eroded(phantom.masks.liver)
    assert not np.any(surface & (phantom.masks.lesions > 0))


def _eroded(mask):
    inner = mask.copy()
    for axis in range(3):
        inner &= np.roll(mask, 1, axis) & np.roll(mask, -1, axis)
    return inner


def test_a_sphere_put_in_by_hand_is_found_where_it_was_put(phantom):
    center = tuple(phantom.ct.geometry.to_ras((30, 45, 35)))
    planned = PlannedLesion(center, 30.0, kind="hyper", hu=200.0)
    made = make_phantom(seed=3, **SMALL, lesions=[planned], noise_hu=0)
    mask = made.masks.lesions == 1
    assert volume_ml(mask, made) == pytest.approx(4 / 3 * np.pi * 15**3 / 1000, rel=0.05)
    assert np.allclose(center_ras(mask, made), center, atol=1.0)
    assert made.ct.array[30, 45, 35] == pytest.approx(193, abs=15)


def test_formulas_of_volume_agree_with_counting():
    ellipsoid = PlannedLesion((0, 0, 0), 20.0, shape="ellipsoid")
    assert ellipsoid.volume_ml == pytest.approx(4 / 3 * np.pi * 10 * 8 * 7 / 1000)
    lobulated = PlannedLesion((0, 0, 0), 20.0, shape="lobulated")
    assert 0.3 < lobulated.volume_ml / PlannedLesion((0, 0, 0), 20.0).volume_ml < 0.9


def test_two_grids_see_the_same_patient(phantom):
    fine = make_phantom(seed=3, shape_kji=(140, 160, 180), spacing_kji=(2.0, 2.0, 2.0), noise_hu=0)
    assert volume_ml(fine.masks.liver, fine) == pytest.approx(
        volume_ml(phantom.masks.liver, phantom), rel=0.01
    )
    for segment in range(1, 9):
        expected = volume_ml(phantom.masks.couinaud == segment, phantom)
        assert volume_ml(fine.masks.couinaud == segment, fine) == pytest.approx(expected, rel=0.03)
    assert fine.lesions == phantom.lesions


def test_an_oblique_grid_sees_the_same_patient(phantom):
    oblique = make_phantom(
        seed=3, shape_kji=(85, 110, 130), spacing_kji=(4.0, 3.0, 3.0), rotation_deg=(12, -9, 20), noise_hu=0
    )
    assert volume_ml(oblique.masks.liver, oblique) == pytest.approx(
        volume_ml(phantom.masks.liver, phantom), rel=0.01
    )
    for lesion in phantom.lesions[:2]:
        assert np.allclose(
            center_ras(oblique.masks.lesions == lesion.id, oblique),
            center_ras(phantom.masks.lesions == lesion.id, phantom),
            atol=1.5,
        )
    # HU at the same world points, away from edges, agree.
    ras = phantom.ct.geometry.to_ras(np.argwhere(_eroded(_eroded(phantom.masks.liver)))[::50])
    kji = np.rint(oblique.ct.geometry.to_kji(ras)).astype(int)
    assert oblique.masks.liver[tuple(kji.T)].mean() > 0.97


ORIENTATIONS = [
    "".join(letters)
    for axes in itertools.permutations(("RL", "AP", "SI"))
    for letters in itertools.product(*axes)
]


def test_all_48_orders_of_storage_hold_the_same_world():
    grid = {"shape_kji": (24, 30, 36), "spacing_kji": (12.0, 10.0, 9.0)}
    reference = make_phantom(seed=5, **grid)
    assert len(set(ORIENTATIONS)) == 48
    # Points off the centers of symmetry, so that a wrong flip shows.
    some = np.argwhere(np.ones(grid["shape_kji"], dtype=bool))[::97]
    ras = reference.ct.geometry.to_ras(some)
    for orientation in ORIENTATIONS:
        other = make_phantom(seed=5, **grid, orientation=orientation)
        assert "".join(nibabel.aff2axcodes(other.ct.geometry.ijk_to_ras)) == orientation
        kji = other.ct.geometry.to_kji(ras)
        assert np.allclose(kji, np.rint(kji), atol=1e-6)
        there = tuple(np.rint(kji).astype(int).T)
        here = tuple(some.T)
        assert np.array_equal(other.ct.array[there], reference.ct.array[here])
        assert np.array_equal(other.masks.couinaud[there], reference.masks.couinaud[here])
        assert np.array_equal(other.masks.vessels[there], reference.masks.vessels[here])


def test_a_rotation_turns_the_grid_by_its_angle_about_its_center():
    straight = make_grid((11, 21, 31), (3, 2, 1), (5, 6, 7))
    turned = make_grid((11, 21, 31), (3, 2, 1), (5, 6, 7), rotation_deg=(0, 0, 30))
    assert np.allclose(turned.to_ras((5, 10, 15)), (5, 6, 7))
    assert np.allclose(straight.to_ras((5, 10, 15)), (5, 6, 7))
    cosines = np.sum(straight.directions * turned.directions, axis=0)
    assert np.allclose(np.degrees(np.arccos(np.clip(cosines, -1, 1))), (30, 30, 0), atol=1e-5)
    # About S, counted from R towards A.
    assert np.allclose(turned.directions[:, 0], (-np.cos(np.pi / 6), -0.5, 0))


def test_the_same_seed_gives_the_same_voxels_and_another_seed_another_patient():
    grid = {"shape_kji": (20, 40, 40), "spacing_kji": (12.0, 9.0, 9.0)}
    one, again, other = make_phantom(1, **grid), make_phantom(1, **grid), make_phantom(2, **grid)
    assert np.array_equal(one.ct.array, again.ct.array)
    assert not np.array_equal(one.masks.liver, other.masks.liver)


def test_noise_has_the_standard_deviation_asked_for(phantom):
    noisy = make_phantom(seed=3, **SMALL, noise_hu=15)
    difference = (noisy.ct.array.astype(float) - phantom.ct.array)[phantom.masks.liver]
    assert difference.std() == pytest.approx(15, rel=0.03)
    assert abs(difference.mean()) < 0.5
    assert np.array_equal(noisy.masks.lesions, phantom.masks.lesions)


def test_a_shift_of_the_field_of_view_cuts_the_liver_off_at_the_top(phantom):
    cut = make_phantom(seed=3, **SMALL, shift_ras_mm=(0, 0, -120), noise_hu=0)
    assert cut.masks.liver[-1].any()
    assert not phantom.masks.liver[-1].any()
    assert 0.1 < volume_ml(cut.masks.liver, cut) / volume_ml(phantom.masks.liver, phantom) < 0.9


def test_a_grid_of_ones_own_is_used_as_it_is(phantom):
    box = (slice(10, 60), slice(20, 80), slice(15, 90))
    geometry = phantom.ct.geometry.cropped(box)
    cropped = make_phantom(seed=3, geometry=geometry, noise_hu=0)
    assert cropped.ct.geometry is geometry
    assert np.array_equal(cropped.masks.couinaud, phantom.masks.couinaud[box])


@pytest.mark.parametrize("orientation", ["LP", "LLS", "XYZ", "LPSS", ""])
def test_an_impossible_orientation_is_refused(orientation):
    with pytest.raises(UsageError, match="orientation"):
        make_grid((5, 5, 5), (1, 1, 1), (0, 0, 0), orientation)


def test_impossible_grids_and_lesions_are_refused():
    with pytest.raises(UsageError, match="empty"):
        make_grid((0, 5, 5), (1, 1, 1), (0, 0, 0))
    with pytest.raises(UsageError, match="empty"):
        make_grid((5, 5, 5), (1, 0, 1), (0, 0, 0))
    with pytest.raises(UsageError, match="kind"):
        PlannedLesion((0, 0, 0), 10.0, kind="unknown")
    with pytest.raises(UsageError, match="diameter"):
        PlannedLesion((0, 0, 0), 0.0)
    outside = PlannedLesion((-300.0, 0.0, 0.0), 10.0)
    with pytest.raises(UsageError, match="outside"):
        make_phantom(0, shape_kji=(5, 5, 5), spacing_kji=(60.0, 60.0, 60.0), lesions=[outside])
    with pytest.raises(UsageError, match="does not fit"):
        make_phantom(0, shape_kji=(5, 5, 5), spacing_kji=(60.0, 60.0, 60.0), diameters_mm=[400.0])


def test_nifti_files_keep_values_and_world(tmp_path):
    phantom = make_phantom(2, (20, 30, 40), (12.0, 10.0, 9.0), orientation="RSA", rotation_deg=(5, 0, 10))
    paths = write_nifti(phantom, tmp_path / "new" / "folder")
    assert set(paths) == {"ct", "liver", "lesions", "couinaud", "vessels"}
    for name, array in (("ct", phantom.ct.array), ("couinaud", phantom.masks.couinaud)):
        image = nibabel.load(paths[name])
        assert np.array_equal(np.asarray(image.dataobj).transpose(2, 1, 0), array)
        assert np.allclose(image.affine, phantom.ct.geometry.ijk_to_ras, atol=1e-3)


@pytest.fixture(scope="module")
def thick():
    return make_phantom(6, (18, 40, 50), (14.0, 8.0, 8.0), rotation_deg=(0, 8, 5))


def test_a_dicom_series_sorted_by_position_is_the_volume(thick, tmp_path):
    paths = write_dicom_series(thick.ct, tmp_path)
    images = [pydicom.dcmread(path) for path in sorted(tmp_path.iterdir())]
    assert len(images) == len(paths) == 18
    numbers = [image.InstanceNumber for image in images]
    assert sorted(numbers) == list(range(1, 19))
    assert numbers != sorted(numbers)
    reader = sitk.ImageSeriesReader()
    names = reader.GetGDCMSeriesFileNames(str(tmp_path))
    image = sitk.ReadImage(names)
    assert np.array_equal(sitk.GetArrayFromImage(image), thick.ct.array)
    assert np.allclose(
        np.multiply(image.GetOrigin(), (-1, -1, 1)), thick.ct.geometry.to_ras((0, 0, 0)), atol=1e-4
    )
    assert np.allclose(image.GetSpacing(), thick.ct.geometry.spacing_ijk, atol=1e-4)


def test_dicom_tags_name_a_ct_image_series(thick, tmp_path):
    path = write_dicom_series(thick.ct, tmp_path, slices=[4])[0]
    image = pydicom.dcmread(path)
    assert image.SOPClassUID == pydicom.uid.CTImageStorage
    assert image.file_meta.MediaStorageSOPInstanceUID == image.SOPInstanceUID
    assert image.Modality == "CT"
    assert image.RescaleIntercept == -1024
    assert np.array_equal(image.pixel_array.astype(int) - 1024, thick.ct.array[4])
    assert all(len(str(value)) <= 16 for value in image.ImagePositionPatient)


def test_two_series_of_one_study_can_share_a_flat_folder(thick, tmp_path):
    write_dicom_series(thick.ct, tmp_path, SeriesTags(series_number=2))
    write_dicom_series(thick.ct, tmp_path, SeriesTags(series_number=3, description="Native"), slices=range(5))
    images = [pydicom.dcmread(path, stop_before_pixels=True) for path in tmp_path.iterdir()]
    assert len(images) == 23
    assert len({image.SeriesInstanceUID for image in images}) == 2
    assert len({image.StudyInstanceUID for image in images}) == 1
    assert len({image.SOPInstanceUID for image in images}) == 23


def test_a_sheared_grid_is_no_dicom_series(thick, tmp_path):
    matrix = thick.ct.geometry.ijk_to_ras.copy()
    matrix[:3, 2] += 0.2 * matrix[:3, 1]
    sheared = Volume(thick.ct.array, type(thick.ct.geometry)(thick.ct.array.shape, matrix))
    with pytest.raises(UsageError, match="sheared"):
        write_dicom_series(sheared, tmp_path / "series")
    assert not (tmp_path / "series").exists()


def test_head_knee_and_water_are_ct_like_but_hold_no_abdomen():
    head, knee, water = make_head_phantom(), make_knee_phantom(), water_box()
    for volume in (head, knee, water):
        assert volume.array.dtype == np.int16
        assert (volume.array < -900).mean() > 0.2
    assert (head.array > 800).sum() * head.geometry.voxel_volume_ml > 200
    assert (knee.array > 600).sum() * knee.geometry.voxel_volume_ml > 50
    assert np.median(water.array[12:28, 18:42, 18:42]) == pytest.approx(0, abs=1)
    assert (water.array > -500).mean() == pytest.approx(0.6**3, rel=0.1)


def test_the_script_writes_what_was_asked_for(tmp_path):
    small = ["--shape", "12", "20", "24", "--spacing", "22", "18", "16"]
    done = _run(
        ["--out", str(tmp_path / "p"), "--seed", "7", "--format", "both", "--orientation", "RAI", *small]
    )
    assert done.returncode == 0, done.stderr
    assert "lesion 1: 40 mm" in done.stdout
    image = nibabel.load(tmp_path / "p" / "ct.nii.gz")
    assert nibabel.aff2axcodes(image.affine) == ("R", "A", "I")
    assert len(list((tmp_path / "p" / "dicom").glob("*.dcm"))) == 12
    assert (tmp_path / "p" / "lesions.json").is_file()


def test_the_script_says_in_one_line_what_is_wrong(tmp_path):
    (tmp_path / "file").write_text("")
    for arguments in (["--orientation", "UVW"], ["--out", str(tmp_path / "file")]):
        done = _run(["--out", str(tmp_path / "new"), *arguments])
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 1
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "new").exists()


def _run(arguments):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False
    )
