"""A clinical table with a law moves predicted burdens the right way; one without a law does nothing."""

from __future__ import annotations

import json
import runpy
import sys
import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pytest
import torch

from liverseg.errors import InputRefused, UsageError
from liverseg.training.burden import (
    BurdenSample,
    BurdenTask,
    Expectation,
    burden_bounds,
    burden_term,
    expectations,
    known_burdens,
    severity_of_cases,
)
from liverseg.training.cached_cases import CachedCase, Known, write_cached
from liverseg.training.clinical import fit_severity, fit_severity_on_stage
from liverseg.training.clinical_table import ClinicalTable, read_clinical_table
from liverseg.training.config import (
    ClinicalConfig,
    DataConfig,
    OptimizerConfig,
    RunConfig,
    TaskConfig,
    TrainerConfig,
)
from liverseg.training.run import train
from liverseg.training.sampling import Shares
from liverseg.training.tasks import LesionTask

HEADER = "TCIA_ID,Sex,AFP,Tr_Size,tumor_nodul,T_involvment,BCLC,TNM,Okuda,CLIP_Score\n"


def population(seed: int, count: int = 60, noise: float = 0.4) -> tuple[ClinicalTable, dict[str, float]]:
    """Patients whose log burden follows size and number of the tumors, and whose stage follows those, too."""
    rng = np.random.default_rng(seed)
    size, number = rng.normal(1.6, 0.5, count), rng.choice([0.0, np.log(2)], count)
    afp = 0.8 * size + rng.normal(0, 1, count)
    stage = np.clip(np.round(size + number + rng.normal(0, 0.4, count)), 0, 4)
    burden = np.exp(-6 + 2.2 * size + 0.8 * number + rng.normal(0, noise, count)).clip(0, 0.8)
    persons = tuple(f"hcctace_{n:03d}" for n in range(count))
    values = np.stack([afp, size, number, stage], axis=1)
    values[rng.random(values.shape) < 0.05] = np.nan
    table = ClinicalTable(persons, ("afp", "size", "count", "bclc"), values)
    return table, dict(zip(persons, burden.tolist(), strict=True))


def without_law(seed: int) -> tuple[ClinicalTable, dict[str, float]]:
    """The same patients with each other's burdens."""
    table, burdens = population(seed)
    values = np.random.default_rng(seed + 100).permutation(list(burdens.values()))
    return table, dict(zip(burdens, values.tolist(), strict=True))


# --- tables


def test_a_table_is_read_as_hcc_tace_has_it(tmp_path):
    rows = [
        'HCC_001,1,">1,000",5.5,multinodular,>50%,Stage-C,Stage-IIIB,Stage_II,Stage_3',
        "HCC_002,2,3,2,uninodular,< or = 50%,Stage-A,Stage-I,Stage_I,0",
        "HCC_003,1,NA,,,,,,,",
    ]
    (tmp_path / "table.csv").write_text(HEADER + "\n".join(rows) + "\n")
    table = read_clinical_table(tmp_path / "table.csv")
    assert table.persons == ("hcctace_001", "hcctace_002", "hcctace_003")
    assert table.variables == ("afp", "size", "count", "involvement", "bclc", "tnm", "okuda", "clip")
    expected = [
        [np.log10(1001), np.log(5.5), np.log(2), 1, 3, 3 + 1 / 3, 2, 3],
        [np.log10(4), np.log(2), 0, 0, 1, 1, 1, 0],
    ]
    assert np.allclose(table.values[:2], expected)
    assert np.isnan(table.values[2]).all()


def test_a_workbook_gives_what_its_text_gives(tmp_path):
    rows = [HEADER.strip().split(","), ["HCC_001", "1", "20.5", "5", "", "", "Stage-B", "", "", ""]]
    (tmp_path / "table.csv").write_text("\n".join(",".join(row) for row in rows))
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    shared = "".join(f"<si><t>{escape(cell)}</t></si>" for cell in rows[0])
    first = "".join(f'<c r="{chr(65 + n)}1" t="s"><v>{n}</v></c>' for n in range(len(rows[0])))
    second = (
        '<c r="A2" t="inlineStr"><is><t>HCC_001</t></is></c><c r="C2"><v>20.5</v></c><c r="D2"><v>5</v></c>'
    )
    second += '<c r="G2" t="str"><v>Stage-B</v></c>'
    with zipfile.ZipFile(tmp_path / "table.xlsx", "w") as book:
        book.writestr("xl/sharedStrings.xml", f"<sst {space}>{shared}</sst>")
        sheet = f'<row r="1">{first}</row><row r="2">{second}</row>'
        book.writestr(
            "xl/worksheets/sheet1.xml", f"<worksheet {space}><sheetData>{sheet}</sheetData></worksheet>"
        )
    one, other = (read_clinical_table(tmp_path / f"table.{kind}") for kind in ("csv", "xlsx"))
    assert one.persons == other.persons and one.variables == other.variables
    assert np.array_equal(one.values, other.values, equal_nan=True)


