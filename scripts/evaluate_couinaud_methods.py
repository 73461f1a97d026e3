"""Score the Couinaud methods that need no training against label maps, and fit the first guess.

Rules and constants were chosen on the tuning half of the persons (by a hash of the person's name); the
figures of the reporting half come from a first guess fitted to the tuning half alone. Over all maps each half
is scored with a first guess fitted to the other half. Where a network's split is the first guess, each map is
scored with a network that never saw its person, and only such maps say how far such splits err: give the
networks of the folds.

    scripts/evaluate_couinaud_methods.py --data DATA --models FOLD0 FOLD1 FOLD2 --out scores.json [--quick]
    scripts/evaluate_couinaud_methods.py --data DATA --models FOLD0 FOLD1 FOLD2 \\
        --write-first-guess Resources/Couinaud/first_guess.json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from liverseg.bundle import Bundle, find_bundle
from liverseg.couinaud import SplitMethod, SplitOptions, split_liver
from liverseg.couinaud.border_reading import borders_of_split
from liverseg.couinaud.borders import AXIS_OF, NAMES, Borders
from liverseg.couinaud.crop import LiverCrop
from liverseg.couinaud.first_guess import RIDGE, ShapeRegression, fit, shape_numbers, write_regression
from liverseg.couinaud.guessing import learned_borders
from liverseg.couinaud.landmark_file import Point
from liverseg.couinaud.landmarks import PlanesFromLandmarks, landmarks_of_borders
from liverseg.couinaud.learned import LearnedFromShape
from liverseg.couinaud.vessels import GuidedByVessels
from liverseg.errors import InputRefused, UsageError
from liverseg.evaluation.case_script import run_script
from liverseg.geometry import Geometry
from liverseg.images import geometry_of
from liverseg.training.persons import person_of
from liverseg.writers.atomic import make_folder, written_whole

# Errors further from the median than this many robust standard deviations are drawn in to it: borders that
# run along the axis they are read on would count without bound.
OUTLIER_SD = 2.5
NUMERALS = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII")


@dataclass(frozen=True, eq=False)
class LiverMap:
    """One label map: segments (canonical order), borders fitted to it, shape numbers, vessels if any.

    ``bundle`` has a network that never saw the person, ``learned`` are the borders that fit its split; None
    where every network saw the person.
    """

    name: str
    segments: np.ndarray
    geometry: Geometry
    vessels: np.ndarray | None
    borders: Borders
    numbers: np.ndarray
    bundle: Bundle | None
    learned: Borders | None

    @property
    def relative(self) -> np.ndarray:
        """The borders relative to the center of the liver's box."""
        return self.borders.values - self.borders.frame.center[AXIS_OF]


def is_tuning(name: str) -> bool:
    """Whether a map's person belongs to the tuning half."""
    return int(hashlib.sha256(person_of(name).encode()).hexdigest(), 16) % 2 == 0


def unseen_by(bundles: Sequence[Bundle]) -> dict[str, Bundle]:
    """For each person whom a Couinaud network held out: the first such network.

    Raises:
        InputRefused: a bundle has no Couinaud network.
    """
    first: dict[str, Bundle] = {}
    for bundle in bundles:
        if "couinaud" not in bundle.networks:
            raise InputRefused(f"{bundle.name} has no Couinaud network; choose another with --models")
        for case in bundle.card["networks"]["couinaud"].get("held_out", []):
            first.setdefault(person_of(case), bundle)
    return first


