"""Who trains and who judges: parts of a data set by person, made once, written to a file and kept.

Parts are balanced by iterative stratification (Sechidis, Tsoumakas, Vlahavas: On the stratification of
multi-label data, ECML PKDD 2011): persons of the rarest kind are given out first, each to the part that
lacks most of that kind, so that every part has its share of persons with lesions, without, and of each
source.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from liverseg.errors import InputRefused, UsageError
from liverseg.training.datasets import LabeledScan, standard_label
from liverseg.training.persons import person_of
from liverseg.writers.atomic import written_whole

log = logging.getLogger(__name__)

FORMAT = 1
K_FOLD, SHARES = "k-fold", "shares"
# Fold n of k is named "0", "1", ...; shares are these, in this order.
SHARE_NAMES = ("train", "val", "test")
DEFAULT_SHARES = (70.0, 10.0, 20.0)


@dataclass(frozen=True)
class Part:
    """One part of the data."""

    name: str
    persons: tuple[str, ...]
    cases: tuple[str, ...]


@dataclass(frozen=True)
class Splits:
    """A data set in parts; no person is in two of them.

    Attributes:
        kind: ``"k-fold"`` or ``"shares"``.
        adapter: by which the scans were listed.
        seed: of the random order; the same scans, kind and seed give the same parts.
        parts: the folds, or train, val and test.
    """

    kind: str
    adapter: str
    seed: int
    parts: tuple[Part, ...]

    def part(self, name: str) -> Part:
        """The part of that name: ``"0"``, ``"1"``, ... or ``"train"``, ``"val"``, ``"test"``.

        Raises:
            UsageError: there is none.
        """
        for part in self.parts:
            if part.name == name:
                return part
        names = ", ".join(part.name for part in self.parts)
        raise UsageError(f"the splits have no part {name!r}; choose one of {names}")

    def training_cases(self, held: str) -> tuple[str, ...]:
        """What is trained on when ``held`` judges: the other folds, or the part ``train``."""
        unseen = self.unseen_persons(held)
        return tuple(
            sorted(case for part in self.parts if not unseen & set(part.persons) for case in part.cases)
        )

    def unseen_persons(self, held: str) -> set[str]:
        """Persons not trained on when ``held`` judges: its own; with shares all but those of ``train``.

        Raises:
            UsageError: there is no such part, or it is ``train``.
        """
        out = self.part(held)
        if self.kind == SHARES:
            if held == SHARE_NAMES[0]:
                raise UsageError("the part 'train' is trained on; hold out 'val' or 'test'")
            return {p for part in self.parts if part.name != SHARE_NAMES[0] for p in part.persons}
        return set(out.persons)


def has_lesions(scan: LabeledScan) -> bool:
    """Whether a scan's label shows lesions; False where it tells none apart."""
    return not scan.liver_only and bool((standard_label(scan.reader.labels(scan).label, scan) == 2).any())


def make_folds(
    persons: Mapping[str, str], lesion_cases: Iterable[str], count: int, seed: int, adapter: str
) -> Splits:
    """``count`` folds of equal size by number of persons.

    Args:
        persons: the person of each case; several cases may be one person's.
        lesion_cases: the cases that show lesions.
        adapter: noted in the file.

    Raises:
        UsageError: fewer than two folds, or fewer persons than folds.
    """
    if count < 2:
        raise UsageError(f"{count} folds: give at least 2")
    names = [str(n) for n in range(count)]
    return Splits(K_FOLD, adapter, seed, _parts(persons, set(lesion_cases), dict.fromkeys(names, 1.0), seed))


def make_shares(
    persons: Mapping[str, str], lesion_cases: Iterable[str], shares: Sequence[float], seed: int, adapter: str
) -> Splits:
    """Parts train, val and perhaps test by shares of the persons, such as (70, 15, 15).

    Args: as :func:`make_folds`; ``shares`` are two or three positive numbers of any sum.

    Raises:
        UsageError: other shares, or fewer persons than parts.
    """
    if len(shares) not in (2, 3) or not all(np.isfinite(s) and s > 0 for s in shares):
        raise UsageError(f"shares {tuple(shares)}: give two or three numbers above 0, such as 70 15 15")
    wanted = {name: float(s) for name, s in zip(SHARE_NAMES, shares, strict=False)}
    return Splits(SHARES, adapter, seed, _parts(persons, set(lesion_cases), wanted, seed))


