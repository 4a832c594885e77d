"""Figures of microstructures and maps, drawn without a display; each function writes one picture."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from chemomech.drawing import DPI, FONT, INK, metric
from chemomech.errors import OutputError
from chemomech.microstructure import maps, statistics
from chemomech.microstructure.maps import Direction
from chemomech.typing import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from chemomech.microstructure.ebsd.reading import EbsdMap
    from chemomech.microstructure.structure import Microstructure

_WIDTH: Final = 4.4  # of a panel, inches
_BARS: Final = "#9db7d5"


# ---- one panel each ------------------------------------------------------------------------------------
def ipf_panel(ax: Axes, structure: Microstructure, direction: Direction = (0, 0, 1), *, down: bool = False) -> None:
    """Grains in the colours of the inverse pole figure; in 3D the outside of the body.

    Args:
        ax: Where.
        structure: The grains.
        direction: Of the sample, seen in the crystals.
        down: y points down the picture, as in measured maps.
    """
    colours = maps.ipf_colours(structure.orientations, structure.grain_phase, structure.point_groups, direction)
    if structure.dimension == 3:
        _outside(ax, structure, colours)
    else:
        maps.paint_grains(ax, structure, colours, down=down)
    if len(structure):
        _keys(ax, structure.point_groups, structure.phases, set(structure.grain_phase.tolist()), direction)


def classes_panel(ax: Axes, structure: Microstructure, direction: Direction = (0, 0, 1), *, down: bool = False) -> None:
    """Boundaries in the colours of their classes, with lengths; in 3D bars for the areas. See `ipf_panel`."""
    from matplotlib.lines import Line2D

    if structure.dimension == 3:
        entries = maps.legend_entries(structure, maps.class_colours(structure.class_names))[::-1]
        amounts = sorted(float(structure.measures[structure.of_class(name)].sum()) for name in structure.class_names)
        ax.barh(
            [words for _, words in entries],
            np.array(amounts) * 1e12,
            height=0.5,
            color=[colour for colour, _ in entries],
        )
        ax.set_xlabel("area of boundaries (µm²)")
        ax.spines[["top", "right"]].set_visible(False)
        return
    faint = maps.ipf_colours(structure.orientations, structure.grain_phase, structure.point_groups, direction)
    colours = maps.paint_classes(ax, structure, faint=faint, down=down)
    lines = [
        Line2D([], [], color=colour, lw=2.2, label=words) for colour, words in maps.legend_entries(structure, colours)
    ]
    if lines:
        ax.legend(handles=lines, loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=9, handlelength=1.4)


def sizes_panel(ax: Axes, structure: Microstructure, *, whole: bool = False) -> None:
    """Histogram of equivalent diameters and the log-normal fits, by number and by area or volume."""
    scale, unit = (1e-9, "nm") if structure.diameters.max(initial=1e-6) < 1e-6 else (1e-6, "µm")
    by = "area" if structure.dimension == 2 else "volume"
    chosen = statistics.counted(structure, whole=whole)
    diameters, sizes = structure.diameters[chosen], structure.sizes[chosen]
    fine = np.linspace(0.0, float(diameters.max(initial=scale)) * 1.15, 400)[1:]
    for by_size, colour, words in ((False, "#2166ac", "by number"), (True, "#b2182b", f"by {by}")):
        histogram = statistics.size_histogram(structure, by_size=by_size, whole=whole)
        if len(diameters):
            ax.stairs(histogram.density * scale, histogram.edges / scale, fill=True, color=colour, alpha=0.22)
        fit = statistics.fit_log_normal(diameters, sizes if by_size else None)
        label = words
        if fit is not None and fit.sigma > 1e-6:
            ax.plot(fine / scale, fit.density(fine) * scale, color=colour, lw=1.8)
            label += f": median {metric(fit.median)}, σ = {fit.sigma:.2f}"
        ax.plot([], [], color=colour, lw=1.8, label=label)
    ax.set_xlim(0.0, fine[-1] / scale)
    ax.set_xlabel(f"equivalent diameter ({unit})")
    ax.set_ylabel(f"density (1/{unit})")
    ax.set_title(f"{len(chosen)} grains, log-normal fits", loc="right", fontsize=9.5, color="#555555")
    _chart(ax)


def disorientation_panel(ax: Axes, structure: Microstructure) -> None:
    """Histogram of disorientations, weighted by length or area, and what random crystals have."""
    histogram = statistics.disorientation_histogram(structure)
    by = "length" if structure.dimension == 2 else "area"
    ax.stairs(histogram.density, histogram.edges, fill=True, color=_BARS, label=f"boundaries, by {by}")
    angles = np.linspace(0.0, histogram.edges[-1], 500)
    cubic = {structure.point_groups[k] for k in structure.grain_phase.tolist() if k >= 0} <= {"m-3m", "432", "-43m"}
    words = "random (Mackenzie)" if cubic else "random crystals"
    ax.plot(angles, statistics.random_mixture(structure, angles), color="#b2182b", lw=1.8, label=words)
    ax.set_xlim(0.0, histogram.edges[-1])
    ax.set_xlabel("disorientation (°)")
    ax.set_ylabel("density (1/°)")
    given = ~np.isnan(structure.angles)
    if given.any():
        mean = np.average(structure.angles[given], weights=structure.measures[given])
        ax.set_title(f"mean {mean:.1f}°", loc="right", fontsize=9.5, color="#555555")
    _chart(ax)


def map_panel(ax: Axes, ebsd: EbsdMap, direction: Direction = (0, 0, 1)) -> None:
    """A measured map in the colours of the inverse pole figure; grey where there is no phase."""
    colours = maps.ipf_colours(ebsd.quaternions, ebsd.phase, tuple(ebsd.point_groups), direction)
    maps.paint_map(ax, ebsd, colours)
    _keys(ax, tuple(ebsd.point_groups), tuple(ebsd.phases), set(ebsd.phase.tolist()), direction)


def field_panel(ax: Axes, ebsd: EbsdMap, values: Array, label: str, *, logarithmic: bool = False) -> None:
    """Numbers of a measured map, such as KAM or a density of dislocations; nan is left blank.

    The colours tell apart what 99 % of the points have; an arrow says that there is more.
    """
    from matplotlib.colors import LogNorm, Normalize

    given = values[np.isfinite(values) & ((values > 0) | (not logarithmic))]
    low, high = (float(np.quantile(given, q)) for q in (0.005, 0.995)) if len(given) else (0.0, 1.0)
    if not high > low:
        low, high = (low / 2, 2 * low) if logarithmic and low > 0 else (low, low + 1.0)
    shown = np.where(np.isfinite(values), values, np.nan)
    norm = LogNorm(low, high) if logarithmic else Normalize(min(low, 0.0), high)
    image = maps.paint_map(ax, ebsd, shown, cmap="viridis", norm=norm)
    bar = ax.figure.colorbar(
        image, cax=ax.inset_axes((1.025, 0.0, 0.045, 1.0)), extend="max" if len(given) else "neither"
    )
    bar.set_label(label)
    bar.ax.spines["outline"].set_visible(False)


# ---- pictures ------------------------------------------------------------------------------------------
def draw_ipf(structure: Microstructure, path: Path, direction: Direction = (0, 0, 1), *, down: bool = False) -> None:
    """Write the inverse-pole-figure map of a microstructure. Raises OutputError if that fails."""
    _single(path, lambda ax: ipf_panel(ax, structure, direction, down=down), solid=structure.dimension == 3)


def draw_classes(structure: Microstructure, path: Path, *, down: bool = False) -> None:
    """Write the map of boundaries by class. Raises OutputError if that fails."""
    _single(path, lambda ax: classes_panel(ax, structure, down=down), room=2.6)


def draw_sizes(structure: Microstructure, path: Path, *, whole: bool = False) -> None:
    """Write the histogram of grain sizes. Raises OutputError if that fails."""
    _single(path, lambda ax: sizes_panel(ax, structure, whole=whole))


def draw_disorientations(structure: Microstructure, path: Path) -> None:
    """Write the histogram of disorientations. Raises OutputError if that fails."""
    _single(path, lambda ax: disorientation_panel(ax, structure))


def draw_map(ebsd: EbsdMap, path: Path, direction: Direction = (0, 0, 1)) -> None:
    """Write the inverse-pole-figure map of measured points. Raises OutputError if that fails."""
    _single(path, lambda ax: map_panel(ax, ebsd, direction))


def draw_field(ebsd: EbsdMap, values: Array, path: Path, label: str, *, logarithmic: bool = False) -> None:
    """Write a map of numbers, see `field_panel`. Raises OutputError if that fails."""
    _single(path, lambda ax: field_panel(ax, ebsd, values, label, logarithmic=logarithmic))


def overview(
    structure: Microstructure,
    path: Path,
    *,
    title: str = "",
    ebsd: EbsdMap | None = None,
    kam: Array | None = None,
    direction: Direction = (0, 0, 1),
    down: bool | None = None,
) -> None:
    """Write one picture with everything: grains, boundaries, sizes, disorientations, and the map they come from.

    Args:
        structure: The microstructure.
        path: The picture.
        title: Above it.
        ebsd: The map it comes from.
        kam: Kernel average misorientation of the points of the map, degrees, shape (n,).
        direction: Direction of the sample for the colours.
        down: y points down the picture, as it does for measured maps; if None, it does where there is one.

    Raises:
        OutputError: The file can't be written.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    downward = ebsd is not None if down is None else down
    above = (ebsd is not None) + (ebsd is not None and kam is not None)
    rows = 2 + (above > 0)
    tall = [_height(structure)] * (rows - 1) + [3.0]
    with mpl.rc_context(FONT):
        figure = Figure(figsize=(2 * (_WIDTH + 2.1), sum(tall) + 0.75 * rows + 0.4), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        rooms = np.atleast_1d(figure.subfigures(rows, 1, height_ratios=tall))
        panels: list[tuple[str, Callable[[Any], None]]] = []
        if ebsd is not None:
            source = ebsd
            panels.append(("measured", lambda ax: map_panel(ax, source, direction)))
            if kam is not None:
                values = kam
                panels.append(("kernel average misorientation", lambda ax: field_panel(ax, source, values, "KAM (°)")))
            else:
                panels.append(("", lambda ax: ax.set_axis_off()))
        panels += [
            ("grains", lambda ax: ipf_panel(ax, structure, direction, down=downward)),
            ("boundaries", lambda ax: classes_panel(ax, structure, direction, down=downward)),
            ("grain size", lambda ax: sizes_panel(ax, structure)),
            ("disorientation", lambda ax: disorientation_panel(ax, structure)),
        ]
        for k, (name, draw) in enumerate(panels):
            solid = name == "grains" and structure.dimension == 3
            ax = rooms[k // 2].add_subplot(1, 2, 1 + k % 2, **({"projection": "3d"} if solid else {}))
            draw(ax)
            if name:
                letter = chr(ord("a") + sum(bool(other) for other, _ in panels[:k]))
                ax.set_title(f"{letter}) {name}", loc="left", fontsize=11, fontweight="bold")
        if title:
            figure.suptitle(title.replace("$", r"\$"), fontsize=13, fontweight="bold")
        _store(figure, path)


# ---- pieces --------------------------------------------------------------------------------------------
def _height(structure: Microstructure) -> float:
    if structure.dimension == 3 or not len(structure):
        return _WIDTH
    points = structure.geometry.points if structure.geometry is not None else structure.centroids
    size = np.ptp(points, axis=0)
    return float(_WIDTH * np.clip(size[1] / size[0], 0.25, 1.6))


def _single(path: Path, draw: Callable[[Any], None], *, solid: bool = False, room: float = 1.3) -> None:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(FONT):
        figure = Figure(figsize=(6.0 + room, 5.2), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure.add_subplot(**({"projection": "3d"} if solid else {})))
        _store(figure, path)


def _chart(ax: Axes) -> None:
    ax.grid(True, color="#dddddd", lw=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_ylim(0.0, 1.22 * ax.get_ylim()[1])  # room for the legend
    ax.legend(fontsize=9)


def _keys(ax: Axes, groups: tuple[str, ...], phases: tuple[str, ...], present: set[int], direction: Direction) -> None:
    """Keys to the colours beside a picture, one for each phase that is there."""
    names: dict[Direction, str] = {(1, 0, 0): "x", (0, 1, 0): "y", (0, 0, 1): "z"}
    along = names.get(direction, str(list(direction)))
    shown = [k for k in range(len(groups)) if k in present][:3]
    for row, k in enumerate(shown):
        heading = f"{phases[k]}, {groups[k]}\nalong {along}"
        maps.paint_key(ax.inset_axes((1.06, 0.72 - 0.36 * row, 0.3, 0.22)), groups[k], heading)


def _outside(ax: Any, structure: Microstructure, colours: Array) -> None:
    """The faces of the outside of a body, seen from a corner."""
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    geometry: Any = structure.geometry
    if geometry is None or not len(geometry.faces):
        return
    inner = np.maximum(geometry.left, geometry.right)
    outer = np.flatnonzero(np.minimum(geometry.left, geometry.right) < 0)
    points = geometry.points * 1e6
    polygons = [points[geometry.faces[k]] for k in outer.tolist()]
    ax.add_collection3d(Poly3DCollection(polygons, facecolors=colours[inner[outer]], edgecolors=INK, linewidths=0.3))
    low, high = points.min(axis=0), points.max(axis=0)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
    ax.set(xlabel="x (µm)", ylabel="y (µm)", zlabel="z (µm)")
    ax.set_box_aspect(high - low)


def _store(figure: Figure, path: Path) -> None:
    """Write a whole picture or nothing, in the format its ending names."""
    image = io.BytesIO()
    figure.savefig(image, format=path.suffix.removeprefix("."), bbox_inches="tight", pad_inches=0.12)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(image.getvalue())
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise OutputError(f"{path} can't be written: {error.strerror}") from error