def test_columns_of_another_table_can_be_named(tmp_path):
    (tmp_path / "own.tsv").write_text("Who\tDiameter (cm)\nanna\t3\nanna\t9\nben__2\t4\n")
    columns = {"person": "who", "size": "Diameter (cm)"}
    table = read_clinical_table(tmp_path / "own.tsv", columns)
    assert table.persons == ("anna", "ben") and table.values[0, 0] == pytest.approx(np.log(3))
    with pytest.raises(InputRefused, match="no column of persons"):
        read_clinical_table(tmp_path / "own.tsv")
    with pytest.raises(UsageError, match="no column 'Size'"):
        read_clinical_table(tmp_path / "own.tsv", columns | {"size": "Size"})
    with pytest.raises(UsageError, match="no clinical variable 'weight'"):
        read_clinical_table(tmp_path / "own.tsv", columns | {"weight": "Who"})
    (tmp_path / "none.csv").write_text("patient,color\nanna,red\n")
    with pytest.raises(InputRefused, match="nothing tells of the tumor"):
        read_clinical_table(tmp_path / "none.csv")
    (tmp_path / "broken.xlsx").write_bytes(b"no workbook")
    for name in ("broken.xlsx", "missing.csv"):
        with pytest.raises(InputRefused, match="cannot be read as a table"):
            read_clinical_table(tmp_path / name)


# --- the fit


def test_left_out_residuals_are_those_of_fits_without_the_person():
    from liverseg.training.clinical import _hat, _left_out

    rng = np.random.default_rng(0)
    x, penalty = rng.normal(size=(20, 3)), 2.0
    y = x @ [1.0, -2.0, 0.5] + rng.normal(size=20)
    fast = _left_out(_hat(x, penalty), y[:, None])[:, 0]
    for n in range(20):
        others = np.arange(20) != n
        mean = x[others].mean(axis=0)
        a = x[others] - mean
        # The penalty's solution by its definition, for the persons that are left.
        slope = np.linalg.solve(a.T @ a + penalty * np.eye(3), a.T @ (y[others] - y[others].mean()))
        left = y[n] - y[others].mean() - (x[n] - mean) @ slope
        assert fast[n] == pytest.approx(left)


@pytest.mark.parametrize("fit", [fit_severity, fit_severity_on_stage])
@pytest.mark.parametrize("seed", range(3))
def test_a_law_is_found_and_gives_expectations_of_persons_it_never_saw(fit, seed):
    table, burdens = population(seed, 90)
    learned = dict(list(burdens.items())[:60])
    severity = fit(table, learned)
    assert severity.persons == 60 and severity.weights["size"] > 0.2
    assert severity.explained > (0.6 if fit is fit_severity else 0.3)
    unseen = [person for person in table.persons if person not in learned]
    expected = np.array([severity.expected[person] for person in unseen])
    true = np.log(np.array([burdens[person] for person in unseen]) + 1e-3)
    assert np.corrcoef(expected, true)[0, 1] > 0.6
    # The deviation told is the deviation found.
    assert np.sqrt(((expected - true) ** 2).mean()) == pytest.approx(severity.deviation, rel=0.4)


def test_without_a_law_the_fit_is_worth_about_nothing():
    worth = [fit_severity(*without_law(seed)).explained for seed in range(20)]
    assert np.mean(worth) < 0.01 and max(worth) < 0.1
    assert np.median(worth) == 0


def test_a_table_that_fits_nobody_is_refused():
    table, burdens = population(0)
    with pytest.raises(UsageError, match="3 persons of the clinical table"):
        fit_severity(table, dict(list(burdens.items())[:3]))
    empty = ClinicalTable(table.persons, table.variables, np.full_like(table.values, np.nan))
    with pytest.raises(UsageError, match="no variable"):
        fit_severity(empty, burdens)
    with pytest.raises(UsageError, match="no stage"):
        fit_severity_on_stage(ClinicalTable(table.persons, ("afp",), table.values[:, :1]), burdens)


# --- the loss


