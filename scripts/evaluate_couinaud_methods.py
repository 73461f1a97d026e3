"""Score the Couinaud methods that need no training against label maps, and fit the first guess.

Rules and constants were chosen on the tuning half of the persons (by a hash of the person's name); the
figures of the reporting half come from a first guess fitted to the tuning half alone. Over all maps each half
is scored with a first guess fitted to the other half.

    scripts/evaluate_couinaud_methods.py --data DATA --out scores.json [--quick]
    scripts/evaluate_couinaud_methods.py --data DATA --write-first-guess Resources/Couinaud/first_guess.json
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from liverseg.couinaud import SplitMethod, split_liver
from liverseg.couinaud.border_reading import borders_of_split
from liverseg.couinaud.borders import AXIS_OF, NAMES, Borders
from liverseg.couinaud.crop import LiverCrop
from liverseg.couinaud.first_guess import RIDGE, ShapeRegression, fit, shape_numbers, write_regression
from liverseg.couinaud.landmark_file import Point
from liverseg.couinaud.landmarks import PlanesFromLandmarks, landmarks_of_borders
from liverseg.couinaud.vessels import GuidedByVessels
from liverseg.geometry import Geometry
from liverseg.reading import geometry_of
from liverseg.training.persons import person_of

# Errors further from the median than this many robust standard deviations are drawn in to it: borders that
# run along the axis they are read on would count without bound.
OUTLIER_SD = 2.5
NUMERALS = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII")


@dataclass(frozen=True, eq=False)
class LiverMap:
    """One label map: segments (canonical order), borders fitted to it, shape numbers, vessels if any."""

    name: str
    segments: np.ndarray
    geometry: Geometry
    vessels: np.ndarray | None
    borders: Borders
    numbers: np.ndarray

    @property
    def relative(self) -> np.ndarray:
        """The borders relative to the center of the liver's box."""
        return self.borders.values - self.borders.frame.center[AXIS_OF]


def is_tuning(name: str) -> bool:
    """Whether a map's person belongs to the tuning half."""
    return int(hashlib.sha256(person_of(name).encode()).hexdigest(), 16) % 2 == 0


def read_maps(data: Path) -> list[LiverMap]:
    """All label maps whose borders can be read."""
    maps = []
    for path in sorted((data / "couinaud").glob("*.nii.gz")):
        image = sitk.ReadImage(str(path))
        drawn, geometry = sitk.GetArrayFromImage(image), geometry_of(image)
        vessels = data / "vessels" / path.name
        crop = LiverCrop.of(drawn > 0, geometry)
        if crop is None:
            continue
        segments = np.ascontiguousarray(crop.order.apply(drawn)[crop.box])
        borders = borders_of_split(segments, crop.spacing)
        if borders is None:
            print(f"{path.name}: a border is missing, left out")
            continue
        maps.append(
            LiverMap(
                name=path.name.removesuffix(".nii.gz"),
                segments=drawn,
                geometry=geometry,
                vessels=sitk.GetArrayFromImage(sitk.ReadImage(str(vessels))) if vessels.exists() else None,
                borders=borders,
                numbers=shape_numbers(crop.mask, crop.spacing),
            )
        )
    return maps


def fitted(maps: list[LiverMap]) -> ShapeRegression:
    """The first guess of these maps, with the covariance of its errors in five folds by person."""
    numbers = np.array([m.numbers for m in maps])
    values = np.array([m.relative for m in maps])
    persons = [person_of(m.name) for m in maps]
    fold_of = {person: n % 5 for n, person in enumerate(sorted(set(persons)))}
    errors = np.zeros_like(values)
    for fold in range(5):
        out = np.array([fold_of[person] == fold for person in persons])
        rest = fit(numbers[~out], values[~out], RIDGE)
        errors[out] = (numbers[out] - rest.mean) / rest.scale @ rest.table + rest.offset - values[out]
    middle = np.median(errors, axis=0)
    spread = 1.4826 * np.median(np.abs(errors - middle), axis=0) * OUTLIER_SD
    drawn_in = np.clip(errors, middle - spread, middle + spread)
    return replace(fit(numbers, values, RIDGE), covariance=np.cov(drawn_in.T))


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


def score(m: LiverMap, method: SplitMethod, landmarks: Mapping[str, Point] | None = None) -> list[float]:
    """Dice of segments 1..8 of one map."""
    split = split_liver(
        m.segments > 0, m.geometry, None, method=method, vessels=m.vessels, landmarks=landmarks
    )
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


