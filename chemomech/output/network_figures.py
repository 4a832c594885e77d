"""Pictures of lithium in grain boundaries: ``figures/grain_boundaries.png`` and ``figures/fronts.png``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from chemomech import drawing
from chemomech.analysis.front_history import FrontHistory, column
from chemomech.errors import CaseError
from chemomech.output import panels
from chemomech.output.history import History
from chemomech.output.network import Facets
from chemomech.output.plane import Plane, gather_body, plane_of
from chemomech.output.progress import duration
from chemomech.output.protocol import Snapshot
from chemomech.parallel import on_rank_zero
from chemomech.typing import Array

MISES: Final = "von_mises_stress"
GRAIN: Final = "grain"
_COLOURS: Final = ("#b2182b", "#2166ac", "#1b7837", "#762a83", "#e08214", "#35978f")
_BOUNDARY: Final = "plasma"  # no colour of it is as light as the grains


class BoundaryPictures:
    """Draws ``grain_boundaries.png`` and ``fronts.png`` when the run ends.

    Args:
        folder: Where the pictures go.
        history: The history of the same run.
        title: Title of the case.
    """

    def __init__(self, folder: Path, history: History, title: str = "") -> None:
        self.folder, self.history, self.title = folder, history, title

    def open(self, snapshot: Snapshot) -> None:
        """Nothing to do yet."""

    def update(self, snapshot: Snapshot) -> None:
        """Nothing to do yet."""

    def close(self, snapshot: Snapshot) -> None:
        """Draw. Raises OutputError if a picture can't be written."""
        facets = Facets.gathered(snapshot)
        body = gather_body(snapshot, (MISES,), by=GRAIN)
        when = f"t = {duration(snapshot.time)}"
        names = tuple(snapshot.grain_boundaries)

        def draw() -> None:
            path = self.folder / "grain_boundaries.png"
            draw_boundaries(facets, names, plane_of(body), path, title=self.title, when=when)
            draw_fronts(self.history.rows, self.folder / "fronts.png", title=self.title)

        on_rank_zero(snapshot.comm, draw)


