"""Score the bundled model on labeled full-size CTs that its training left out.

Liver Dice (lesions included), lesion Dice, lesions found at any overlap (26-connected components), and
how many lesions lie in the segment that the reference Couinaud map gives them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from liverseg.case import Case
from liverseg.measure import label_lesions
from liverseg.pipeline import SegmentOptions, segment
from liverseg.reading import geometry_of, read_labels, read_volume


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Dice of two masks; 1 when both are empty."""
    size = int(a.sum()) + int(b.sum())
    return 2.0 * int((a & b).sum()) / size if size else 1.0


def reference_segments(folder: Path, case: Case) -> np.ndarray | None:
    """The reference Couinaud map on the CT's grid, or None."""
    path = folder / "couinaud.nii.gz"
    if not path.exists():
        return None
    image = sitk.ReadImage(str(path))
    labels = sitk.GetArrayFromImage(image)
    return labels if geometry_of(image).matches(case.ct.geometry, 0.5) else None


def score(folder: Path, model: str | None) -> dict[str, object]:
    """Scores of one case folder (``ct``, ``liver_lesion`` or ``liver``, perhaps ``couinaud``)."""
    case = segment(read_volume(folder / "ct.nii.gz"), SegmentOptions(device="cpu", model=model))
    labeled = folder / "liver_lesion.nii.gz"
    truth, geometry = read_labels(labeled if labeled.exists() else folder / "liver.nii.gz")
    lesions = label_lesions(truth == 2, geometry)
    sizes = np.bincount(lesions.ravel())[1:] * geometry.voxel_volume_ml
    found = [bool((case.masks.lesions[lesions == n + 1] > 0).any()) for n in range(len(sizes))]
    false = [lesion.id for lesion in case.lesions if not (truth[case.masks.lesions == lesion.id] == 2).any()]
    result: dict[str, object] = {
        "case": folder.name,
        "liver_dice": round(dice(case.masks.liver, truth > 0), 4),
        "lesion_dice": round(dice(case.masks.lesions > 0, truth == 2), 4),
        "true_lesions_ml": [round(float(s), 2) for s in sizes],
        "found": found,
        "false_lesions": len(false),
        "liver_ml": [
            round(case.liver.volume_ml, 1),
            round(float((truth > 0).sum() * geometry.voxel_volume_ml), 1),
        ],
        "lesions": [
            {
                "id": x.id,
                "ml": round(x.volume_ml, 1),
                "long_axis_mm": round(x.long_axis_mm, 1),
                "segment": x.primary_segment,
            }
            for x in case.lesions
        ],
        "seconds": case.provenance.seconds,
    }
    segments = reference_segments(folder, case)
    if segments is not None:
        per_segment = [dice(case.masks.couinaud == s, segments == s) for s in range(1, 9)]
        result["couinaud_dice"] = round(float(np.mean(per_segment)), 4)
        result["true_lesion_segments"] = [
            {
                str(s): round(float(c), 2)
                for s, c in enumerate(
                    np.bincount(segments[lesions == n + 1], minlength=9) / (lesions == n + 1).sum()
                )
                if c >= 0.1
            }
            for n in range(len(sizes))
            if sizes[n] > 0.5
        ]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", help="case folders")
    parser.add_argument("--model")
    parser.add_argument("--out", type=Path, help="JSON to write")
    arguments = parser.parse_args()
    rows = [score(folder, arguments.model) for folder in arguments.folders]
    text = json.dumps(rows, indent=2)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
