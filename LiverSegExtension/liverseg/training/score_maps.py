"""Lesion scores of validation cases, kept so that post-processing can be tuned without the networks.

One ``<case>.npz`` a case, all arrays (z, y, x) on one grid, usually the crop around the found liver:
``score`` (float16, lesion probability), ``liver`` (bool, as found, not the true one), ``truth`` (bool, true
lesions), ``hu`` (int16), and ``spacing_mm`` (3,) in the same order.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from liverseg.errors import InputRefused
from liverseg.geometry import bounding_box
from liverseg.training.persons import person_of
from liverseg.writers.atomic import written_whole

_ARRAYS = ("score", "liver", "truth", "hu")


@dataclass(frozen=True, eq=False)
class ScoreMap:
    """The scores of one case beside its truth; arrays as the module says, ``score`` as float32."""

    case: str
    score: np.ndarray
    liver: np.ndarray
    truth: np.ndarray
    hu: np.ndarray
    spacing_mm: tuple[float, float, float]

    @property
    def person(self) -> str:
        """Who was scanned."""
        return person_of(self.case)


def save_score_map(scores: ScoreMap, folder: Path) -> Path:
    """Write ``<case>.npz`` into a folder; returns its path.

    What lies further than 15 mm from both the found liver and the true lesions is cut off: no setting
    reaches it.

    Raises:
        UsageError: it cannot be written.
        ValueError: arrays of different shapes.
    """
    if len({getattr(scores, name).shape for name in _ARRAYS}) != 1:
        raise ValueError(f"{scores.case}: score, liver, truth and hu differ in shape")
    margin = [int(np.ceil(15.0 / s)) for s in scores.spacing_mm]
    box = bounding_box(scores.liver | scores.truth, (margin[0], margin[1], margin[2]))
    kept = box if box is not None else (slice(0, 1),) * 3
    path = folder / f"{scores.case}.npz"
    with written_whole(path) as temporary:
        np.savez_compressed(
            temporary,
            score=scores.score[kept].astype(np.float16),
            liver=scores.liver[kept].astype(bool),
            truth=scores.truth[kept].astype(bool),
            hu=np.clip(np.rint(scores.hu[kept]), -32768, 32767).astype(np.int16),
            spacing_mm=np.asarray(scores.spacing_mm, dtype=np.float64),
        )
    return path


def load_score_map(path: Path) -> ScoreMap:
    """Read a file of :func:`save_score_map`.

    Raises:
        InputRefused: it is missing, damaged, lacks an array, or its arrays do not fit together.
    """
    try:
        with np.load(path) as arrays:
            score, liver, truth, hu = (arrays[name] for name in _ARRAYS)
            z, y, x = (float(s) for s in arrays["spacing_mm"])
    except OSError as error:
        raise InputRefused(f"{path} cannot be opened: give a folder of score maps") from error
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputRefused(f"{path.name} is no score map ({error}): write it again") from error
    if len({score.shape, liver.shape, truth.shape, hu.shape}) != 1 or score.ndim != 3 or min(z, y, x) <= 0:
        raise InputRefused(f"{path.name}: its arrays do not lie on one grid: write it again")
    return ScoreMap(
        path.stem, score.astype(np.float32), liver.astype(bool), truth.astype(bool), hu, (z, y, x)
    )


def list_score_maps(folder: Path) -> list[Path]:
    """The score maps of a folder, by name.

    Raises:
        InputRefused: there is none.
    """
    found = sorted(folder.glob("*.npz"))
    if not found:
        raise InputRefused(f"{folder} holds no score map (<case>.npz)")
    return found
