"""Pseudo-labels in rounds: a better student teaches, one that is not ends it, a stopped run goes on."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from liverseg.bundle import find_bundle, read_bundle
from liverseg.errors import InputRefused, UsageError
from liverseg.phantom import Phantom, make_phantom
from liverseg.training.cached_cases import cached_names
from liverseg.training.rounds import Steps, kept_model, refuse_teacher_of_held_out, run_rounds
from liverseg.training.splits import Part, Splits, write_splits
from liverseg.writers.volumes import write_nifti
from made_data import write_tiny_livers

pytestmark = pytest.mark.usefixtures("one_thread")


class Script:
    """Rounds whose scores are written down beforehand; remembers what was asked for."""

    def __init__(self, scores: list[float], scans: int = 3) -> None:
        self.scores, self.scans, self.asked = scores, scans, []

    def steps(self, judged: bool = True) -> Steps:
        return Steps(self.label, self.learn, self.judge if judged else None)

    def label(self, teacher: Path, folder: Path) -> int:
        self.asked.append(f"label by {teacher.name}")
        return self.scans

    def learn(self, number: int, teacher: Path, labels: Path, folder: Path) -> Path:
        self.asked.append(f"learn {number} from {labels.parent.name}")
        return folder / f"student{number}"

    def judge(self, model: Path, folder: Path) -> float:
        self.asked.append(f"judge {model.name}")
        return self.scores[int(folder.name[5:])]


def test_each_better_student_is_the_next_teacher_until_one_is_not(tmp_path):
    script = Script([0.3, 0.4, 0.5, 0.45, 0.9])
    done = run_rounds(Path("first"), script.steps(), 5, tmp_path)
    assert [one.score for one in done] == [0.3, 0.4, 0.5, 0.45]
    assert done[-1].why_last and kept_model(done).name == "student2"
    labeled = [asked for asked in script.asked if asked.startswith("label")]
    assert labeled == ["label by first", "label by student1", "label by student2"]
    told = json.loads((tmp_path / "rounds.json").read_text())
    assert told["kept"].endswith("student2") and len(told["rounds"]) == 4


def test_without_a_judge_all_rounds_are_done_and_nothing_twice(tmp_path):
    script = Script([])
    run_rounds(Path("first"), script.steps(judged=False), 2, tmp_path)
    first = list(script.asked)
    done = run_rounds(Path("first"), script.steps(judged=False), 3, tmp_path)
    assert script.asked == [*first, "label by student2", "learn 3 from round3"]
    assert [one.number for one in done] == [0, 1, 2, 3] and kept_model(done).name == "student3"


def test_a_teacher_that_can_label_nothing_ends_it(tmp_path):
    done = run_rounds(Path("first"), Script([], scans=0).steps(judged=False), 2, tmp_path)
    assert "could label no scan" in done[-1].why_last and kept_model(done) == Path("first")


def test_what_cannot_be_gone_on_with_is_told(tmp_path):
    script = Script([0.1, 0.0])
    with pytest.raises(UsageError, match="at least one"):
        run_rounds(Path("first"), script.steps(), 0, tmp_path)
    run_rounds(Path("first"), script.steps(), 1, tmp_path)
    with pytest.raises(InputRefused, match="begun with the teacher first"):
        run_rounds(Path("other"), script.steps(), 1, tmp_path)
    (tmp_path / "rounds.json").write_text("{")
    with pytest.raises(InputRefused, match="damaged"):
        run_rounds(Path("first"), script.steps(), 1, tmp_path)


def teacher_without(case: str, folder: Path, **stage2: object) -> Path:
    """The bundled model, with a card as of one that never saw a case; returns ``folder``."""
    shutil.copytree(find_bundle().folder, folder)
    card = json.loads((folder / "card.json").read_text())
    for entry in card["networks"].values():
        entry["held_out"] = [case]
        entry["learned_from"] = [name for name in entry["learned_from"] if name != case]
    card["held_out"] = [case]
    card["networks"]["stage2"].update(stage2)
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def test_a_teacher_that_may_have_seen_who_is_held_out_is_refused(tmp_path):
    bundle = read_bundle(teacher_without("lits_019", tmp_path / "teacher"))
    refuse_teacher_of_held_out(bundle, {"lits_019"})
    with pytest.raises(UsageError, match="never saw lits_004"):
        refuse_teacher_of_held_out(bundle, {"lits_019", "lits_004"})


# --- the whole command on made-up patients


@pytest.fixture(scope="module")
def script(root: Path) -> ModuleType:
    path = root / "scripts" / "pseudo_label_rounds.py"
    spec = importlib.util.spec_from_file_location("pseudo_label_rounds", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def patient(seed: int) -> Phantom:
    return make_phantom(seed, (52, 78, 84), (5.0, 4.4, 4.2), diameters_mm=[45.0, 30.0], noise_hu=8)


def write(array: np.ndarray, phantom: Phantom, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_nifti(array, phantom.ct.geometry, path)


def test_the_command_labels_learns_and_judges_made_up_patients(script, tmp_path, capsys):
    # The bundled weights on a coarse grid: the same road in a second.
    teacher = teacher_without("lits_019", tmp_path / "teacher", spacing_mm=5.0)
    card = json.loads((teacher / "card.json").read_text())
    free, judged = patient(2003), patient(2005)
    write(free.ct.array, free, tmp_path / "data" / "ct_unlabelled" / "free_001.nii.gz")
    case = tmp_path / "data" / "ct" / "lits_019"
    write(judged.ct.array, judged, case / "ct.nii.gz")
    label = judged.masks.liver.astype(np.uint8) + (judged.masks.lesions > 0)
    write(label, judged, case / "liver_lesion.nii.gz")
    parts = tuple(Part(str(n), (name,), (name,)) for n, name in enumerate(("lits_019", "lits_004")))
    write_splits(Splits("k-fold", "project-roi", 0, parts), tmp_path / "splits.json")
    write_tiny_livers(tmp_path / "cache", ("lits_004",))
    words = ["--model", teacher, "--data", tmp_path / "data", "--cache", tmp_path / "cache"]
    words += ["--splits", tmp_path / "splits.json", "--judge", "lits_019", "--rounds", 2, "--variants", 1]
    words += ["--device", "cpu", "--out", tmp_path / "out"]
    settings = ["task.patch=[32,32,32]", "task.filters=[4,8,8]", "task.kernels=[]", "data.workers=0"]
    settings += ["task.deep_supervision=1", "trainer.steps=2", "trainer.precision=32-true"]
    given = [str(word) for word in (*words, *settings)]
    assert script.main(given) == 0
    out = tmp_path / "out"
    told = json.loads((out / "rounds.json").read_text())
    assert [one["scans"] for one in told["rounds"]] == [0, 1]
    assert told["rounds"][0]["score"] > 0.3 > told["rounds"][1]["score"]
    assert told["kept"] == str(teacher)
    assert cached_names(out / "round1" / "labels" / "scans") == ["free_001"]
    student = read_bundle(out / "round1" / "model")
    assert set(student.networks) == {"stage1", "stage2", "couinaud"}
    assert student.card["networks"]["stage2"]["learned_from"] == ["free_001", "lits_004"]
    assert "lits_019" in student.card["held_out"] and "lits_004" not in student.card["held_out"]
    assert student.card["postprocessing"] == card["postprocessing"]
    assert (out / "round1" / "scores" / "cases.csv").exists()
    # Again, it is all there.
    capsys.readouterr()
    assert script.main(given) == 0
    assert "is no better than its teacher" in capsys.readouterr().out
    assert script.main([*given, "--judge", "lits_004"]) == 2
