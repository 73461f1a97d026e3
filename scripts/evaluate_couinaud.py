"""Cross-validate the shape-to-Couinaud network over label maps, and compare two readings.

Each map is split by the network of the fold that never saw its person, on the map's own grid; Dice is
per segment and its mean over the eight.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from liverseg.bundle import Bundle, read_bundle
from liverseg.couinaud import split_liver
from liverseg.errors import InputRefused
from liverseg.evaluation.case_script import run_script
from liverseg.evaluation.couinaud_scores import segment_dice
from liverseg.images import geometry_of
from liverseg.training.export import export_bundle
from liverseg.training.kept_settings import SETTINGS
from liverseg.training.persons import person_of
from liverseg.writers.atomic import make_folder, written_whole


def score_map(path: Path, bundle: Bundle) -> tuple[float, ...]:
    """Split the liver of a label map and compare."""
    image = sitk.ReadImage(str(path))
    truth = sitk.GetArrayFromImage(image)
    return segment_dice([truth], split_liver(truth > 0, geometry_of(image), bundle).labels)


def two_readings(folder: Path) -> list[tuple[float, ...]]:
    """Dice between the readings a and b of persons that have both on one grid."""
    rows = []
    for first in sorted(folder.glob("*/couinaud_roi_a.nii.gz")):
        second = first.with_name("couinaud_roi_b.nii.gz")
        if second.exists():
            a, b = (sitk.GetArrayFromImage(sitk.ReadImage(str(path))) for path in (first, second))
            rows.append(segment_dice([a], b))
    return rows


def held_out(run: Path, scored: Iterable[str], maps: Iterable[str]) -> list[str]:
    """The maps that a run never saw and no run before it has scored, as its own folder says.

    Raises:
        InputRefused: the folder holds no run, or one that held nobody out.
    """
    try:
        names = json.loads((run / SETTINGS).read_text(encoding="utf-8"))["held_out"]
    except OSError as error:
        raise InputRefused(f"{run} holds no training run; give the folders of run=") from error
    held = sorted((set(names) & set(maps)) - set(scored))
    if not held:
        raise InputRefused(f"{run} held no map out: train it with data.splits")
    return held


def evaluate(arguments: argparse.Namespace) -> None:
    """Score every fold's maps, write the scores, print what they come to.

    Raises:
        InputRefused: a folder that holds no run, or nobody whom the run held out.
        UsageError: the scores cannot be written.
    """
    make_folder(arguments.out.parent)
    maps = {
        path.name.removesuffix(".nii.gz"): path
        for path in sorted((arguments.data / "couinaud").glob("*.nii.gz"))
    }
    result: dict[str, tuple[float, ...]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for number, run in enumerate(arguments.runs):
            held = held_out(run, result, maps)
            folder = Path(scratch) / f"fold{number}"
            export_bundle(folder, f"fold{number}", {"couinaud": run}, {})
            bundle = read_bundle(folder)
            for name in held:
                result[name] = score_map(maps[name], bundle)
            print(
                f"fold {number}: {np.mean([result[n] for n in held]):.4f} over {len(held)} maps", flush=True
            )
    table = np.array(list(result.values()))
    persons = len({person_of(name) for name in result})
    readings = two_readings(arguments.data / "ct")
    summary = {
        "maps": len(result),
        "persons": persons,
        "folds": len(arguments.runs),
        "mean_dice": round(float(table.mean()), 4),
        "dice_by_segment": [round(float(v), 4) for v in table.mean(axis=0)],
        "worst_map": round(float(table.mean(axis=1).min()), 4),
    }
    if readings:
        summary["two_readings_mean_dice"] = round(float(np.mean(readings)), 4)
        summary["two_readings_persons"] = len(readings)
    with written_whole(arguments.out) as temporary:
        temporary.write_text(json.dumps({"summary": summary, "maps": result}, indent=1), encoding="utf-8")
    print(json.dumps(summary, indent=2))


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with couinaud/ and ct/")
    parser.add_argument(
        "--runs", type=Path, nargs="+", required=True, help="run folder of each fold, in order"
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON with every map's scores")
    return run_script(parser, evaluate, "evaluate_couinaud")


if __name__ == "__main__":
    sys.exit(main())