def read_maps(data: Path, bundles: Sequence[Bundle]) -> list[LiverMap]:
    """All label maps whose borders can be read.

    Raises:
        InputRefused: there are none, or a bundle has no Couinaud network.
    """
    bundle_of = unseen_by(bundles)
    maps = []
    for path in sorted((data / "couinaud").glob("*.nii.gz")):
        image = sitk.ReadImage(str(path))
        drawn, geometry = sitk.GetArrayFromImage(image), geometry_of(image)
        vessels = data / "vessels" / path.name
        crop = LiverCrop.of(drawn > 0, geometry)
        if crop is None:
            continue
        segments = crop.taken(drawn)
        borders = borders_of_split(segments, crop.spacing)
        if borders is None:
            print(f"{path.name}: a border is missing, left out")
            continue
        bundle = bundle_of.get(person_of(path.name))
        maps.append(
            LiverMap(
                name=path.name.removesuffix(".nii.gz"),
                segments=drawn,
                geometry=geometry,
                vessels=sitk.GetArrayFromImage(sitk.ReadImage(str(vessels))) if vessels.exists() else None,
                borders=borders,
                numbers=shape_numbers(crop.mask, crop.spacing),
                bundle=bundle,
                learned=None if bundle is None else learned_borders(crop, bundle),
            )
        )
    if not maps:
        raise InputRefused(f"{data / 'couinaud'} holds no label maps of segments (*.nii.gz)")
    return maps


def fitted(maps: list[LiverMap]) -> ShapeRegression:
    """The first guess of these maps, with the covariance of its errors in five folds by person.

    That of the planes that fit a network's split comes from those maps that it never saw.

    Raises:
        UsageError: there are none.
    """
    numbers = np.array([m.numbers for m in maps])
    values = np.array([m.relative for m in maps])
    persons = [person_of(m.name) for m in maps]
    fold_of = {person: n % 5 for n, person in enumerate(sorted(set(persons)))}
    errors = np.zeros_like(values)
    for fold in range(5):
        out = np.array([fold_of[person] == fold for person in persons])
        rest = fit(numbers[~out], values[~out], RIDGE)
        errors[out] = (numbers[out] - rest.mean) / rest.scale @ rest.table + rest.offset - values[out]
    learned = np.array([m.learned.values - m.borders.values for m in maps if m.learned is not None])
    if len(learned) < 2:
        raise UsageError("the networks saw every map; give those of folds with --models")
    return replace(
        fit(numbers, values, RIDGE), covariance=covariance(errors), learned_covariance=covariance(learned)
    )


def covariance(errors: np.ndarray) -> np.ndarray:
    """(borders, borders) of errors (maps, borders), outliers drawn in."""
    middle = np.median(errors, axis=0)
    spread = 1.4826 * np.median(np.abs(errors - middle), axis=0) * OUTLIER_SD
    return np.cov(np.clip(errors, middle - spread, middle + spread).T)


def dice_by_segment(truth: np.ndarray, found: np.ndarray) -> list[float]:
    """Dice of the segments 1..8; 1 where both are empty."""
    scores = []
    for label in range(1, 9):
        a, b = truth == label, found == label
        size = int(a.sum()) + int(b.sum())
        scores.append(2.0 * int((a & b).sum()) / size if size else 1.0)
    return scores


def two_readings(folder: Path) -> list[list[float]]:
    """Dice between the readings a and b of persons that have both on one grid."""
    rows = []
    for first in sorted(folder.glob("*/couinaud_roi_a.nii.gz")):
        second = first.with_name("couinaud_roi_b.nii.gz")
        if second.exists():
            a, b = (sitk.GetArrayFromImage(sitk.ReadImage(str(path))) for path in (first, second))
            rows.append(dice_by_segment(a, b))
    return rows


def score(
    m: LiverMap, method: SplitMethod, bundle: Bundle | None, landmarks: Mapping[str, Point] | None = None
) -> list[float]:
    """Dice of segments 1..8 of one map."""
    options = SplitOptions(method, landmarks=landmarks or {})
    split = split_liver(m.segments > 0, m.geometry, bundle, options, m.vessels)
    return dice_by_segment(m.segments, split.labels)


def placed_by_reader(m: LiverMap) -> dict[str, Point]:
    """The landmarks that lie on the borders of a map: placed as exactly as can be for this reading."""
    crop = LiverCrop.of(m.segments > 0, m.geometry)
    assert crop is not None
    return {name: crop.ras_of(place) for name, place in landmarks_of_borders(m.borders).items()}


