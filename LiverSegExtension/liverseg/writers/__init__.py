"""The files a run writes. One file a writer, and one line in the registry below.

A writer is a function ``(case: Case, path: Path, **settings) -> None``, every setting having a default. It
writes to the path it is given, which is a temporary name beside the real one
(:mod:`liverseg.writers.atomic`). Writers are named by strings and imported when first needed, so that a light
run loads no heavy library, and so that a writer may live in a package that is built on this one.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from liverseg.case import Case
from liverseg.errors import UsageError
from liverseg.writers import conditions
from liverseg.writers.atomic import (
    cannot_write,
    kept_on_failure,
    make_folder,
    plain_reason,
    remove_leftovers,
    written_whole,
)

logger = logging.getLogger(__name__)

Writer = Callable[..., None]


@dataclass(frozen=True)
class Output:
    """One file of an output folder.

    Attributes:
        filename: its name in the folder.
        writer: ``"package.module:function"``.
        on_request: written only when named.
        needs: what to install when the writer's module or one of ``modules`` does not import.
        applies: False when the case has nothing to write into it.
        modules: packages that the writer loads only when it runs.
        warnings: what the case's reader must be told of this file, or of its absence.
    """

    filename: str
    writer: str
    on_request: bool = False
    needs: str = "LiverSeg with all of its dependencies"
    applies: Callable[[Case], bool] = lambda case: True
    modules: tuple[str, ...] = ()
    warnings: Callable[[Case], tuple[str, ...]] = lambda case: ()


def _dicom(filename: str, writer: str, applies: Callable[[Case], bool] = conditions.fits_dicom) -> Output:
    needs = "the package highdicom (pip install 'liverseg[dicom]')"
    return Output(
        filename,
        f"liverseg.writers.{writer}",
        on_request=True,
        needs=needs,
        applies=applies,
        modules=("highdicom",),
        warnings=conditions.dicom_warnings,
    )


def _surfaces(space: str) -> dict[str, Output]:
    """Surfaces in RAS or LPS, which their names say."""
    files = {
        "stl": f"surfaces_{space}_stl.zip",
        "obj": f"surfaces_{space}.obj",
        "mtl": f"surfaces_{space}.mtl",
        "glb": f"surfaces_{space}.glb",
    }
    return {
        f"surfaces_{kind}_{space}": Output(
            filename,
            f"liverseg.writers.surfaces:write_{kind}_{space}",
            on_request=True,
            needs="the packages vtk and trimesh (pip install 'liverseg[surfaces]')",
            applies=conditions.has_liver,
            modules=("vtk", "trimesh"),
            warnings=conditions.no_surfaces_warning,
        )
        for kind, filename in files.items()
    }


# In the order of writing: the report comes last, so that a folder with a report is complete.
OUTPUTS: dict[str, Output] = {
    "liver": Output("liver.nii.gz", "liverseg.writers.volumes:write_liver"),
    "couinaud": Output("couinaud.nii.gz", "liverseg.writers.volumes:write_couinaud"),
    "lesions": Output("lesions.nii.gz", "liverseg.writers.volumes:write_lesions"),
    "vessels": Output(
        "vessels.nii.gz", "liverseg.writers.volumes:write_vessels", applies=conditions.has_vessels
    ),
    "ct_liver": Output("ct_liver.nii.gz", "liverseg.writers.volumes:write_ct_liver", on_request=True),
    "segmentation": Output("segmentation.seg.nrrd", "liverseg.writers.seg_nrrd:write_segmentation"),
    "scene": Output(
        "scene.mrb",
        "liverseg_mrml.scene_writer:write_scene",
        on_request=True,
        needs="the package slicer-core (pip install 'liverseg[mrml]'), or run inside 3D Slicer",
        modules=("slicer",),
    ),
    "dicom_seg": _dicom("seg.dcm", "dicom_seg:write_binary"),
    "dicom_sr": _dicom("sr.dcm", "dicom_sr:write_report"),
    # One label map a layer in place of seg.dcm, and the report on them.
    "dicom_map_liver": _dicom("seg_liver.dcm", "dicom_seg:write_liver_map"),
    "dicom_map_couinaud": _dicom("seg_couinaud.dcm", "dicom_seg:write_couinaud_map"),
    "dicom_map_lesions": _dicom(
        "seg_lesions.dcm", "dicom_seg:write_lesions_map", conditions.fits_dicom_with_lesions
    ),
    "dicom_map_vessels": _dicom(
        "seg_vessels.dcm", "dicom_seg:write_vessels_map", conditions.fits_dicom_with_vessels
    ),
    "dicom_sr_maps": _dicom("sr.dcm", "dicom_sr:write_report_on_maps"),
    **_surfaces("ras"),
    **_surfaces("lps"),
    "preview": Output("preview.png", "liverseg.writers.preview:write_preview"),
    "pdf": Output(
        "report.pdf",
        "liverseg.writers.report_pdf:write_pdf",
        on_request=True,
        needs="more packages: pip install 'liverseg[report]'",
        modules=("reportlab", "uharfbuzz", "bidi"),
    ),
    "lesions_table": Output("lesions.csv", "liverseg.writers.tables:write_lesions_table"),
    "measurements": Output("measurements.csv", "liverseg.writers.tables:write_measurements"),
    "report": Output("report.json", "liverseg.writers.report_json:write_report"),
}

DEFAULT_NAMES: tuple[str, ...] = tuple(name for name, output in OUTPUTS.items() if not output.on_request)

# What ``--dicom`` adds, by the way of the segmentation.
DICOM_NAMES: dict[str, tuple[str, ...]] = {
    "binary": ("dicom_seg", "dicom_sr"),
    "labelmap": tuple(name for name in OUTPUTS if name.startswith("dicom_map_")) + ("dicom_sr_maps",),
}


def surface_names(kind: str, space: str) -> tuple[str, ...]:
    """The outputs of surfaces as "stl", "obj" (with its colors) or "glb", in "ras" or "lps"."""
    kinds = ("obj", "mtl") if kind == "obj" else (kind,)
    return tuple(f"surfaces_{each}_{space}" for each in kinds)


def check_writers(names: Sequence[str]) -> None:
    """Refuse outputs whose libraries are not installed, before any work is done.

    Raises:
        UsageError: an unknown name, or a library that is missing; it says which and how to get it.
    """
    unknown = [name for name in names if name not in OUTPUTS]
    if unknown:
        raise UsageError(f"no output is called {unknown[0]!r}; there are: {', '.join(OUTPUTS)}")
    for name in names:
        _check_modules(name, OUTPUTS[name])


def with_warnings(case: Case, names: Sequence[str]) -> Case:
    """The case with what its reader must be told of the outputs of these names."""
    told = [warning for name in OUTPUTS if name in names for warning in OUTPUTS[name].warnings(case)]
    return replace(case, warnings=tuple(dict.fromkeys((*case.warnings, *told)))) if told else case


def check_output_folder(folder: Path, overwrite: bool = False) -> None:
    """Refuse an output folder before any work is done. Creates and changes nothing.

    Raises:
        UsageError: the folder is a file, cannot be written to, or holds LiverSeg's outputs and
            ``overwrite`` is not set.
    """
    folder = Path(folder)
    try:
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is a file, not a folder; choose another output folder")
        existing = folder.resolve()
        while not existing.exists():
            existing = existing.parent
        present = [output.filename for output in OUTPUTS.values() if (folder / output.filename).exists()]
    except OSError as error:
        raise UsageError(f"cannot use the output folder {folder}: {plain_reason(error)}") from error
    if not existing.is_dir():
        raise UsageError(
            f"cannot make the folder {folder}: {existing} is a file; choose another output folder"
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UsageError(f"no permission to write in {existing}; choose another output folder")
    if present and not overwrite:
        raise UsageError(
            f"{folder} holds results already ({present[0]}); choose another folder, or --overwrite"
        )


def write_case(
    case: Case,
    folder: Path,
    names: Sequence[str] | None = None,
    overwrite: bool = False,
    settings: Mapping[str, Mapping[str, object]] | None = None,
) -> dict[str, Path]:
    """Write a case's files into a folder, which is made when it is not there.

    Each file appears whole or not at all, and none before all are written: until then an earlier result, with
    what a reader said of its lesions, stays as it was. Files that LiverSeg does not write are never touched.
    When a whole result is replaced, files of the earlier one that the new one does not write (a scene or
    vessels that no longer fit the masks) are removed. What is to be told of the outputs
    (:func:`with_warnings`) stands in the report among the case's warnings.

    Args:
        case: the read-out.
        folder: the output folder.
        names: keys of :data:`OUTPUTS`; the default set when None.
        overwrite: replace LiverSeg's outputs that are there.
        settings: keyword arguments of single writers, by key, such as the paper of the PDF.

    Returns:
        The paths written, by key.

    Raises:
        UsageError: an unknown name, a folder that is refused (:func:`check_output_folder`), a writer
            whose library is not installed, or a file that cannot be written.
    """
    folder = Path(folder)
    wanted = DEFAULT_NAMES if names is None else tuple(names)
    check_writers(wanted)
    case = with_warnings(case, wanted)
    outputs = {name: output for name, output in OUTPUTS.items() if name in wanted and output.applies(case)}
    # Resolved first: a missing library is told before anything is written.
    writers = {name: _resolve(name, output) for name, output in outputs.items()}
    check_output_folder(folder, overwrite)
    make_folder(folder)
    # A run that was killed could not tidy up behind itself.
    remove_leftovers(folder, {output.filename for output in OUTPUTS.values()})

    written = {name: folder / output.filename for name, output in outputs.items()}
    with ExitStack() as stack:
        if "report" in written:
            stack.enter_context(kept_on_failure(written["report"]))
        # Renamed in the order of the outputs, the report last: a folder with a report is complete.
        temporaries = {n: stack.enter_context(written_whole(written[n])) for n in reversed(written)}
        for name, path in written.items():
            try:
                writers[name](case, temporaries[name], **(settings or {}).get(name, {}))
            except OSError as error:
                raise cannot_write(path, error) from error
            logger.debug("wrote %s", path.name)
        if "report" in written:
            _remove(written["report"])
    if set(DEFAULT_NAMES) <= set(wanted):
        _remove_stale(folder, {path.name for path in written.values()})
    return written


def _remove_stale(folder: Path, written: set[str]) -> None:
    """Remove LiverSeg's files of an earlier result that are not among those just written."""
    for output in OUTPUTS.values():
        path = folder / output.filename
        if output.filename not in written and path.is_file():
            _remove(path)
            logger.info("removed %s of an earlier result", output.filename)


def _remove(path: Path) -> None:
    """Remove a file of an earlier result, if it is there."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot replace {path}, which should be a file of an earlier result: {plain_reason(error)}"
        ) from error


def missing_modules(name: str) -> tuple[str, ...]:
    """The modules that an output's writer needs and that are not installed. Imports none of them."""
    return tuple(module for module in OUTPUTS[name].modules if find_spec(module) is None)


def _check_modules(name: str, output: Output) -> None:
    missing = missing_modules(name)
    if missing:
        raise UsageError(f"the output {name!r} needs {output.needs} ({missing[0]} is not installed)")


def _resolve(name: str, output: Output) -> Writer:
    """Import a writer."""
    module_name, _, function = output.writer.partition(":")
    try:
        writer: Writer = getattr(import_module(module_name), function)
    except ImportError as error:
        raise UsageError(f"the output {name!r} needs {output.needs} ({error})") from error
    return writer
