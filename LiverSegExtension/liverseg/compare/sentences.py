"""A comparison in plain sentences: numbers, and no diagnosis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from liverseg.case import LesionReadout
from liverseg.compare.recist import limit_sentence
from liverseg.compare.result import Change, LesionChange, TargetSum
from liverseg.summary import whole_mm

ByID = Mapping[int, LesionReadout]


def summary(
    lesions: Sequence[LesionChange], targets: TargetSum, earlier: ByID, later: ByID
) -> tuple[str, ...]:
    """The sum of diameters, then one sentence a lesion."""
    told = [_sum_sentence(targets)]
    limit = limit_sentence(targets.from_baseline, targets.from_smallest)
    if limit:
        told.append(limit)
    if targets.new_lesions:
        count = "1 lesion is" if targets.new_lesions == 1 else f"{targets.new_lesions} lesions are"
        told.append(f"{count} new; RECIST 1.1 looks at new lesions apart from the sum.")
    told += [_lesion_sentence(lesion, earlier, later) for lesion in lesions]
    return tuple(told)


def percent_text(change: Change) -> str:
    """``"+23 %"``, or ``"-"`` where it is not known."""
    # Adding zero turns -0 into 0.
    return "-" if change.percent is None else f"{round(change.percent) + 0:+d} %"


def _sum_sentence(targets: TargetSum) -> str:
    count = len(targets.targets)
    if not count:
        return "No lesion of the first scan is measurable (10 mm), so that there is no sum of diameters."
    names = "lesion" if count == 1 else "lesions"
    ids = " and ".join(str(n) for n in targets.targets)
    first, last = targets.sums_mm[0], targets.sums_mm[-1]
    if first is None or last is None:
        return (
            f"The sum of diameters of target {names} {ids} is not known: "
            "the later scan does not show all of it."
        )
    change = _signed(targets.from_baseline)
    text = f"Sum of diameters of target {names} {ids}: {first:.0f} to {last:.0f} mm ({change})"
    if len(targets.sums_mm) > 2 and targets.from_smallest.before is not None:
        smallest = targets.from_smallest
        text += f"; since the smallest sum of {smallest.before:.0f} mm: {_signed(smallest)}"
    return f"{text}."


def _signed(change: Change) -> str:
    return f"{percent_text(change)}, {round(change.change or 0.0):+d} mm"


def _lesion_sentence(lesion: LesionChange, earlier: ByID, later: ByID) -> str:
    if lesion.status == "new":
        return f"Lesion {lesion.after[0]} is new: {_size(later[lesion.after[0]])}."
    if lesion.status == "gone":
        return f"Lesion {lesion.before[0]} ({_size(earlier[lesion.before[0]])}) is not found any more."
    if lesion.status in ("not_covered", "not_compared"):
        which, known = ("earlier", earlier) if lesion.before else ("later", later)
        lesion_id = (lesion.before or lesion.after)[0]
        other = "later" if which == "earlier" else "earlier"
        why = f"its place lies outside of the {other} scan"
        if lesion.status == "not_compared":
            why = f"the {other} scan has no liver"
        return (
            f"Lesion {lesion_id} of the {which} scan ({_size(known[lesion_id])}) cannot be compared: {why}."
        )
    text = {
        "matched": "Lesion {before} (now {after})",
        "split": "Lesion {before} has split (now {after})",
        "merged": "Lesions {before} have merged (now {after})",
        "regrouped": "Lesions {before} lie where now {after} lie",
    }[lesion.status].format(before=_ids(lesion.before), after=_ids(lesion.after))
    long, volume = lesion.long_axis_mm, lesion.volume_ml
    segment = f", segment {lesion.segment_after}" if lesion.segment_after else ""
    return (
        f"{text}{segment}: "
        f"long axis {whole_mm(long.before or 0)} to {whole_mm(long.after or 0)} mm ({percent_text(long)}), "
        f"volume {volume.before:.1f} to {volume.after:.1f} ml ({percent_text(volume)})."
    )


def _ids(ids: Sequence[int]) -> str:
    return " and ".join(str(n) for n in ids)


def _size(lesion: LesionReadout) -> str:
    size = f"{whole_mm(lesion.long_axis_mm)} mm"
    return size if lesion.primary_segment is None else f"{size}, segment {lesion.primary_segment}"
