#!/usr/bin/env python3
"""Cut the fonts of report.pdf down to what a report needs: scripts/subset_fonts.py NOTO_FOLDER

NOTO_FOLDER holds NotoSans-Regular.ttf, NotoSans-Bold.ttf, NotoSansArabic-Regular.ttf and
NotoSansHebrew-Regular.ttf (Debian's package fonts-noto-core). Needs the package fonttools.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fontTools import subset

FONTS = Path(__file__).resolve().parents[1] / "Resources" / "Fonts"
# Latin, Greek and Cyrillic with their extensions, punctuation, currency, letter-like signs.
EUROPEAN = (
    "U+0020-052F,U+1D00-1DBF,U+1E00-1FFF,U+2000-206F,U+2070-209F,U+20A0-20BF,U+2100-2150,U+2190-2193,"
    "U+2212,U+2248,U+2260,U+2264,U+2265,U+25A0,U+25CF,U+FB00-FB06,U+FFFD"
)


def main(noto: Path) -> None:
    """Write the four subsets."""
    for style in ("Regular", "Bold"):
        cut(noto / f"NotoSans-{style}.ttf", EUROPEAN, "kern,mark,mkmk,ccmp,locl")
    for script in ("Arabic", "Hebrew"):
        cut(noto / f"NotoSans{script}-Regular.ttf", "*", "*")


def cut(font: Path, unicodes: str, features: str) -> None:
    """Keep some characters and layout features of a font; hints are for screens and go."""
    out = FONTS / font.name
    options = [f"--unicodes={unicodes}", f"--layout-features={features}", "--no-hinting", "--name-IDs=*"]
    subset.main([str(font), *options, f"--output-file={out}"])
    print(f"{out.name}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
