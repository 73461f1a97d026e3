"""Seconds that all closed surfaces of a case take, and how true they are.

scripts/benchmark_surfaces.py [--phantom 300 512 512]      a made-up patient of that size (k j i)

Prints the way that LiverSeg takes and Slicer's own two. Volumes are those that the surfaces enclose, against
the voxels'; one that faces inwards in part encloses the wrong volume. Needs the package slicer-core.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from liverseg.case import CouinaudMethod, Provenance
from liverseg.measure import measure
from liverseg.meshes import signed_volume
from liverseg.phantom import make_phantom
from liverseg.segment_tags import segments_of
from liverseg_mrml.closed_surfaces import closed_surface_name, make_surfaces
from liverseg_mrml.scene import make_scene
from liverseg_mrml.segmentation_node import segment_ids
from liverseg_mrml.to_scene import add_case_to_scene

DIAMETERS_MM = (40.0, 25.0, 18.0, 12.0, 10.0, 8.0, 6.0, 5.0)
# The least of these is told: what else a computer does only adds to it.
REPEATS = 3


def main() -> None:
    """Make the case once, and its surfaces in each way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--phantom", type=int, nargs=3, metavar=("K", "J", "I"), default=(300, 512, 512))
    k, j, i = parser.parse_args().phantom
    phantom = make_phantom(
        seed=11,
        shape_kji=(k, j, i),
        # 360 mm in-plane and 450 mm long, as an abdomen and pelvis scan.
        spacing_kji=(450 / k, 360 / j, 360 / i),
        diameters_mm=DIAMETERS_MM,
    )
    case = measure(
        phantom.ct, phantom.masks, method=CouinaudMethod("made up"), provenance=Provenance("benchmark")
    )
    made = make_scene()
    node = add_case_to_scene(made.scene, case).segmentation
    true = {
        segment.structure.key: float((getattr(case.masks, segment.layer) == segment.structure.label).sum())
        * case.ct.geometry.voxel_volume_ml
        for segment in segments_of(case)
    }
    print(f"{i} x {j} x {k} voxels, liver {case.liver.volume_ml:.0f} ml, {len(true)} surfaces, ", end="")
    print(f"{os.cpu_count()} cores, VTK's threads: {vtk.vtkSMPTools.GetBackend()}")
    for name, way in (
        ("LiverSeg (surface nets, each segment cut out)", make_surfaces),
        ("Slicer, flying edges", _slicers("0")),
        ("Slicer, surface nets", _slicers("1")),
    ):
        seconds, cpu = min(_seconds(way, node) for _ in range(REPEATS))
        errors = {key: 100 * (enclosed_ml(node, key) / ml - 1) for key, ml in true.items()}
        worst = max(errors, key=lambda key: abs(errors[key]))
        segments = max(abs(error) for key, error in errors.items() if key.startswith("couinaud"))
        print(
            f"{name}: {seconds:.2f} s (CPU {cpu:.2f} s); volumes differ by {abs(errors['liver']):.2f} % "
            f"(liver), up to {segments:.1f} % (Couinaud), {abs(errors[worst]):.1f} % at worst "
            f"({worst}, {true[worst]:.2f} ml)"
        )


def _seconds(way: Callable[[object], None], node: object) -> tuple[float, float]:
    """Seconds on the clock and of the processor."""
    began, spent = time.perf_counter(), time.process_time()
    way(node)
    return time.perf_counter() - began, time.process_time() - spent


def _slicers(method: str) -> Callable[[object], None]:
    """Slicer's own conversion of the whole segmentation."""

    def make(node: object) -> None:
        segmentation = node.GetSegmentation()  # type: ignore[attr-defined]
        rule = slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule
        segmentation.SetConversionParameter(rule.GetConversionMethodParameterName(), method)
        segmentation.RemoveRepresentation(closed_surface_name())
        segmentation.CreateRepresentation(closed_surface_name())

    return make


def enclosed_ml(node: object, key: str) -> float:
    """What a segment's surface encloses; triangles that face inwards count against it."""
    segment = node.GetSegmentation().GetSegment(segment_ids(node)[key])  # type: ignore[attr-defined]
    triangles = vtk.vtkTriangleFilter()
    triangles.SetInputData(segment.GetRepresentation(closed_surface_name()))
    triangles.Update()
    surface = triangles.GetOutput()
    points = vtk_to_numpy(surface.GetPoints().GetData()).astype(np.float64)
    corners = vtk_to_numpy(surface.GetPolys().GetConnectivityArray()).reshape(-1, 3).astype(np.int64)
    return signed_volume(points, corners) / 1000


if __name__ == "__main__":
    main()
