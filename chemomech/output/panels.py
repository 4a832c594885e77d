"""What the pictures are made of: colours over a plane, frames, scale bars, marks, close-ups."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chemomech.drawing import INK, add_scale
from chemomech.output.folder import write_atomic
from chemomech.output.plane import Plane
from chemomech.typing import Array, Longs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PART = 0.99  # of the area of a panel, whose values the colours tell apart
CLIPPED = "colours: 99 % of the area of each panel lies between their ends; arrows: there are values beyond"

type Box = tuple[float, float, float, float]  # left, right, bottom, top


def paint(ax: Axes, plane: Plane, values: Array, cmap: str, limits: tuple[float, float]) -> Any:
    """Colours, interpolated between the nodes; thin lines where phases meet. Returns what a colour bar belongs to."""
    from matplotlib.collections import LineCollection
    from matplotlib.tri import Triangulation

    mesh = Triangulation(plane.points[:, 0], plane.points[:, 1], plane.triangles)
    colours = ax.tripcolor(mesh, values, shading="gouraud", cmap=cmap, vmin=limits[0], vmax=limits[1], rasterized=True)
    if len(plane.seams):
        ax.add_collection(
            LineCollection(list(plane.seams), colors=INK, linewidths=0.8, capstyle="round"), autolim=False
        )
    return colours


def add_bar(ax: Axes, colours: Any, label: str, extend: str = "neither") -> None:
    """A colour bar beside the panel and as high as it; ``extend`` (neither, both, min, max) gives it arrows."""
    bar = ax.figure.colorbar(colours, cax=ax.inset_axes((1.025, 0.0, 0.045, 1.0)), extend=extend)
    bar.set_label(label)
    bar.ax.spines["outline"].set_visible(False)


def concentration_limits(seen: Array) -> tuple[float, float]:
    """Ends of the colours for occupied fractions."""
    low, high = float(seen.min()), float(seen.max())
    return (low, high) if high - low >= 1e-6 else (low - 1e-3, high + 1e-3)  # uniform: noise is not a picture


@dataclass(frozen=True)
class Scale:
    """Colours that a few cells at cores and corners don't decide on.

    Attributes:
        low: Value of the first colour.
        high: Value of the last one.
        extend: Which ends of the colour bar get an arrow, as there are values beyond: neither, both, min or max.
    """

    low: float
    high: float
    extend: str


def scale_of(
    planes: Sequence[Plane], fields: Sequence[Array], views: Sequence[Box], *, symmetric: bool = False
) -> Scale:
    """Colours between whose ends each panel has at least `PART` of its area.

    Args:
        planes: What is shown, one per panel.
        fields: Values at the nodes of each.
        views: The part of each that is shown.
        symmetric: Zero in the middle; otherwise as much of a panel may lie below as above.
    """
    shown = list(zip(planes, fields, views, strict=True))
    seen = np.concatenate([values[inside(plane, view)] for plane, values, view in shown])
    if symmetric:
        high = max(quantile(plane, np.abs(values), view, PART) for plane, values, view in shown)
        high = high or float(np.abs(seen).max()) or 1.0
        low = -high
    else:
        cut = (1.0 - PART) / 2.0
        ends = [quantile(plane, values, view, part) for plane, values, view in shown for part in (cut, 1.0 - cut)]
        low, high = concentration_limits(np.array(ends))
    under, over = bool(seen.min() < low), bool(seen.max() > high)
    return Scale(low, high, "both" if under and over else "min" if under else "max" if over else "neither")


def quantile(plane: Plane, values: Array, view: Box, part: float) -> float:
    """The least value that ``values`` do not exceed on this part of the area in view."""
    corners = plane.points[plane.triangles]
    middle = corners.mean(axis=1)
    seen = (middle >= (view[0], view[2])).all(axis=1) & (middle <= (view[1], view[3])).all(axis=1)
    if not seen.any():
        seen[:] = True
    sides = corners[seen, 1:] - corners[seen, :1]
    area = np.repeat(np.abs(np.linalg.det(sides)), 3)  # a third for each corner
    at = values[plane.triangles[seen]].ravel()
    order = np.argsort(at)
    total = np.cumsum(area[order])
    return float(at[order][min(int(np.searchsorted(total, part * total[-1])), len(at) - 1)])


def stress_unit(largest: float) -> tuple[float, str]:
    """A unit that suits a stress of ``largest`` Pa: its size in Pa, its name."""
    return (1e9, "GPa") if largest >= 0.1e9 else (1e6, "MPa") if largest >= 0.1e6 else (1.0, "Pa")


def span(low: float, high: float, unit: str = "") -> str:
    """Both ends of a range in words."""
    return f"{low:.3g} to {high:.3g} {unit}".rstrip().replace("-", "−")


def dress(ax: Axes, plane: Plane, view: Box, *, scale: bool = True) -> None:
    """A frame, and a scale bar below it in place of axes with numbers."""
    ax.set_xlim(view[0], view[1])
    ax.set_ylim(view[2], view[3])
    ax.set_aspect("equal")
    ax.set_xticks([])
    ax.set_yticks([])
    if plane.axes != ("x", "y"):
        ax.set_xlabel(f"{plane.axes[0]} →", fontsize=9)
        ax.set_ylabel(f"{plane.axes[1]} →", fontsize=9)
    if scale:
        add_scale(ax, view[1] - view[0], view[3] - view[2])


def mark(ax: Axes, plane: Plane, view: Box, *, small: bool = False) -> None:
    """Dislocation symbols; smaller where there are many, or where the field around them is what counts."""
    extent = max(view[1] - view[0], view[3] - view[2])
    size = (0.014 if small else 0.032) * extent / max(1.0, (len(plane.cores) / 8) ** 0.5)
    for core in plane.cores:
        _tee(ax, core.position, core.up, size, 1.1 if small else 1.9)


def _tee(ax: Axes, position: Array, up: Array, size: float, stroke: float) -> None:
    """The symbol ⊥: a bar along the slip plane, a stem along the extra half plane."""
    from matplotlib.patheffects import Normal, Stroke

    along = np.array([up[1], -up[0]])
    ends = np.array([position - size * along, position + size * along, position, position + 1.4 * size * up])
    effects = [Stroke(linewidth=4.0 / 1.9 * stroke, foreground="white"), Normal()]
    x = [ends[0, 0], ends[1, 0], math.nan, ends[2, 0], ends[3, 0]]
    y = [ends[0, 1], ends[1, 1], math.nan, ends[2, 1], ends[3, 1]]
    ax.plot(x, y, color="black", lw=stroke, solid_capstyle="butt", path_effects=effects, scalex=False, scaley=False)


def outline(ax: Axes, view: Box) -> None:
    """Where the close-up is."""
    from matplotlib.patches import Rectangle

    corner, width, height = (view[0], view[2]), view[1] - view[0], view[3] - view[2]
    ax.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=INK, lw=1.0, ls=(0, (3, 2))))


def whole_box(plane: Plane) -> Box:
    """The box around all that is shown."""
    points = plane.points[np.unique(plane.triangles)]
    low, high = points.min(axis=0), points.max(axis=0)
    return float(low[0]), float(high[0]), float(low[1]), float(high[1])


def around(planes: Sequence[Plane], whole: Box, window: float | None) -> Box:
    """The part around the cores of all planes; without cores, around where phases meet, or the middle.

    Args:
        planes: What is shown.
        whole: The box around it, which the part does not leave.
        window: Width and height of the part, m; six core widths on each side of the cores if None.
    """
    cores = [core for plane in planes for core in plane.cores]
    places = [core.position for core in cores] or [end for plane in planes for end in plane.seams.reshape(-1, 2)]
    corners = np.array(whole).reshape(2, 2).T
    marked = np.array(places) if places else corners
    low, high = marked.min(axis=0), marked.max(axis=0)
    width = height = window or 0.0
    if not window:
        width, height = (high - low + 12 * max((core.width for core in cores), default=0.0)).tolist()
        width, height = max(width, height / 1.6), max(height, 0.6 * width)
    half = np.array([width, height]) / 2
    first, last = np.maximum((low + high) / 2 - half, corners[0]), np.minimum((low + high) / 2 + half, corners[1])
    return float(first[0]), float(last[0]), float(first[1]), float(last[1])


def close_up(plane: Plane, whole: Box, window: float | None) -> Box | None:
    """The part around the cores, or None if it is most of the body anyway."""
    if not plane.cores and window is None:
        return None
    box = around([plane], whole, window)
    if box[1] <= box[0] or box[3] <= box[2]:
        return None
    parts = ((box[1] - box[0]) / (whole[1] - whole[0]), (box[3] - box[2]) / (whole[3] - whole[2]))
    # A row of cores along an interface takes the width of the body.
    small = parts[0] * parts[1] < 0.5 if len(plane.seams) else max(parts) < 0.6
    return box if small else None


def inside(plane: Plane, view: Box) -> Longs:
    """Nodes of the triangles that reach into the view."""
    corners = plane.points[plane.triangles]
    low, high = corners.min(axis=1), corners.max(axis=1)
    seen = (low[:, 0] <= view[1]) & (high[:, 0] >= view[0]) & (low[:, 1] <= view[3]) & (high[:, 1] >= view[2])
    return np.unique(plane.triangles[seen] if seen.any() else plane.triangles)


def wrapped(text: str, width: int) -> str:
    """A text in lines of at most ``width`` letters."""
    import textwrap

    return "\n".join(textwrap.wrap(text.replace("$", r"\$"), width))


def store(figure: Figure, path: Path) -> None:
    """Write a picture in the format its ending names. Raises OutputError if that fails."""
    image = io.BytesIO()
    figure.savefig(image, format=path.suffix.removeprefix("."))
    write_atomic(path, image.getvalue())
