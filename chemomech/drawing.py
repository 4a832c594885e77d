"""What every picture shares: fonts, lengths in words, scale bars. Importing this does not import matplotlib."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK: Final = "#222222"
FONT: Final = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}
DPI: Final = 150


def metric(metres: float, digits: int = 3) -> str:
    """A length with a unit that suits it."""
    units = ((1.0, "m"), (1e-3, "mm"), (1e-6, "µm"), (1e-9, "nm"))
    size, unit = next(((s, u) for s, u in units if abs(metres) >= s * (1 - 1e-9)), units[-1])
    return f"{metres / size:.{digits}g} {unit}"


def round_length(metres: float) -> tuple[float, str]:
    """The largest of 1, 2, 5, 10, ... (in any unit) that is no longer than ``metres``, in m and in words."""
    power = 10.0 ** math.floor(math.log10(metres) + 1e-9)
    length = next(n for n in (5, 2, 1) if n * power <= metres * (1 + 1e-9)) * power
    return length, metric(length)


def add_scale(ax: Axes, width: float, height: float) -> None:
    """A scale bar below a panel that shows ``width`` x ``height`` (m)."""
    from matplotlib.font_manager import FontProperties
    from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

    length, text = round_length(width / 4)
    bar = AnchoredSizeBar(
        ax.transData,
        length,
        text,
        "upper left",
        pad=0.0,
        borderpad=0.0,
        sep=4,
        frameon=False,
        color=INK,
        size_vertical=0.01 * width,
        fontproperties=FontProperties(size=9.5),
        bbox_to_anchor=(0.0, -0.0175 * width / height),
        bbox_transform=ax.transAxes,
    )
    ax.add_artist(bar)
