"""Pictures of sections and maps: colours of inverse pole figures, polygons, images of measured points, keys."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from chemomech.drawing import INK, add_scale, metric
from chemomech.microstructure.relations import point_group, rotated
from chemomech.typing import Array, Flags, Ints, Longs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from chemomech.microstructure.ebsd.reading import EbsdMap
    from chemomech.microstructure.structure import Microstructure

UNKNOWN: Final = (0.85, 0.85, 0.85)
COLOURS: Final = {"HAGB": INK, "LAGB": "#2166ac", "twin": "#d6302b", "phase": "#1b7837", "other": "#a6a6a6"}
FURTHER: Final = ("#e08214", "#8073ac", "#01a2a2", "#c51b7d", "#7f5f2a")
_PIXELS: Final = 900  # of an image of a map, along its longer side, at most; at least one per point
_CORNERS: Final = {
    "m-3m": ((((0, 0, 1), "[001]"), ((1, 0, 1), "[101]"), ((1, 1, 1), "[111]"))),
    "6/mmm": ((((0, 0, 1), "[0001]"), ((1, 0, 0), "[2-1-10]"), ((math.sqrt(3), 1, 0), "[10-10]"))),
}

type Direction = tuple[float, float, float]


def ipf_colours(
    orientations: Array, phase: Ints | Longs, point_groups: tuple[str, ...], direction: Direction = (0, 0, 1)
) -> Array:
    """Colours of the crystal directions along a direction of the sample, in orix's TSL colours.

    Args:
        orientations: Quaternions, shape (n, 4).
        phase: Phase of each, shape (n,); grey where it is -1.
        point_groups: Of each phase.
        direction: In the sample; not of length zero.

    Returns:
        Red, green, blue from 0 to 1, shape (n, 3).
    """
    from orix.plot import DirectionColorKeyTSL
    from orix.vector import Vector3d

    colours = np.tile(UNKNOWN, (len(phase), 1))
    for number, group in enumerate(point_groups):
        chosen = np.flatnonzero(phase == number)
        key = DirectionColorKeyTSL(point_group(group))
        for start in range(0, len(chosen), 1 << 17):  # orix takes some hundred bytes per point and symmetry
            some = chosen[start : start + (1 << 17)]
            seen = rotated(orientations[some], np.array(direction, float))
            colours[some] = key.direction2color(Vector3d(seen))
    return np.asarray(np.clip(colours, 0.0, 1.0))


def class_colours(names: tuple[str, ...]) -> dict[str, str]:
    """A colour for each class: a fixed one for the usual words, others in turn."""
    rest = [name for name in names if name not in COLOURS]
    return {name: COLOURS.get(name) or FURTHER[rest.index(name) % len(FURTHER)] for name in names}


# ---- sections ------------------------------------------------------------------------------------------
def outlines(structure: Microstructure) -> list[Any]:
    """A path for each grain of a section, in m; holes go the other way round. Empty for a grain without chains."""
    from matplotlib.path import Path

    geometry: Any = structure.geometry
    around: list[list[Longs]] = [[] for _ in range(len(structure))]
    for chain, left, right in zip(geometry.chains, geometry.left.tolist(), geometry.right.tolist(), strict=True):
        if left >= 0 and left != right:
            around[left].append(chain)
        if right >= 0 and left != right:
            around[right].append(chain[::-1])
    paths = []
    for chains in around:
        loops = _loops(chains)
        vertices = [geometry.points[loop] for loop in loops]
        codes = [[Path.MOVETO, *[Path.LINETO] * (len(loop) - 2), Path.CLOSEPOLY] for loop in loops]
        paths.append(Path(np.concatenate(vertices), np.concatenate(codes)) if loops else Path(np.zeros((0, 2))))
    return paths


def _loops(chains: list[Longs]) -> list[Longs]:
    """Closed loops of chains that follow each other; where a grain touches itself, any way on gives the same area."""
    onward: dict[int, list[Longs]] = {}
    for chain in chains:
        onward.setdefault(int(chain[0]), []).append(chain)
    loops = []
    while onward:
        start = next(iter(onward))
        at, pieces = start, []
        while at in onward:
            chain = onward[at].pop()
            if not onward[at]:
                del onward[at]
            pieces.append(chain[1:])
            at = int(chain[-1])
            if at == start:
                break
        loops.append(np.concatenate([[start], *pieces]).astype(np.int64))
    return loops


def paint_grains(ax: Axes, structure: Microstructure, colours: Array, *, down: bool = False) -> None:
    """Grains of a section in given colours (g, 3) or (g, 4), with thin lines between them; ``down`` as in `frame`."""
    from matplotlib.collections import PathCollection

    # Edges of the same colour close the hairlines between polygons that are drawn one after the other.
    ax.add_collection(PathCollection(outlines(structure), facecolors=colours, edgecolors=colours, linewidths=0.3))
    _draw_lines(ax, structure, np.ones(len(structure.pairs), bool), INK, 0.5 * _thin(structure))
    frame(ax, _box(structure), down=down)


def paint_classes(
    ax: Axes, structure: Microstructure, *, faint: Array | None = None, down: bool = False
) -> dict[str, str]:
    """Boundaries of a section, coloured by class; returns the colours.

    Args:
        ax: Where.
        structure: The section.
        faint: Colours of grains below, shape (g, 3); they are washed out.
        down: As in `frame`.
    """
    from matplotlib.collections import PathCollection

    if faint is not None:
        pale = 1.0 - 0.25 * (1.0 - faint)
        ax.add_collection(PathCollection(outlines(structure), facecolors=pale, edgecolors=pale, linewidths=0.3))
    colours = class_colours(structure.class_names)
    # What is rare comes last, on top.
    amount = {name: float(structure.measures[structure.of_class(name)].sum()) for name in colours}
    for name in sorted(colours, key=amount.__getitem__, reverse=True):
        chosen = np.array([word == name for word in structure.classes], bool)
        _draw_lines(
            ax, structure, chosen, colours[name], (1.2 if name in ("HAGB", "other") else 1.7) * _thin(structure)
        )
    frame(ax, _box(structure), down=down)
    return colours


def _thin(structure: Microstructure) -> float:
    """Width of lines, less where there are many grains."""
    return float(np.clip((400.0 / max(len(structure), 1)) ** 0.5, 0.15, 1.0))


def _draw_lines(ax: Axes, structure: Microstructure, chosen: Flags, colour: str, width: float) -> None:
    from matplotlib.collections import LineCollection

    geometry: Any = structure.geometry
    parts = structure.parts
    if parts is None or not len(chosen):
        return
    shown = np.flatnonzero((parts.boundary >= 0) & chosen[parts.boundary])
    lines = [geometry.points[geometry.chains[k]] for k in shown.tolist()]
    ax.add_collection(LineCollection(lines, colors=colour, linewidths=width, capstyle="round", joinstyle="round"))


def _box(structure: Microstructure) -> tuple[float, float, float, float]:
    geometry: Any = structure.geometry
    if not len(geometry.chains):
        return 0.0, 1e-6, 0.0, 1e-6
    points = geometry.points[np.unique(np.concatenate(geometry.chains))]
    (left, low), (right, high) = points.min(axis=0), points.max(axis=0)
    return float(left), float(right), float(low), float(high)


# ---- maps ----------------------------------------------------------------------------------------------
def paint_map(ax: Axes, ebsd: EbsdMap, values: Array, **style: Any) -> Any:
    """Measured points as an image: each pixel is like the nearest point; y points down.

    Args:
        ax: Where.
        ebsd: Where the points are.
        values: Colours (n, 3), or numbers (n,), which nan leaves blank.
        style: For ``imshow``: cmap, norm and the like.

    Returns:
        What a colour bar belongs to.
    """
    from scipy.spatial import cKDTree

    places = np.column_stack([ebsd.x, ebsd.y])
    half = 0.5 * ebsd.step
    low, high = places.min(axis=0) - half, places.max(axis=0) + half
    fine = ebsd.step / max(1, math.floor(_PIXELS * ebsd.step / float((high - low).max())))
    count = np.maximum(np.rint((high - low) / fine).astype(int), 1)
    axes = [low[k] + (np.arange(count[k]) + 0.5) * (high[k] - low[k]) / count[k] for k in (0, 1)]
    pixels = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    distance, nearest = cKDTree(places).query(pixels)
    picture = values[nearest].astype(float)
    picture[distance > 0.75 * ebsd.step] = 1.0 if values.ndim == 2 else np.nan
    picture = picture.reshape(count[1], count[0], *values.shape[1:])
    box = (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
    image = ax.imshow(picture, origin="lower", extent=box, interpolation="nearest", **style)
    frame(ax, box, down=True)
    return image


# ---- around a picture ----------------------------------------------------------------------------------
def frame(ax: Axes, box: tuple[float, float, float, float], *, down: bool = False) -> None:
    """A frame without numbers, and a scale bar below it.

    Args:
        ax: The picture.
        box: Its smallest and largest x, then y, m.
        down: y points down the picture, as in measured maps.
    """
    ax.set_xlim(box[0], box[1])
    ax.set_ylim(*((box[3], box[2]) if down else (box[2], box[3])))
    ax.set_aspect("equal")
    ax.set_xticks([])
    ax.set_yticks([])
    add_scale(ax, box[1] - box[0], box[3] - box[2])


def paint_key(ax: Axes, group: str, heading: str) -> None:
    """The key to the colours: the fundamental sector of the Laue group in stereographic projection."""
    from orix.plot import DirectionColorKeyTSL
    from orix.vector import Vector3d

    laue = point_group(group).laue
    key, sector = DirectionColorKeyTSL(laue), laue.fundamental_sector
    grid = np.linspace(-1.0, 1.0, 801)
    x, y = np.meshgrid(grid, grid)
    square = x**2 + y**2
    sphere = np.stack([2 * x, 2 * y, 1 - square], axis=-1) / (1 + square)[..., None]
    seen = square <= 1.0
    if sector.size:
        seen &= (sphere @ np.asarray(sector.data).T >= -1e-9).all(axis=-1)
    colours = np.ones((*x.shape, 4))
    colours[..., 3] = 0.0
    colours[seen, :3] = np.clip(key.direction2color(Vector3d(sphere[seen])), 0.0, 1.0)
    colours[seen, 3] = 1.0
    ax.imshow(colours, origin="lower", extent=(-1.0, 1.0, -1.0, 1.0), interpolation="bilinear")
    ax.contour(x, y, seen, levels=[0.5], colors=INK, linewidths=0.7)
    left, right, low, high = x[seen].min(), x[seen].max(), y[seen].min(), y[seen].max()
    room = 0.06 * max(right - left, high - low)
    for vector, text in _CORNERS.get(laue.name, ()):
        v = np.array(vector, float) / np.linalg.norm(vector)
        place = v[:2] / (1.0 + v[2])
        above = place[1] > (low + high) / 2
        ax.annotate(_barred(text), place, (0, 3 if above else -3), textcoords="offset points", fontsize=7.5,
                    ha="center", va="bottom" if above else "top")  # fmt: skip
    ax.set_xlim(left - room, right + room)
    ax.set_ylim(low - room, high + room)
    ax.set_aspect("equal", anchor="W")
    ax.set_axis_off()
    ax.set_title(heading, fontsize=8.5, loc="center", pad=12)


def _barred(text: str) -> str:
    """[2-1-10] with bars above the numbers."""
    words = re.sub(r"-(\d)", r"\\bar{\1}", text)
    return rf"$\mathregular{{{words}}}$"


def legend_entries(structure: Microstructure, colours: Mapping[str, str]) -> list[tuple[str, str]]:
    """Colour and words of each class, the longest first: ``HAGB  12.3 mm  (61 %)``."""
    total = float(structure.measures.sum()) or 1.0
    rows = []
    for name, colour in colours.items():
        amount = float(structure.measures[structure.of_class(name)].sum())
        square = 1e12 * amount
        size = metric(amount) if structure.dimension == 2 else f"{square:{'.0f' if square >= 1000 else '.3g'}} µm²"
        rows.append((amount, colour, f"{name}  {size}  ({100 * amount / total:.3g} %)"))
    return [(colour, words) for _, colour, words in sorted(rows, key=lambda row: -row[0])]
