"""The pictures of a run: fields at the end, and the history. Drawn on rank 0, without a display."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chemomech.case import Dislocation
from chemomech.output.folder import write_atomic
from chemomech.output.history import History
from chemomech.output.plane import Plane, gather_body, plane_of
from chemomech.output.progress import duration
from chemomech.output.protocol import Snapshot
from chemomech.parallel import on_rank_zero
from chemomech.typing import Array, Longs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK = "#222222"
_FONT = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "axes.labelcolor": _INK,
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.8,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
}
_DPI = 150
_PANEL = 3.7  # width, inches


class Figures:
    """Draws ``fields.png`` and ``history.png`` when the run ends.

    Args:
        folder: Where the pictures go.
        history: The history of the same run.
        title: Title of the case.
        dislocations: Those of the case; they are marked.
        window: Width of the close-up around the cores, m; chosen if None.
        equilibrium: There is no time.
    """

    def __init__(
        self,
        folder: Path,
        history: History,
        *,
        title: str = "",
        dislocations: Sequence[Dislocation] = (),
        window: float | None = None,
        equilibrium: bool = False,
    ) -> None:
        self.folder, self.history, self.title = folder, history, title
        self.dislocations, self.window, self.equilibrium = tuple(dislocations), window, equilibrium

    def open(self, snapshot: Snapshot) -> None:
        """Nothing to do yet."""

    def update(self, snapshot: Snapshot) -> None:
        """Nothing to do yet."""

    def close(self, snapshot: Snapshot) -> None:
        """Draw. Raises OutputError if the pictures can't be written."""
        body = gather_body(snapshot)

        def draw() -> None:
            when = "equilibrium" if self.equilibrium else f"t = {duration(snapshot.time)}"
            plane = plane_of(body, self.dislocations)
            draw_fields(plane, self.folder / "fields.png", title=self.title, when=when, window=self.window)
            draw_history(self.history.rows, self.folder / "history.png", title=self.title)

        on_rank_zero(snapshot.comm, draw)


def draw_fields(plane: Plane, path: Path, *, title: str = "", when: str = "", window: float | None = None) -> None:
    """Concentration and hydrostatic stress side by side, with a close-up of the cores where they are small.

    Args:
        plane: What to show.
        path: The PNG file.
        title: Title of the case.
        when: Time, in words.
        window: Width of the close-up, m; twelve core widths around the cores if None.

    Raises:
        OutputError: The file can't be written.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    whole = _box(plane.points[np.unique(plane.triangles)])
    close = _close_up(plane, whole, window)
    views = [whole] if close is None else [whole, close]
    heights = [_PANEL * min(max((v[3] - v[2]) / (v[1] - v[0]), 0.2), 1.6) for v in views]
    with mpl.rc_context(_FONT):
        figure = Figure(figsize=(9.4, sum(heights) + 0.75 * len(views) + 0.7), dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(views), 2, squeeze=False, gridspec_kw={"height_ratios": heights})
        for row, view in enumerate(views):
            long = heights[row] > 2.0
            _concentration(axes[row, 0], plane, view, long)
            _stress(axes[row, 1], plane, view, long)
            for ax in axes[row]:
                _dress(ax, plane, view)
                if row < len(views) - 1 and close is not None:
                    _outline(ax, close)
                else:
                    _mark(ax, plane, view)
        head = " · ".join(part for part in (title, when) if part)
        if head:
            figure.suptitle(_wrapped(head, 84), fontsize=13, fontweight="bold")
        note = "stress drawn at the nodes: mean of the cells around, weighted by volume"
        if plane.cores:
            note = "⊥ dislocation, its stem along the extra half plane;  " + note
        figure.supxlabel(note, fontsize=8.5, color="#666666")
        _store(figure, path)


def draw_history(rows: Mapping[str, Sequence[float]], path: Path, *, title: str = "") -> None:
    """Concentration, free energy and step size against time; no file if there is less than one step in time.

    Args:
        rows: Columns of the history; those of ``concentration_...`` and ``free_energy_...`` that are there are shown.
        path: The PNG file.
        title: Title of the case.

    Raises:
        OutputError: The file can't be written.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    time = np.asarray(rows.get("time", ()), float)
    if len(time) < 2 or not time[-1] > time[0]:
        return
    positive = time[time > 0]
    logarithmic = bool(positive[-1] > 100 * positive[0])
    shown = time > 0 if logarithmic else np.full(len(time), True)
    factor, unit = _time_unit(time[-1])
    energy = next((name for name in rows if name.startswith("free_energy")), None)
    with mpl.rc_context(_FONT):
        figure = Figure(figsize=(7.6, 6.6 if energy else 4.9), dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(3 if energy else 2, 1, sharex=True, squeeze=False)[:, 0]
        at = time[shown] / factor
        for name, label, colour in (
            ("concentration_max", "largest", "#b2182b"),
            ("concentration_mean", "mean", "#333333"),
            ("concentration_min", "smallest", "#2166ac"),
        ):
            if name in rows:
                panels[0].plot(at, np.asarray(rows[name], float)[shown], color=colour, label=label, lw=1.8)
        panels[0].set_ylabel("occupied fraction c")
        if panels[0].lines:
            panels[0].legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=3, borderpad=0.2)
        if energy:
            values = np.asarray(rows[energy], float)
            change = values - values[0]
            scale, prefix = _prefix(float(np.abs(change).max()))
            panels[1].plot(at, change[shown] / scale, color="#4d4d4d", lw=1.8)
            of = energy.removeprefix("free_energy").strip("_").replace("_per_", "/")
            panels[1].set_ylabel(f"free energy − start\n({prefix}{of or 'J'})")
        size = np.asarray(rows["step_size"], float)
        given = shown & (size > 0)
        panels[-1].step(time[given] / factor, size[given], where="pre", color="#1b7837", lw=1.5)
        panels[-1].set_yscale("log")
        panels[-1].set_ylabel("step size (s)")
        panels[-1].set_xlabel(f"time ({unit})")
        for ax in panels:
            ax.grid(True, color="#dddddd", lw=0.6)
            ax.spines[["top", "right"]].set_visible(False)
            if logarithmic:
                ax.set_xscale("log")
            ax.margins(x=0.01)
        figure.align_ylabels(list(panels))
        if title:
            figure.suptitle(_wrapped(title, 70), fontsize=13, fontweight="bold")
        _store(figure, path)


