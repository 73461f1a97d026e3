"""What people look at: the page of an evaluation, the GIFs, and two evaluations against each other."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import wilcoxon

from liverseg.cli import main
from liverseg.evaluation.case_scores import Scored, score_case
from liverseg.evaluation.comparison import Comparison, scatter
from liverseg.evaluation.paired import Paired, bootstrap_interval
from liverseg.evaluation.plot_style import BLUE, GRAY, RED
from liverseg.evaluation.plots import PLOTS
from liverseg.geometry import Geometry
from liverseg.writers.volumes import write_nifti

GRID = Geometry((12, 24, 24), np.diag([-4.0, -4.0, 5.0, 1.0]))
CASES = ["Doe^Jane_arterial", "Roe^Richard_portal", "Poe^Paul"]


def liver_and_lesion() -> tuple[np.ndarray, np.ndarray]:
    liver, lesion = np.zeros(GRID.shape, np.uint8), np.zeros(GRID.shape, np.uint8)
    liver[2:10, 4:20, 4:20] = 1
    lesion[5:7, 8:12, 8:12] = 1
    return liver, lesion


def write_case(folder: Path, liver: np.ndarray, lesion: np.ndarray, ct: bool = False) -> None:
    folder.mkdir(parents=True)
    write_nifti(liver, GRID, folder / "liver.nii.gz")
    write_nifti(lesion, GRID, folder / "lesions.nii.gz")
    if ct:
        hu = np.full(GRID.shape, -100, np.int16)
        hu[liver > 0], hu[lesion > 0] = 110, 50
        hu[0, 0, 0], hu[0, 0, 1] = -1000, 900
        write_nifti(hu, GRID, folder / "ct.nii.gz")


def evaluate(root: Path, predictions: str, out: str, *more: str) -> dict:
    arguments = ["evaluate", "--pred", str(root / predictions), "--truth", str(root / "truth")]
    assert main([*arguments, "-o", str(root / out), *more]) == 0
    return json.loads((root / out / "summary.json").read_text())


@pytest.fixture(scope="module")
def scored(tmp_path_factory) -> Path:
    """Earlier predictions without the lesion, and none of the last case; later ones that are right."""
    root = tmp_path_factory.mktemp("scored")
    liver, lesion = liver_and_lesion()
    for case in CASES:
        write_case(root / "truth" / case, liver, lesion, ct=True)
        write_case(root / "later" / case, liver, lesion)
    for case in CASES[:2]:
        write_case(root / "earlier" / case, liver, 0 * lesion)
    evaluate(root, "earlier", "before")
    evaluate(root, "later", "after", "--html", "--gifs", "--worst", "1", "--compare", str(root / "before"))
    return root


class Page(HTMLParser):
    """Balance of tags, addresses, and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action", "srcset")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_is_whole_and_asks_for_nothing_from_outside(scored):
    text = (scored / "after" / "evaluation.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert all(address.startswith(("#s", "data:image/")) for address in page.addresses)
    assert "default-src 'none'" in text
    style_and_script = re.findall(r"<(?:style|script)>(.*?)</", text, re.DOTALL)
    assert not any("http" in part or "url(" in part or "@import" in part for part in style_and_script)
    pictures = [address for address in page.addresses if address.startswith("data:image/")]
    # Six plots, one of the comparison among them, and the worst cases.
    assert len(pictures) == 6 + len(list((scored / "after" / "worst").iterdir()))
    assert {"Cases", "Lesions", "Slices", "Worst cases", "Definitions"} <= set(page.words)


def test_the_page_names_no_case_unless_it_is_asked_to(scored):
    text = (scored / "after" / "evaluation.html").read_text(encoding="utf-8")
    assert "Doe" not in text and "Jane" not in text
    assert "case 1" in text
    evaluate(scored, "earlier", "named", "--html", "--case-names", "--worst", "0")
    text = (scored / "named" / "evaluation.html").read_text(encoding="utf-8")
    assert "Roe^Richard_portal" in text
    assert "there is no prediction in" in text


def test_a_gif_shows_every_slice_of_the_liver_with_both_outlines(scored):
    files = sorted((scored / "after" / "gifs").iterdir())
    assert [file.stem for file in files] == sorted(CASES)
    with Image.open(files[0]) as gif:
        assert gif.n_frames == 12
        gif.seek(6)
        pixels = np.array(gif.convert("RGB"))
    halves = np.split(pixels, 2, axis=1)
    for color in ((0x66, 0xCC, 0xEE), (0xEE, 0x66, 0x77)):
        left, right = ((half == color).all(axis=2)[24:] for half in halves)
        assert left.sum() > 50
        assert (left == right).all()


def test_phases_of_names_and_tables_reach_the_scores(scored, tmp_path):
    table = tmp_path / "phases.csv"
    table.write_text("case,phase\nPoe^Paul,PV\n")
    evaluate(scored, "later", "phases", "--phases", str(table))
    with (scored / "phases" / "cases.csv").open(newline="") as file:
        phases = {row["case"]: row["phase"] for row in csv.DictReader(file)}
    assert phases == dict(zip(CASES, ("arterial", "portal venous", "portal venous"), strict=True))


def test_two_evaluations_are_compared_person_by_person(scored, capsys):
    out = scored / "compared"
    words = ["compare-scores", str(scored / "before"), str(scored / "after"), "-o", str(out), "--html"]
    assert main(words) == 0
    told = json.loads((out / "comparison.json").read_text())
    scores = {row["score"]: row for row in told["scores"]}
    assert scores["lesion Dice"]["other_mean"] == 0
    assert scores["lesion Dice"]["mean_difference"] == 1
    assert scores["lesion Dice"]["verdict"] == "too few persons"
    # One of three has no earlier prediction; its liver counts with 0.
    assert scores["liver Dice"]["mean_difference"] == pytest.approx(1 / 3, abs=1e-4)
    # A case that failed claims nothing, which is no merit.
    assert scores["false lesions"]["persons"] == 2
    assert told["persons"]["liver Dice"]["Poe^Paul"] == {"other": 0, "own": 1}
    assert "Jane" not in (out / "comparison.html").read_text()
    assert "liver Dice: +0.333" in capsys.readouterr().out
    again = json.loads((scored / "after" / "comparison.json").read_text())
    assert again["scores"] == told["scores"]


def test_a_comparison_replaces_an_earlier_one_only_when_told_and_leaves_no_page_of_it(
    scored, tmp_path, capfd
):
    words = ["compare-scores", str(scored / "before"), str(scored / "after"), "-o", str(tmp_path)]
    assert main([*words, "--html"]) == 0
    assert main(words) == 2
    assert "holds a comparison already" in capfd.readouterr().err
    assert main([*words, "--overwrite"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"comparison.csv", "comparison.json"}


def test_scores_against_other_labels_are_not_compared(scored, tmp_path, capfd):
    liver, lesion = liver_and_lesion()
    for case in CASES:
        write_case(tmp_path / "truth" / case, liver, np.roll(lesion, 1, 0) | lesion)
    write_case(tmp_path / "pred" / CASES[0], liver, lesion)
    evaluate(tmp_path, "pred", "scores")
    capfd.readouterr()
    words = ["compare-scores", str(scored / "after"), str(tmp_path / "scores"), "-o", str(tmp_path / "out")]
    assert main(words) == 3
    assert "scored against other labels" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
    words[1] = str(tmp_path)
    assert main(words) == 3
    assert "holds no cases.csv" in capfd.readouterr().err


def test_a_wrong_comparison_is_refused_before_anything_is_scored(scored, capfd):
    arguments = ["evaluate", "--pred", str(scored / "later"), "--truth", str(scored / "truth")]
    assert main([*arguments, "-o", str(scored / "new"), "--compare", str(scored / "nowhere")]) == 3
    assert main([*arguments, "-o", str(scored / "new"), "--compare", str(scored / "new")]) == 2
    assert len(capfd.readouterr().err.strip().splitlines()) == 2
    assert not (scored / "new").exists()


def test_the_interval_covers_a_known_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(5)
    covered = 0
    for number in range(100):
        low, high = bootstrap_interval(rng.normal(0.02, 0.05, 40), seed=number)
        covered += low <= 0.02 <= high
    assert 88 <= covered <= 99


def test_the_test_is_wilcoxons_and_says_nothing_of_a_handful():
    other = (0.5, 0.6, 0.7, 0.8, 0.4, 0.3, 0.9)
    own = (0.6, 0.65, 0.72, 0.79, 0.6, 0.55, 0.9)
    names = tuple("abcdefg")
    pair = Paired("Dice", True, names, other, own)
    assert pair.p_value == pytest.approx(wilcoxon(np.array(own[:6]) - np.array(other[:6])).pvalue)
    assert (pair.better, pair.worse) == (5, 1)
    assert Paired("HD95", False, names, other, own).better == 1
    assert Paired("Dice", True, names[:5], other[:5], own[:5]).p_value is None
    assert Paired("Dice", True, names[:5], other[:5], own[:5]).verdict == "too few persons"


def test_a_gain_is_told_where_the_interval_leaves_zero_out():
    other = np.full(8, 0.7)
    gains = np.array([0.05, 0.04, 0.06, 0.03, 0.05, 0.04, 0.06, 0.02])
    names = tuple("abcdefgh")

    def verdict(own: np.ndarray, higher_is_better: bool = True) -> str:
        return Paired("score", higher_is_better, names, tuple(other), tuple(own)).verdict

    assert verdict(other + gains) == "better"
    assert verdict(other - gains) == "worse"
    assert verdict(other + gains, higher_is_better=False) == "worse"
    assert verdict(other + gains * [1, -1, 1, -1, 1, -1, 1, -1]) == "not told apart"
    low, high = bootstrap_interval(gains)
    assert low < gains.mean() < high


def refused(*arguments: object) -> int:
    """The exit code of ``liverseg evaluate``."""
    return main(["evaluate", *(str(argument) for argument in arguments)])


@pytest.fixture
def scored_cases(monkeypatch) -> list[str]:
    """The cases that were scored, in order."""
    names: list[str] = []

    def score(case: str, *rest: object, **more: object) -> Scored:
        names.append(case)
        return score_case(case, *rest, **more)

    monkeypatch.setattr("liverseg.evaluation.evaluate.score_case", score)
    return names


def test_a_training_log_that_is_none_is_refused_before_anything_is_scored(scored, scored_cases, capfd):
    log = scored / "no_log.csv"
    log.write_text("a,b\n1,2\n")
    folders = ("--pred", scored / "later", "--truth", scored / "truth", "-o", scored / "none")
    assert refused(*folders, "--plots", "--training-log", log) == 3
    assert "is no training log" in capfd.readouterr().err
    assert not scored_cases and not (scored / "none").exists()


def test_scores_against_other_labels_are_refused_at_the_first_such_case(
    scored, scored_cases, tmp_path, capfd
):
    liver, lesion = liver_and_lesion()
    for case in CASES:
        write_case(tmp_path / "truth" / case, liver, np.roll(lesion, 1, 0) | lesion)
        write_case(tmp_path / "pred" / case, liver, lesion)
    folders = ("--pred", tmp_path / "pred", "--truth", tmp_path / "truth", "-o", tmp_path / "out")
    assert refused(*folders, "--compare", scored / "after") == 3
    told = capfd.readouterr().err.strip().splitlines()
    assert len(told) == 1 and "scored against other labels" in told[0]
    assert scored_cases == sorted(CASES)[:1] and not (tmp_path / "out").exists()


def test_an_earlier_evaluation_of_other_cases_is_refused_before_anything_is_scored(
    scored, scored_cases, tmp_path, capfd
):
    write_case(tmp_path / "truth" / "nobody", *liver_and_lesion())
    folders = ("--pred", scored / "later", "--truth", tmp_path / "truth", "-o", tmp_path / "out")
    assert refused(*folders, "--compare", scored / "after") == 2
    assert "no case in common" in capfd.readouterr().err
    assert not scored_cases and not (tmp_path / "out").exists()


def test_scores_that_are_replaced_take_their_pictures_pages_and_comparison_with_them(scored):
    out = scored / "replaced"
    log = scored / "log.csv"
    log.write_text("50,0.9\n100,0.7\n")
    more = ("--html", "--gifs", "--worst", "1", "--compare", str(scored / "before"))
    evaluate(scored, "later", "replaced", *more, "--training-log", str(log))
    again = ["compare-scores", str(scored / "before"), str(out), "-o", str(out), "--html"]
    assert main(again) == 2, "--compare has written one"
    assert main([*again, "--overwrite"]) == 0
    assert {path.stem for path in (out / "plots").iterdir()} == set(PLOTS)
    mine = {"notes.txt", "plots/mine.png", "gifs/mine.gif"}
    for name in mine:
        (out / name).touch()
    evaluate(scored, "earlier", "replaced", "--overwrite")
    left = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    tables = {"cases.csv", "lesions.csv", "slices.csv", "errors.csv", "summary.json"}
    assert left == tables | mine
    assert not (out / "worst").exists()


def test_a_person_who_is_even_is_drawn_neither_as_better_nor_as_worse():
    from matplotlib.colors import to_hex

    pair = Paired("liver Dice", True, ("a", "b", "c"), (0.5, 0.6, 0.7), (0.6, 0.5, 0.7))
    axes = scatter(Comparison("x", "y", 3, (), (), (pair,))).axes[0]
    drawn = {to_hex(group.get_facecolor()[0]).upper(): group.get_offsets() for group in axes.collections}
    assert {color: place.tolist() for color, place in drawn.items()} == {
        BLUE: [[0.5, 0.6]],
        RED: [[0.6, 0.5]],
        GRAY: [[0.7, 0.7]],
    }
