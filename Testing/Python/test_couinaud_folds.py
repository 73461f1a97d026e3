"""Label maps of segments are scored by networks of folds that never saw their persons."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from liverseg.errors import InputRefused

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(scope="module")
def unseen_by():
    return runpy.run_path(str(SCRIPTS / "evaluate_couinaud_methods.py"))["unseen_by"]


def fold(name: str, *held_out: str):
    networks = {"couinaud": {"held_out": list(held_out)}}
    return SimpleNamespace(name=name, networks=networks, card={"networks": networks})


def test_each_person_gets_the_first_network_that_never_saw_them(unseen_by):
    folds = [fold("a", "ircad_02_reading_a", "lits_000"), fold("b", "lits_005", "ircad_02_reading_b")]
    chosen = {person: bundle.name for person, bundle in unseen_by(folds).items()}
    assert chosen == {"ircad_002": "a", "lits_000": "a", "lits_005": "b"}


def test_a_network_that_saw_everybody_scores_nobody(unseen_by):
    assert unseen_by([fold("all")]) == {}


def test_a_model_without_such_a_network_is_refused(unseen_by):
    with pytest.raises(InputRefused, match="livers alone has no Couinaud network"):
        unseen_by([SimpleNamespace(name="livers alone", networks={}, card={"networks": {}})])


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("evaluate_couinaud_methods", ("--data", "EMPTY")),
        ("evaluate_couinaud", ("--data", "EMPTY", "--runs", "EMPTY", "--out", "EMPTY/scores.json")),
    ],
)
def test_an_empty_folder_is_one_clear_line(script, words, tmp_path, capsys, monkeypatch):
    given = [word.replace("EMPTY", str(tmp_path)) for word in words]
    monkeypatch.setattr("sys.argv", [script, *given])
    assert runpy.run_path(str(SCRIPTS / f"{script}.py"))["main"]() == 3
    told = capsys.readouterr().err
    assert told.startswith(f"{script}: ") and told.count("\n") == 1
