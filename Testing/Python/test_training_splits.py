"""Nobody is on both sides of a split."""

from __future__ import annotations

from liverseg.training.persons import folds, person_of

CASES = ["lits_000", "lits_001", "lits_006", "lits_008", "lits_010", "lits_014", "lits_015", "lits_030"]
CASES += ["ircad_03_reading_a", "ircad_03_reading_b", "ircad_17", "msd8_011", "chaos_03", "lits_100"]


def test_scans_readings_and_numbers_of_one_person_share_a_name():
    assert person_of("lits_000") == person_of("lits_001")
    assert person_of("lits_006") == person_of("lits_008") == person_of("lits_010")
    assert person_of("lits_014") == person_of("lits_015")
    assert person_of("ircad_03_reading_a") == person_of("ircad_03_reading_b") == person_of("lits_030")
    assert person_of("lits_002") != person_of("lits_003")
    assert person_of("lits_011") != person_of("msd8_011")


def test_folds_hold_everybody_once_and_never_split_a_person():
    parts = folds(CASES, 3, seed=0)
    assert sorted(case for part in parts for case in part) == sorted(CASES)
    for number, part in enumerate(parts):
        others = {person_of(c) for n, p in enumerate(parts) for c in p if n != number}
        assert not others & {person_of(c) for c in part}


def test_folds_are_the_same_for_the_same_seed_alone():
    assert folds(CASES, 3, seed=0) == folds(list(reversed(CASES)), 3, seed=0)
    assert folds(CASES, 3, seed=0) != folds(CASES, 3, seed=5)
