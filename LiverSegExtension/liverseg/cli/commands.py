"""What each command does. Every one returns its exit code and raises ``LiverSegError`` for the rest."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime

from liverseg import __version__
from liverseg.bundle import Bundle, file_sha256, find_bundle, installed_bundles
from liverseg.case import Case, CouinaudMethod, Provenance
from liverseg.checks import check_volume
from liverseg.cli.batch import run_batch
from liverseg.cli.console import Listener
from liverseg.cli.tables import case_lines, remnant_lines, series_lines
from liverseg.errors import InputRefused, LiverSegError, UsageError
from liverseg.masks_reading import read_masks
from liverseg.measure import measure
from liverseg.reading import describe_input, read_labels, read_volume
from liverseg.volume import Volume
from liverseg.writers import DEFAULT_NAMES, check_output_folder, write_case

DONE, NO_LIVER = 0, 4


def run_segment(arguments: argparse.Namespace, listener: Listener) -> int:
    """CT in, all outputs out."""
    check_output_folder(arguments.out, arguments.overwrite)
    ct = read_volume(arguments.ct, arguments.series)
    from liverseg.pipeline import SegmentOptions, segment

    options = SegmentOptions(
        device=arguments.device,
        quality=arguments.quality,
        model=arguments.model,
        split_segment_4=arguments.split_segment_4,
        force=arguments.force,
    )
    return _write(segment(ct, options, listener), arguments, listener)


def run_measure(arguments: argparse.Namespace, listener: Listener) -> int:
    """The same outputs from masks that a person corrected."""
    check_output_folder(arguments.out, arguments.overwrite)
    listener(0.0, "reading")
    ct = read_volume(arguments.ct, arguments.series)
    checked = check_volume(ct, force=arguments.force)
    read = read_masks(arguments.masks, ct)
    masks, method, warnings = read.masks, read.method or CouinaudMethod("given"), read.warnings
    bundle = None
    if not read.couinaud_given:
        from liverseg.couinaud import split_mask

        listener(0.3, "Couinaud segments")
        bundle = find_bundle(arguments.model)
        split = split_mask(masks.liver, ct, bundle, arguments.split_segment_4)
        masks, method = replace(masks, couinaud=split.labels), split.method
        warnings = (*warnings, *split.warnings)
    listener(0.5, "measuring")
    case = measure(
        ct,
        masks,
        method=method,
        provenance=_provenance_of_masks(ct, bundle, read.last_lesion_id),
        tracking_uids=read.tracking_uids,
        reviews=read.reviews,
        confidences=read.confidences,
        warnings=(*ct.warnings, *checked.warnings, *warnings),
    )
    return _write(case, arguments, listener)


def _provenance_of_masks(ct: Volume, bundle: Bundle | None, last_lesion_id: int) -> Provenance:
    """For given masks: no network ran, but perhaps that of ``bundle`` which split the liver."""
    return Provenance(
        version=__version__,
        model_name=bundle.name if bundle else None,
        weights_sha256={"couinaud": bundle.sha256["couinaud"]} if bundle else {},
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        parameters={"masks": "given", "last_lesion_id": last_lesion_id},
        input=describe_input(ct),
    )


def _write(case: Case, arguments: argparse.Namespace, listener: Listener) -> int:
    names = [*DEFAULT_NAMES]
    names += ["ct_liver"] if arguments.masked_ct else []
    names += ["scene"] if arguments.scene else []
    listener(0.96, "writing")
    write_case(case, arguments.out, names, arguments.overwrite)
    for warning in case.warnings:
        listener.warning(warning)
    listener(1.0, "done")
    listener.done(str(arguments.out), case_lines(case, arguments.out))
    return DONE if case.masks.liver.any() else NO_LIVER


def run_couinaud(arguments: argparse.Namespace, listener: Listener) -> int:
    """A label map of the segments from any liver mask."""
    if arguments.out.exists() and not arguments.overwrite:
        raise UsageError(f"{arguments.out} is there already; choose another name, or --overwrite")
    if not arguments.out.name.endswith(".nii.gz"):
        raise UsageError(f"{arguments.out.name} is no name for a label map; end it with .nii.gz")
    mask, geometry = read_labels(arguments.mask)
    if not (mask > 0).any():
        raise InputRefused(f"{arguments.mask.name} holds no voxel above 0, so there is no liver to split")
    from liverseg.couinaud import split_mask
    from liverseg.writers.atomic import make_folder, written_whole
    from liverseg.writers.volumes import write_nifti

    volume = Volume(mask, geometry)
    split = split_mask(mask > 0, volume, find_bundle(arguments.model), arguments.split_segment_4)
    make_folder(arguments.out.resolve().parent)
    with written_whole(arguments.out) as temporary:
        write_nifti(split.labels, geometry, temporary)
    for warning in split.warnings:
        listener.warning(warning)
    listener.done(str(arguments.out), [f"Couinaud segments: {arguments.out}"])
    return DONE


def run_flr(arguments: argparse.Namespace, listener: Listener) -> int:
    """Future liver remnant from a result folder; kept in its report."""
    from liverseg.remnant import future_liver_remnant
    from liverseg.writers.atomic import written_whole
    from liverseg.writers.report_json import read_report, report_text, segments_of

    path = arguments.folder / "report.json"
    report = read_report(path)
    names = [name.strip() for name in arguments.resect.split(",") if name.strip()]
    remnant = future_liver_remnant(segments_of(report), names, arguments.height_cm, arguments.weight_kg)
    report["remnant"] = asdict(remnant)
    with written_whole(path) as temporary:
        temporary.write_text(report_text(report), encoding="utf-8")
    if not report["liver"]["complete"]:
        listener.warning("the scan cuts the liver off, so the remnant is not that of the whole liver")
    if report["method"]["approximate"]:
        listener.warning("the Couinaud split is approximate, and so is the remnant")
    listener.done(str(path), remnant_lines(remnant))
    return DONE


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
    """The installed bundles, their weights checked against the cards."""
    rows, lines = [], []
    for bundle in installed_bundles():
        intact = all(
            (bundle.folder / n.file).is_file() and file_sha256(bundle.folder / n.file) == n.sha256
            for n in bundle.networks.values()
        )
        rows.append({"name": bundle.name, "networks": sorted(bundle.networks), "intact": intact})
        state = "weights intact" if intact else "WEIGHTS DAMAGED"
        lines.append(f"{bundle.name}: {', '.join(sorted(bundle.networks))} ({state})")
    listener.done("", [json.dumps(rows, indent=2)] if arguments.json else lines or ["no model is installed"])
    if any(not row["intact"] for row in rows):
        raise LiverSegError("a model's weights are damaged; copy its bundle again")
    return DONE


COMMANDS: dict[str, Callable[[argparse.Namespace, Listener], int]] = {
    "segment": run_segment,
    "measure": run_measure,
    "couinaud": run_couinaud,
    "flr": run_flr,
    "series": run_series,
    "check": run_check,
    "models": run_models,
    "batch": run_batch,
}
