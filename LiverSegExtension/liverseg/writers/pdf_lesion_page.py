"""A lesion's page in ``report.pdf``: key slice with and without marks, three planes, 3D, measurements."""

from __future__ import annotations

from dataclasses import dataclass

from liverseg.case import LesionReadout
from liverseg.summary import whole_mm
from liverseg.writers import pdf_words as words
from liverseg.writers.pdf_content import Content, lesion_anchor, lesion_key
from liverseg.writers.pdf_flow import BODY, heading
from liverseg.writers.pdf_sheet import SHADE, SOFT, Sheet, Style
from liverseg.writers.pdf_summary import AMBER, NO_3D

GAP = 8.0
TITLE = Style(14.0, bold=True)
LABEL = Style(8.2, color=SOFT)
VALUE = Style(8.2)
CAPTION = Style(7.0, color=SOFT)
# A longer comment is cut here and whole in report.json.
COMMENT_LINES = 6
_PLANES = (("axial", "Axial"), ("coronal", "Coronal"), ("sagittal", "Sagittal"))
_PLANE_SHAPE = 340 / 420
_VIEW_SHAPE = 440 / 600


@dataclass(frozen=True)
class _Frame:
    """Sizes that make the page fit its paper."""

    side: float
    plane: float
    view: float

    @staticmethod
    def of(sheet: Sheet) -> _Frame:
        width = sheet.right - sheet.left
        # Letter is wider and less high than A4: the two large squares give way.
        side = min((width - GAP) / 2, 0.31 * sheet.height)
        return _Frame(side, (width - 2 * GAP) / 3, 0.42 * width)


def draw_lesion_page(sheet: Sheet, y: float, content: Content, lesion: LesionReadout) -> None:
    """Draw the page from ``y`` down."""
    frame = _Frame.of(sheet)
    sheet.anchor(lesion_anchor(lesion.id), f"Lesion {lesion.id}")
    y = _draw_title(sheet, y, lesion)
    y = _draw_key_slice(sheet, y, content, lesion, frame)
    y = _draw_planes(sheet, y, content, lesion, frame)
    below_view = _draw_view(sheet, y, content, lesion, frame)
    x = sheet.left + frame.view + 2 * GAP
    below_table = _draw_measurements(sheet, x, y, lesion)
    _draw_review(sheet, max(below_view, below_table) + 4, lesion)


def _draw_title(sheet: Sheet, y: float, lesion: LesionReadout) -> float:
    place = f", segment {lesion.primary_segment}" if lesion.primary_segment else ""
    sheet.text(sheet.left, y, f"Lesion {lesion.id}: {words.axes(lesion)} mm{place}", TITLE)
    notes = []
    if lesion.touches_volume_edge:
        notes.append("reaches the edge of the scan: its size is a lower limit")
    if lesion.review.state == "rejected":
        notes.append("rejected by the reader")
    if notes:
        text = sheet.cut(_sentence("; ".join(notes)) + ".", sheet.right - sheet.left, BODY)
        sheet.text(sheet.left, y + TITLE.leading, text, Style(8.5, bold=True, color=AMBER))
        return y + TITLE.leading + BODY.leading + 5
    return y + TITLE.leading + 5


def _draw_key_slice(sheet: Sheet, y: float, content: Content, lesion: LesionReadout, frame: _Frame) -> float:
    indent = (sheet.right - sheet.left - 2 * frame.side - GAP) / 2
    for n, view in enumerate(("marked", "plain")):
        _picture(
            sheet,
            sheet.left + indent + n * (frame.side + GAP),
            y,
            frame.side,
            frame.side,
            content,
            lesion,
            view,
        )
    y += frame.side + 2
    text = (
        "Key slice (window 40/400 HU). Red: outline. Yellow: long axis. Blue: short axis. "
        "Fine lines: borders of the segments."
    )
    sheet.text(sheet.left + indent, y, text, CAPTION)
    return y + CAPTION.leading + 5


def _draw_planes(sheet: Sheet, y: float, content: Content, lesion: LesionReadout, frame: _Frame) -> float:
    height = frame.plane * _PLANE_SHAPE
    for n, (view, _) in enumerate(_PLANES):
        _picture(sheet, sheet.left + n * (frame.plane + GAP), y, frame.plane, height, content, lesion, view)
    return y + height + GAP