def by_halves(
    maps: list[LiverMap],
    make: Callable[[ShapeRegression], SplitMethod],
    placed: bool = False,
    fit_to: list[LiverMap] | None = None,
    quick: bool = False,
) -> dict[str, list[float]]:
    """Scores of every map, each half with the first guess fitted to the other half (of ``fit_to``)."""
    result = {}
    for half in (False,) if quick else (False, True):
        held = [m for m in maps if is_tuning(m.name) == half]
        method = make(fitted([m for m in fit_to or maps if is_tuning(m.name) != half]))
        for m in held:
            seen = thinned(m) if quick and make is PlanesFromLandmarks else m
            result[m.name] = score(seen, method, placed_by_reader(m) if placed else None)
    return result


def thinned(m: LiverMap) -> LiverMap:
    """Every second voxel of a map along each axis."""
    segments = np.ascontiguousarray(m.segments[::2, ::2, ::2])
    matrix = m.geometry.ijk_to_ras.copy()
    matrix[:3, :3] *= 2
    shape = (segments.shape[0], segments.shape[1], segments.shape[2])
    return replace(m, segments=segments, geometry=Geometry(shape, matrix), vessels=None)


def landmark_scores(maps: list[LiverMap], quick: bool) -> dict[str, dict[str, list[float]]]:
    """Every map by planes, guessed and placed on its own reading."""
    return {
        "landmarks, guessed": by_halves(maps, PlanesFromLandmarks, quick=quick),
        "landmarks, placed on the reading": by_halves(maps, PlanesFromLandmarks, placed=True, quick=quick),
    }


def vessel_scores(maps: list[LiverMap], quick: bool) -> dict[str, dict[str, list[float]]]:
    """The maps with vessels by these, and by planes guessed from the shape of the same livers."""
    with_vessels = [m for m in maps if m.vessels is not None]
    guided = by_halves(with_vessels, GuidedByVessels, fit_to=maps, quick=quick)
    guessed = by_halves(with_vessels, PlanesFromLandmarks, fit_to=maps, quick=quick)
    result = {}
    for told in (True, False):
        names = [n for n in guided if n.startswith("ircad") == told]
        kinds = "kinds told" if told else "kinds not told"
        result[f"vessels, {kinds}"] = {n: guided[n] for n in names}
        result[f"landmarks, guessed, same livers ({kinds})"] = {n: guessed[n] for n in names}
    return result


def summaries(every: Mapping[str, dict[str, list[float]]]) -> dict[str, dict[str, object]]:
    """Two rows a method: the reporting half, and all maps with the other half's first guess."""
    rows = {}
    for name, scores in every.items():
        rows[f"{name}; reporting half"] = summary({n: s for n, s in scores.items() if not is_tuning(n)})
        if any(is_tuning(n) for n in scores):
            rows[f"{name}; all"] = summary(scores)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with couinaud/, vessels/ and ct/")
    parser.add_argument("--out", type=Path, help="JSON with every map's scores")
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
    arguments = parser.parse_args()
    maps = read_maps(arguments.data)
    if arguments.write_first_guess:
        out = {person_of(case) for case in arguments.exclude}
        kept = [m for m in maps if person_of(m.name) not in out]
        about = {
            "what": "borders of the Couinaud segments by linear regression from a liver's shape "
            "(liverseg/couinaud/first_guess.py)",
            "fitted_to": f"{len(kept)} label maps of {len({person_of(m.name) for m in kept})} persons",
            "excluded": sorted(out),
            "license": "Annotations MIT (xukun-zhang/Couinaud-Segmentation; GLCUnet/dataset); the outlines "
            "derive from LiTS and 3D-IRCADb-01 (CC BY-NC-ND 4.0) and MSD (CC BY-SA 4.0): research and "
            "non-commercial use.",
        }
        write_regression(fitted(kept), about, arguments.write_first_guess)
        print(f"{arguments.write_first_guess}: {about['fitted_to']}, {len(NAMES)} borders")
    if arguments.out:
        every = landmark_scores(maps, arguments.quick) if "landmarks" in arguments.methods else {}
        every |= vessel_scores(maps, arguments.quick) if "vessels" in arguments.methods else {}
        rows = summaries(every)
        readings = two_readings(arguments.data / "ct")
        rows["two readings of one liver"] = summary({f"pair {n}": r for n, r in enumerate(readings)})
        text = json.dumps({"summary": rows, "maps": every}, indent=1)
        arguments.out.write_text(text, encoding="utf-8")
        print(markdown(rows))


if __name__ == "__main__":
    main()
