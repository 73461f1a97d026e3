"""Every strange read-out through the writers that other files do not cover: scene, surfaces, DICOM, remnant.

``test_strange_cases.py`` has the same cases through the report, tables, label maps, segmentation, preview and
PDF, ``test_dicom_strange_cases.py`` 300 lesions as DICOM. Here, too: a disk that fills up halfway and a file
or folder in the way, for every writer there is.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import numpy as np
import pytest

from liverseg import writers
from liverseg.case import Case
from liverseg.cli import main
from liverseg.errors import UsageError
from liverseg.geometry import Geometry
from liverseg.meshes import Mesh, mesh_of
from liverseg.segment_tags import segments_of
from liverseg.writers import DICOM_NAMES, OUTPUTS, surface_names, write_case
from liverseg.writers.conditions import has_liver
from strange_cases import STRANGE, three_hundred_lesions, unicode_names
from test_strange_cases import light_pictures  # noqa: F401
from writer_cases import make_case

KINDS = ("stl", "obj", "glb")
strange = pytest.mark.parametrize("make", STRANGE)


MESHES: dict[bytes, Mesh | None] = {}


@pytest.fixture(autouse=True)
def each_mesh_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kinds of surface files share their meshes, whose making has its own tests."""

    def mesh_once(mask: np.ndarray, geometry: Geometry) -> Mesh | None:
        key = np.packbits(mask).tobytes() + geometry.ijk_to_ras.tobytes()
        if key not in MESHES:
            MESHES[key] = mesh_of(mask, geometry)
        return MESHES[key]

    monkeypatch.setattr("liverseg.writers.surfaces.mesh_of", mesh_once)


def drawn(case: Case) -> list[str]:
    """The names of the structures that have voxels."""
    found = [s for s in segments_of(case) if np.any(getattr(case.masks, s.layer) == s.structure.label)]
    return [segment.structure.name for segment in found]


@strange
def test_the_scene_opens_with_the_same_case(tmp_path: Path, make) -> None:
    pytest.importorskip("slicer", reason="slicer-core is not installed (pip install 'liverseg[mrml]')")
    from liverseg_mrml.case_nodes import find_case_nodes  # noqa: PLC0415
    from liverseg_mrml.from_scene import stored_case  # noqa: PLC0415
    from liverseg_mrml.scene import read_scene  # noqa: PLC0415

    case = make()
    made = read_scene(write_case(case, tmp_path, ["scene"])["scene"])
    (nodes,) = find_case_nodes(made.scene)
    again = stored_case(nodes)
    for name in ("liver", "couinaud", "lesions"):
        assert np.array_equal(getattr(again.masks, name), getattr(case.masks, name)), name
    assert again.lesions == case.lesions
    assert (again.method, again.warnings) == (case.method, case.warnings)
    assert nodes.table.GetNumberOfRows() == len(case.lesions)
    assert len(nodes.axes) == len(case.lesions)


@pytest.mark.parametrize("kind", KINDS)
@strange
def test_surfaces_have_one_closed_mesh_a_structure_or_there_are_none(tmp_path: Path, make, kind: str) -> None:
    trimesh = pytest.importorskip("trimesh", reason="pip install 'liverseg[surfaces]'")
    case = make()
    names = surface_names(kind, "lps")
    written = write_case(case, tmp_path, [*names, "report"])
    if not has_liver(case):
        assert set(written) == {"report"}
        told = json.loads(written["report"].read_text(encoding="utf-8"))["warnings"]
        assert "No surfaces were written: there is no liver." in told
        return
    path, count = written[names[0]], len(drawn(case))
    if kind == "stl":
        with zipfile.ZipFile(path) as packed:
            assert packed.testzip() is None
            files = [name for name in packed.namelist() if name.endswith(".stl")]
            assert len(files) == count
            if make is not three_hundred_lesions:
                for name in files:
                    assert trimesh.load(packed.open(name), file_type="stl").is_watertight, name
    elif kind == "obj":
        lines = path.read_text(encoding="utf-8").splitlines()
        assert sum(line.startswith("o ") for line in lines) == count
        made = written[names[1]].read_text(encoding="utf-8").splitlines()
        used = {line.removeprefix("usemtl ") for line in lines if line.startswith("usemtl ")}
        assert used and used <= {line.removeprefix("newmtl ") for line in made}
    else:
        assert len(trimesh.load(path).geometry) == count


@pytest.mark.parametrize("way", DICOM_NAMES)
@pytest.mark.parametrize("make", [make for make in STRANGE if make is not three_hundred_lesions])
def test_dicom_objects_hold_all_voxels_and_lesions_or_there_are_none(tmp_path: Path, make, way: str) -> None:
    hd = pytest.importorskip("highdicom", reason="pip install 'liverseg[dicom]'")
    import pydicom  # noqa: PLC0415

    case = make()
    written = write_case(case, tmp_path, [*DICOM_NAMES[way], "report"])
    told = json.loads(written["report"].read_text(encoding="utf-8"))["warnings"]
    if not has_liver(case):
        assert set(written) == {"report"}
        assert any("DICOM knows no empty segmentation" in text for text in told)
        return
    layers = ("liver", "couinaud", "lesions")
    voxels = {layer: np.count_nonzero(getattr(case.masks, layer)) for layer in layers}
    if way == "binary":
        seg = hd.seg.segread(written["dicom_seg"])
        assert sorted(s.SegmentLabel for s in seg.SegmentSequence) == sorted(drawn(case))
        assert seg.get_volume(combine_segments=False).array.sum() == sum(voxels.values())
    else:
        assert ("dicom_map_lesions" in written) == bool(case.lesions)
        for layer, count in voxels.items():
            if count:
                found = hd.seg.segread(written[f"dicom_map_{layer}"]).get_volume(combine_segments=True)
                assert np.count_nonzero(found.array) == count, layer
    report = str(pydicom.dcmread(written["dicom_sr" if way == "binary" else "dicom_sr_maps"]))
    assert all(lesion.tracking_uid in report for lesion in case.lesions)


