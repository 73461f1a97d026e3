"""Label maps of segments are scored by networks of folds that never saw their persons."""

from __future__ import annotations

import importlib.util
import json
import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

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


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_scores_of_folds_go_into_a_folder_that_is_made_before_the_work(tmp_path, monkeypatch):
    script = loaded("evaluate_couinaud")
    out = tmp_path / "new" / "scores.json"
    (tmp_path / "couinaud").mkdir()
    (tmp_path / "couinaud" / "x.nii.gz").touch()

    def score(path: Path, bundle: object) -> tuple[float, ...]:
        assert out.parent.is_dir()
        return (0.8,) * 8

    monkeypatch.setattr(script, "held_out", lambda run, scored, maps: ["x"])
    monkeypatch.setattr(script, "export_bundle", lambda *rest: None)
    monkeypatch.setattr(script, "read_bundle", lambda folder: None)
    monkeypatch.setattr(script, "score_map", score)
    script.evaluate(SimpleNamespace(data=tmp_path, runs=["run"], out=out))
    assert json.loads(out.read_text())["summary"]["mean_dice"] == 0.8


def test_scores_of_methods_go_into_a_folder_that_is_made_before_the_work(tmp_path, monkeypatch):
    script = loaded("evaluate_couinaud_methods")
    out = tmp_path / "new" / "scores.json"

    def read(data: Path, bundles: object) -> list:
        assert out.parent.is_dir()
        return []

    reporting = [name for name in map(str, range(9)) if not script.is_tuning(name)]
    monkeypatch.setattr(script, "read_maps", read)
    monkeypatch.setattr(
        script, "landmark_scores", lambda scoring: {"planes": {name: [0.8] * 8 for name in reporting}}
    )
    asked = {"models": [], "write_first_guess": None, "quick": False, "methods": ["landmarks"]}
    script.evaluate(SimpleNamespace(data=tmp_path, out=out, **asked))
    assert json.loads(out.read_text())["summary"]["planes; reporting half"]["mean_dice"] == 0.8
