"""Numbers and states of a read-out as people read them in ``report.pdf``."""

from __future__ import annotations

from liverseg.case import CouinaudMethod, LesionReadout, Provenance
from liverseg.summary import whole_mm

UNKNOWN = "-"
# A CT whose voxels have no hash yet.
UNNAMED = "unnamed"
REVIEW = {"unreviewed": "not reviewed", "accepted": "accepted", "rejected": "rejected"}


def milliliters(volume: float) -> str:
    """Three figures at least: 1,520 or 85.3 or 0.42; a few voxels are <0.01."""
    if volume >= 100:
        return f"{volume:,.0f}"
    if 0 < volume < 0.005:
        return "<0.01"
    return f"{volume:.1f}" if volume >= 1 or volume == 0 else f"{volume:.2f}"


def percent(value: float | None) -> str:
    """With one decimal and its sign."""
    return UNKNOWN if value is None else f"{value:.1f} %"


def number(value: float | None, decimals: int = 0, unit: str = "") -> str:
    """A number with its unit, or a dash when it is not known."""
    if value is None:
        return UNKNOWN
    # Adding zero turns -0 into 0.
    text = f"{round(value, decimals) + 0.0:.{decimals}f}"
    return f"{text} {unit}" if unit else text


def mean_and_sd(mean: float | None, sd: float | None) -> str:
    """``104 ± 18 HU``."""
    if mean is None:
        return UNKNOWN
    return f"{mean:.0f} HU" if sd is None else f"{mean:.0f} ± {sd:.0f} HU"


def axes(lesion: LesionReadout) -> str:
    """``23 x 18`` in mm."""
    return f"{whole_mm(lesion.long_axis_mm)} x {whole_mm(lesion.short_axis_mm)}"


def method(split: CouinaudMethod) -> str:
    """How the liver was split, and how far to trust it."""
    text = f"Segments: {split.name}"
    return text if split.confidence is None else f"{text}, confidence {split.confidence:.2f}"


def time(started: str) -> str:
    """An ISO 8601 time as ``2026-01-02 03:04`` with its zone, or nothing."""
    if "T" not in started:
        return started
    day, _, clock = started.partition("T")
    zone = " UTC" if clock.endswith(("+00:00", "Z")) else ""
    return f"{day} {clock[:5]}{zone}"


def provenance_lines(made: Provenance, ct_id: str, scan: str) -> list[str]:
    """What made the numbers, as short sentences."""
    model = made.model_name or "no network: masks were given"
    weights = ", ".join(f"{name} {digest[:12]}" for name, digest in made.weights_sha256.items())
    ran = ", ".join(part for part in (made.device, made.precision) if part)
    seconds = sum(made.seconds.values())
    kind = str(made.input.get("kind") or "")
    lines = [f"LiverSeg {made.version}. Model: {model}" + (f" (weights {weights})." if weights else ".")]
    facts = [f"device {ran}" if ran else "", f"torch {made.torch}" if made.torch else ""]
    facts += [f"{seconds:.0f} s" if seconds else "", f"started {time(made.started)}" if made.started else ""]
    told = ", ".join(fact for fact in facts if fact)
    if told:
        lines.append(f"Run: {told}.")
    settings = ", ".join(f"{name} {value}" for name, value in made.parameters.items() if value is not None)
    if settings:
        lines.append(f"Settings: {settings}.")
    known = f"; SHA-256 of its voxels begins with {ct_id}" if ct_id != UNNAMED else ""
    lines.append(f"CT: {scan}{f', {kind}' if kind else ''}{known}.")
    return lines


def sentence(text: str) -> str:
    """A warning with a capital letter and a period."""
    whole = text[:1].upper() + text[1:]
    return whole if whole.endswith((".", "!", "?")) else f"{whole}."


def signed(value: float | None, unit: str = "") -> str:
    """A difference in whole numbers, with its sign."""
    if value is None:
        return UNKNOWN
    text = f"{round(value):+d}" if round(value) else "0"
    return f"{text} {unit}" if unit else text


def segment(name: str | None) -> str:
    """``segment IVa``, or a dash."""
    return UNKNOWN if name is None else f"segment {name}"
