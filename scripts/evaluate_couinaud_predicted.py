"""Score the Couinaud methods on predicted livers, with the vessels that the model predicts as guide.

scripts/predict_cases.py --data DATA --model FOLD0 --cases ... --out PRED0        (once a fold)
scripts/evaluate_couinaud_predicted.py --data DATA --pred PRED0 PRED1 --models FOLD0 FOLD1 --out scores.json

Each predicted case is split by the model that predicted it, which must not have seen its person, and compared
with the readings in DATA/ct/<case>: by shape, by the predicted vessels, by the vessels that were drawn (where
there are some), and by planes from landmarks guessed. Dice of the segments, as ``liverseg evaluate`` has them
on the found liver, the mean over the readings of a liver.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from liverseg.bundle import Bundle, find_bundle, networks_kept
from liverseg.couinaud import SplitOptions, split_liver
from liverseg.errors import InputRefused, UsageError
from liverseg.evaluation.case_files import LabelMaps, read_case
from liverseg.evaluation.case_script import run_script
from liverseg.evaluation.couinaud_scores import NUMERALS, segment_dice
from liverseg.evaluation.end_to_end import refuse_seen
from liverseg.training.persons import person_of
from liverseg.writers.atomic import make_folder, written_whole

log = logging.getLogger("evaluate_couinaud_predicted")

SHAPE, PREDICTED, DRAWN, PLANES = (
    "learned from shape",
    "vessels, predicted",
    "vessels, drawn by readers",
    "landmarks, guessed from the learned split",
)


@dataclass(frozen=True)
class CaseScore:
    """Dice of I to VIII by method, and how much of the predicted vessels lies in the found liver (ml)."""

    name: str
    dice: Mapping[str, tuple[float, ...]]
    vessels_ml: float
    used: Mapping[str, str]


def model_of(folder: Path, models: Sequence[Bundle]) -> Bundle:
    """The model that made a prediction, by the weights that its ``prediction.json`` names.

    Raises:
        UsageError: none of ``models`` did.
        InputRefused: there is no such file.
    """
    path = folder / "prediction.json"
    try:
        weights = json.loads(path.read_text(encoding="utf-8"))["weights_sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputRefused(
            f"{path} does not say which model predicted; use scripts/predict_cases.py"
        ) from error
    for bundle in models:
        if bundle.sha256 == weights:
            return bundle
    raise UsageError(f"{folder.name} was predicted by none of the models given; name its model, too")


def score(name: str, found: LabelMaps, truth: LabelMaps, bundle: Bundle) -> CaseScore:
    """Split a predicted liver by every method and compare with the readings; both on one grid."""
    guides = {SHAPE: ("shape", None), PLANES: ("landmarks", None)}
    if found.vessels is not None:
        guides[PREDICTED] = ("vessels", found.vessels)
    if truth.vessels is not None:
        guides[DRAWN] = ("vessels", truth.vessels)
    dice, used = {}, {}
    for title, (method, vessels) in guides.items():
        split = split_liver(found.liver, found.geometry, bundle, SplitOptions(method), vessels)
        dice[title] = segment_dice(truth.couinaud, split.labels)
        used[title] = split.method.name
    inside = 0 if found.vessels is None else np.count_nonzero(found.vessels[found.liver])
    return CaseScore(name, dice, float(inside) * found.geometry.voxel_volume_ml, used)


def table(scores: Sequence[CaseScore]) -> list[dict[str, object]]:
    """A row a method, each beside the split by shape of the same livers."""
    rows = []
    for title in (SHAPE, PREDICTED, DRAWN, PLANES):
        own = [each for each in scores if title in each.dice]
        if not own:
            continue
        values = np.array([each.dice[title] for each in own])
        gain = values.mean(axis=1) - np.array([each.dice[SHAPE] for each in own]).mean(axis=1)
        worst = int(values.mean(axis=1).argmin())
        rows.append(
            {
                "method": title,
                "scans": len(own),
                "persons": len({person_of(each.name) for each in own}),
                "mean_dice": round(float(values.mean()), 4),
                "by_segment": [round(float(v), 4) for v in values.mean(axis=0)],
                "worst": round(float(values.mean(axis=1)[worst]), 4),
                "worst_case": own[worst].name,
                "gain_on_shape": round(float(gain.mean()), 4),
                "better": int((gain > 0).sum()),
                "worse": int((gain < 0).sum()),
                "fell_back": sum(title != SHAPE and each.used[title] == SHAPE for each in own),
            }
        )
    return rows


def markdown(rows: Sequence[Mapping[str, object]]) -> str:
    """The rows as a table."""
    head = f"| method | scans (persons) | mean | {' | '.join(NUMERALS)} | worst | on shape | better, worse |"
    lines = [head, "|---|---|---|" + "---|" * 11]
    for row in rows:
        by = row["by_segment"]
        assert isinstance(by, list)
        cells = " | ".join(f"{v:.2f}" for v in by)
        lines.append(
            f"| {row['method']} | {row['scans']} ({row['persons']}) | {row['mean_dice']:.3f} | {cells} "
            f"| {row['worst']:.2f} | {row['gain_on_shape']:+.3f} | {row['better']}, {row['worse']} |"
        )
    return "\n".join(lines)


def evaluate(arguments: argparse.Namespace) -> None:
    """Score every predicted case that has a reading.

    Raises:
        UsageError: a model saw a person, a prediction is of no model given, or nothing can be scored.
        InputRefused: files that cannot be read or do not fit each other.
    """
    models = [find_bundle(name) for name in arguments.models]
    scores = []
    with networks_kept():
        for folder in sorted(path for parent in arguments.pred for path in parent.iterdir() if path.is_dir()):
            bundle = model_of(folder, models)
            refuse_seen([folder.name], bundle)
            found = read_case(folder)
            truth = read_case(arguments.data / "ct" / folder.name, found.geometry)
            if not truth.couinaud or not found.liver.any():
                log.info("%s: no reading of the segments, or no liver found; left out", folder.name)
                continue
            scores.append(score(folder.name, found, truth, bundle))
            means = ", ".join(f"{title} {np.mean(v):.3f}" for title, v in scores[-1].dice.items())
            log.info("%s: %.0f ml of vessels; %s", folder.name, scores[-1].vessels_ml, means)
    if not scores:
        raise UsageError("none of the predicted cases has a reading of its segments")
    rows = table(scores)
    cases = {
        each.name: {"dice": each.dice, "vessels_ml": round(each.vessels_ml, 2), "used": each.used}
        for each in scores
    }
    make_folder(arguments.out.resolve().parent)
    with written_whole(arguments.out) as temporary:
        temporary.write_text(json.dumps({"summary": rows, "cases": cases}, indent=1), encoding="utf-8")
    print(markdown(rows))


def main(words: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with ct/<case>/")
    parser.add_argument(
        "--pred", type=Path, nargs="+", required=True, help="folders of scripts/predict_cases.py"
    )
    parser.add_argument("--models", nargs="+", required=True, help="the models that predicted")
    parser.add_argument("--out", type=Path, required=True, help="JSON with every case's scores")
    return run_script(parser, evaluate, "evaluate_couinaud_predicted", words)


if __name__ == "__main__":
    sys.exit(main())
