"""An indicator of tumor severity from a population's clinical table: what burden to expect of each person.

The logarithm of the burden (lesions / liver with lesions) of persons whose lesions are labeled is regressed
on the standardized variables of the table by ridge regression. How much such a fit is worth is asked of
persons it did not see: leave-one-out residuals of a ridge regression have a closed form (Allen, Technometrics
1974), and so has the explained variance of persons left out. What that would be by chance is told by fits to
permuted burdens; only what lies above their 95th percentile counts. A table without a law so gets a weight of
about zero.
Derivation and limits: docs/clinical-supervision.md.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from liverseg.errors import UsageError
from liverseg.training.clinical_table import STAGES, ClinicalTable

log = logging.getLogger(__name__)

# Added to a burden before its logarithm: a liver of 1.5 liters with 1.5 ml of lesions, or with none.
FLOOR = 1e-3
# Fewer persons with a burden tell nothing.
FEWEST_PERSONS = 12
# A variable is used where at least this share of these persons has it.
FEWEST_KNOWN = 0.5
_PENALTIES = np.logspace(-1, 5, 25)
_PERMUTATIONS = 400
_CHANCE_PERCENTILE = 95.0


@dataclass(frozen=True)
class Severity:
    """A fit of log burden on clinical variables.

    Attributes:
        weights: of each variable that was used, for one standard deviation of it.
        explained: share of the variance of persons left out, beyond chance: 0 (no law) to 1.
        deviation: root mean square of the left-out residuals.
        expected: log burden of each person of the table; of persons with a known burden by the fit without
            them, so that nobody's own label is told back.
        persons: how many were fitted.
    """

    weights: dict[str, float]
    explained: float
    deviation: float
    expected: dict[str, float]
    persons: int


def log_burden(burden: float) -> float:
    """The logarithm of a burden (0..1), also of none."""
    return float(np.log(burden + FLOOR))


def fit_severity(table: ClinicalTable, burdens: Mapping[str, float], seed: int = 0) -> Severity:
    """Fit the log burden of labeled persons on all variables of the table.

    Args:
        table: of the population; persons without a burden are given an expectation too.
        burdens: lesions / (liver with lesions) by person, of those that are learned from alone.
        seed: of the permutations.

    Raises:
        UsageError: too few of the persons are in the table, or no variable is known of enough of them.
    """
    target = {person: log_burden(burden) for person, burden in burdens.items()}
    return _fit(table, table.variables, target, seed)


def fit_severity_on_stage(table: ClinicalTable, burdens: Mapping[str, float], seed: int = 0) -> Severity:
    """In two steps: the population's stage on the other variables, and the log burden on that indicator.

    The indicator is made of everybody in the table without any burden; labeled persons only tell how many
    milliliters it stands for. Of the table's stages the first that most persons have is taken (BCLC, TNM,
    Okuda, CLIP).

    Args, raises: as :func:`fit_severity`; also a table without a stage or without other variables.
    """
    stage = next((s for s in STAGES if s in table.variables and _known_share(table, s) > FEWEST_KNOWN), None)
    others = tuple(v for v in table.variables if v not in STAGES)
    if stage is None or not others:
        raise UsageError("the clinical table has no stage, or nothing but stages; fit the burden itself")
    column = table.values[:, table.variables.index(stage)]
    known = {p: float(v) for p, v in zip(table.persons, column, strict=True) if np.isfinite(v)}
    first = _fit(table, others, known, seed)
    indicator = np.array([[first.expected[person]] for person in table.persons])
    name = f"severity by {stage}"
    second = _fit(
        ClinicalTable(table.persons, (name,), indicator),
        (name,),
        {person: log_burden(burden) for person, burden in burdens.items()},
        seed,
    )
    return Severity(
        {**first.weights, **second.weights},
        second.explained,
        second.deviation,
        second.expected,
        second.persons,
    )


def _known_share(table: ClinicalTable, variable: str) -> float:
    return float(np.isfinite(table.values[:, table.variables.index(variable)]).mean())


def _fit(
    table: ClinicalTable, variables: tuple[str, ...], target: Mapping[str, float], seed: int
) -> Severity:
    rows = [n for n, person in enumerate(table.persons) if person in target]
    if len(rows) < FEWEST_PERSONS:
        raise UsageError(
            f"{len(rows)} persons of the clinical table have a value to fit; {FEWEST_PERSONS} are needed"
        )
    used, design = _standardized(table, variables, rows)
    x = design[rows]
    y = np.array([target[table.persons[n]] for n in rows])
    hats = [_hat(x, penalty) for penalty in _PENALTIES]
    best, explained = _best(hats, y[:, None])
    chance = _chance(hats, y, seed)
    residuals = _left_out(hats[int(best[0])], y[:, None])[:, 0]
    slope = _slope(x, y - y.mean(), _PENALTIES[int(best[0])])
    everybody = dict(zip(table.persons, (y.mean() + design @ slope).tolist(), strict=True))
    own = {table.persons[n]: float(v) for n, v in zip(rows, y - residuals, strict=True)}
    beyond = max(0.0, (float(explained[0]) - chance) / max(1e-9, 1 - chance))
    result = Severity(
        weights={name: float(w) for name, w in zip(used, slope, strict=True)},
        explained=beyond,
        deviation=float(np.sqrt((residuals**2).mean())),
        expected={**everybody, **own},
        persons=len(rows),
    )
    log.info(
        "clinical table: %d persons, %s, explains %.2f beyond chance (%.2f with, %.2f by chance)",
        *(len(rows), ", ".join(f"{n} {w:+.2f}" for n, w in result.weights.items())),
        *(beyond, float(explained[0]), chance),
    )
    return result


def _standardized(
    table: ClinicalTable, variables: tuple[str, ...], rows: list[int]
) -> tuple[list[str], np.ndarray]:
    """The usable variables, and (persons, variables) with mean 0 and deviation 1 over ``rows``.

    What is not known becomes 0, the mean: it then says nothing.
    """
    used, columns = [], []
    for variable in variables:
        column = table.values[:, table.variables.index(variable)]
        known = column[rows][np.isfinite(column[rows])]
        if len(known) < FEWEST_KNOWN * len(rows) or known.std() < 1e-9:
            log.info("clinical table: %s is not used (unknown of most, or the same of all)", variable)
            continue
        used.append(variable)
        columns.append(np.nan_to_num((column - known.mean()) / known.std(), nan=0.0))
    if not used:
        raise UsageError(
            "no variable of the clinical table is known of enough persons and differs among them"
        )
    return used, np.stack(columns, axis=1)


def _slope(x: np.ndarray, centered: np.ndarray, penalty: float) -> np.ndarray:
    return np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ centered)


def _hat(x: np.ndarray, penalty: float) -> np.ndarray:
    """(n, n): fitted values from values, the mean included and not penalized."""
    centered = x - x.mean(axis=0)
    inner = np.linalg.solve(centered.T @ centered + penalty * np.eye(x.shape[1]), centered.T)
    return centered @ inner + 1 / len(x)


def _left_out(hat: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Residuals (n, m) of each person by the fit without that person; y is (n, m)."""
    return (y - hat @ y) / (1 - np.diag(hat))[:, None]


def _best(hats: list[np.ndarray], y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each column of y (n, m): the penalty with the smallest left-out residuals, and what that explains.

    Against the mean of the others, so that 0 is what no variable at all would give.
    """
    press = np.stack([(_left_out(hat, y) ** 2).sum(axis=0) for hat in hats])
    mean_alone = (((y - y.mean(axis=0)) * len(y) / (len(y) - 1)) ** 2).sum(axis=0)
    best = press.argmin(axis=0)
    return best, 1 - press[best, np.arange(y.shape[1])] / np.maximum(mean_alone, 1e-12)


def _chance(hats: list[np.ndarray], y: np.ndarray, seed: int) -> float:
    """What the same choice of a penalty explains of permuted values, at the 95th percentile; at least 0."""
    rng = np.random.default_rng(seed)
    permuted = np.stack([rng.permutation(y) for _ in range(_PERMUTATIONS)], axis=1)
    return max(0.0, float(np.percentile(_best(hats, permuted)[1], _CHANCE_PERCENTILE)))
