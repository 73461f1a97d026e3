"""What each command does. Every one returns its exit code and raises ``LiverSegError`` for the rest."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from liverseg import __version__
from liverseg.bundle import Bundle, bundles_in, file_sha256, installed_bundles
from liverseg.case import Case, CouinaudMethod, Masks, Provenance, Remnant
from liverseg.checks import check_volume
from liverseg.cli.batch import run_batch
from liverseg.cli.compare import run_compare
from liverseg.cli.console import Listener
from liverseg.cli.couinaud import Splitter, method_for, read_before, read_points, run_couinaud
from liverseg.cli.devices import run_devices
from liverseg.cli.evaluate import run_compare_scores, run_evaluate
from liverseg.cli.tables import case_lines, remnant_lines, series_lines
from liverseg.cli.validate import run_validate
from liverseg.couinaud import doubts_of_given
from liverseg.errors import InputRefused, LiverSegError, ModelError
from liverseg.masks_reading import ReadMasks, read_masks
from liverseg.measure import measure
from liverseg.reading import describe_input, read_labels, read_volume
from liverseg.volume import Volume
from liverseg.writers import (
    DEFAULT_NAMES,
    DICOM_NAMES,
    check_output_folder,
    check_writers,
    surface_names,
    with_warnings,
    write_case,
)
from liverseg.writers.remnant_files import with_earlier_remnant

DONE, NO_LIVER = 0, 4
KEPT_SEGMENTS = (
    "the Couinaud segments in the masks are kept: a method, or IVa and IVb, are for liver without one; "
    "for a new split leave the segments out of the masks, or name the result before the edits "
    "(--edited-since)"
)


def run_segment(arguments: argparse.Namespace, listener: Listener) -> int:
    """CT in, all outputs out."""
    _check_outputs(arguments)
    landmarks, guessed = read_points(arguments.landmarks)
    ct = read_volume(arguments.ct, arguments.series)
    from liverseg.pipeline import SegmentOptions, segment

    options = SegmentOptions(
        device=arguments.device,
        quality=arguments.quality,
        model=arguments.model,
        split_segment_4=arguments.split_segment_4,
        couinaud_method=method_for(arguments.couinaud_method, False, bool(landmarks or guessed)),
        landmarks=landmarks,
        guessed=guessed,
        force=arguments.force,
        tile=arguments.tile,
    )
    return _write(segment(ct, options, listener), arguments, listener)


def run_measure(arguments: argparse.Namespace, listener: Listener) -> int:
    """The same outputs from masks that a person corrected."""
    _check_outputs(arguments)
    listener(0.0, "reading")
    ct = read_volume(arguments.ct, arguments.series)
    checked = check_volume(ct, force=arguments.force)
    read = read_masks(arguments.masks, ct)
    splitter = Splitter(arguments, ct, read.masks.vessels)
    keeps = read.couinaud_given and arguments.edited_since is None
    if not keeps:
        listener(0.3, "Couinaud segments")
    masks, method, said = _segments(arguments, read, ct, splitter)
    listener(0.5, "measuring")
    provenance = _provenance_of_masks(ct, splitter.bundle, read.last_lesion_id)
    case = measure(
        ct,
        masks,
        method=method,
        provenance=provenance,
        tracking_uids=read.tracking_uids,
        reviews=read.reviews,
        confidences=read.confidences,
        warnings=(*ct.warnings, *checked.warnings, *read.warnings, *said),
        fresh_split=lambda liver: splitter.split(liver).labels,
    )
    if keeps:
        doubtful = doubts_of_given(case.masks.couinaud, ct.geometry)
        method = replace(method, approximate=method.approximate or bool(doubtful))
        case = replace(case, method=method, warnings=tuple(dict.fromkeys((*case.warnings, *doubtful))))
    if splitter.last is not None and keeps:
        # Liver that the given segments do not cover was split while measuring.
        case = replace(
            case,
            provenance=_provenance_of_masks(ct, splitter.bundle, read.last_lesion_id),
            method=replace(method, approximate=method.approximate or splitter.last.method.approximate),
            warnings=tuple(dict.fromkeys((*case.warnings, *splitter.last.warnings))),
        )
    return _write(with_earlier_remnant(case, arguments.masks, arguments.out), arguments, listener)


def _segments(
    arguments: argparse.Namespace, read: ReadMasks, ct: Volume, splitter: Splitter
) -> tuple[Masks, CouinaudMethod, tuple[str, ...]]:
    """Masks with segments, how these came about, and what is to be said of that."""
    if not read.couinaud_given:
        split = splitter.split(read.masks.liver)
        return replace(read.masks, couinaud=split.labels), split.method, split.warnings
    if arguments.edited_since is not None:
        return splitter.split_again(read.masks, read_before(arguments.edited_since, ct))
    asked = arguments.couinaud_method or arguments.split_segment_4
    return read.masks, read.method or CouinaudMethod("given"), (KEPT_SEGMENTS,) if asked else ()


def _provenance_of_masks(ct: Volume, bundle: Bundle | None, last_lesion_id: int) -> Provenance:
    """For given masks: no network ran, but perhaps that of ``bundle`` which split the liver."""
    return Provenance(
        version=__version__,
        model_name=bundle.name if bundle else None,
        weights_sha256={n: s for n, s in bundle.sha256.items() if n == "couinaud"} if bundle else {},
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        parameters={"masks": "given", "last_lesion_id": last_lesion_id},
        input=describe_input(ct),
    )


def _output_names(arguments: argparse.Namespace) -> list[str]:
    """The outputs that the flags ask for."""
    names = [*DEFAULT_NAMES]
    names += ["ct_liver"] if arguments.masked_ct else []
    names += ["scene"] if arguments.scene else []
    if arguments.dicom or arguments.dicom_seg is not None:
        names += DICOM_NAMES[arguments.dicom_seg or "binary"]
    for kind in arguments.surfaces:
        names += surface_names(kind, arguments.surface_space)
    names += ["pdf"] if arguments.pdf else []
    return names


def _check_outputs(arguments: argparse.Namespace) -> None:
    """Refuse a folder or a missing library before the work begins."""
    check_output_folder(arguments.out, arguments.overwrite)
    check_writers(_output_names(arguments))


def _write(case: Case, arguments: argparse.Namespace, listener: Listener) -> int:
    names = _output_names(arguments)
    case = with_warnings(case, names)
    settings = {"pdf": {"paper": arguments.paper, "patient": arguments.patient_name}}
    listener(0.96, "writing")
    write_case(case, arguments.out, names, arguments.overwrite, settings)
    for warning in case.warnings:
        listener.warning(warning)
    listener(1.0, "done")
    listener.done(str(arguments.out), case_lines(case, arguments.out))
    return DONE if case.masks.liver.any() else NO_LIVER


def run_flr(arguments: argparse.Namespace, listener: Listener) -> int:
    """Future liver remnant from a result folder; kept in its report, its long table and its PDF."""
    from liverseg.remnant import future_liver_remnant
    from liverseg.writers.remnant_files import write_remnant
    from liverseg.writers.report_json import read_report, segments_of

    folder = arguments.folder.parent if arguments.folder.name == "report.json" else arguments.folder
    path = folder / "report.json"
    report = read_report(path)
    doubts = _doubts_of_remnant(report, path, by_mask=arguments.resect_mask is not None)
    segments = segments_of(report)
    size = (arguments.height_cm, arguments.weight_kg)
    if arguments.resect_mask is not None:
        remnant = _remnant_by_mask(folder, report, arguments.resect_mask, size)
    else:
        names = [name.strip() for name in arguments.resect.split(",") if name.strip()]
        remnant = future_liver_remnant(segments, names, *size)
    for warning in (*write_remnant(folder, report, remnant), *doubts):
        listener.warning(warning)
    listener.done(str(path), remnant_lines(remnant))
    return DONE


def _doubts_of_remnant(report: dict[str, Any], path: Path, by_mask: bool) -> list[str]:
    """What the report says that a remnant is to be doubted for.

    Raises:
        InputRefused: it does not say, or there is no liver.
    """
    try:
        complete, approximate = report["liver"]["complete"], report["method"]["approximate"]
        volume = report["liver"]["volume_ml"]
    except (KeyError, TypeError) as error:
        raise InputRefused(
            f"{path} does not say whether the liver is complete and the split approximate ({error}); "
            "run LiverSeg again"
        ) from error
    if not volume:
        raise InputRefused(f"{path} tells of no liver: there is nothing to resect")
    doubts = []
    if not complete:
        doubts.append("the scan cuts the liver off, so the remnant is not that of the whole liver")
    if approximate and not by_mask:
        doubts.append("the Couinaud split is approximate, and so is the remnant")
    return doubts


def _remnant_by_mask(
    folder: Path, report: dict[str, Any], mask: Path, size: tuple[float | None, float | None]
) -> Remnant:
    """The remnant outside of a mask that was drawn on the grid of a result folder."""
    from liverseg.compare.time_point import labels_beside
    from liverseg.label_grids import onto_grid
    from liverseg.remnant import remnant_outside_mask

    liver, lesions, geometry = labels_beside(report, folder)
    drawn, grid = read_labels(mask)
    resect, _ = onto_grid(drawn, grid, geometry, mask.name)
    return remnant_outside_mask(liver > 0, lesions, resect > 0, geometry.voxel_volume_ml, *size)


def run_series(arguments: argparse.Namespace, listener: Listener) -> int:
    """The DICOM series of a folder."""
    from liverseg.dicom import list_series

    series = list_series(arguments.folder)
    if arguments.json:
        listener.done(str(arguments.folder), [json.dumps([asdict(s) for s in series], indent=2)])
    else:
        listener.done(str(arguments.folder), series_lines(series))
    return DONE


def run_check(arguments: argparse.Namespace, listener: Listener) -> int:
    """Pre-flight alone."""
    ct = read_volume(arguments.ct, arguments.series)
    checked = check_volume(ct, force=arguments.force)
    warnings = [*ct.warnings, *checked.warnings]
    if arguments.json:
        facts = {"facts": checked.facts, "warnings": warnings}
        listener.done(str(arguments.ct), [json.dumps(facts, indent=2, default=str)])
        return DONE
    lines = [f"{name}: {value}" for name, value in checked.facts.items()]
    lines += [f"warning: {warning}" for warning in warnings]
    listener.done(str(arguments.ct), [*lines, "This CT can be read out."])
    return DONE


def run_models(arguments: argparse.Namespace, listener: Listener) -> int:
    """The installed bundles or those of a folder, their weights checked against the cards."""
    if arguments.folder and not arguments.folder.is_dir():
        raise ModelError(f"{arguments.folder} is no folder; give that of a model, or one that holds some")
    rows, lines = [], []
    for bundle in bundles_in(arguments.folder) if arguments.folder else installed_bundles():
        intact = all(
            (bundle.folder / n.file).is_file() and file_sha256(bundle.folder / n.file) == n.sha256
            for n in bundle.networks.values()
        )
        rows.append({"name": bundle.name, "networks": sorted(bundle.networks), "intact": intact})
        state = "weights intact" if intact else "WEIGHTS DAMAGED"
        lines.append(f"{bundle.name}: {', '.join(sorted(bundle.networks))} ({state})")
    listener.done("", [json.dumps(rows, indent=2)] if arguments.json else lines)
    if not rows:
        raise ModelError(
            f"no model in {arguments.folder or 'Resources/Models'}; a model is a folder with a card.json: "
            "give that, or one that holds some"
        )
    if any(not row["intact"] for row in rows):
        raise LiverSegError("a model's weights are damaged; copy its bundle again")
    return DONE


COMMANDS: dict[str, Callable[[argparse.Namespace, Listener], int]] = {
    "segment": run_segment,
    "measure": run_measure,
    "couinaud": run_couinaud,
    "flr": run_flr,
    "compare": run_compare,
    "series": run_series,
    "check": run_check,
    "models": run_models,
    "devices": run_devices,
    "evaluate": run_evaluate,
    "compare-scores": run_compare_scores,
    "validate": run_validate,
    "batch": run_batch,
}