def test_what_a_patch_can_hold_follows_from_the_whole_liver():
    expectation = Expectation(0.2, 0.4, 1000, 2, 1.0)
    assert burden_bounds(expectation, 1.0) == pytest.approx((0.2, 0.4))
    assert burden_bounds(expectation, 0.5) == pytest.approx((0.0, 0.8))
    assert burden_bounds(expectation, 0.9) == pytest.approx((0.1 / 0.9, 0.4 / 0.9))
    rng = np.random.default_rng(0)
    for _ in range(200):
        liver = rng.random(1000) < rng.uniform(0.2, 0.4)
        if not 0.2 <= liver.mean() <= 0.4:
            continue
        part = np.sort(liver)[:: rng.choice([-1, 1])][: int(rng.integers(1, 1001))]
        low, high = burden_bounds(expectation, len(part) / 1000)
        assert low - 1e-9 <= part.mean() <= high + 1e-9, "no true liver is ever punished"


def sample_of(share: float, weight: float = 1.0, bounds: tuple[float, float] = (0.1, 0.2)) -> BurdenSample:
    """A patch that covers a share of a liver of 4,000 voxels."""
    target = torch.zeros((20, 20, 20), dtype=torch.long)
    target.view(-1)[: int(4000 * share)] = 1
    counted = torch.ones_like(target, dtype=torch.bool)
    return BurdenSample(target.float()[None], target, counted, ((0,),), Expectation(*bounds, 4000, 2, weight))


def burden_after(start: float, sample: BurdenSample) -> float:
    """The predicted share of the liver's voxels after some steps on the term alone."""
    logit = torch.tensor(float(np.log(start / (1 - start))), requires_grad=True)
    optimizer = torch.optim.SGD([logit], 0.2)
    for _ in range(200):
        nothing = torch.zeros((20, 20, 20))
        output = torch.stack([nothing - 50, nothing, nothing + logit])
        loss = burden_term(output, sample)
        optimizer.zero_grad()
        if loss.requires_grad:
            loss.backward()
            optimizer.step()
    return float(torch.sigmoid(logit.detach()))


def test_a_burden_too_large_falls_and_one_too_small_rises_to_the_bounds_and_no_further():
    assert burden_after(0.7, sample_of(1.0)) == pytest.approx(0.2, abs=0.03)
    assert burden_after(0.01, sample_of(1.0)) == pytest.approx(0.1, abs=0.02)
    assert burden_after(0.15, sample_of(1.0)) == pytest.approx(0.15, abs=1e-6)
    assert burden_after(0.7, sample_of(0.5)) == pytest.approx(0.4, abs=0.05), "half a liver may hold it all"
    assert burden_after(0.01, sample_of(0.5)) == pytest.approx(0.01, abs=1e-6), "or nothing of it"
    assert burden_after(0.7, sample_of(1.0, weight=0.0)) == pytest.approx(0.7, abs=1e-6)


def test_levels_of_deep_supervision_and_samples_without_expectation_are_no_matter():
    sample, output = sample_of(1.0), torch.zeros((2, 3, 20, 20, 20))
    assert torch.equal(burden_term(output, sample), burden_term(output[0], sample))
    plain = BurdenSample(sample.inputs, sample.target, sample.counted, sample.groups)
    empty = BurdenSample(sample.inputs, sample.target * 0, sample.counted, sample.groups, sample.expectation)
    assert float(burden_term(output, plain)) == float(burden_term(output, empty)) == 0


# --- together


def cases_of(burdens: dict[str, float], unlabeled: set[str]) -> dict[str, CachedCase]:
    """Livers of 10 x 12 x 10 voxels with the lesions that the burdens say, or a liver's label alone."""
    cases = {}
    for person, burden in burdens.items():
        label = torch.zeros((16, 16, 16), dtype=torch.uint8)
        liver = torch.ones(1200, dtype=torch.uint8)
        if person not in unlabeled:
            liver[: round(burden * 1200)] = 2
        label[3:13, 2:14, 3:13] = liver.reshape(10, 12, 10)
        known = Known(lesions=person not in unlabeled)
        cases[person] = CachedCase(person, label, torch.full_like(label, 128), known)
    return cases


