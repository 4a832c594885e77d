"""The pictures of a run: fields at the end, profile, history; and of several. Drawn on rank 0, without a display."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chemomech import drawing
from chemomech.case import Dislocation
from chemomech.output import panels
from chemomech.output.history import History
from chemomech.output.panels import Box
from chemomech.output.plane import Plane, gather_body, plane_of
from chemomech.output.profile import Profile, lateral_profile
from chemomech.output.progress import duration
from chemomech.output.protocol import Snapshot
from chemomech.output.strength import RATIO, SHOWN, Opening, draw_strength
from chemomech.parallel import on_rank_zero

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANEL = 3.7  # width, inches


class Figures:
    """Draws ``fields.png`` and ``history.png`` when the run ends.

    Of a layered body also ``profile.png``, and where materials can crack ``strength.png``.

    Args:
        folder: Where the pictures go.
        history: The history of the same run.
        title: Title of the case.
        dislocations: Those of the case; they are marked.
        window: Width of the close-up around the cores, m; chosen if None.
        equilibrium: There is no time.
        interfaces: Height y of each plane where layers meet, m.
        periodic: Axes along which the body goes on.
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
        interfaces: Sequence[float] = (),
        periodic: Sequence[str] = (),
    ) -> None:
        self.folder, self.history, self.title = folder, history, title
        self.dislocations, self.window, self.equilibrium = tuple(dislocations), window, equilibrium
        self.interfaces, self.periodic = tuple(interfaces), tuple(periodic)

    def open(self, snapshot: Snapshot) -> None:
        """Nothing to do yet."""

    def update(self, snapshot: Snapshot) -> None:
        """Nothing to do yet."""

    def close(self, snapshot: Snapshot) -> None:
        """Draw. Raises OutputError if the pictures can't be written."""
        body = gather_body(snapshot, SHOWN)

        def draw() -> None:
            when = "equilibrium" if self.equilibrium else f"t = {duration(snapshot.time)}"
            plane = plane_of(body, self.dislocations)
            draw_fields(plane, self.folder / "fields.png", title=self.title, when=when, window=self.window)
            draw_history(self.history.rows, self.folder / "history.png", title=self.title)
            if self.interfaces:
                profile = lateral_profile(body, self.interfaces)
                draw_profile(profile, self.folder / "profile.png", title=self.title, when=when)
            if RATIO in body.extra:
                text = Opening.of(body, self.dislocations, self.periodic).words(body)
                path = self.folder / "strength.png"
                draw_strength(plane, text, path, title=self.title, when=when, window=self.window)

        on_rank_zero(snapshot.comm, draw)


