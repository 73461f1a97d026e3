"""Surface files open in other programs, with names and colors, in the space that they name."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from liverseg import labels
from liverseg.case import Case
from liverseg.cli import main
from liverseg.errors import UsageError
from liverseg.reading import to_sitk
from liverseg.segment_tags import segments_of
from liverseg.writers import OUTPUTS, surface_names, write_case
from made_cases import make_case
from writer_cases import empty_case

vtk = pytest.importorskip("vtk", reason="vtk is not installed (pip install 'liverseg[surfaces]')")
trimesh = pytest.importorskip("trimesh", reason="trimesh is not installed (pip install 'liverseg[surfaces]')")

KINDS = ("stl", "obj", "glb")
TO_SPACE = {"ras": np.array([1.0, 1.0, 1.0]), "lps": np.array([-1.0, -1.0, 1.0])}


@pytest.fixture(scope="module")
def case() -> Case:
    return make_case(vessels=True, split_segment_4=True)


@pytest.fixture(scope="module")
def written(case, tmp_path_factory) -> dict[str, Path]:
    names = [name for kind in KINDS for space in TO_SPACE for name in surface_names(kind, space)]
    return write_case(case, tmp_path_factory.mktemp("out"), names)


def expected(case: Case, space: str) -> dict[str, tuple[np.ndarray, float]]:
    """Centroid in the space (mm) and volume (ml) of each structure, by its key."""
    found = {}
    for segment in segments_of(case):
        mask = getattr(case.masks, segment.layer) == segment.structure.label
        world = case.ct.geometry.to_ras(np.argwhere(mask)).mean(axis=0)
        found[segment.structure.key] = (
            world * TO_SPACE[space],
            float(mask.sum() * case.ct.geometry.voxel_volume_ml),
        )
    return found


def assert_as_expected(meshes: dict[str, trimesh.Trimesh], wanted: dict) -> None:
    assert set(meshes) == set(wanted)
    for key, (center, volume) in wanted.items():
        mesh = meshes[key]
        assert mesh.is_watertight, key
        assert mesh.volume / 1000.0 == pytest.approx(volume, rel=0.01), key
        np.testing.assert_allclose(mesh.center_mass, center, atol=0.3, err_msg=key)


@pytest.mark.parametrize("space", TO_SPACE)
def test_stl_has_one_closed_solid_a_structure_and_names_its_space(case, written, space: str) -> None:
    meshes = {}
    with zipfile.ZipFile(written[f"surfaces_stl_{space}"]) as archive:
        assert archive.testzip() is None
        for name in archive.namelist():
            content = archive.read(name)
            assert f"SPACE={space.upper()}".encode() in content[:80]
            mesh = trimesh.load(io.BytesIO(content), file_type="stl", force="mesh")
            meshes[name.removesuffix(f"_{space}.stl")] = mesh
    assert_as_expected(meshes, expected(case, space))


@pytest.mark.parametrize("space", TO_SPACE)
def test_obj_has_one_named_object_a_structure(case, written, space: str) -> None:
    path = written[f"surfaces_obj_{space}"]
    text = path.read_text(encoding="ascii")
    assert text.startswith(f"# SPACE={space.upper()}")
    assert f"mtllib {written[f'surfaces_mtl_{space}'].name}" in text
    keys = {s.structure.name: s.structure.key for s in segments_of(case)}
    points, faces, materials = [], {}, {}
    name = ""
    for line in text.splitlines():
        word, *rest = line.split() or [""]
        if word == "o":
            name = " ".join(rest)
            faces[keys[name]] = []
        elif word == "v":
            points.append([float(x) for x in rest])
        elif word == "usemtl":
            materials[name] = rest[0]
        elif word == "f":
            faces[keys[name]].append([int(x.split("/")[0]) - 1 for x in rest])
    built = {key: trimesh.Trimesh(points, triangles) for key, triangles in faces.items()}
    assert_as_expected(built, expected(case, space))
    assert materials["Segment IVa"] == "couinaud_4a"
    # Lesions are of one color.
    assert materials["Lesion 2"].startswith("lesion_")


def test_obj_keeps_its_colors_beside_it(written) -> None:
    text = written["surfaces_mtl_ras"].read_text(encoding="ascii")
    assert text.startswith("# SPACE=RAS")
    colors, key = {}, ""
    for line in text.splitlines():
        if line.startswith("newmtl "):
            key = line.split()[1]
        elif line.startswith("Kd "):
            colors[key] = [round(float(x) * 255) for x in line.split()[1:]]
    assert colors["couinaud_7"] == list(labels.SEGMENTS[6].color)
    assert colors["lesion_2"] == list(labels.LESION.color)
    assert len(colors) == 15


def test_vtk_reads_the_obj(written) -> None:
    reader = vtk.vtkOBJReader()
    reader.SetFileName(str(written["surfaces_obj_ras"]))
    reader.Update()
    assert "SPACE=RAS" in reader.GetComment()
    assert reader.GetOutput().GetNumberOfPolys() > 10_000


@pytest.mark.parametrize("space", TO_SPACE)
def test_glb_holds_patient_millimeters_names_and_colors(case, written, space: str) -> None:
    content = written[f"surfaces_glb_{space}"].read_bytes()
    magic, version, length = struct.unpack("<4sII", content[:12])
    assert (magic, version, length) == (b"glTF", 2, len(content))
    header = json.loads(content[20 : 20 + struct.unpack("<I", content[12:16])[0]])
    assert f"patient_{space}_mm" in [node.get("name") for node in header["nodes"]]
    factors = {m["name"]: m["pbrMetallicRoughness"]["baseColorFactor"] for m in header["materials"]}
    blue, color = factors["couinaud_3"][2], labels.SEGMENTS[2].color[2]
    assert blue == pytest.approx(((color / 255 + 0.055) / 1.055) ** 2.4, abs=0.005)
    assert factors["liver"][3] < factors["couinaud_3"][3] < factors["lesion_1"][3] == 1.0
    scene = trimesh.load(io.BytesIO(content), file_type="glb")
    names = {s.structure.name: s.structure.key for s in segments_of(case)}
    meshes = {}
    for name, geometry in scene.geometry.items():
        # Triangles share points once more, which normals of their own keep apart.
        meshes[names[name]] = trimesh.Trimesh(geometry.vertices, geometry.faces)
    assert_as_expected(meshes, expected(case, space))


def test_glb_stands_upright_in_meters_whatever_the_space(case, written) -> None:
    centers = []
    for space in TO_SPACE:
        reader = vtk.vtkGLTFReader()
        reader.SetFileName(str(written[f"surfaces_glb_{space}"]))
        reader.ApplyDeformationsToGeometryOn()
        reader.Update()
        bounds = [0.0] * 6
        reader.GetOutputDataObject(0).GetBounds(bounds)
        centers.append(np.reshape(bounds, (3, 2)).mean(axis=1))
    np.testing.assert_allclose(centers[0], centers[1], atol=1e-6)
    world = case.ct.geometry.to_ras(np.argwhere(case.masks.liver | (case.masks.vessels > 0)))
    right, anterior, superior = (world.min(axis=0) + world.max(axis=0)) / 2 / 1000.0
    np.testing.assert_allclose(centers[0], (-right, superior, anterior), atol=2e-3)


def test_no_liver_has_no_surfaces_and_the_report_says_so(tmp_path: Path) -> None:
    written = write_case(empty_case(), tmp_path, [*surface_names("obj", "ras"), "report"])
    assert set(written) == {"report"}
    assert any("No surfaces" in w for w in json.loads(written["report"].read_text())["warnings"])


def test_the_shell_writes_the_kinds_and_the_space_that_are_asked_for(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("liverseg.writers.preview.render_3d", lambda case, size: None)
    case = make_case((30, 64, 96), (6.0, 4.0, 3.2))
    sitk.WriteImage(to_sitk(case.ct.array, case.ct.geometry), str(tmp_path / "ct.nii.gz"))
    write_case(case, tmp_path / "masks", ["liver", "couinaud", "lesions", "report"])
    arguments = ["measure", str(tmp_path / "ct.nii.gz"), "--masks", str(tmp_path / "masks"), "--force"]
    flags = ["--surfaces", "glb", "--surfaces", "obj", "--surface-space", "lps"]
    assert main([*arguments, "-o", str(tmp_path / "out"), *flags]) == 0
    found = {path.name for path in (tmp_path / "out").glob("surfaces*")}
    assert found == {"surfaces_lps.glb", "surfaces_lps.obj", "surfaces_lps.mtl"}


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liverseg.writers.find_spec", lambda name: None if name == "trimesh" else name)
    with pytest.raises(UsageError, match=r"pip install 'liverseg\[surfaces\]'.*trimesh is not installed"):
        write_case(make_case(), tmp_path / "out", surface_names("glb", "ras"))
    assert not (tmp_path / "out").exists()


def test_file_names_say_kind_and_space() -> None:
    names = {OUTPUTS[n].filename for kind in KINDS for s in TO_SPACE for n in surface_names(kind, s)}
    assert names == {
        *("surfaces_ras_stl.zip", "surfaces_ras.obj", "surfaces_ras.mtl", "surfaces_ras.glb"),
        *("surfaces_lps_stl.zip", "surfaces_lps.obj", "surfaces_lps.mtl", "surfaces_lps.glb"),
    }