def learned_burdens(table: ClinicalTable, burdens: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """True burdens of persons without lesion labels, and those predicted after learning from the table alone.

    The network is a free number a person, so that nothing but the table can tell it anything.
    """
    unlabeled = set(list(burdens)[-20:])
    cases = cases_of(burdens, unlabeled)
    labeled = known_burdens(cases)
    assert set(labeled) == set(burdens) - unlabeled
    severity = fit_severity(table, labeled)
    expected = expectations(severity, cases, ClinicalConfig("", weight=1.0), 2)
    logits = {person: torch.zeros((), requires_grad=True) for person in sorted(unlabeled)}
    optimizer = torch.optim.Adam(list(logits.values()), 0.2)
    for _ in range(40):
        for person, logit in logits.items():
            case = cases[person]
            target = (case.label > 0).long()
            counted = torch.ones_like(target, dtype=torch.bool)
            sample = BurdenSample(target.float()[None], target, counted, (), expected.get(person))
            output = torch.stack([target * 0.0 - 50, target * 0.0, target * 0.0 + logit])
            loss = burden_term(output, sample)
            if loss.requires_grad:
                loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    found = np.array([float(torch.sigmoid(logit.detach())) for logit in logits.values()])
    return np.array([burdens[person] for person in logits]), found


def test_with_a_law_persons_without_lesion_labels_get_the_right_burdens():
    true, found = learned_burdens(*population(5))
    before = np.abs(np.log(0.5 / true))
    after = np.abs(np.log(found / true))
    assert np.median(after) < 0.5 * np.median(before)
    assert np.corrcoef(np.log(true), np.log(found))[0, 1] > 0.6


def test_without_a_law_nothing_moves():
    _, found = learned_burdens(*without_law(5))
    assert np.array_equal(found, np.full(20, 0.5))


def test_every_sample_carries_what_is_expected_of_its_case_and_is_reproducible():
    _, burdens = population(0)
    cases = cases_of(dict(list(burdens.items())[:4]), set())
    task = LesionTask(cases, Shares(), 0.0, (16, 16, 16))
    told = {person: Expectation(0.1, 0.2, 1200 + n, 2, 1.0) for n, person in enumerate(sorted(cases)[:3])}
    wrapped = BurdenTask(task, told)
    drawn = [wrapped.sample(np.random.default_rng(n)) for n in range(20)]
    again = [wrapped.sample(np.random.default_rng(n)) for n in range(20)]
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(drawn, again, strict=True))
    carried = [s.expectation for s in drawn if isinstance(s, BurdenSample)]
    assert {e.liver_voxels if e else None for e in carried} == {1200, 1201, 1202, None}


@pytest.fixture
def run_config(tmp_path) -> RunConfig:
    """Fourteen made-up patients whose table tells the truth."""
    table, burdens = population(3, 14, noise=0.1)
    for person, case in cases_of(burdens, set()).items():
        assert case.image is not None
        write_cached(tmp_path / "cache", person, case.label.numpy(), case.image.numpy(), Known())
    rows = [f"{p},{np.exp(v[1]):.3f}" for p, v in zip(table.persons, table.values, strict=True)]
    (tmp_path / "table.csv").write_text("person,size\n" + "\n".join(rows))
    return RunConfig(
        run=str(tmp_path / "run"),
        data=DataConfig(cache=str(tmp_path / "cache"), workers=0),
        task=TaskConfig(name="stage2", patch=[16, 16, 16], filters=[4, 8, 8], deep_supervision=1),
        optimizer=OptimizerConfig(warm_up=1),
        trainer=TrainerConfig(steps=2, steps_an_epoch=2, accumulate=1, precision="32-true"),
        clinical=ClinicalConfig(str(tmp_path / "table.csv"), weight=0.5),
    )


def test_a_run_learns_with_the_table_that_its_settings_name(run_config):
    train(run_config)
    told = json.loads((Path(run_config.run) / "clinical.json").read_text())
    assert told["persons"] == 14 and told["explained"] > 0.3 and told["weights"]["size"] > 0
    with pytest.raises(UsageError, match="other settings"):
        run_config.clinical.weight = 0.7
        train(run_config)


def test_the_script_tells_beforehand_what_a_table_is_worth(run_config, monkeypatch, capsys):
    script = Path(__file__).resolve().parents[2] / "scripts" / "fit_severity.py"
    arguments = ["--table", run_config.clinical.table, "--cache", run_config.data.cache]
    monkeypatch.setattr(sys, "argv", [str(script), *arguments, "--column", "size=Size"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(script), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("size: +") and "(14 persons left out in turn)" in lines[1]
    assert len(lines) == 4 + 14 and lines[4].startswith("hcctace_000,")


def test_settings_of_a_table_that_cannot_work_are_said_plainly(run_config):
    run_config.clinical.target = "size"
    with pytest.raises(UsageError, match="burden, stage"):
        severity_of_cases(run_config.clinical, {}, 0)
    run_config.clinical.target, run_config.task.name = "burden", "stage1"
    with pytest.raises(UsageError, match="tells no lesions apart"):
        train(run_config)
