"""Surfaces for other programs: STL (3D printing), OBJ with its colors, and GLB (glTF in one file).

Each structure is a closed surface of its own (:mod:`liverseg.meshes`): liver, Couinaud segments, lesions,
vessels. Coordinates are patient millimeters, RAS or LPS: the file's name says which, and in STL and OBJ a
header in the words that 3D Slicer looks for (``SPACE=RAS``).

glTF means meters with Y up. A GLB keeps patient millimeters in its meshes, under one node, named after the
space, whose matrix turns them into that: superior becomes up and the patient looks at the viewer.
"""

from __future__ import annotations

import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from liverseg.case import Case
from liverseg.meshes import Mesh, mesh_of
from liverseg.segment_tags import (
    COUINAUD_LAYER,
    LESION_LAYER,
    LIVER_LAYER,
    VESSEL_LAYER,
    Segment,
    segments_of,
)

RAS, LPS = "ras", "lps"
# What is around something else is seen through.
OPACITY = {LIVER_LAYER: 0.2, COUINAUD_LAYER: 0.5, LESION_LAYER: 1.0, VESSEL_LAYER: 1.0}
_STL_HEADER = 80  # bytes
# Points nearer to each other than the last digit would become one, and open the surface for some readers.
_DIGITS = 6
# RAS mm to glTF's meters, where x runs to the left, y to superior and z to anterior.
_RAS_TO_GLTF = np.array([[-1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1000]]) / 1000.0
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def surfaces_of(case: Case, space: str) -> list[tuple[Segment, Mesh]]:
    """The surface of every segment that has voxels; points in RAS or LPS mm."""
    found = []
    for segment in segments_of(case):
        mesh = mesh_of(getattr(case.masks, segment.layer) == segment.structure.label, case.ct.geometry)
        if mesh is not None:
            found.append((segment, mesh if space == RAS else _to_lps(mesh)))
    return found


def _to_lps(mesh: Mesh) -> Mesh:
    # A half turn about the long axis: triangles keep facing outwards.
    return Mesh(mesh.points * (-1.0, -1.0, 1.0), mesh.triangles)


def _write_stl(case: Case, path: Path, space: str) -> None:
    """A ZIP of binary STL files, one a structure; the format has no names and no colors."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for segment, mesh in surfaces_of(case, space):
            content = bytearray(_trimesh(mesh).export(file_type="stl"))
            header = f"{_header(space)}; {segment.structure.name}".encode("ascii")
            content[:_STL_HEADER] = header[:_STL_HEADER].ljust(_STL_HEADER)
            archive.writestr(f"{segment.structure.key}_{space}.stl", bytes(content))


def _write_obj(case: Case, path: Path, space: str) -> None:
    """All structures in one OBJ, an object each; the colors are in the MTL file that it names."""
    from trimesh.exchange.obj import export_obj

    scene = _scene(surfaces_of(case, space), np.eye(4), "patient")
    text = export_obj(
        scene,
        include_normals=False,
        return_texture=True,
        mtl_name=_mtl_name(space),
        digits=_DIGITS,
        header=_header(space),
    )[0]
    path.write_text(text, encoding="ascii")


def _write_mtl(case: Case, path: Path, space: str) -> None:
    """The colors of the OBJ."""
    lines = [f"# {_header(space)}"]
    for segment in segments_of(case):
        red, green, blue = (value / 255 for value in segment.structure.color)
        lines += ["", f"newmtl {segment.structure.key}", f"Kd {red:.4f} {green:.4f} {blue:.4f}"]
        lines += [f"d {OPACITY[segment.layer]:g}", "illum 1"]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def _write_glb(case: Case, path: Path, space: str) -> None:
    """All structures as named and colored meshes of one GLB."""
    matrix = _RAS_TO_GLTF if space == RAS else _RAS_TO_GLTF @ _LPS_TO_RAS
    scene = _scene(surfaces_of(case, space), matrix, f"patient_{space}_mm")
    path.write_bytes(scene.export(file_type="glb", include_normals=True))


write_stl_ras, write_stl_lps = partial(_write_stl, space=RAS), partial(_write_stl, space=LPS)
write_obj_ras, write_obj_lps = partial(_write_obj, space=RAS), partial(_write_obj, space=LPS)
write_mtl_ras, write_mtl_lps = partial(_write_mtl, space=RAS), partial(_write_mtl, space=LPS)
write_glb_ras, write_glb_lps = partial(_write_glb, space=RAS), partial(_write_glb, space=LPS)


def _header(space: str) -> str:
    return f"SPACE={space.upper()}; LiverSeg, mm, research use"


def _mtl_name(space: str) -> str:
    return f"surfaces_{space}.mtl"


def _trimesh(mesh: Mesh, visual: Any = None) -> Any:
    import trimesh

    return trimesh.Trimesh(mesh.points, mesh.triangles, visual=visual, process=False)


def _scene(surfaces: list[tuple[Segment, Mesh]], matrix: np.ndarray, root: str) -> Any:
    """A trimesh scene with one named, colored mesh a segment, under one node with the matrix."""
    import trimesh
    from trimesh.visual import TextureVisuals
    from trimesh.visual.material import PBRMaterial

    scene = trimesh.Scene()
    scene.graph.update(frame_from=scene.graph.base_frame, frame_to=root, matrix=matrix)
    for segment, mesh in surfaces:
        structure, opacity = segment.structure, OPACITY[segment.layer]
        material = PBRMaterial(
            name=structure.key,
            baseColorFactor=[*_linear(structure.color), opacity],
            metallicFactor=0.0,
            roughnessFactor=0.7,
            alphaMode="BLEND" if opacity < 1 else "OPAQUE",
        )
        scene.add_geometry(
            _trimesh(mesh, TextureVisuals(material=material)),
            node_name=structure.name,
            geom_name=structure.name,
            parent_node_name=root,
        )
    return scene


def _linear(color: tuple[int, int, int]) -> list[float]:
    """sRGB 0..255 as linear light 0..1, which glTF wants (IEC 61966-2-1)."""
    values = np.array(color) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).tolist()
