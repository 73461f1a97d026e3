"""``liverseg evaluate``: predictions against labels; ``liverseg compare-scores``: two of these."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from liverseg.cli.console import Listener
from liverseg.errors import InputRefused, UsageError

if TYPE_CHECKING:
    from liverseg.evaluation.case_scores import CaseScores
    from liverseg.evaluation.comparison import Comparison
    from liverseg.evaluation.worst_cases import WorstPicture

DONE = 0


def add_evaluate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The commands' options."""
    p = commands.add_parser("evaluate", help="score predictions against labels")
    p.add_argument(
        "--pred", type=Path, required=True, metavar="DIR", help="one folder or label map a case, predicted"
    )
    p.add_argument(
        "--truth", type=Path, required=True, metavar="DIR", help="one folder or label map a case, as labeled"
    )
    p.add_argument("-o", "--out", type=Path, required=True, metavar="OUT", help="folder for the scores")
    p.add_argument("--cases", nargs="+", metavar="NAME", help="score these alone; all of the truth otherwise")
    p.add_argument(
        "--phases", type=Path, metavar="FILE", help="CSV or JSON of contrast phases, beyond the cases' names"
    )
    p.add_argument("--plots", action="store_true", help="also plots, and pictures of the worst cases")
    p.add_argument("--html", action="store_true", help="also all of it on one page, evaluation.html")
    p.add_argument("--gifs", action="store_true", help="also an animated GIF a case, truth beside prediction")
    p.add_argument(
        "--compare", type=Path, metavar="SCORES", help="hold it against an earlier evaluation's folder"
    )
    p.add_argument("--title", default="Evaluation", metavar="TEXT", help="of the page")
    p.add_argument(
        "--case-names",
        action="store_true",
        help="the cases' names on the page, which may be patients'; numbers otherwise",
    )
    p.add_argument(
        "--images", type=Path, metavar="DIR", help="CTs for the pictures, when they are not beside the labels"
    )
    p.add_argument("--worst", type=int, default=3, metavar="N", help="pictures of the N worst (3)")
    p.add_argument(
        "--training-log", type=Path, nargs="*", default=[], metavar="CSV", help="plot these losses"
    )
    p.add_argument("--overwrite", action="store_true", help="replace earlier scores in OUT")
    p.add_argument("--json-progress", action="store_true", help="one JSON object a line on standard output")
    _add_compare(commands)


def _add_compare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    p = commands.add_parser("compare-scores", help="two evaluations of the same cases, person by person")
    p.add_argument("other", type=Path, metavar="OTHER", help="folder of scores to compare with")
    p.add_argument("own", type=Path, metavar="SCORES", help="folder of the scores that are judged")
    p.add_argument("-o", "--out", type=Path, required=True, metavar="OUT", help="folder for the comparison")
    p.add_argument("--html", action="store_true", help="also a scatter plot and a page, comparison.html")
    p.add_argument("--case-names", action="store_true", help="the persons' names on the page")
    p.add_argument("--overwrite", action="store_true", help="replace an earlier comparison in OUT")


def run_evaluate(arguments: argparse.Namespace, listener: Listener) -> int:
    """Scores as CSV and JSON, and plots, pictures, a page when asked."""
    from liverseg.evaluation.comparison import comparison_lines
    from liverseg.evaluation.summary import summarize
    from liverseg.evaluation.tables import summary_lines, write_scores
    from liverseg.writers.atomic import make_folder

    _refuse_early(arguments)
    cases = _scored(arguments, listener)
    summary = summarize(cases)
    make_folder(arguments.out)
    _remove_earlier(arguments.out)
    write_scores(arguments.out, cases, summary)
    lines = summary_lines(summary)
    comparison = None
    if arguments.compare:
        comparison = _compared(arguments.compare, arguments.out, arguments.out, arguments.plots)
        lines += comparison_lines(comparison)
    listener(0.97, "pictures")
    plots, pictures = _drawn(arguments, cases, listener)
    if arguments.html:
        from liverseg.evaluation.comparison import COMPARISON_PNG
        from liverseg.evaluation.html_page import PAGE_FILE, write_evaluation_page

        page = arguments.out / PAGE_FILE
        compared = None if comparison is None else (comparison, arguments.out / COMPARISON_PNG)
        write_evaluation_page(
            page, arguments.title, cases, summary, plots, pictures, compared, arguments.case_names
        )
        lines.append(f"Page: {page}")
    listener(1.0, "done")
    listener.done(str(arguments.out), [*lines, f"Scores: {arguments.out}"])
    return DONE


def run_compare_scores(arguments: argparse.Namespace, listener: Listener) -> int:
    """The comparison as CSV and JSON, and a page when asked."""
    from liverseg.evaluation.comparison import COMPARISON_JSON, COMPARISON_PNG, comparison_lines
    from liverseg.evaluation.html_page import COMPARISON_PAGE_FILE

    if (arguments.out / COMPARISON_JSON).exists() and not arguments.overwrite:
        raise UsageError(f"{arguments.out} holds a comparison already; choose another folder, or --overwrite")
    if arguments.html:
        from liverseg.evaluation.plots import need_matplotlib

        need_matplotlib()
    comparison = _compared(arguments.other, arguments.own, arguments.out, arguments.html)
    lines = comparison_lines(comparison)
    if not arguments.html:
        # Those of an earlier comparison would tell of other scores.
        for name in (COMPARISON_PAGE_FILE, COMPARISON_PNG):
            (arguments.out / name).unlink(missing_ok=True)
    else:
        from liverseg.evaluation.html_page import write_comparison_page

        page = arguments.out / COMPARISON_PAGE_FILE
        write_comparison_page(page, comparison, arguments.out / COMPARISON_PNG, arguments.case_names)
        lines.append(f"Page: {page}")
    listener.done(str(arguments.out), lines)
    return DONE