Box = tuple[float, float, float, float]


def _concentration(ax: Axes, plane: Plane, view: Box, long: bool) -> None:
    seen = plane.concentration[_inside(plane, view)]
    low, high = float(seen.min()), float(seen.max())
    ax.set_title("Lithium concentration", loc="left", fontsize=11)
    ax.set_title(f"{low:.3g} to {high:.3g}", loc="right", fontsize=9.5, color="#555555")
    if high - low < 1e-6:  # uniform: noise is not a picture
        low, high = low - 1e-3, high + 1e-3
    _paint(ax, plane, plane.concentration, "viridis", (low, high), "occupied fraction c" if long else "fraction c")


def _stress(ax: Axes, plane: Plane, view: Box, long: bool) -> None:
    seen = plane.stress[_inside(plane, view)]
    low, high = float(seen.min()), float(seen.max())
    largest = max(-low, high)
    scale, unit = (1e9, "GPa") if largest >= 0.1e9 else (1e6, "MPa") if largest >= 0.1e6 else (1.0, "Pa")
    limit = largest / scale or 1.0
    ax.set_title("Hydrostatic stress", loc="left", fontsize=11)
    text = f"{low / scale:.3g} to {high / scale:.3g} {unit}".replace("-", "−")
    ax.set_title(text, loc="right", fontsize=9.5, color="#555555")
    _paint(ax, plane, plane.stress / scale, "RdBu_r", (-limit, limit), f"hydrostatic stress ({unit})" if long else unit)


def _paint(ax: Axes, plane: Plane, values: Array, cmap: str, limits: tuple[float, float], label: str) -> None:
    """Colours, interpolated between the nodes, and a colour bar as high as the panel."""
    from matplotlib.tri import Triangulation

    mesh = Triangulation(plane.points[:, 0], plane.points[:, 1], plane.triangles)
    colours = ax.tripcolor(mesh, values, shading="gouraud", cmap=cmap, vmin=limits[0], vmax=limits[1])
    bar = ax.figure.colorbar(colours, cax=ax.inset_axes((1.025, 0.0, 0.045, 1.0)))
    bar.set_label(label)
    bar.ax.spines["outline"].set_visible(False)


def _dress(ax: Axes, plane: Plane, view: Box) -> None:
    """A frame and a scale bar below it in place of axes with numbers."""
    from matplotlib.font_manager import FontProperties
    from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

    ax.set_xlim(view[0], view[1])
    ax.set_ylim(view[2], view[3])
    ax.set_aspect("equal")
    ax.set_xticks([])
    ax.set_yticks([])
    width = view[1] - view[0]
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
        color=_INK,
        size_vertical=0.01 * width,
        fontproperties=FontProperties(size=9.5),
        bbox_to_anchor=(0.0, -0.0175 * width / (view[3] - view[2])),
        bbox_transform=ax.transAxes,
    )
    ax.add_artist(bar)
    if plane.axes != ("x", "y"):
        ax.set_xlabel(f"{plane.axes[0]} →", fontsize=9)
        ax.set_ylabel(f"{plane.axes[1]} →", fontsize=9)