def summary(scores: Mapping[str, list[float]]) -> dict[str, object]:
    """Mean, by segment and worst of scores by map."""
    table = np.array(list(scores.values()))
    worst = int(table.mean(axis=1).argmin())
    return {
        "maps": len(scores),
        "persons": len({person_of(name) for name in scores}),
        "mean_dice": round(float(table.mean()), 4),
        "by_segment": [round(float(v), 4) for v in table.mean(axis=0)],
        "worst": round(float(table.mean(axis=1).min()), 4),
        "worst_map": list(scores)[worst],
    }


def markdown(rows: Mapping[str, dict[str, object]]) -> str:
    """A table of summaries."""
    lines = [
        f"| method | maps (persons) | mean | {' | '.join(NUMERALS)} | worst |",
        "|---|---|---|" + "---|" * 9,
    ]
    for name, row in rows.items():
        by = row["by_segment"]
        assert isinstance(by, list)
        cells = " | ".join(f"{v:.2f}" for v in by)
        who = f"{name} | {row['maps']} ({row['persons']})"
        lines.append(f"| {who} | {row['mean_dice']:.3f} | {cells} | {row['worst']:.2f} |")
    return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Scoring:
    """How maps are scored: each half with the first guess fitted to the other half of ``every``.

    ``quick``: the reporting half alone, and planes on every second voxel along each axis.
    """

    every: list[LiverMap]
    quick: bool

    def scores(
        self,
        maps: list[LiverMap],
        make: Callable[[ShapeRegression], SplitMethod],
        network: bool = False,
        placed: bool = False,
    ) -> dict[str, list[float]]:
        """Scores of maps by a method; with ``network`` it has the model that never saw them."""
        result = {}
        for half in (False,) if self.quick else (False, True):
            method = make(fitted([m for m in self.every if is_tuning(m.name) != half]))
            thin = self.quick and make is PlanesFromLandmarks and not network
            for m in maps:
                if is_tuning(m.name) == half:
                    points = placed_by_reader(m) if placed else None
                    seen = thinned(m) if thin else m
                    result[m.name] = score(seen, method, m.bundle if network else None, points)
        return result


def thinned(m: LiverMap) -> LiverMap:
    """Every second voxel of a map along each axis."""
    segments = np.ascontiguousarray(m.segments[::2, ::2, ::2])
    matrix = m.geometry.ijk_to_ras.copy()
    matrix[:3, :3] *= 2
    shape = (segments.shape[0], segments.shape[1], segments.shape[2])
    return replace(m, segments=segments, geometry=Geometry(shape, matrix), vessels=None)


def by_shape(regression: ShapeRegression) -> SplitMethod:
    """The network's split, which needs no first guess."""
    return LearnedFromShape()


def landmark_scores(scoring: Scoring) -> dict[str, dict[str, list[float]]]:
    """Maps by planes, guessed without and with the network and placed on their own readings."""
    unseen = [m for m in scoring.every if m.learned is not None]
    planes = PlanesFromLandmarks
    return {
        "landmarks, guessed without a model": scoring.scores(scoring.every, planes),
        "landmarks, placed on the reading": scoring.scores(scoring.every, planes, placed=True),
        "landmarks, guessed without a model, unseen maps": scoring.scores(unseen, planes),
        "landmarks, guessed from the learned split, unseen maps": scoring.scores(
            unseen, planes, network=True
        ),
        "learned from shape, unseen maps": scoring.scores(unseen, by_shape, network=True),
    }