def _refuse_early(arguments: argparse.Namespace) -> None:
    """What cannot work is told before the scores are computed."""
    from liverseg.evaluation.tables import SUMMARY_FILE

    if (arguments.out / SUMMARY_FILE).exists() and not arguments.overwrite:
        raise UsageError(f"{arguments.out} holds scores already; choose another folder, or --overwrite")
    if arguments.worst < 0:
        raise UsageError("--worst must be 0 or more")
    # The page holds the plots and the pictures.
    arguments.plots = arguments.plots or arguments.html
    if arguments.plots:
        from liverseg.evaluation.plots import need_matplotlib, read_log

        need_matplotlib()
        for log in arguments.training_log:
            read_log(log)
    if arguments.compare and arguments.compare.resolve() == arguments.out.resolve():
        raise UsageError("--compare names the folder of these scores; name an earlier evaluation's")


def _remove_earlier(out: Path) -> None:
    """Remove what an earlier evaluation wrote: files that are not written again would tell of other scores.

    Raises:
        UsageError: a file cannot be removed.
    """
    from liverseg.writers.atomic import plain_reason

    try:
        files = _earlier_files(out)
        for path in files:
            path.unlink(missing_ok=True)
        for folder in {path.parent for path in files} - {out}:
            if not any(folder.iterdir()):
                folder.rmdir()
    except OSError as error:
        raise UsageError(
            f"cannot remove the earlier scores in {out}: {plain_reason(error)}; choose another folder"
        ) from error


def _earlier_files(out: Path) -> list[Path]:
    """The files of an earlier evaluation and comparison in a folder, by the names that the commands give."""
    from liverseg.evaluation.comparison import COMPARISON_CSV, COMPARISON_JSON, COMPARISON_PNG, read_cases
    from liverseg.evaluation.html_page import COMPARISON_PAGE_FILE, PAGE_FILE
    from liverseg.evaluation.plots import PLOTS, PLOTS_FOLDER
    from liverseg.evaluation.slice_gif import GIF_FOLDER
    from liverseg.evaluation.tables import CASES_FILE, ERRORS_FILE, LESIONS_FILE, SLICES_FILE, SUMMARY_FILE
    from liverseg.evaluation.worst_cases import REASONS, WORST_FOLDER

    if not (out / SUMMARY_FILE).exists():
        return []
    names = [PAGE_FILE, COMPARISON_CSV, COMPARISON_JSON, COMPARISON_PNG, COMPARISON_PAGE_FILE]
    names += [f"{PLOTS_FOLDER}/{name}.png" for name in PLOTS]
    names += [CASES_FILE, LESIONS_FILE, SLICES_FILE, ERRORS_FILE, SUMMARY_FILE]
    pictures = [path for why in REASONS for path in (out / WORST_FOLDER).glob(f"{why}_*.png")]
    try:
        cases = set(read_cases(out))
    except InputRefused:
        cases = set()
    pictures += [path for path in (out / GIF_FOLDER).glob("*.gif") if path.stem in cases]
    return pictures + [path for path in (out / name for name in names) if path.is_file()]


def _scored(arguments: argparse.Namespace, listener: Listener) -> list[CaseScores]:
    from liverseg.evaluation.comparison import check_cases, check_labels
    from liverseg.evaluation.evaluate import cases_to_score, evaluate_folders, without_truth
    from liverseg.evaluation.phases import read_phases

    compare, truth = arguments.compare, arguments.truth
    before = check_cases(compare, cases_to_score(truth, arguments.cases), truth) if compare else {}
    phases = read_phases(arguments.phases) if arguments.phases else {}
    surplus = without_truth(arguments.pred, arguments.truth)
    if surplus and arguments.cases is None:
        listener.warning(f"no labels for {', '.join(surplus)} in {arguments.truth}: not scored")
    cases = []
    for scores in evaluate_folders(arguments.pred, arguments.truth, arguments.cases, listener, phases):
        cases.append(scores)
        check_labels(scores, before, compare, truth)
        if scores.failure:
            listener.warning(f"{scores.case} counts as failed: {scores.failure}")
        for note in scores.notes:
            listener.warning(f"{scores.case}: {note}")
    return cases


def _compared(other: Path, own: Path, out: Path, with_plot: bool) -> Comparison:
    """Compare two folders of scores and write what was found."""
    from liverseg.evaluation.comparison import COMPARISON_PNG, compare_scores, scatter, write_comparison

    comparison = compare_scores(other, own)
    write_comparison(out, comparison)
    if with_plot:
        from liverseg.evaluation.plots import save_plot

        save_plot(out / COMPARISON_PNG, scatter(comparison))
    return comparison


def _drawn(
    arguments: argparse.Namespace, cases: list[CaseScores], listener: Listener
) -> tuple[dict[str, Path], list[WorstPicture]]:
    """Write plots, pictures and GIFs as asked; returns the plots by name, and the worst cases' pictures."""
    plots: dict[str, Path] = {}
    pictures: list[WorstPicture] = []
    folders = (arguments.pred, arguments.truth, arguments.images)
    if arguments.plots:
        from liverseg.evaluation.plots import write_plots
        from liverseg.evaluation.worst_cases import write_worst_cases

        plots = write_plots(arguments.out, cases, arguments.training_log)
        pictures, missing = write_worst_cases(arguments.out, cases, *folders, arguments.worst)
        for line in missing:
            listener.warning(line)
    if arguments.gifs:
        from liverseg.evaluation.slice_gif import write_gifs

        for line in write_gifs(arguments.out, cases, *folders):
            listener.warning(line)
    return plots, pictures
