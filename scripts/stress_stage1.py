"""Liver Dice of stage 1 against thick slices, noise, low dose, clipped HU and cut scans.

scripts/stress_stage1.py --data DATA --model BUNDLE --cases ircad_17 lits_000 --out FOLDER

Writes stress.json and stress.md: a table of the mean and the worst Dice over the cases at each stress, and
for each family the first step at which the mean falls below ``--broken``. A pair's 3 mm scan stands for the
case. Cases of persons that the model was trained on are refused.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from liverseg import stages
from liverseg.bundle import Bundle, find_bundle
from liverseg.device import choose_device
from liverseg.errors import InputRefused
from liverseg.evaluation.case_files import read_case
from liverseg.evaluation.case_script import case_parser, run_script
from liverseg.evaluation.end_to_end import COARSE, WHOLE, case_folders
from liverseg.evaluation.overlap import dice
from liverseg.evaluation.stress import LabeledCt, Stress, all_stresses
from liverseg.geometry import CanonicalOrder
from liverseg.reading import read_volume
from liverseg.writers.atomic import make_folder, written_whole

log = logging.getLogger("stress_stage1")


def read_labeled(folder: Path) -> LabeledCt:
    """The whole scan of a case, with its liver, in canonical order."""
    path = next((folder / name for name in (WHOLE, COARSE) if (folder / name).exists()), None)
    if path is None:
        raise InputRefused(f"{folder} has neither {WHOLE} nor {COARSE}; name a folder with a whole scan")
    ct = read_volume(path)
    liver = read_case(folder, ct.geometry).liver
    order = CanonicalOrder.of(ct.geometry)
    hu = np.ascontiguousarray(order.apply(ct.array)).astype(np.float32)
    spacing = order.geometry(ct.geometry).spacing_kji
    return LabeledCt(hu, np.ascontiguousarray(order.apply(liver)), spacing)


def liver_dice(ct: LabeledCt, bundle: Bundle, device: str) -> float:
    """Dice of stage 1's mask on the CT's own grid; 0 when it finds no liver."""
    rough, _ = stages.find_liver(np.ascontiguousarray(ct.hu), ct.spacing, bundle, device)
    if rough is None:
        return 0.0 if ct.liver.any() else 1.0
    whole = tuple(slice(0, n) for n in ct.hu.shape)
    everywhere = stages.RoughLiver(rough.mask, (whole[0], whole[1], whole[2]))
    return dice(ct.liver, stages.mask_on_crop(everywhere, ct.hu.shape, ct.hu.shape).numpy() > 0)


def stress_cases(
    folders: list[Path], stresses: list[Stress], bundle: Bundle, device: str
) -> dict[str, dict[str, float]]:
    """Dice by stress (family and level) and case."""
    table: dict[str, dict[str, float]] = {_name(stress): {} for stress in stresses}
    for folder in folders:
        ct = read_labeled(folder)
        for number, stress in enumerate(stresses):
            rng = np.random.default_rng(number)
            table[_name(stress)][folder.name] = round(liver_dice(stress.apply(ct, rng), bundle, device), 4)
            log.info("%s, %s: %.4f", folder.name, _name(stress), table[_name(stress)][folder.name])
    return table


def breaking_points(
    stresses: list[Stress], table: dict[str, dict[str, float]], broken: float
) -> dict[str, str | None]:
    """For each family the first level whose mean Dice is below ``broken``; None where there is none."""
    points: dict[str, str | None] = {}
    for stress in stresses:
        points.setdefault(stress.family, None)
        mean = float(np.mean(list(table[_name(stress)].values())))
        if points[stress.family] is None and mean < broken:
            points[stress.family] = stress.level
    return points


def markdown(
    stresses: list[Stress], table: dict[str, dict[str, float]], points: dict[str, str | None], broken: float
) -> str:
    """The table, and a line on where each family breaks."""
    lines = ["| stress | level | mean Dice | worst Dice | worst case |", "|---|---|---|---|---|"]
    for stress in stresses:
        row = table[_name(stress)]
        worst = min(row, key=lambda case, row=row: row[case])
        mean = np.mean(list(row.values()))
        lines.append(f"| {stress.family} | {stress.level} | {mean:.3f} | {row[worst]:.3f} | {worst} |")
    cases = len(next(iter(table.values())))
    lines += ["", f"Mean Dice of stage 1 over {cases} cases falls below {broken:g}:", ""]
    lines += [
        f"- {family}: {'at ' + level if level else 'at no step tried'}" for family, level in points.items()
    ]
    return "\n".join(lines) + "\n"


def _name(stress: Stress) -> str:
    return f"{stress.family}: {stress.level}"


def run(arguments: argparse.Namespace) -> None:
    bundle = find_bundle(arguments.model)
    folders = case_folders(arguments.data, arguments.cases, bundle, arguments.seen_too)
    stresses = [s for s in all_stresses() if arguments.only is None or s.family in ("none", *arguments.only)]
    table = stress_cases(folders, stresses, bundle, choose_device(arguments.device))
    points = breaking_points(stresses, table, arguments.broken)
    text = markdown(stresses, table, points, arguments.broken)
    make_folder(arguments.out)
    facts = {"model": bundle.name, "broken_below": arguments.broken, "breaks_at": points, "dice": table}
    with written_whole(arguments.out / "stress.json") as temporary:
        temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    with written_whole(arguments.out / "stress.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(text)


def main(words: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = case_parser(__doc__, "folder for the tables")
    parser.add_argument("--broken", type=float, default=0.9, help="mean Dice below which a step is broken")
    families = sorted({stress.family for stress in all_stresses()} - {"none"})
    parser.add_argument("--only", nargs="+", choices=families, metavar="FAMILY", help=", ".join(families))
    return run_script(parser, run, "stress_stage1", words)


if __name__ == "__main__":
    sys.exit(main())