def _mark(ax: Axes, plane: Plane, view: Box) -> None:
    """Dislocation symbols; smaller where there are many."""
    extent = max(view[1] - view[0], view[3] - view[2])
    for core in plane.cores:
        _tee(ax, core.position, core.up, 0.032 * extent / max(1.0, (len(plane.cores) / 8) ** 0.5))


def _tee(ax: Axes, position: Array, up: Array, size: float) -> None:
    """The symbol ⊥: a bar along the slip plane, a stem along the extra half plane."""
    from matplotlib.patheffects import Normal, Stroke

    along = np.array([up[1], -up[0]])
    ends = np.array([position - size * along, position + size * along, position, position + 1.4 * size * up])
    effects = [Stroke(linewidth=4.0, foreground="white"), Normal()]
    x = [ends[0, 0], ends[1, 0], math.nan, ends[2, 0], ends[3, 0]]
    y = [ends[0, 1], ends[1, 1], math.nan, ends[2, 1], ends[3, 1]]
    ax.plot(x, y, color="black", lw=1.9, solid_capstyle="butt", path_effects=effects, scalex=False, scaley=False)


def _outline(ax: Axes, view: Box) -> None:
    from matplotlib.patches import Rectangle

    corner, width, height = (view[0], view[2]), view[1] - view[0], view[3] - view[2]
    ax.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=_INK, lw=1.0, ls=(0, (3, 2))))


def _box(points: Array) -> Box:
    low, high = points.min(axis=0), points.max(axis=0)
    return float(low[0]), float(high[0]), float(low[1]), float(high[1])


def _close_up(plane: Plane, whole: Box, window: float | None) -> Box | None:
    """The part around the cores, or None if it is most of the body anyway."""
    if not plane.cores and window is None:
        return None
    places = np.array([core.position for core in plane.cores]) if plane.cores else None
    low = places.min(axis=0) if places is not None else np.array([whole[0] + whole[1], whole[2] + whole[3]]) / 2
    high = places.max(axis=0) if places is not None else low
    margin = 6 * max((core.width for core in plane.cores), default=0.0)
    width = height = window or 0.0
    if not window:
        width, height = (high - low + 2 * margin).tolist()
        width, height = max(width, height / 1.6), max(height, 0.6 * width)
    middle = (low + high) / 2
    box = (
        max(float(middle[0]) - width / 2, whole[0]),
        min(float(middle[0]) + width / 2, whole[1]),
        max(float(middle[1]) - height / 2, whole[2]),
        min(float(middle[1]) + height / 2, whole[3]),
    )
    if box[1] <= box[0] or box[3] <= box[2]:
        return None
    small = max((box[1] - box[0]) / (whole[1] - whole[0]), (box[3] - box[2]) / (whole[3] - whole[2])) < 0.6
    return box if small else None


def _inside(plane: Plane, view: Box) -> Longs:
    """Nodes of the triangles that reach into the view."""
    corners = plane.points[plane.triangles]
    low, high = corners.min(axis=1), corners.max(axis=1)
    seen = (low[:, 0] <= view[1]) & (high[:, 0] >= view[0]) & (low[:, 1] <= view[3]) & (high[:, 1] >= view[2])
    return np.unique(plane.triangles[seen] if seen.any() else plane.triangles)


def round_length(metres: float) -> tuple[float, str]:
    """The largest of 1, 2, 5, 10, ... (in any unit) that is no longer than ``metres``, in m and in words."""
    power = 10.0 ** math.floor(math.log10(metres) + 1e-9)
    length = next(n for n in (5, 2, 1) if n * power <= metres * (1 + 1e-9)) * power
    units = ((1.0, "m"), (1e-3, "mm"), (1e-6, "µm"), (1e-9, "nm"))
    size, unit = next(((s, u) for s, u in units if length >= s * (1 - 1e-9)), (1e-9, "nm"))
    return length, f"{length / size:.3g} {unit}"


def _time_unit(end: float) -> tuple[float, str]:
    units = ((86400.0 * 365.25, "years"), (86400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"))
    small = ((1e-6, "µs"), (1e-9, "ns"), (1e-12, "ps"))
    return next(((s, u) for s, u in (*units, *small) if end >= 2 * s), (1e-12, "ps"))


def _prefix(value: float) -> tuple[float, str]:
    """An SI prefix that brings ``value`` between 1 and 1000."""
    names = {0: "", -1: "m", -2: "µ", -3: "n", -4: "p", -5: "f", -6: "a", -7: "z", 1: "k", 2: "M", 3: "G"}
    step = min(max(math.floor(math.log10(value) / 3), -7), 3) if value > 0 else 0
    return 1000.0**step, names[step]


def _wrapped(text: str, width: int) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text.replace("$", r"\$"), width))


def _store(figure: Figure, path: Path) -> None:
    image = io.BytesIO()
    figure.savefig(image, format="png")
    write_atomic(path, image.getvalue())
