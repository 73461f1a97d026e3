"""The files a run writes. One file a writer, and one line in the registry below.

A writer is a function ``(case: Case, path: Path, **settings) -> None``, every setting having a default. It
writes to the path it is given, which is a
temporary name beside the real one (:mod:`liverseg.writers.atomic`). Writers are named by strings and
imported when first needed, so that a light run loads no heavy library, and so that a writer may live in
a package that is built on this one.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from liverseg.case import Case
from liverseg.errors import UsageError
from liverseg.writers.atomic import make_folder, plain_reason, remove_leftovers, written_whole

logger = logging.getLogger(__name__)

Writer = Callable[..., None]


def _has_vessels(case: Case) -> bool:
    return case.masks.vessels is not None


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
    """

    filename: str
    writer: str
    on_request: bool = False
    needs: str = "LiverSeg with all of its dependencies"
    applies: Callable[[Case], bool] = lambda case: True
    modules: tuple[str, ...] = ()


# In the order of writing: the report comes last, so that a folder with a report is complete.
OUTPUTS: dict[str, Output] = {
    "liver": Output("liver.nii.gz", "liverseg.writers.volumes:write_liver"),
    "couinaud": Output("couinaud.nii.gz", "liverseg.writers.volumes:write_couinaud"),
    "lesions": Output("lesions.nii.gz", "liverseg.writers.volumes:write_lesions"),
    "vessels": Output("vessels.nii.gz", "liverseg.writers.volumes:write_vessels", applies=_has_vessels),
    "ct_liver": Output("ct_liver.nii.gz", "liverseg.writers.volumes:write_ct_liver", on_request=True),
    "segmentation": Output("segmentation.seg.nrrd", "liverseg.writers.seg_nrrd:write_segmentation"),
    "scene": Output(
        "scene.mrb",
        "liverseg_mrml.scene_writer:write_scene",
        on_request=True,
        needs="the package slicer-core (pip install 'liverseg[mrml]'), or run inside 3D Slicer",
    ),
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


def check_output_folder(folder: Path, overwrite: bool = False) -> None:
    """Refuse an output folder before any work is done. Creates and changes nothing.

    Raises:
        UsageError: the folder is a file, cannot be written to, or holds LiverSeg's outputs and
            ``overwrite`` is not set.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder; choose another output folder")
    try:
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

    Each file appears whole or not at all. Files that LiverSeg does not write are never touched. When a
    whole result is replaced, files of the earlier one that the new one does not write (a scene or vessels
    that no longer fit the masks) are removed.

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
    outputs = {name: output for name, output in OUTPUTS.items() if name in wanted and output.applies(case)}
    # Resolved first: a missing library is told before anything is written.
    writers = {name: _resolve(name, output) for name, output in outputs.items()}
    check_output_folder(folder, overwrite)
    make_folder(folder)
    # A run that was killed could not tidy up behind itself.
    remove_leftovers(folder, {output.filename for output in OUTPUTS.values()})

    if "report" in outputs:
        # A folder with a report is complete: while files are replaced, there is none.
        _remove(folder / outputs["report"].filename)
    written: dict[str, Path] = {}
    for name, output in outputs.items():
        path = folder / output.filename
        with written_whole(path) as temporary:
            writers[name](case, temporary, **(settings or {}).get(name, {}))
        logger.debug("wrote %s", output.filename)
        written[name] = path
    if set(DEFAULT_NAMES) <= set(wanted):
        _remove_stale(folder, set(written))
    return written


def _remove_stale(folder: Path, written: set[str]) -> None:
    """Remove LiverSeg's files of an earlier result that the new result did not replace."""
    for name, output in OUTPUTS.items():
        path = folder / output.filename
        if name not in written and path.is_file():
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


def _check_modules(name: str, output: Output) -> None:
    missing = [module for module in output.modules if find_spec(module) is None]
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
