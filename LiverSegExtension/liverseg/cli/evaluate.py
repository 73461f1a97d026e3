"""``liverseg evaluate``: predictions against labels."""

from __future__ import annotations

import argparse
from pathlib import Path

from liverseg.cli.console import Listener
from liverseg.errors import UsageError

DONE = 0


def add_evaluate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's options."""
    p = commands.add_parser("evaluate", help="score predictions against labels")
    p.add_argument(
        "--pred", type=Path, required=True, metavar="DIR", help="one folder or label map a case, predicted"
    )
    p.add_argument(
        "--truth", type=Path, required=True, metavar="DIR", help="one folder or label map a case, as labeled"
    )
    p.add_argument("-o", "--out", type=Path, required=True, metavar="OUT", help="folder for the scores")
    p.add_argument("--cases", nargs="+", metavar="NAME", help="score these alone; all of the truth otherwise")
    p.add_argument("--plots", action="store_true", help="also plots, and pictures of the worst cases")
    p.add_argument(
        "--images", type=Path, metavar="DIR", help="CTs for the pictures, when they are not beside the labels"
    )
    p.add_argument("--worst", type=int, default=3, metavar="N", help="pictures of the N worst (3)")
    p.add_argument(
        "--training-log", type=Path, nargs="*", default=[], metavar="CSV", help="plot these losses"
    )
    p.add_argument("--overwrite", action="store_true", help="replace earlier scores in OUT")
    p.add_argument("--json-progress", action="store_true", help="one JSON object a line on standard output")


def run_evaluate(arguments: argparse.Namespace, listener: Listener) -> int:
    """Scores as CSV and JSON, and plots when asked."""
    from liverseg.evaluation.evaluate import evaluate_folders, without_truth
    from liverseg.evaluation.summary import summarize
    from liverseg.evaluation.tables import SUMMARY_FILE, summary_lines, write_scores
    from liverseg.writers.atomic import make_folder

    if (arguments.out / SUMMARY_FILE).exists() and not arguments.overwrite:
        raise UsageError(f"{arguments.out} holds scores already; choose another folder, or --overwrite")
    if arguments.plots:
        # Told before the scores are computed.
        from liverseg.evaluation.plots import need_matplotlib

        need_matplotlib()
    surplus = without_truth(arguments.pred, arguments.truth)
    if surplus and arguments.cases is None:
        listener.warning(f"no labels for {', '.join(surplus)} in {arguments.truth}: not scored")
    cases = []
    for scores in evaluate_folders(arguments.pred, arguments.truth, arguments.cases, listener):
        cases.append(scores)
        if scores.failure:
            listener.warning(f"{scores.case} counts as failed: {scores.failure}")
        for note in scores.notes:
            listener.warning(f"{scores.case}: {note}")
    summary = summarize(cases)
    make_folder(arguments.out)
    write_scores(arguments.out, cases, summary)
    if arguments.plots:
        from liverseg.evaluation.plots import write_plots
        from liverseg.evaluation.worst_cases import write_worst_cases

        listener(0.97, "plots")
        write_plots(arguments.out, cases, arguments.training_log)
        for line in write_worst_cases(
            arguments.out, cases, arguments.pred, arguments.truth, arguments.images, arguments.worst
        ):
            listener.warning(line)
    listener(1.0, "done")
    listener.done(str(arguments.out), [*summary_lines(summary), f"Scores: {arguments.out}"])
    return DONE