def vessel_scores(scoring: Scoring) -> dict[str, dict[str, list[float]]]:
    """The maps with vessels by these, and without them by what these started from."""
    with_vessels = [m for m in scoring.every if m.vessels is not None]
    unseen = [m for m in with_vessels if m.learned is not None]
    rows = {
        "vessels, no model": scoring.scores(with_vessels, GuidedByVessels),
        "landmarks, guessed without a model, same livers": scoring.scores(with_vessels, PlanesFromLandmarks),
        "vessels, unseen maps": scoring.scores(unseen, GuidedByVessels, network=True),
        "learned from shape, same livers": scoring.scores(unseen, by_shape, network=True),
    }
    result = {}
    for told in (True, False):
        for name, scores in rows.items():
            kept = {n: v for n, v in scores.items() if n.startswith("ircad") == told}
            if kept:
                result[f"{name} (kinds {'told' if told else 'not told'})"] = kept
    return result


def summaries(every: Mapping[str, dict[str, list[float]]]) -> dict[str, dict[str, object]]:
    """Two rows a method: the reporting half, and all maps with the other half's first guess."""
    rows = {}
    for name, scores in every.items():
        rows[f"{name}; reporting half"] = summary({n: s for n, s in scores.items() if not is_tuning(n)})
        if any(is_tuning(n) for n in scores):
            rows[f"{name}; all"] = summary(scores)
    return rows


def evaluate(arguments: argparse.Namespace) -> None:
    """Fit, write and score what was asked for.

    Raises:
        UsageError: a file cannot be written.
    """
    for path in (arguments.out, arguments.write_first_guess):
        if path:
            make_folder(path.parent)
    bundles = [find_bundle(name) for name in arguments.models]
    maps = read_maps(arguments.data, bundles)
    if arguments.write_first_guess:
        out = {person_of(case) for case in arguments.exclude}
        kept = [m for m in maps if person_of(m.name) not in out]
        about = {
            "what": "borders of the Couinaud segments by linear regression from a liver's shape "
            "(liverseg/couinaud/first_guess.py)",
            "fitted_to": f"{len(kept)} label maps of {len({person_of(m.name) for m in kept})} persons",
            "learned_errors_of": f"{sum(m.learned is not None for m in kept)} maps, each split by a "
            f"network that never saw its person ({', '.join(bundle.name for bundle in bundles)})",
            "excluded": sorted(out),
            "license": "Annotations MIT (xukun-zhang/Couinaud-Segmentation; GLCUnet/dataset); the outlines "
            "derive from LiTS and 3D-IRCADb-01 (CC BY-NC-ND 4.0) and MSD (CC BY-SA 4.0): research and "
            "non-commercial use.",
        }
        write_regression(fitted(kept), about, arguments.write_first_guess)
        print(f"{arguments.write_first_guess}: {about['fitted_to']}, {len(NAMES)} borders")
    if arguments.out:
        scoring = Scoring(maps, arguments.quick)
        every = landmark_scores(scoring) if "landmarks" in arguments.methods else {}
        every |= vessel_scores(scoring) if "vessels" in arguments.methods else {}
        rows = summaries(every)
        readings = two_readings(arguments.data / "ct")
        if readings:
            rows["two readings of one liver"] = summary({f"pair {n}": r for n, r in enumerate(readings)})
        text = json.dumps({"summary": rows, "maps": every}, indent=1)
        with written_whole(arguments.out) as temporary:
            temporary.write_text(text, encoding="utf-8")
        print(markdown(rows))


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with couinaud/, vessels/ and ct/")
    parser.add_argument("--out", type=Path, help="JSON with every map's scores")
    parser.add_argument(
        "--models", metavar="NAME", nargs="+", default=[None], help="whose Couinaud networks are taken"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="the reporting half alone, and planes on every second voxel along each axis",
    )
    parser.add_argument("--methods", nargs="*", default=["landmarks", "vessels"], help="which to score")
    parser.add_argument("--write-first-guess", type=Path, metavar="JSON", help="fit to all persons and write")
    parser.add_argument(
        "--exclude", nargs="*", default=[], help="cases whose persons are left out of the fit"
    )
    return run_script(parser, evaluate, "evaluate_couinaud_methods")


if __name__ == "__main__":
    sys.exit(main())