def draw_fields(plane: Plane, path: Path, *, title: str = "", when: str = "", window: float | None = None) -> None:
    """Concentration and hydrostatic stress side by side, with a close-up of the cores where they are small.

    Colours reach to the extremes in a body of one phase, where cores are what it is about; see `panels.scale_of` for
    those of a body of several.

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

    whole = panels.whole_box(plane)
    close = panels.close_up(plane, whole, window)
    views = [whole] if close is None else [whole, close]
    heights = [_PANEL * min(max((v[3] - v[2]) / (v[1] - v[0]), 0.2), 1.6) for v in views]
    with mpl.rc_context(drawing.FONT):
        figure = Figure(figsize=(9.4, sum(heights) + 0.75 * len(views) + 0.7), dpi=drawing.DPI, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(views), 2, squeeze=False, gridspec_kw={"height_ratios": heights})
        for row, view in enumerate(views):
            long = heights[row] > 2.0
            _concentration(axes[row, 0], plane, view, long)
            _stress(axes[row, 1], plane, view, long)
            for ax in axes[row]:
                panels.dress(ax, plane, view)
                if row < len(views) - 1 and close is not None:
                    panels.outline(ax, close)
                else:
                    panels.mark(ax, plane, view, small=bool(len(plane.seams)))
        head = " · ".join(part for part in (title, when) if part)
        if head:
            figure.suptitle(panels.wrapped(head, 84), fontsize=13, fontweight="bold")
        of = " of the same phase" if len(plane.seams) else ""
        note = f"stress drawn at the nodes: mean of the cells around{of}, weighted by volume"
        if plane.cores:
            note = "⊥ dislocation, its stem along the extra half plane;  " + note
        if len(plane.seams):
            note += f"\n{panels.CLIPPED}"
        figure.supxlabel(note, fontsize=8.5, color="#666666")
        panels.store(figure, path)


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
    with mpl.rc_context(drawing.FONT):
        figure = Figure(figsize=(7.6, 6.6 if energy else 4.9), dpi=drawing.DPI, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(3 if energy else 2, 1, sharex=True, squeeze=False)[:, 0]
        at = time[shown] / factor
        for name, label, colour in (
            ("concentration_max", "largest", "#b2182b"),
            ("concentration_mean", "mean", "#333333"),
            ("concentration_min", "smallest", "#2166ac"),
        ):
            if name in rows:
                axes[0].plot(at, np.asarray(rows[name], float)[shown], color=colour, label=label, lw=1.8)
        axes[0].set_ylabel("occupied fraction c")
        if axes[0].lines:
            axes[0].legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=3, borderpad=0.2)
        if energy:
            values = np.asarray(rows[energy], float)
            change = values - values[0]
            scale, prefix = _prefix(float(np.abs(change).max()))
            axes[1].plot(at, change[shown] / scale, color="#4d4d4d", lw=1.8)
            of = energy.removeprefix("free_energy").strip("_").replace("_per_", "/")
            axes[1].set_ylabel(f"free energy − start\n({prefix}{of or 'J'})")
        size = np.asarray(rows["step_size"], float)
        given = shown & (size > 0)
        axes[-1].step(time[given] / factor, size[given], where="pre", color="#1b7837", lw=1.5)
        axes[-1].set_yscale("log")
        axes[-1].set_ylabel("step size (s)")
        axes[-1].set_xlabel(f"time ({unit})")
        for ax in axes:
            ax.grid(True, color="#dddddd", lw=0.6)
            ax.spines[["top", "right"]].set_visible(False)
            if logarithmic:
                ax.set_xscale("log")
            ax.margins(x=0.01)
        figure.align_ylabels(list(axes))
        if title:
            figure.suptitle(panels.wrapped(title, 70), fontsize=13, fontweight="bold")
        panels.store(figure, path)


def draw_profile(profile: Profile, path: Path, *, title: str = "", when: str = "") -> None:
    """Concentration and hydrostatic stress, means over the width, against the distance from the (lowest) interface.

    Args:
        profile: What to show; jumps are drawn as vertical lines.
        path: The picture.
        title: Title of the case.
        when: Time, in words.

    Raises:
        OutputError: The file can't be written.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    walls = np.array(profile.interfaces)
    zero = float(walls[0]) if len(walls) else float(profile.y[0])
    name = "the interface" if len(walls) == 1 else "the lowest interface" if len(walls) else "the lower end"
    scale, prefix = (1e-9, "nm") if np.ptp(profile.y) < 1e-5 else (1e-6, "µm")
    at = (profile.y - zero) / scale
    size, unit = panels.stress_unit(float(np.abs(profile.stress).max()))
    with mpl.rc_context(drawing.FONT):
        figure = Figure(figsize=(7.6, 5.8), dpi=drawing.DPI, layout="constrained")
        FigureCanvasAgg(figure)
        upper, lower = figure.subplots(2, 1, sharex=True)
        upper.fill_between(
            at, profile.low, profile.high, color="#2166ac", alpha=0.18, lw=0, label="range over the width"
        )
        upper.plot(at, profile.concentration, color="#2166ac", lw=1.8, label="mean over the width")
        upper.set_ylabel("occupied fraction c")
        lower.axhline(0.0, color="#999999", lw=0.8)
        lower.plot(at, profile.stress / size, color="#b2182b", lw=1.8)
        lower.set_ylabel(f"hydrostatic stress ({unit}),\nmean over the width")
        lower.set_xlabel(f"distance from {name}, along y ({prefix})")
        upper.legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=2, borderpad=0.2)
        if len(walls) == 1:
            k = int(np.argmax(np.diff(profile.y) == 0.0))
            text = f"at the interface: {profile.concentration[k]:.3g} | {profile.concentration[k + 1]:.3g}"
            upper.set_title(text, loc="left", fontsize=9.5, color="#555555")
        for ax in (upper, lower):
            for wall in walls:
                ax.axvline((wall - zero) / scale, color="#555555", lw=0.8, ls=(0, (4, 3)), zorder=0)
            ax.grid(True, color="#dddddd", lw=0.6)
            ax.spines[["top", "right"]].set_visible(False)
            ax.margins(x=0.0)
        figure.align_ylabels([upper, lower])
        head = " · ".join(part for part in (title, when) if part)
        if head:
            figure.suptitle(panels.wrapped(head, 70), fontsize=13, fontweight="bold")
        panels.store(figure, path)


