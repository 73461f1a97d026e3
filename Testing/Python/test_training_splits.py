"""Nobody is on both sides of a split."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from liverseg.errors import InputRefused, UsageError
from liverseg.training.datasets import list_maps
from liverseg.training.persons import copy_of, person_of
from liverseg.training.splits import (
    DEFAULT_SHARES,
    Splits,
    make_folds,
    make_repeats,
    make_shares,
    read_splits,
    with_more_cases,
    write_splits,
)
from made_data import made_scan, write_folder


def test_scans_readings_and_numbers_of_one_person_share_a_name():
    assert person_of("lits_000") == person_of("lits_001")
    assert person_of("lits_006") == person_of("lits_008") == person_of("lits_010")
    assert person_of("lits_014") == person_of("lits_015")
    assert person_of("ircad_03_reading_a") == person_of("ircad_03_reading_b") == person_of("lits_030")
    assert person_of("lits_002") != person_of("lits_003")
    assert person_of("lits_011") != person_of("msd8_011")
    assert person_of("liver_1") == person_of("lits_000"), "Task03 of the Decathlon is LiTS"
    assert person_of("hepaticvessel_011") == person_of("msd8_011")


@pytest.mark.parametrize(
    ("case", "name"),
    [
        ("made_000", "made_000__made_000_planted_0"),
        ("ircad_05", "ircad_05_planted_0"),
        ("anna__2024", "anna__2024_planted_0"),
    ],
)
def test_a_copy_is_of_its_cases_person_however_the_case_is_called(case, name):
    copy = copy_of(case, "planted", 0)
    assert copy == name
    assert person_of(copy) == person_of(copy_of(copy, "warped", 1)) == person_of(case)


PERSONS = {
    case: person_of(case)
    for case in [f"lits_{n:03d}" for n in range(24)] + [f"ircad_{n:02d}" for n in range(1, 13)] + ["chaos_03"]
}
LESIONS = {case for n, case in enumerate(sorted(PERSONS)) if n % 4}


def counts(splits: Splits, kind: Callable[[str], bool]) -> list[int]:
    """Persons of a kind in each part."""
    return [sum(kind(person) for person in part.persons) for part in splits.parts]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("count", [3, 5])
def test_every_fold_has_its_share_of_lesions_and_sources(seed, count):
    splits = make_folds(PERSONS, LESIONS, count, seed, "made up")
    bearing = {PERSONS[case] for case in LESIONS}
    kinds: list[Callable[[str], bool]] = [
        lambda p: True,
        lambda p: p in bearing,
        lambda p: p not in bearing,
        lambda p: p.startswith("lits"),
        lambda p: p.startswith("ircad"),
    ]
    for kind in kinds:
        found = counts(splits, kind)
        assert max(found) - min(found) <= 2, found
    assert sorted(case for part in splits.parts for case in part.cases) == sorted(PERSONS)


@pytest.mark.parametrize("seed", range(4))
def test_shares_are_kept_by_persons(seed):
    splits = make_shares(PERSONS, LESIONS, (70, 15, 15), seed, "made up")
    assert [part.name for part in splits.parts] == ["train", "val", "test"]
    persons = len(set(PERSONS.values()))
    found = counts(splits, lambda p: True)
    assert all(abs(n - persons * share) <= 2 for n, share in zip(found, (0.7, 0.15, 0.15), strict=True)), (
        found
    )
    bearing = {PERSONS[case] for case in LESIONS}
    assert min(counts(splits, lambda p: p in bearing)) >= 2
    assert splits.training_cases("test") == splits.part("train").cases
    with pytest.raises(UsageError, match="trained on"):
        splits.training_cases("train")


def test_no_person_is_in_two_parts_and_the_same_seed_gives_the_same_parts():
    splits = make_folds(PERSONS, LESIONS, 4, 7, "made up")
    for part in splits.parts:
        trained = {PERSONS[case] for case in splits.training_cases(part.name)}
        assert not trained & {PERSONS[case] for case in part.cases}
        assert len(trained) + len(part.persons) == len(set(PERSONS.values()))
    backwards = dict(reversed(list(PERSONS.items())))
    assert make_folds(backwards, sorted(LESIONS), 4, 7, "made up") == splits
    assert make_folds(PERSONS, LESIONS, 4, 8, "made up") != splits


def test_as_many_folds_as_persons_leave_none_empty():
    few = {f"lits_{n:03d}": f"lits_{n:03d}" for n in (20, 21, 22, 23)}
    splits = make_folds(few, {"lits_020"}, 4, 0, "made up")
    assert [len(part.persons) for part in splits.parts] == [1, 1, 1, 1]
    with pytest.raises(UsageError, match="4 persons cannot be split into 5"):
        make_folds(few, set(), 5, 0, "made up")


@pytest.mark.parametrize("shares", [DEFAULT_SHARES, (90, 10), (80, 20), (70, 15, 15)])
def test_repeated_random_splits_differ_and_each_is_by_person(shares):
    repeats = make_repeats(PERSONS, LESIONS, shares, 3, 5, "made up")
    everybody = sorted(set(PERSONS.values()))
    for splits in repeats:
        assert sorted(person for part in splits.parts for person in part.persons) == everybody
        for part, share in zip(splits.parts, shares, strict=True):
            assert abs(len(part.persons) - len(everybody) * share / sum(shares)) <= 2
            assert {PERSONS[case] for case in part.cases} == set(part.persons)
    assert len({splits.parts[-1].persons for splits in repeats}) == 3
    assert repeats == make_repeats(PERSONS, LESIONS, shares, 3, 5, "made up")
    with pytest.raises(UsageError, match="at least 1"):
        make_repeats(PERSONS, LESIONS, shares, 0, 5, "made up")


@pytest.mark.parametrize("shares", [(1,), (70, 0, 30), (70, -1), (1, 1, 1, 1), (float("nan"), 1)])
def test_shares_that_make_no_sense_are_refused(shares):
    with pytest.raises(UsageError, match="shares"):
        make_shares(PERSONS, LESIONS, shares, 0, "made up")


def test_a_splits_file_comes_back_as_it_was(tmp_path):
    splits = make_shares(PERSONS, LESIONS, (80, 20), 3, "project-roi")
    write_splits(splits, tmp_path / "splits.json")
    assert read_splits(tmp_path / "splits.json", PERSONS) == splits


def edited(tmp_path: Path, change: Callable[[dict], None]) -> Path:
    """A good splits file of three folds after an edit by hand."""
    path = tmp_path / "splits.json"
    write_splits(make_folds(PERSONS, LESIONS, 3, 0, "made up"), path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def test_a_file_with_a_person_in_two_folds_is_refused_whatever_it_says_of_persons(tmp_path):
    def move_one_scan(content: dict) -> None:
        home = next(n for n, part in enumerate(content["parts"]) if "lits_001" in part["cases"])
        content["parts"][home]["cases"].remove("lits_001")
        content["parts"][(home + 1) % 3]["cases"].append("lits_001")

    with pytest.raises(InputRefused, match="lits_000 is in the parts"):
        read_splits(edited(tmp_path, move_one_scan), PERSONS)


def test_a_file_with_a_case_in_two_folds_or_of_other_data_is_refused(tmp_path):
    def twice(content: dict) -> None:
        content["parts"][0]["cases"].append(content["parts"][1]["cases"][0])

    def unknown(content: dict) -> None:
        content["parts"][0]["cases"].append("lits_999")

    with pytest.raises(InputRefused, match="is in two parts"):
        read_splits(edited(tmp_path, twice), PERSONS)
    with pytest.raises(InputRefused, match="the data lack .lits_999"):
        read_splits(edited(tmp_path, unknown), PERSONS)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"format": 2, "kind": "k-fold"}', '{"format": 1, "kind": "odd"}']
)
def test_a_damaged_splits_file_is_one_clear_error(tmp_path, text):
    (tmp_path / "splits.json").write_text(text)
    with pytest.raises(InputRefused, match="no splits file"):
        read_splits(tmp_path / "splits.json", PERSONS)
    with pytest.raises(InputRefused, match="cannot be read"):
        read_splits(tmp_path / "missing.json", PERSONS)


def test_cases_that_no_part_names_are_told(tmp_path, caplog):
    path = edited(tmp_path, lambda content: None)
    read_splits(path, PERSONS | {"lits_100": "lits_100"})
    assert "1 cases of the data are in no part" in caplog.text


def test_the_script_splits_a_folder_by_person(tmp_path, monkeypatch):
    scans = [made_scan(f"lits_{n:03d}", n, lesion=n % 2 == 0) for n in range(6)]
    write_folder("project-roi", tmp_path, scans)
    script = Path(__file__).resolve().parents[2] / "scripts" / "split_data.py"
    out = tmp_path / "splits.json"
    arguments = ["--data", str(tmp_path), "--adapter", "project-roi", "--folds", "2", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    splits = read_splits(out, {scan.case: person_of(scan.case) for scan in scans})
    assert sorted(len(part.persons) for part in splits.parts) == [2, 3], "lits_000 and 001 are one person"
    assert "0: " in done.stdout and "with lesions" in done.stdout
    arguments[4:6] = ["--repeats", "2"]
    monkeypatch.setattr(sys, "argv", [str(script), *arguments])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(script), run_name="__main__")
    for number in (1, 2):
        splits = read_splits(tmp_path / f"splits_{number}.json")
        assert [len(part.persons) for part in splits.parts] == [3, 1, 1]


def test_maps_without_a_ct_join_their_persons_part_and_others_are_spread():
    persons = {case: person_of(case) for case in ("lits_000", "lits_006", "ircad_03", "chaos_03", "lits_014")}
    splits = make_folds(persons, ["lits_000"], 2, 1, "project-roi")
    maps = ["lits_000", "lits_007", "ircad_03_reading_a", "ircad_03_reading_b"]
    maps += [f"lits_{n:03d}" for n in range(60, 70)]
    wider = with_more_cases(splits, {name: person_of(name) for name in maps})
    for before, after in zip(splits.parts, wider.parts, strict=True):
        assert set(before.persons) <= set(after.persons)
        assert set(before.cases) <= set(after.cases)
        for case in after.cases:
            assert person_of(case) in after.persons
    assert not set(wider.parts[0].persons) & set(wider.parts[1].persons)
    new = [sum(f"lits_{n:03d}" in part.cases for n in range(60, 70)) for part in wider.parts]
    assert new == [5, 5]


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("scan1", "anna__scan1"),
        ("scan1_reading_b", "anna__scan1_reading_b"),
        ("made_000_reading_a", "made_000__made_000_reading_a"),
    ],
)
def test_a_map_that_would_count_as_another_person_than_its_scan_is_refused(name, better, tmp_path):
    (tmp_path / f"{name}.nii.gz").touch()
    with pytest.raises(InputRefused, match=rf"the map {name}\.nii\.gz .* name it {better}\.nii\.gz"):
        list_maps(tmp_path, ["anna__scan1", "made_000"])
    (tmp_path / f"{name}.nii.gz").rename(tmp_path / f"{better}.nii.gz")
    (path,) = list_maps(tmp_path, ["anna__scan1", "made_000"])
    assert person_of(path.name.removesuffix(".nii.gz")) in {"anna", "made_000"}
    assert list_maps(tmp_path, [], ["anna__scan1", "made_000"]) == [], "maps go with the persons left out"


def test_maps_keep_the_names_that_say_whose_they_are(tmp_path):
    names = ["ircad_05_reading_a", "lits_000", "lits_007", "msd8_011", "other"]
    for name in names:
        (tmp_path / f"{name}.nii.gz").touch()
    maps = list_maps(tmp_path, ["ircad_05", "lits_001", "anna__scan1"])
    assert [path.name.removesuffix(".nii.gz") for path in maps] == names
    left = list_maps(tmp_path, ["ircad_05"], ["lits_001"])
    assert [path.name.removesuffix(".nii.gz") for path in left] == [n for n in names if n != "lits_000"]


def test_the_script_refuses_a_folder_without_maps(tmp_path, monkeypatch, capsys):
    write_folder("project-roi", tmp_path, [made_scan(f"lits_{n:03d}", n) for n in (20, 21)])
    script = Path(__file__).resolve().parents[2] / "scripts" / "split_data.py"
    given = ["--data", tmp_path, "--adapter", "project-roi", "--folds", 2, "--out", tmp_path / "splits.json"]
    for words, code in (["--maps", tmp_path / "couinaud"], 3), ([], 0):
        monkeypatch.setattr(sys, "argv", [str(word) for word in (script, *given, *words)])
        with pytest.raises(SystemExit, match=str(code)):
            runpy.run_path(str(script), run_name="__main__")
        assert (tmp_path / "splits.json").exists() == (code == 0)
    told = capsys.readouterr()
    assert "couinaud holds no map" in told.err
    assert "0: 1 person (1 with lesions), 1 scan\n" in told.out
