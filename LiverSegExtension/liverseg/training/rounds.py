"""Pseudo-labels in rounds: a student that unseen persons say is better becomes the next teacher."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from liverseg.bundle import Bundle
from liverseg.errors import InputRefused, UsageError
from liverseg.training.persons import person_of
from liverseg.writers.atomic import make_folder, written_whole

log = logging.getLogger(__name__)

ROUNDS_FILE = "rounds.json"


@dataclass(frozen=True)
class Round:
    """What became of a round; number 0 is the teacher that was there before.

    Attributes:
        number: of the round.
        model: the folder of its bundle.
        scans: that its teacher labeled for it.
        score: of its model on unseen persons, larger is better; None where nobody judges.
        why_last: empty, or why no round follows.
    """

    number: int
    model: str
    scans: int
    score: float | None
    why_last: str = ""


@dataclass(frozen=True)
class Steps:
    """What a round does, in folders of its own.

    Attributes:
        label: (teacher's bundle, folder to write to) to the number of scans that it could label.
        learn: (round, teacher's bundle, folder of the labels, folder to write to) to the student's bundle.
        judge: (bundle, folder to write to) to its score, or None to go on without.
    """

    label: Callable[[Path, Path], int]
    learn: Callable[[int, Path, Path, Path], Path]
    judge: Callable[[Path, Path], float] | None = None


def run_rounds(teacher: Path, steps: Steps, count: int, folder: Path) -> list[Round]:
    """Up to so many rounds; what an earlier call has done is not done again.

    Each round labels all scans anew and learns from the beginning, so that no round keeps another's mistakes.
    With a judge it ends with the first student that is no better than its teacher; the one before is kept.

    Args:
        teacher: the bundle to begin with.
        steps: what a round does.
        count: of rounds at most.
        folder: gets ``round1/labels``, ``round1/...`` and so on, and ``rounds.json``.

    Returns:
        The rounds, that of number 0 first.

    Raises:
        UsageError: no round at all was asked for, or a file cannot be written.
        InputRefused: the folder's ``rounds.json`` is damaged, or of another teacher.
    """
    if count < 1:
        raise UsageError(f"{count} rounds: give at least one")
    make_folder(folder)
    rounds = _begun(folder / ROUNDS_FILE, teacher)
    if not rounds:
        rounds = [Round(0, str(teacher), 0, steps.judge(teacher, folder / "round0") if steps.judge else None)]
        _keep(rounds, folder)
    while len(rounds) <= count and not rounds[-1].why_last:
        rounds.append(_round(rounds[-1], steps, folder / f"round{len(rounds)}"))
        _keep(rounds, folder)
    return rounds


def kept_model(rounds: list[Round]) -> Path:
    """The bundle to use: of the last round that was no step back."""
    last = rounds[-1]
    return Path(rounds[-2].model if last.why_last else last.model)


def _round(before: Round, steps: Steps, folder: Path) -> Round:
    number, teacher = before.number + 1, Path(before.model)
    scans = steps.label(teacher, folder / "labels")
    if scans == 0:
        return Round(number, before.model, 0, before.score, "its teacher could label no scan")
    log.info("round %d: %d scans labeled by %s", number, scans, teacher)
    student = steps.learn(number, teacher, folder / "labels", folder)
    if steps.judge is None or before.score is None:
        return Round(number, str(student), scans, None)
    score = steps.judge(student, folder)
    log.info("round %d: %.4f after %.4f", number, score, before.score)
    better = score > before.score
    return Round(number, str(student), scans, score, "" if better else "it is no better than its teacher")


def _begun(path: Path, teacher: Path) -> list[Round]:
    if not path.exists():
        return []
    try:
        rounds = [Round(**told) for told in json.loads(path.read_text(encoding="utf-8"))["rounds"]]
        first = rounds[0].model
    except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
        raise InputRefused(f"{path} is damaged ({error}); give another folder, or delete it") from error
    if first != str(teacher):
        raise InputRefused(
            f"{path.parent} was begun with the teacher {first}; give another folder to write to"
        )
    return rounds


def _keep(rounds: list[Round], folder: Path) -> None:
    told = {"rounds": [asdict(one) for one in rounds], "kept": str(kept_model(rounds))}
    with written_whole(folder / ROUNDS_FILE) as temporary:
        temporary.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def refuse_teacher_of_held_out(bundle: Bundle, held: set[str]) -> None:
    """Refuse a teacher that may have seen a held-out person: it would carry them into its students.

    Raises:
        UsageError: its card does not name them all as held out.
    """
    unseen = {person_of(case) for case in bundle.card.get("held_out", [])}
    seen = sorted(held - unseen)
    if seen:
        raise UsageError(
            f"the card of {bundle.name} does not say that it never saw {', '.join(seen[:5])}"
            f"{' and others' if len(seen) > 5 else ''}, who are held out; give a teacher that was trained "
            "with the same part held out"
        )