def draw_boundaries(
    facets: Facets, names: Sequence[str], plane: Plane, path: Path, *, title: str = "", when: str = ""
) -> None:
    """The network coloured by its fraction, and the grains: fraction, hydrostatic and von Mises stress.

    Args:
        facets: The network.
        names: Of its classes.
        plane: The grains, with ``von_mises_stress``; in 3D a cut through them.
        path: The PNG file.
        title: Title of the case.
        when: Time, in words.

    Raises:
        OutputError: The file can't be written.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    view = panels.whole_box(plane)
    solid = facets.corners.shape[1] == 3
    aspect = (view[3] - view[2]) / (view[1] - view[0])
    columns = 4 if aspect > 1.6 and not solid else 2
    wide = 2.1 if columns == 4 else 3.9
    tall = wide * min(max(aspect, 0.25), 3.0)
    rows = 4 // columns
    with mpl.rc_context(drawing.FONT):
        size = (columns * (wide + 1.25), rows * (tall + 0.75) + (1.2 if columns == 4 else 1.0))
        room = ConstrainedLayoutEngine(wspace=0.02 if columns == 2 else 0.06)
        figure = Figure(figsize=size, dpi=drawing.DPI, layout=room)
        FigureCanvasAgg(figure)
        axes: list[Any] = [
            figure.add_subplot(rows, columns, k + 1, projection="3d" if solid and k == 0 else None) for k in range(4)
        ]
        _network(axes[0], facets, plane, view, solid)
        fraction = panels.scale_of([plane], [plane.concentration], [view])
        power = math.floor(math.log10(fraction.high)) if 0.0 < fraction.high < 0.01 else 0
        of_grains, small = plane.concentration / 10.0**power, f"$\\times10^{{{power}}}$" if power else ""
        fraction = panels.Scale(fraction.low / 10.0**power, fraction.high / 10.0**power, fraction.extend)
        label = f"occupied fraction c ({small})" if small else "occupied fraction c"
        _field(axes[1], plane, view, of_grains, "Fraction in the grains", label, fraction, small)
        stresses = (
            (axes[2], plane.stress, "Hydrostatic stress", "hydrostatic stress", "RdBu_r", True),
            (axes[3], plane.extra[MISES], "Von Mises stress", "von Mises stress", "YlOrRd", False),
        )
        for ax, values, heading, label, colours, symmetric in stresses:
            ends = panels.scale_of([plane], [values], [view], symmetric=symmetric)
            if not symmetric:
                ends = panels.Scale(0.0, ends.high, "max" if ends.extend in ("both", "max") else "neither")
            unit_size, unit = panels.stress_unit(ends.high)
            ends = panels.Scale(ends.low / unit_size, ends.high / unit_size, ends.extend)
            _field(ax, plane, view, values / unit_size, heading, f"{label} ({unit})", ends, unit, colours)
        for k, ax in enumerate(axes):
            heading, spread = f"{'abcd'[k]}) {ax.get_title(loc='left')}", ax.get_title(loc="right")
            if columns == 4:  # too narrow for both on one line
                ax.set_title("", loc="right")
                heading += f"\n{spread}"
            ax.set_title(heading, loc="left", fontsize=11)
        head = " · ".join(part for part in (title, when) if part)
        letters = int(size[0] * 8.5)
        figure.suptitle(panels.wrapped(head, letters), fontsize=13, fontweight="bold")
        notes = [_means(facets, names), panels.CLIPPED]
        figure.supxlabel("\n".join(panels.wrapped(n, int(size[0] * 14)) for n in notes), fontsize=8.5, color="#666666")
        panels.store(figure, path)


def _means(facets: Facets, names: Sequence[str]) -> str:
    weight, value = facets.sizes(), facets.values.mean(axis=1)
    of = {name: facets.classes == k for k, name in enumerate(names, 1)}
    held = (f"{name} {np.average(value[on], weights=weight[on]):.3g}" for name, on in of.items() if on.any())
    return f"mean fraction in boundaries: {', '.join(held)}"


def _network(ax: Any, facets: Facets, plane: Plane, view: panels.Box, solid: bool) -> None:
    """Lines over grey grains in 2D, coloured facets in 3D."""
    import matplotlib as mpl
    from matplotlib.collections import LineCollection
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    low, high = panels.concentration_limits(facets.values)
    norm = mpl.colors.Normalize(low, high)
    value = facets.values.mean(axis=1)
    paints = mpl.colormaps[_BOUNDARY](norm(value))
    ax.set_title("Fraction in the boundaries", loc="left")
    mappable = mpl.cm.ScalarMappable(norm, _BOUNDARY)
    if solid:
        unit, name = drawing_unit(facets.corners)
        corners = facets.corners / unit
        ax.add_collection3d(Poly3DCollection(list(corners), facecolors=paints, edgecolors="none"))
        for axis, a, b in zip("xyz", corners.min(axis=(0, 1)), corners.max(axis=(0, 1)), strict=True):
            ax.set(**{f"{axis}lim": (a, b), f"{axis}label": f"{axis} ({name})"})
        ax.tick_params(labelsize=8)
        ax.figure.colorbar(mappable, ax=ax, shrink=0.7, pad=0.12, label="occupied fraction $c_\\mathrm{gb}$")
        return
    ax.set_title(panels.span(float(value.min()), float(value.max())), loc="right", fontsize=9.5, color="#555555")
    triangles = plane.points[plane.triangles]
    ax.add_collection(
        mpl.collections.PolyCollection(list(triangles), facecolors="#ebebeb", edgecolors="#ebebeb", linewidths=0.3)
    )
    order = np.argsort(value)  # what is full lies on top where facets meet
    lines = facets.corners[order, :, :2]
    ax.add_collection(LineCollection(list(lines), colors=paints[order], linewidths=2.4, capstyle="round"))
    panels.add_bar(ax, mappable, "occupied fraction $c_\\mathrm{gb}$")
    panels.dress(ax, plane, view)


def _field(
    ax: Any,
    plane: Plane,
    view: panels.Box,
    values: Array,
    heading: str,
    label: str,
    ends: panels.Scale,
    unit: str = "",
    colours: str = "viridis",
) -> None:
    seen = values[panels.inside(plane, view)]
    painted = panels.paint(ax, plane, values, colours, (ends.low, ends.high))
    panels.add_bar(ax, painted, label, ends.extend)
    panels.dress(ax, plane, view)
    ax.set_title(heading, loc="left")
    ax.set_title(panels.span(float(seen.min()), float(seen.max()), unit), loc="right", fontsize=9.5, color="#555555")


def draw_fronts(rows: Mapping[str, Sequence[float]], path: Path, *, title: str = "") -> bool:
    """L against the square root of time for each class, with D = L^2/4t; no file if nothing has moved.

    A class that its neighbours fill at junctions has no front that goes as sqrt(t), and gets no D.

    Args:
        rows: The history.
        path: The PNG file.
        title: Title of the case.

    Returns:
        Whether there is a picture.

    Raises:
        OutputError: The file can't be written.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if column() not in rows:
        return False
    fronts = FrontHistory.of(rows)
    longest = max((float(v.max(initial=0.0)) for v in fronts.distance.values()), default=0.0)
    if not longest > 0.0:
        return False
    scale, unit = (1e-6, "µm") if longest >= 1e-6 else (1e-9, "nm")
    end = float(fronts.time[-1])
    step, name = next(((s, u) for s, u in ((3600.0, "h"), (60.0, "min"), (1.0, "s")) if end >= 10.0 * s), (1.0, "s"))
    root = np.sqrt(fronts.time / step)
    with mpl.rc_context(drawing.FONT):
        figure = Figure(figsize=(6.4, 4.6), dpi=drawing.DPI, layout="constrained")
        FigureCanvasAgg(figure)
        ax = figure.subplots()
        for k, (boundary, distance) in enumerate(fronts.distance.items()):
            colour = _COLOURS[k % len(_COLOURS)]
            shown = distance > 0.0
            try:
                found = fronts.diffusivity(boundary)
            except CaseError:
                ax.plot([], [], color=colour, marker="o", ms=3.5, lw=0, label=f"{boundary}: no front")
                continue
            d, text = found.diffusivity, f"{boundary}: not as $\\sqrt{{t}}$"
            parabolic = abs(found.exponent - 0.5) < 0.1
            if parabolic:
                text = f"{boundary}: $L^2/4t$ = {_scientific(d)} m²/s"
            ax.plot(root[shown], distance[shown] / scale, color=colour, marker="o", ms=3.5, lw=0, label=text)
            if not parabolic:
                continue
            reach = min(float(root[-1]), float(distance.max()) / np.sqrt(4.0 * d * step))
            ax.plot([0.0, reach], [0.0, np.sqrt(4.0 * d * step) * reach / scale], color=colour, lw=1.2)
        ax.set_xlim(left=0.0)
        ax.set_ylim(0.0, 1.3 * longest / scale)
        ax.set_xlabel(f"square root of time ($\\sqrt{{\\mathrm{{{name}}}}}$)")
        ax.set_ylabel(f"front along the boundaries, L ({unit})")
        ax.legend(loc="upper left", borderpad=0.2)
        ax.grid(True, color="#dddddd", lw=0.6)
        ax.spines[["top", "right"]].set_visible(False)
        figure.suptitle(panels.wrapped(title, 55), fontsize=13, fontweight="bold")
        panels.store(figure, path)
    return True


def _scientific(value: float) -> str:
    digits, power = f"{value:.2e}".split("e")
    return f"${digits}\\times10^{{{int(power)}}}$"


def drawing_unit(points: Array) -> tuple[float, str]:
    """A unit of length that suits the extent of points: its size in m, its name."""
    extent = float(np.ptp(points.reshape(-1, 3), axis=0).max()) if points.size else 0.0
    return (1e-6, "µm") if extent >= 1e-6 else (1e-9, "nm")
