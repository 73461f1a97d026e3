"""What the plots have in common. Needs matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# After Paul Tol's bright scheme, which people with color vision deficiency can tell apart.
BLUE, RED, GREEN, GRAY = "#4477AA", "#EE6677", "#228833", "#777777"


def plain(axes: Axes, grid: Literal["x", "y"] = "y") -> None:
    """Thin lines across, behind everything, and no frame above and on the right."""
    axes.grid(visible=True, axis=grid, linewidth=0.4)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