def make_repeats(
    persons: Mapping[str, str],
    lesion_cases: Iterable[str],
    shares: Sequence[float],
    count: int,
    seed: int,
    adapter: str,
) -> list[Splits]:
    """``count`` random splits by the same shares, such as three of (80, 20): each with a seed of its own.

    They are drawn independently: a person may be held out in several of them, or in none.

    Args: as :func:`make_shares`.

    Raises:
        UsageError: fewer than one, or as :func:`make_shares`.
    """
    if count < 1:
        raise UsageError(f"{count} repeats: give at least 1")
    cases = set(lesion_cases)
    return [make_shares(persons, cases, shares, seed + n, adapter) for n in range(count)]


def with_more_cases(splits: Splits, persons: Mapping[str, str]) -> Splits:
    """The same parts with further cases: of a person who has a part to that part, others balanced by source.

    Label maps without a CT are added so: whoever is held out with a CT is held out with every map too.

    Args:
        persons: the person of each further case.

    Raises:
        UsageError: the parts are no folds.
    """
    if splits.kind != K_FOLD:
        raise UsageError("only folds can be extended; make new shares of all cases")
    part_of = {person: part.name for part in splits.parts for person in part.persons}
    new = sorted(set(persons.values()) - set(part_of))
    shares = {part.name: 1.0 for part in splits.parts}
    part_of |= _stratified({person: (f"from {_source(person)}",) for person in new}, shares, splits.seed)
    return replace(
        splits,
        parts=tuple(
            Part(
                part.name,
                tuple(sorted(person for person, name in part_of.items() if name == part.name)),
                tuple(sorted({*part.cases, *(c for c, p in persons.items() if part_of[p] == part.name)})),
            )
            for part in splits.parts
        ),
    )


def _source(person: str) -> str:
    """``"lits"`` for ``"lits_012"``."""
    return person.rstrip("0123456789").rstrip("_")


def _parts(
    persons: Mapping[str, str], lesion_cases: set[str], shares: Mapping[str, float], seed: int
) -> tuple[Part, ...]:
    cases: dict[str, list[str]] = {}
    for case in sorted(persons):
        cases.setdefault(persons[case], []).append(case)
    if len(cases) < len(shares):
        raise UsageError(f"{len(cases)} persons cannot be split into {len(shares)} parts: give more scans")
    kinds = {}
    for person, own in cases.items():
        lesions = "lesions" if lesion_cases & set(own) else "no lesions"
        kinds[person] = (lesions, f"from {_source(person)}")
    part_of = _stratified(kinds, shares, seed)
    return tuple(
        Part(
            name,
            tuple(sorted(person for person, part in part_of.items() if part == name)),
            tuple(sorted(case for person, part in part_of.items() if part == name for case in cases[person])),
        )
        for name in shares
    )


def _stratified(
    kinds: Mapping[str, tuple[str, ...]], shares: Mapping[str, float], seed: int
) -> dict[str, str]:
    """The part of each person. ``kinds``: what each person counts as."""
    rng = np.random.default_rng(seed)
    waiting = [sorted(kinds)[n] for n in rng.permutation(len(kinds))]
    order = [list(shares)[n] for n in rng.permutation(len(shares))]
    total = sum(shares.values())
    every = Counter(kind for person in waiting for kind in kinds[person])
    lacking = {
        part: {kind: count * shares[part] / total for kind, count in every.items()}
        | {"": len(waiting) * shares[part] / total}
        for part in order
    }
    result: dict[str, str] = {}
    while waiting:
        left = Counter(kind for person in waiting for kind in kinds[person])
        rarest = min(left, key=lambda kind: (left[kind], kind))
        person = next(p for p in waiting if rarest in kinds[p])
        part = max(
            order,
            key=lambda p: (
                round(lacking[p][rarest], 9),
                round(sum(lacking[p][kind] for kind in kinds[person]), 9),
                round(lacking[p][""], 9),
            ),
        )
        # A part that nobody came to yet and that the last ones waiting must fill goes first.
        empty = [p for p in order if p not in result.values()]
        if len(waiting) <= len(empty):
            part = empty[0]
        for kind in (*kinds[person], ""):
            lacking[part][kind] -= 1.0
        result[person] = part
        waiting.remove(person)
    return result


