"""Names, label values, SNOMED CT codes and colors of everything LiverSeg draws.

Codes: SNOMED CT concept identifiers. Colors: after Paul Tol's qualitative schemes, which people with
color vision deficiency can tell apart; names carry the numerals so that color is never alone.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Structure:
    """One named thing.

    Attributes:
        label: value in its label volume.
        key: stable identifier, used in tags and file columns.
        name: what people read.
        code: SNOMED CT code.
        meaning: SNOMED CT code meaning.
        color: RGB 0..255.
    """

    label: int
    key: str
    name: str
    code: str
    meaning: str
    color: tuple[int, int, int]


LIVER = Structure(1, "liver", "Liver", "10200004", "Liver", (221, 170, 119))
LESION = Structure(1, "lesion", "Lesion", "52988006", "Lesion", (204, 51, 17))

# Label 4 is IVa once segment IV is split, and all of IV before.
SEGMENTS: tuple[Structure, ...] = (
    Structure(1, "couinaud_1", "Segment I", "71133005", "Caudate lobe of liver", (136, 34, 85)),
    Structure(2, "couinaud_2", "Segment II", "277956007", "Couinaud hepatic segment II", (51, 34, 136)),
    Structure(3, "couinaud_3", "Segment III", "277957003", "Couinaud hepatic segment III", (136, 204, 238)),
    Structure(4, "couinaud_4", "Segment IV", "277958008", "Couinaud hepatic segment IV", (17, 119, 51)),
    Structure(5, "couinaud_5", "Segment V", "277959000", "Couinaud hepatic segment V", (221, 204, 119)),
    Structure(6, "couinaud_6", "Segment VI", "277960005", "Couinaud hepatic segment VI", (170, 68, 153)),
    Structure(7, "couinaud_7", "Segment VII", "277961009", "Couinaud hepatic segment VII", (68, 170, 153)),
    Structure(8, "couinaud_8", "Segment VIII", "277962002", "Couinaud hepatic segment VIII", (153, 153, 51)),
)
SEGMENT_IVA = Structure(
    4, "couinaud_4a", "Segment IVa", "871688003", "Couinaud hepatic segment IVa", (17, 119, 51)
)
SEGMENT_IVB = Structure(
    9, "couinaud_4b", "Segment IVb", "871689006", "Couinaud hepatic segment IVb", (0, 68, 136)
)

# Violet and sky blue: two hues of different lightness, apart for every eye (Testing/Python/test_colors.py).
PORTAL_VEIN = Structure(1, "portal_vein", "Portal vein", "32764006", "Portal vein", (140, 40, 220))
HEPATIC_VEINS = Structure(
    2, "hepatic_veins", "Hepatic veins and cava", "8993003", "Hepatic vein", (60, 210, 255)
)
# Outside of the liver. Its label is not 3: guides of the Couinaud split name vessels of an untold kind so.
AORTA = Structure(4, "aorta", "Aorta", "15825003", "Aorta", (105, 15, 60))
VESSELS: tuple[Structure, ...] = (PORTAL_VEIN, HEPATIC_VEINS, AORTA)

# Terminology category "Morphologically altered structure"/"Anatomical structure" as Slicer writes them.
ANATOMICAL_STRUCTURE = ("123037004", "SCT", "Anatomical Structure")
ANATOMICAL_STRUCTURE_ALSO_READ = "91723000"
MORPHOLOGY = ("49755003", "SCT", "Morphologically Altered Structure")


def segments(split_segment_4: bool) -> tuple[Structure, ...]:
    """The Couinaud segments in reading order, I to VIII, with IVa and IVb when asked."""
    if not split_segment_4:
        return SEGMENTS
    return (*SEGMENTS[:3], SEGMENT_IVA, SEGMENT_IVB, *SEGMENTS[4:])


def numeral(structure: Structure) -> str:
    """``"IVa"`` for the structure named ``"Segment IVa"``."""
    return structure.name.removeprefix("Segment ")


def lesion_structure(lesion_id: int) -> Structure:
    """The structure of one lesion; its label is its id."""
    return Structure(
        lesion_id, f"lesion_{lesion_id}", f"Lesion {lesion_id}", LESION.code, LESION.meaning, LESION.color
    )
