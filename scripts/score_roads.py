"""Score what scripts/compare_roads.py trained: each road against our default on the same unseen people.

scripts/score_roads.py --runs RUNS --data DATA --couinaud BUNDLE --cases CASE ... --out OUT

A road without a network of its own for a stage takes our default's. OUT gets models/, predicted/, scores/ and
compared/ with a folder a road, and table.md. What is there already is not done again.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import predict_cases
from compare_roads import ROADS

from liverseg.bundle import find_bundle, read_bundle
from liverseg.errors import InputRefused, UsageError
from liverseg.evaluation.case_files import STAGE1_FILE, read_case
from liverseg.evaluation.case_script import run_script
from liverseg.evaluation.comparison import compare_scores, read_cases, write_comparison
from liverseg.evaluation.evaluate import evaluate_folders
from liverseg.evaluation.summary import summarize
from liverseg.evaluation.tables import SUMMARY_FILE, write_scores
from liverseg.reading import read_labels
from liverseg.training.checkpoints import LAST
from liverseg.training.export import export_bundle
from liverseg.training.joining import join_bundles
from liverseg.writers.atomic import make_folder

log = logging.getLogger("score_roads")

BASELINE = next(iter(ROADS))


@dataclass(frozen=True)
class Folders:
    """Where a road's results lie."""

    model: Path
    predicted: Path
    scores: Path
    compared: Path

    @staticmethod
    def of(road: str, out: Path) -> Folders:
        """Those of a road."""
        name = road.replace(", ", "_").replace(" ", "_")
        return Folders(*(out / kind / name for kind in ("models", "predicted", "scores", "compared")))


def write_model(road: str, arguments: argparse.Namespace, folder: Path) -> None:
    """The road's two networks as one model, with another bundle's Couinaud network where it has none."""
    networks = {}
    for stage, run in zip(("stage1", "stage2"), ROADS[road], strict=True):
        networks[stage] = arguments.out / "networks" / run
        if not (networks[stage] / "card.json").exists():
            export_bundle(networks[stage], run, {stage: arguments.runs / run}, {})
    if "segments" not in read_bundle(networks["stage2"]).card["networks"]["stage2"]:
        networks["couinaud"] = find_bundle(arguments.couinaud).folder
    join_bundles(folder, road, networks)


def score(road: str, arguments: argparse.Namespace) -> None:
    """Model, predictions, scores and comparison of a road.

    Raises:
        UsageError: its model could not predict.
    """
    folders = Folders.of(road, arguments.out)
    if not (folders.model / "card.json").exists():
        write_model(road, arguments, folders.model)
    words = ["--data", arguments.data, "--model", folders.model, "--out", folders.predicted]
    words += ["--device", arguments.device, "--quality", arguments.quality, "--cases", *arguments.cases]
    words += ["--threads", arguments.threads] if arguments.threads else []
    if predict_cases.main([str(word) for word in words]):
        raise UsageError(f"{road}: its model could not be run; see the line above")
    if not is_scored(folders.scores, arguments.cases):
        cases = list(evaluate_folders(folders.predicted, arguments.data / "ct", arguments.cases))
        make_folder(folders.scores)
        # An earlier summary must not stay beside newer cases where this is interrupted.
        (folders.scores / SUMMARY_FILE).unlink(missing_ok=True)
        write_scores(folders.scores, cases, summarize(cases))
    if road != BASELINE:
        baseline = Folders.of(BASELINE, arguments.out)
        write_comparison(folders.compared, compare_scores(baseline.scores, folders.scores))


def is_scored(folder: Path, cases: Sequence[str]) -> bool:
    """Whether the scores of a folder are whole, which the summary comes last for, and of these cases."""
    if not (folder / SUMMARY_FILE).exists():
        return False
    try:
        return set(read_cases(folder)) == set(cases)
    except InputRefused:
        return False


def steps_of(run: Path) -> int:
    """The steps that a run's log counts."""
    with (run / "log.csv").open(encoding="utf-8", newline="") as file:
        return max((int(row["step"]) for row in csv.DictReader(file)), default=0)


