"""Files that are images are read as they are; all others are refused in one line."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from liverseg.errors import InputRefused, UsageError
from liverseg.geometry import Geometry
from liverseg.reading import geometry_of, read_labels, read_volume, to_sitk, volume_hash

SHAPE_IJK = (5, 6, 7)
HU_IJK = np.random.default_rng(0).integers(-1000, 1500, SHAPE_IJK).astype(np.int16)


def rotation(x_degrees: float, y_degrees: float, z_degrees: float) -> np.ndarray:
    x, y, z = np.radians([x_degrees, y_degrees, z_degrees])
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def affine_of(axes: np.ndarray, spacing: tuple[float, float, float] = (0.7, 0.8, 2.5)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = axes * np.array(spacing)
    affine[:3, 3] = (-120.5, 33.25, 400.0)
    return affine


AFFINES = {
    "straight": affine_of(np.eye(3)),
    "flipped": affine_of(np.diag([-1.0, 1.0, -1.0])),
    "permuted": affine_of(np.eye(3)[:, [2, 0, 1]]),
    "oblique": affine_of(rotation(20, -13, 35)),
    "oblique and mirrored": affine_of(rotation(-8, 24, 110) @ np.diag([1.0, -1.0, 1.0])),
}


def write_nifti(path: Path, array: np.ndarray = HU_IJK, affine: np.ndarray = AFFINES["straight"]) -> Path:
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


def patched(path: Path, *fields: tuple[int, str, float]) -> Path:
    """Write header fields (offset, struct code, value) of a NIfTI-1 file."""
    data = bytearray(path.read_bytes())
    for offset, code, value in fields:
        struct.pack_into("<" + code, data, offset, value)
    path.write_bytes(data)
    return path


def refusal(path: Path, read: Callable[[Path], object] = read_volume) -> str:
    with pytest.raises(InputRefused) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert "itk" not in message.lower()
    return message


@pytest.mark.parametrize("forms", ["qform", "sform", "both"])
@pytest.mark.parametrize("name", AFFINES)
def test_geometry_and_voxels_agree_with_nibabel(tmp_path: Path, name: str, forms: str) -> None:
    image = nibabel.Nifti1Image(HU_IJK, AFFINES[name])
    image.set_qform(AFFINES[name], code=0 if forms == "sform" else 1)
    image.set_sform(AFFINES[name], code=0 if forms == "qform" else 1)
    nibabel.save(image, tmp_path / "ct.nii.gz")
    truth = nibabel.load(tmp_path / "ct.nii.gz")

    volume = read_volume(tmp_path / "ct.nii.gz")

    np.testing.assert_allclose(volume.geometry.ijk_to_ras, truth.affine, atol=1e-4)
    np.testing.assert_array_equal(volume.array.transpose(2, 1, 0), np.asarray(truth.dataobj))
    assert volume.array.dtype == np.int16
    assert volume.source.kind == "file"
    assert volume.source.sha256 == volume_hash(volume)
    assert volume.warnings == ()


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha", ".mhd"])
def test_all_formats_give_the_same_volume(tmp_path: Path, suffix: str) -> None:
    geometry = Geometry(SHAPE_IJK[::-1], AFFINES["oblique"])
    array = HU_IJK.transpose(2, 1, 0)
    sitk.WriteImage(to_sitk(array, geometry), str(tmp_path / f"ct{suffix}"))

    volume = read_volume(tmp_path / f"ct{suffix}")

    np.testing.assert_array_equal(volume.array, array)
    assert volume.geometry.matches(geometry)


def test_big_endian_nifti_is_read(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(HU_IJK, AFFINES["oblique"])
    swapped = nibabel.Nifti1Image(HU_IJK, AFFINES["oblique"], image.header.as_byteswapped(">"))
    nibabel.save(swapped, tmp_path / "ct.nii")

    np.testing.assert_array_equal(read_volume(tmp_path / "ct.nii").array.transpose(2, 1, 0), HU_IJK)


def test_values_are_int16_where_they_fit_and_float32_elsewhere(tmp_path: Path) -> None:
    fits = read_volume(write_nifti(tmp_path / "a.nii", HU_IJK.astype(np.int32)))
    too_large = read_volume(write_nifti(tmp_path / "b.nii", HU_IJK.astype(np.int32) * 1000))
    fractions = read_volume(write_nifti(tmp_path / "c.nii", HU_IJK.astype(np.float64) + 0.5))

    assert fits.array.dtype == np.int16
    assert too_large.array.dtype == np.float32
    assert fractions.array.dtype == np.float32
    np.testing.assert_array_equal(fractions.array.transpose(2, 1, 0), HU_IJK + np.float32(0.5))


def test_a_fourth_axis_of_one_is_dropped(tmp_path: Path) -> None:
    image = sitk.JoinSeries([sitk.GetImageFromArray(HU_IJK)])
    sitk.WriteImage(image, str(tmp_path / "ct.nrrd"))
    write_nifti(tmp_path / "ct.nii", HU_IJK[..., None], AFFINES["oblique"])

    np.testing.assert_array_equal(read_volume(tmp_path / "ct.nrrd").array, HU_IJK)
    volume = read_volume(tmp_path / "ct.nii")
    assert volume.array.shape == SHAPE_IJK[::-1]
    np.testing.assert_allclose(volume.geometry.ijk_to_ras, AFFINES["oblique"], atol=1e-4)


def test_a_single_slice_with_a_third_axis_is_a_volume(tmp_path: Path) -> None:
    assert read_volume(write_nifti(tmp_path / "ct.nii", HU_IJK[:, :, :1])).array.shape == (1, 6, 5)


def test_a_sheared_sform_is_kept(tmp_path: Path) -> None:
    affine = AFFINES["straight"].copy()
    affine[1, 2] = 0.5
    path = write_nifti(tmp_path / "tilted.nii.gz", affine=affine)
    assert nibabel.load(path).header["qform_code"] == 0

    volume = read_volume(path)

    np.testing.assert_allclose(volume.geometry.ijk_to_ras, affine, atol=1e-4)
    np.testing.assert_array_equal(volume.array.transpose(2, 1, 0), HU_IJK)


def test_of_disagreeing_forms_the_one_of_itk_is_taken_and_told(tmp_path: Path) -> None:
    moved = AFFINES["straight"].copy()
    moved[:3, 3] += 50
    image = nibabel.Nifti1Image(HU_IJK, AFFINES["straight"])
    image.set_qform(moved, code=1)
    image.set_sform(AFFINES["straight"], code=2)
    nibabel.save(image, tmp_path / "ct.nii")

    volume = read_volume(tmp_path / "ct.nii")

    np.testing.assert_allclose(volume.geometry.ijk_to_ras, moved, atol=1e-4)
    assert any("qform and sform" in w for w in volume.warnings)


@pytest.mark.parametrize("name", ["ct.nii.gz", "ct.nii", "ct.nrrd", "ct.mha", "ct.mhd"])
@pytest.mark.parametrize(
    "content", [b"", b"these are words, no voxels\n" * 40, gzip.compress(b"words" * 200, mtime=0)]
)
def test_what_is_no_image_is_refused_without_noise(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)

    message = refusal(tmp_path / name)

    assert name in message
    assert "is empty" in message if not content else "is not an image" in message
    assert capfd.readouterr().err == ""


def test_a_missing_file_an_unknown_format_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ct.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "empty").mkdir()

    assert "does not exist" in refusal(tmp_path / "nowhere.nii.gz")
    assert "no known format" in refusal(tmp_path / "ct.jpg")
    assert "empty folder" in refusal(tmp_path / "empty")
    with pytest.raises(UsageError):
        read_volume(write_nifti(tmp_path / "ct.nii"), series_uid="1.2.3")


@pytest.mark.parametrize("value", [0.0, -2.5, float("nan"), float("inf")])
def test_a_nifti_spacing_that_itk_would_invent_is_refused(tmp_path: Path, value: float) -> None:
    path = patched(write_nifti(tmp_path / "ct.nii"), (76 + 4 * 3, "f", value))
    assert sitk.ReadImage(str(path)).GetSpacing()[2] > 0

    assert "spacing" in refusal(path)


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_a_singular_nifti_matrix_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], value: float
) -> None:
    path = patched(write_nifti(tmp_path / "ct.nii"), (280 + 32 + 8, "f", value))

    assert "singular" in refusal(path)
    assert capfd.readouterr().err == ""


def test_two_parallel_axes_are_a_singular_matrix(tmp_path: Path) -> None:
    affine = AFFINES["straight"].copy()
    affine[:3, 2] = affine[:3, 1]
    path = write_nifti(tmp_path / "ct.nii")
    path = patched(path, *((280 + 4 * n, "f", float(v)) for n, v in enumerate(affine[:3].ravel())))

    assert "singular" in refusal(path)


@pytest.mark.parametrize(
    ("suffix", "old", "new", "word"),
    [
        (".nrrd", b"(0,0,1)", b"(0,0,0)", "spacing"),
        (".nrrd", b"(0,0,1)", b"(0,0,nan)", "singular"),
        (".nrrd", b"(0,0,1)", b"(0,1,0)", "singular"),
        (".mha", b"ElementSpacing = 1 1 1", b"ElementSpacing = 1 1 0", "spacing"),
        (".mha", b"ElementSpacing = 1 1 1", b"ElementSpacing = 1 1 -3", "spacing"),
        (".mha", b"ElementSpacing = 1 1 1", b"ElementSpacing = 1 1 nan", "spacing"),
        (".mha", b"Matrix = 1 0 0 0 1 0 0 0 1", b"Matrix = 1 0 0 0 1 0 0 1 0", "singular"),
        (".mhd", b"ct.raw", b"gone.raw", "missing"),
    ],
)
def test_a_broken_text_header_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str, old: bytes, new: bytes, word: str
) -> None:
    path = tmp_path / f"ct{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(HU_IJK), str(path))
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new))

    assert word in refusal(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("value", ["0", "-3", "nan"])
def test_a_broken_nrrd_spacing_is_refused(tmp_path: Path, value: str) -> None:
    header = f"NRRD0004\ntype: short\ndimension: 3\nsizes: 5 6 7\nspacings: 1 1 {value}\n"
    (tmp_path / "ct.nrrd").write_bytes(
        header.encode() + b"endian: little\nencoding: raw\n\n" + HU_IJK.tobytes()
    )

    assert "spacing" in refusal(tmp_path / "ct.nrrd")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_a_file_that_was_cut_off_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str
) -> None:
    path = tmp_path / f"ct{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(np.tile(HU_IJK, (4, 4, 4))), str(path), suffix == ".nii.gz")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])

    assert "again" in refusal(path)
    assert capfd.readouterr().err == ""


def test_a_gzip_of_two_members_is_read(tmp_path: Path) -> None:
    raw = write_nifti(tmp_path / "ct.nii").read_bytes()
    (tmp_path / "ct.nii.gz").write_bytes(gzip.compress(raw[:400]) + gzip.compress(raw[400:]))

    np.testing.assert_array_equal(read_volume(tmp_path / "ct.nii.gz").array.transpose(2, 1, 0), HU_IJK)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha", ".mhd"])
@pytest.mark.parametrize("read", [read_volume, read_labels])
def test_packed_voxels_that_were_changed_are_refused_although_their_number_is_right(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str, read: Callable[[Path], object]
) -> None:
    """ITK reads on over the damage, and does not look at the checksum."""
    path = tmp_path / f"ct{suffix}"
    image = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 9, (20, 40, 50)).astype(np.int16))
    sitk.WriteImage(image, str(path), True)
    if suffix == ".nii":
        # A packed file without the suffix that says so; ITK would not take it.
        path.write_bytes(gzip.compress(path.read_bytes()))
    elif read is read_labels:
        assert read_labels(path)[0].shape == (20, 40, 50)
    packed = path.with_suffix(".zraw") if suffix == ".mhd" else path
    data = bytearray(packed.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    packed.write_bytes(data)

    assert "damaged" in refusal(path, read)
    assert capfd.readouterr().err == ""


def test_a_changed_checksum_alone_is_damage(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "ct.nii.gz")
    data = bytearray(path.read_bytes())
    data[-8] ^= 1
    path.write_bytes(data)

    assert "damaged" in refusal(path)


def test_packed_nrrd_voxels_beside_their_header_are_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "ct.nhdr.nrrd"
    header = "NRRD0004\ntype: short\ndimension: 3\nsizes: 5 6 7\nendian: little\nencoding: gzip\n"
    path.write_text(header + "data file: ct.raw.gz\n")
    (tmp_path / "ct.raw.gz").write_bytes(gzip.compress(HU_IJK.tobytes())[:-8] + bytes(8))

    assert "damaged" in refusal(path)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_file_that_may_not_be_read_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    path = tmp_path / f"ct{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(HU_IJK), str(path))
    allowed = Path.open

    def closed(self: Path, *arguments: object, **options: object) -> object:
        if self == path:
            raise PermissionError(13, "Permission denied", str(self))
        return allowed(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", closed)
    assert f"{path.name} cannot be opened: permission to read is missing" in refusal(path)


def test_a_file_in_a_folder_that_may_not_be_entered_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(self: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "exists", closed)
    assert "permission to read is missing" in refusal(tmp_path / "ct.nii.gz")


def test_2d_4d_color_and_vector_images_are_refused(tmp_path: Path) -> None:
    flat = write_nifti(tmp_path / "flat.nii", HU_IJK[:, :, 0])
    phases = write_nifti(tmp_path / "phases.nii", np.stack([HU_IJK] * 3, axis=-1))
    colors = np.zeros(SHAPE_IJK, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    color = write_nifti(tmp_path / "color.nii", colors)
    vectors = sitk.GetImageFromArray(np.zeros((5, 6, 7, 2), np.int16), isVector=True)
    sitk.WriteImage(vectors, str(tmp_path / "layers.seg.nrrd"))
    write_nifti(tmp_path / "complex.nii", HU_IJK.astype(np.complex64))

    assert "2D" in refusal(flat)
    assert "4D (5 x 6 x 7 x 3)" in refusal(phases)
    assert "RGB" in refusal(color)
    assert "layers" in refusal(tmp_path / "layers.seg.nrrd")
    assert "complex" in refusal(tmp_path / "complex.nii")


def test_constant_and_all_nan_images_are_refused(tmp_path: Path) -> None:
    assert "constant" in refusal(write_nifti(tmp_path / "a.nii", np.full(SHAPE_IJK, 40, np.int16)))
    assert "NaN" in refusal(write_nifti(tmp_path / "b.nii", np.full(SHAPE_IJK, np.nan, np.float32)))


def test_some_nan_become_air_with_a_warning(tmp_path: Path) -> None:
    values = HU_IJK.astype(np.float32)
    values[0, 0, 0], values[1, 2, 3] = np.nan, np.inf

    volume = read_volume(write_nifti(tmp_path / "ct.nii", values))

    assert volume.array[0, 0, 0] == volume.array[3, 2, 1] == -1024
    expected = np.where(np.isfinite(values), values, -1024)
    np.testing.assert_array_equal(volume.array.transpose(2, 1, 0), expected)
    assert len(volume.warnings) == 1
    assert "0.95 %" in volume.warnings[0]  # 2 of 210 voxels


def test_labels_are_whole_numbers_and_may_be_empty(tmp_path: Path) -> None:
    labels = np.zeros(SHAPE_IJK, np.float32)
    empty, geometry = read_labels(write_nifti(tmp_path / "empty.nii", labels))
    labels[1, 2, 3] = 300
    large, _ = read_labels(write_nifti(tmp_path / "large.nii", labels))

    assert empty.dtype == np.uint8
    assert not empty.any()
    np.testing.assert_allclose(geometry.ijk_to_ras, AFFINES["straight"], atol=1e-4)
    assert large.dtype == np.uint16
    assert large[3, 2, 1] == 300
    assert "no label map" in refusal(write_nifti(tmp_path / "ct.nii"), read_labels)
    assert "no label map" in refusal(write_nifti(tmp_path / "half.nii", labels + 0.5), read_labels)
    assert "does not exist" in refusal(tmp_path / "nowhere.nii", read_labels)


def test_an_image_of_a_grid_gives_the_grid_back() -> None:
    sheared = AFFINES["oblique"].copy()
    sheared[:3, 2] += 0.4 * sheared[:3, 1]
    for affine in (*AFFINES.values(), sheared):
        geometry = Geometry(SHAPE_IJK[::-1], affine)
        image = to_sitk(HU_IJK.transpose(2, 1, 0), geometry)
        assert geometry_of(image).matches(geometry, 1e-6)
        lps = image.TransformIndexToPhysicalPoint((4, 3, 2))
        np.testing.assert_allclose(np.array(lps) * (-1, -1, 1), geometry.to_ras((2, 3, 4)), atol=1e-6)


def test_the_hash_follows_voxels_and_affine_only(tmp_path: Path) -> None:
    volume = read_volume(write_nifti(tmp_path / "ct.nii"))
    other_memory = replace(volume, array=np.asfortranarray(volume.array))
    changed = volume.array.copy()
    changed[0, 0, 0] += 1
    moved = volume.geometry.ijk_to_ras.copy()
    moved[0, 3] += 1

    assert volume_hash(other_memory) == volume_hash(volume)
    assert volume_hash(replace(volume, array=changed)) != volume_hash(volume)
    assert volume_hash(replace(volume, geometry=Geometry(volume.array.shape, moved))) != volume_hash(volume)