def write_splits(splits: Splits, path: Path) -> None:
    """Write a splits file (JSON), whole or not at all.

    Raises:
        UsageError: it cannot be written.
    """
    content = {
        "format": FORMAT,
        "kind": splits.kind,
        "adapter": splits.adapter,
        "seed": splits.seed,
        "count": len(splits.parts),
        "parts": [
            {"name": part.name, "persons": list(part.persons), "cases": list(part.cases)}
            for part in splits.parts
        ],
    }
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_splits(path: Path, persons: Mapping[str, str] | None = None) -> Splits:
    """Read a splits file and hold it against the data.

    Args:
        path: written by :func:`write_splits`, perhaps edited since.
        persons: the person of each case of the data, as the adapter says now. Cases that the file does not
            name are in no part; the log says so. None where there are no data at hand: persons are then
            taken from the cases' names.

    Raises:
        InputRefused: missing or damaged, a case that the data lack, or a person (by ``persons``, whatever
            the file says) or a case in two parts.
    """
    splits = _parsed(path)
    if persons is None:
        persons = {case: person_of(case) for part in splits.parts for case in part.cases}
    part_of: dict[str, str] = {}
    named: set[str] = set()
    for part in splits.parts:
        unknown = sorted(set(part.cases) - set(persons))
        if unknown:
            shown = ", ".join(unknown[:5])
            raise InputRefused(
                f"{path.name}: part {part.name!r} names {len(unknown)} cases that the data lack ({shown}): "
                "give the data it was made for, or make new splits"
            )
        twice = sorted(named & set(part.cases))
        if twice:
            raise InputRefused(f"{path.name}: the case {twice[0]} is in two parts: make new splits")
        named |= set(part.cases)
        for person in sorted({persons[case] for case in part.cases} | set(part.persons)):
            if part_of.setdefault(person, part.name) != part.name:
                raise InputRefused(
                    f"{path.name}: the person {person} is in the parts {part_of[person]!r} and "
                    f"{part.name!r}; scores would be of patients seen in training: make new splits"
                )
    surplus = len(set(persons) - named)
    if surplus:
        log.warning("%s: %d cases of the data are in no part", path.name, surplus)
    return splits


def _parsed(path: Path) -> Splits:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT or content["kind"] not in (K_FOLD, SHARES):
            raise ValueError(f"format {content['format']!r}, kind {content['kind']!r}")
        parts = tuple(
            Part(str(p["name"]), tuple(map(str, p["persons"])), tuple(map(str, p["cases"])))
            for p in content["parts"]
        )
        if len({part.name for part in parts}) != len(parts) or not parts:
            raise ValueError("parts without a name of their own")
        return Splits(content["kind"], str(content["adapter"]), int(content["seed"]), parts)
    except OSError as error:
        raise InputRefused(f"{path} cannot be read: give a file made by scripts/split_data.py") from error
    except (KeyError, TypeError, ValueError) as error:
        raise InputRefused(f"{path.name} is no splits file ({error}): make new splits") from error


def cases_to_learn_from(names: list[str], splits: Path | None, part: str | None) -> list[str]:
    """The cases that a training may use when this part of a splits file is held out.

    Raises:
        UsageError: only one of the two is given, or the file has no such part.
        InputRefused: the splits file is damaged.
    """
    if (splits is None) != (part is None):
        raise UsageError("--splits and --part go together: name the part that is held out")
    if splits is None or part is None:
        return names
    held = read_splits(splits).unseen_persons(part)
    return [name for name in names if person_of(name) not in held]