def row(road: str, arguments: argparse.Namespace) -> list[str]:
    """A road's line of the table."""
    folders = Folders.of(road, arguments.out)
    told = json.loads((folders.scores / SUMMARY_FILE).read_text(encoding="utf-8"))
    card = json.loads((folders.model / "card.json").read_text(encoding="utf-8"))
    own = [n for n, run in enumerate(ROADS[road]) if road == BASELINE or run not in ROADS[BASELINE]]
    steps = [f"{steps_of(arguments.runs / ROADS[road][n]):,}" for n in own]
    sizes = [f"{card['networks'][f'stage{n + 1}']['parameters'] / 1e6:.1f}" for n in own]
    lesions, liver = told["lesions"], told["liver"]["dice"]
    large = lesions["any_overlap"]["10 mm and more"]
    seconds = [
        json.loads(path.read_text(encoding="utf-8"))["seconds"]
        for path in (folders.predicted / case / "prediction.json" for case in sorted(set(arguments.cases)))
    ]
    stage1 = told.get("stage1_liver")
    inside = covered(folders.predicted, arguments.data / "ct", arguments.cases)
    return [
        road,
        " and ".join(sizes),
        " and ".join(steps),
        f"{stage1['mean']:.3f}" if stage1 else "",
        f"{inside:.0%}" if inside is not None else "",
        f"{liver['mean']:.3f}, {liver['worst']:.3f}",
        f"{lesions['person_mean_dice']:.3f}" if lesions.get("person_mean_dice") is not None else "",
        f"{large['found']} of {large['lesions']}",
        f"{lesions['false_lesions_per_ct']:.2f}",
        against(folders.compared / "comparison.json"),
        f"{told['couinaud']['mean_dice']['mean']:.3f}" if told.get("couinaud") else "",
        f"{sum(seconds) / max(1, len(seconds)):.0f}",
    ]


def covered(predicted: Path, truth: Path, cases: Sequence[str]) -> float | None:
    """The share of a case's lesion voxels that lie in stage 1's liver, the mean over cases that have both.

    Args:
        predicted: one folder a case, with stage 1's mask on the scan that it saw.
        truth: one folder a case.
        cases: those that count.
    """
    shares = []
    for path in (predicted / case / STAGE1_FILE for case in sorted(set(cases))):
        if not path.exists():
            continue
        mask, geometry = read_labels(path)
        lesions = read_case(truth / path.parent.name, geometry).lesions > 0
        if lesions.any():
            shares.append(float((mask > 0)[lesions].mean()))
    return sum(shares) / len(shares) if shares else None


def against(path: Path) -> str:
    """The mean difference in lesion Dice from the default, its interval and what it is worth."""
    if not path.exists():
        return ""
    scores: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["scores"]
    for found in scores:
        if found["score"] == "lesion Dice":
            low, high = found["interval_95_low"], found["interval_95_high"]
            interval = "" if low is None else f" ({low:+.3f} to {high:+.3f})"
            return f"{found['mean_difference']:+.3f}{interval}"
    return ""


HEADER = (
    "road",
    "parameters (M)",
    "steps",
    "stage 1 Dice",
    "lesions in it",
    "liver Dice, worst",
    "lesion Dice",
    "found of 10 mm",
    "false a CT",
    "lesion Dice against the default (95 %)",
    "Couinaud Dice",
    "s a case",
)


def run(arguments: argparse.Namespace) -> None:
    """Score the roads that were trained, and write the table."""
    rows = []
    for road, runs in ROADS.items():
        missing = [name for name in runs if not (arguments.runs / name / LAST).exists()]
        if missing:
            log.warning("%s is left out: no run in %s", road, arguments.runs / missing[0])
            if road == BASELINE:
                raise UsageError("without our default there is nothing to hold the roads against")
            continue
        score(road, arguments)
        rows.append(row(road, arguments))
        lines = ["| " + " | ".join(cells) + " |" for cells in (HEADER, ["---"] * len(HEADER), *rows)]
        (arguments.out / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print((arguments.out / "table.md").read_text(encoding="utf-8"), end="")


def main(words: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, required=True, help="--runs of scripts/compare_roads.py")
    parser.add_argument("--data", type=Path, required=True, help="folder with ct/<case>/")
    parser.add_argument("--cases", nargs="+", required=True, help="of persons that nobody learned from")
    parser.add_argument("--couinaud", required=True, help="name or folder of a bundle with that network")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--device", default="auto", choices=("auto", "cuda", "mps", "cpu"))
    parser.add_argument("--quality", default="full", choices=("fast", "full"))
    parser.add_argument("--threads", type=int, help="of PyTorch; its own choice without")
    return run_script(parser, run, "score_roads", words)


if __name__ == "__main__":
    sys.exit(main())