def _draw_view(sheet: Sheet, y: float, content: Content, lesion: LesionReadout, frame: _Frame) -> float:
    height = frame.view * _VIEW_SHAPE
    _picture(sheet, sheet.left, y, frame.view, height, content, lesion, "3d")
    y += height + 2
    if lesion_key(lesion.id, "3d") in content.pictures:
        sheet.text(sheet.left, y, "From the front, in its segment; other lesions pale.", CAPTION)
    return y + CAPTION.leading


def _picture(
    sheet: Sheet,
    x: float,
    y: float,
    width: float,
    height: float,
    content: Content,
    lesion: LesionReadout,
    view: str,
) -> None:
    key = lesion_key(lesion.id, view)
    if key in content.pictures:
        sheet.picture(x, y, width, height, key, content.pictures[key])
        return
    sheet.box(x, y, width, height, SHADE, radius=3.0)
    for n, text in enumerate(sheet.wrapped(NO_3D, width - 30, BODY)):
        sheet.text(x + width / 2, y + height / 2 - 12 + n * BODY.leading, text, BODY, "center")


def _draw_measurements(sheet: Sheet, x: float, y: float, lesion: LesionReadout) -> float:
    measurable = "yes" if lesion.recist_measurable else "no, under 10 mm"
    center = ", ".join(words.number(position) for position in lesion.centroid_ras_mm)
    shares = ", ".join(f"{share.name} {share.share_percent:.0f} %" for share in lesion.segments)
    rows = (
        ("Long x short axis", f"{words.axes(lesion)} mm"),
        ("Measurable (RECIST 1.1)", measurable),
        ("Largest diameter in 3D", f"{whole_mm(lesion.max_diameter_3d_mm)} mm"),
        ("Volume", f"{words.milliliters(lesion.volume_ml)} ml"),
        ("Attenuation", words.mean_and_sd(lesion.mean_hu, lesion.sd_hu)),
        ("Difference to the liver", words.signed(lesion.contrast_to_liver_hu, "HU")),
        ("Sphericity", words.number(lesion.sphericity, 2)),
        ("Distance to the surface", _distance(lesion)),
        ("Segments", shares or words.UNKNOWN),
        ("Center lies in", words.segment(lesion.centroid_segment)),
        ("Center R, A, S", f"{center} mm"),
        ("Confidence of the network", words.number(lesion.confidence, 2)),
        ("Key slice (index)", str(lesion.key_slice)),
    )
    half = (sheet.right - x) * 0.46
    for n, (name, value) in enumerate(rows):
        lines = sheet.wrapped(value, sheet.right - x - half - 4, VALUE, most=2)
        height = VALUE.leading * len(lines) + 2.6
        if n % 2 == 0:
            sheet.box(x, y - 1.2, sheet.right - x, height, SHADE)
        sheet.text(x + 4, y, name, LABEL)
        sheet.lines(x + half, y, lines, VALUE)
        y += height
    return y


def _distance(lesion: LesionReadout) -> str:
    if lesion.distance_to_surface_mm == 0:
        return "touches it"
    return words.number(lesion.distance_to_surface_mm, 1, "mm")


def _draw_review(sheet: Sheet, y: float, lesion: LesionReadout) -> None:
    title = heading("Review")
    title.draw(sheet, y)
    y += title.height
    review = lesion.review
    said = [words.REVIEW.get(review.state, review.state)]
    # The name comes last: after one that runs from right to left, a date would change its place.
    said += [words.time(review.time)] if review.time else []
    said += [f"by {review.reader}"] if review.reader else []
    width = sheet.right - sheet.left
    y = sheet.lines(sheet.left, y, [sheet.cut(_sentence(", ".join(said)), width, BODY)], BODY)
    uid = Style(6.6, color=SOFT)
    if review.comment:
        room = int((sheet.bottom - uid.leading - 2 - y) // BODY.leading)
        lines = sheet.wrapped(review.comment, width, BODY, most=max(1, min(COMMENT_LINES, room)))
        y = sheet.lines(sheet.left, y, lines, BODY)
    sheet.text(sheet.left, y + 2, f"Tracking UID {lesion.tracking_uid}", uid)


def _sentence(text: str) -> str:
    """With a capital first letter; names in it stay as they are."""
    return text[:1].upper() + text[1:]