def draw_comparison(planes: Sequence[Plane], path: Path, *, titles: Sequence[str], window: float | None = None) -> None:
    """Concentration and hydrostatic stress of several runs, one below the other, in the same colours and window.

    See `panels.scale_of` for the ends of the colours.

    Args:
        planes: What to show, one per run.
        path: The picture.
        titles: Heading of each row.
        window: Width and height of the part that is shown, m, around the dislocations of all runs (or around where
            phases meet); the whole bodies if None.

    Raises:
        OutputError: The file can't be written.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    views = [panels.whole_box(plane) for plane in planes]
    if window is not None:
        views = [panels.around(planes, view, window) for view in views]
    seen = [panels.inside(plane, view) for plane, view in zip(planes, views, strict=True)]
    scales = (
        panels.scale_of(planes, [plane.concentration for plane in planes], views),
        panels.scale_of(planes, [plane.stress for plane in planes], views, symmetric=True),
    )
    size, unit = panels.stress_unit(scales[1].high)
    labels = ("occupied fraction c", f"hydrostatic stress ({unit})")

    # Inches; the panels are as wide as the page allows, unless they would become too tall.
    aspects = [(v[3] - v[2]) / (v[1] - v[0]) for v in views]
    width = min(3.3, 4.2 / max(aspects))
    gap, left, foot = 1.2, 0.3, 0.45
    page = left + 2 * (width + gap)
    lines = [panels.wrapped(title, int(page * 10.5)) for title in titles]
    heads = [0.5 + 0.2 * (text.count("\n") + 1) for text in lines]
    alike = all(np.allclose(view, views[0]) for view in views)
    feet = [0.05 if alike and k < len(views) - 1 else foot for k in range(len(views))]
    note = 0.3
    tall = sum(heads) + sum(feet) + width * sum(aspects) + note
    with mpl.rc_context(drawing.FONT):
        figure = Figure(figsize=(page, tall), dpi=2 * drawing.DPI)
        FigureCanvasAgg(figure)
        top = tall
        for row, (plane, view) in enumerate(zip(planes, views, strict=True)):
            top -= heads[row]
            height = width * aspects[row]
            figure.text(left / page, (top + 0.34) / tall, lines[row], fontsize=11, fontweight="bold", va="bottom")
            fields = ((plane.concentration, "viridis", 1.0, ""), (plane.stress, "RdBu_r", size, unit))
            for column, (values, cmap, of, name) in enumerate(fields):
                place = ((left + column * (width + gap)) / page, (top - height) / tall, width / page, height / tall)
                ax = figure.add_axes(place)
                ends = scales[column]
                colours = panels.paint(ax, plane, values / of, cmap, (ends.low / of, ends.high / of))
                panels.add_bar(ax, colours, labels[column], ends.extend)
                panels.dress(ax, plane, view, scale=not alike or row == len(planes) - 1)
                panels.mark(ax, plane, view, small=True)
                here = values[seen[row]] / of
                ax.set_title(f"{chr(ord('a') + 2 * row + column)})", loc="left", fontsize=11, fontweight="bold")
                ax.set_title(panels.span(here.min(), here.max(), name), loc="right", fontsize=9.5, color="#555555")
            top -= height + feet[row]
        figure.text(left / page, 0.5 * note / tall, panels.CLIPPED, fontsize=8.5, color="#666666", va="center")
        panels.store(figure, path)


def _concentration(ax: Axes, plane: Plane, view: Box, long: bool) -> None:
    seen = plane.concentration[panels.inside(plane, view)]
    ax.set_title("Lithium concentration", loc="left", fontsize=11)
    ax.set_title(panels.span(float(seen.min()), float(seen.max())), loc="right", fontsize=9.5, color="#555555")
    limits, extend = panels.concentration_limits(seen), "neither"
    if len(plane.seams):
        ends = panels.scale_of([plane], [plane.concentration], [view])
        limits, extend = (ends.low, ends.high), ends.extend
    colours = panels.paint(ax, plane, plane.concentration, "viridis", limits)
    panels.add_bar(ax, colours, "occupied fraction c" if long else "fraction c", extend)


def _stress(ax: Axes, plane: Plane, view: Box, long: bool) -> None:
    seen = plane.stress[panels.inside(plane, view)]
    low, high = float(seen.min()), float(seen.max())
    largest, extend = max(-low, high), "neither"
    if len(plane.seams):
        ends = panels.scale_of([plane], [plane.stress], [view], symmetric=True)
        largest, extend = ends.high, ends.extend
    scale, unit = panels.stress_unit(largest)
    limit = largest / scale or 1.0
    ax.set_title("Hydrostatic stress", loc="left", fontsize=11)
    ax.set_title(panels.span(low / scale, high / scale, unit), loc="right", fontsize=9.5, color="#555555")
    colours = panels.paint(ax, plane, plane.stress / scale, "RdBu_r", (-limit, limit))
    panels.add_bar(ax, colours, f"hydrostatic stress ({unit})" if long else unit, extend)


def _time_unit(end: float) -> tuple[float, str]:
    units = ((86400.0 * 365.25, "years"), (86400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"))
    small = ((1e-6, "µs"), (1e-9, "ns"), (1e-12, "ps"))
    return next(((s, u) for s, u in (*units, *small) if end >= 2 * s), (1e-12, "ps"))


def _prefix(value: float) -> tuple[float, str]:
    """An SI prefix that brings ``value`` between 1 and 1000."""
    names = {0: "", -1: "m", -2: "µ", -3: "n", -4: "p", -5: "f", -6: "a", -7: "z", 1: "k", 2: "M", 3: "G"}
    step = min(max(math.floor(math.log10(value) / 3), -7), 3) if value > 0 else 0
    return 1000.0**step, names[step]
