"""Choose the settings of lesion post-processing on stored scores of validation cases.

Prints the best settings with their mean lesion Dice, the share of lesions of 10 mm and more that are found,
and false lesions a CT; writes the whole table (--table) and the block for the model card (--out). With
--splits and --part, score maps of other cases are refused: test cases must not choose settings.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from liverseg.errors import LiverSegError, UsageError
from liverseg.lesion_rules import LesionRules
from liverseg.training.persons import person_of
from liverseg.training.score_maps import list_score_maps
from liverseg.training.splits import SHARE_NAMES, read_splits
from liverseg.training.tuning import Grid, Outcome, choose, tune
from liverseg.writers.atomic import written_whole

COLUMNS = ("dice", "recall", "false_per_ct", "threshold", "smallest_ml", "peak", "holes_ml", "contour")


def check_cases(paths: Sequence[Path], splits_file: Path, names: Sequence[str]) -> None:
    """Refuse score maps of cases outside the named parts, and the parts that must not choose settings.

    Raises:
        UsageError: train or test, or a case of another part.
    """
    splits = read_splits(splits_file)
    for name in names:
        if name in (SHARE_NAMES[0], SHARE_NAMES[2]):
            raise UsageError(f"the part {name!r} must not choose settings; give folds or 'val'")
    allowed = {case for name in names for case in splits.part(name).cases}
    surplus = sorted({path.stem for path in paths} - allowed)
    if surplus:
        raise UsageError(
            f"{len(surplus)} score maps are of other cases than {', '.join(names)} holds "
            f"({', '.join(surplus[:5])}); remove them"
        )


def row(outcome: Outcome) -> tuple[str, ...]:
    """One line of the table."""
    rules = outcome.rules
    contour = rules.active_contour
    peaks = " ".join(f"{mm:g}mm:{peak:g}" for mm, peak in rules.smallest_peak)
    return (
        f"{outcome.mean_dice:.4f}",
        f"{outcome.recall:.4f}",
        f"{outcome.false_per_ct:.2f}",
        f"{rules.lesion_threshold:g}",
        f"{rules.smallest_lesion_ml:g}",
        peaks,
        f"{rules.largest_hole_ml:g}",
        "off" if contour is None else f"{contour.reach_mm:g}mm smooth {contour.smoothing}",
    )


def write_table(outcomes: Sequence[Outcome], path: Path) -> None:
    """All outcomes as CSV, the best first."""
    with written_whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(row(outcome) for outcome in outcomes)


def run(arguments: argparse.Namespace) -> int:
    """Try, print, write; the exit code."""
    paths = list_score_maps(arguments.scores)
    if arguments.splits:
        check_cases(paths, arguments.splits, arguments.part)
    grid = Grid() if not arguments.quick else replace(Grid(), thresholds=(0.5,), smallest_ml=(0.03,))
    outcomes = tune(paths, grid, 0 if arguments.no_contour else arguments.contour_candidates)
    best = choose(outcomes)
    widths = [max(len(c), 12) for c in COLUMNS]
    plain = next((outcome for outcome in outcomes if outcome.rules == LesionRules()), None)
    shown = [*outcomes[: arguments.rows], *([plain] if plain else [])]
    for line in (COLUMNS, *(row(outcome) for outcome in shown)):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    if plain:
        print("(the last line: the defaults)")
    persons = sorted({person_of(path.stem) for path in paths})
    block = {
        "postprocessing": replace(best.rules, liver_threshold=arguments.liver_threshold).to_card(),
        "postprocessing_tuned_on": {
            "cases": [path.stem for path in paths],
            "persons": len(persons),
            "mean_lesion_dice": round(best.mean_dice, 4),
            "recall_from_10_mm": round(best.recall, 4),
            "false_lesions_per_ct": round(best.false_per_ct, 2),
        },
    }
    text = json.dumps(block, indent=2)
    print(text)
    if arguments.table:
        write_table(outcomes, arguments.table)
    if arguments.out:
        with written_whole(arguments.out) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, required=True, help="folder of score maps, <case>.npz")
    parser.add_argument("--splits", type=Path, help="splits file that the validation cases must come from")
    parser.add_argument("--part", nargs="+", default=["val"], help="which parts of it (val, or folds)")
    parser.add_argument("--contour-candidates", type=int, default=5, metavar="N")
    parser.add_argument(
        "--liver-threshold",
        type=float,
        default=LesionRules().liver_threshold,
        help="of the model that predicted: the lesions are tuned within its liver, and the card keeps it",
    )
    parser.add_argument("--no-contour", action="store_true", help="do not try the active contour")
    parser.add_argument("--quick", action="store_true", help="one threshold and one size only")
    parser.add_argument("--rows", type=int, default=15, help="lines to print")
    parser.add_argument("--table", type=Path, help="CSV of all settings to write")
    parser.add_argument("--out", type=Path, help="JSON block for the card to write")
    try:
        return run(parser.parse_args())
    except LiverSegError as error:
        print(f"tune_postprocessing: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