@strange
def test_a_planned_resection_comes_into_all_files(tmp_path: Path, make) -> None:
    pypdf = pytest.importorskip("pypdf", reason="pip install 'liverseg[dev]'")
    case = make()
    folder = tmp_path / "Ergebnis 山田 é"
    names = ["report", "measurements"] + (["pdf"] if make is unicode_names else [])
    write_case(case, folder, names)
    words = ["flr", str(folder), "--resect", "V,VIII", "--height-cm", "170", "--weight-kg", "70"]
    if not has_liver(case):
        assert main(words) == 3, "there is nothing to resect"
        return
    assert main(words) == 0
    assert main(["validate", str(folder)]) == 0
    remnant = json.loads((folder / "report.json").read_text(encoding="utf-8"))["remnant"]
    kept = np.count_nonzero((case.masks.lesions == 0) & ~np.isin(case.masks.couinaud, (0, 5, 8)))
    assert remnant["remnant_ml"] == pytest.approx(kept * case.ct.geometry.voxel_volume_ml, abs=1e-3)
    assert remnant["percent_of_liver"] is not None
    with (folder / "measurements.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if "remnant" in row["object"].lower()]
    assert rows
    if "pdf" in names:
        words = " ".join(pypdf.PdfReader(folder / "report.pdf").pages[0].extract_text().split())
        assert "remnant" in words.lower()


@pytest.mark.skipif(sys.platform == "win32", reason="a limit on file sizes needs POSIX")
def test_a_disk_that_fills_up_halfway_keeps_every_earlier_file(tmp_path: Path) -> None:
    """In a process whose files may not grow beyond half of what each writer needs, as on a small disk."""
    program = textwrap.dedent("""
        import json, resource, signal, sys
        from pathlib import Path
        from liverseg.cli import main
        from liverseg.errors import LiverSegError
        from liverseg.writers import OUTPUTS, missing_modules, write_case
        from liverseg.writers import pdf_content, preview
        from writer_cases import make_case
        preview.render_3d = lambda case, size: None
        pdf_content.render_looks = lambda case, looks, background: None
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        case, said = make_case(), {}

        def halfway(name, folder, filename, write):
            before = {path.name: path.read_bytes() for path in folder.iterdir()}
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(before[filename]) // 2, hard))
            try:
                error = write()
            except LiverSegError as caught:
                error = str(caught)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            after = {path.name: path.read_bytes() for path in folder.iterdir()}
            changed = [each for each in before if after.get(each) != before[each]]
            said[name] = [error, sorted(set(before) ^ set(after)), changed]

        for name, output in OUTPUTS.items():
            folder = Path(sys.argv[1]) / name
            try:
                write_case(case, folder, [name])
            except LiverSegError as error:
                said[name] = [f"skipped: {error}", [], []]
                continue
            halfway(name, folder, output.filename, lambda: write_case(case, folder, [name], True) and "")
        folder = Path(sys.argv[1]) / "flr"
        write_case(case, folder, ["measurements", "report"])
        halfway("flr", folder, "report.json", lambda: str(main(["flr", str(folder), "--resect", "V"])))
        Path(sys.argv[2]).write_text(json.dumps(said))
    """)
    search = os.pathsep.join([str(Path(__file__).parent), str(Path(writers.__file__).parents[2])])
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "out"), str(tmp_path / "said.json")],
        env=os.environ | {"PYTHONPATH": search},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    said = json.loads((tmp_path / "said.json").read_text())
    assert said.keys() == {*OUTPUTS, "flr"}
    code, lost, changed = said.pop("flr")
    assert (code, lost, changed) == ("2", [], [])
    skipped = [name for name, (error, _, _) in said.items() if error.startswith("skipped")]
    for name, (error, lost, changed) in said.items():
        if name not in skipped:
            assert "cannot write" in error or "could not be written" in error, (name, error)
            assert len(error.splitlines()) == 1, (name, error)
        assert not lost and not changed, name
    if skipped:
        pytest.skip(f"not installed, and so not tried: {', '.join(skipped)}")


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_file_in_the_place_of_the_folder_or_a_folder_in_that_of_the_file_is_one_clear_line(
    tmp_path: Path, name: str
) -> None:
    if writers.missing_modules(name):
        pytest.skip(f"{name} needs {OUTPUTS[name].needs}")
    case = make_case()
    (tmp_path / "notes").write_text("mine")
    for folder in (tmp_path / "notes", tmp_path / "notes" / "below"):
        with pytest.raises(UsageError, match="is a file") as caught:
            write_case(case, folder, [name])
        assert len(str(caught.value).splitlines()) == 1
    assert (tmp_path / "notes").read_text() == "mine"
    filename = OUTPUTS[name].filename
    (tmp_path / "out" / filename).mkdir(parents=True)
    with pytest.raises(UsageError, match="folder") as caught:
        write_case(case, tmp_path / "out", [name], overwrite=True)
    assert len(str(caught.value).splitlines()) == 1
    assert [path.name for path in (tmp_path / "out").rglob("*")] == [filename]
