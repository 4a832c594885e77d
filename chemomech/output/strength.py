"""Where a crack would open: tension over strength, and Taylor's flow stress, as a picture. Not collective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chemomech import drawing
from chemomech.case import Dislocation
from chemomech.output import panels
from chemomech.output.panels import Box
from chemomech.output.plane import Body, Plane, volumes
from chemomech.typing import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RATIO, FLOW = "strength_ratio", "taylor_stress"
SHOWN = (RATIO, FLOW)  # the fields of the picture; it is drawn if there is the first
_PANEL = 3.7  # width, inches


@dataclass(frozen=True)
class Opening:
    """How close a body is to a first crack, from the values of its cells.

    Attributes:
        largest: Of the principal tension over the strength.
        share: Part of the area or volume of the body in which that is above 1, from 0 to 1.
        distance: Of the cell with the largest value from the nearest dislocation line, m; None without one.
    """

    largest: float
    share: float
    distance: float | None

    @classmethod
    def of(cls, body: Body, dislocations: Sequence[Dislocation] = (), periodic: Sequence[str] = ()) -> Opening:
        """Measure it.

        Args:
            body: The body, on rank 0, with the field `RATIO`.
            dislocations: Those of the case.
            periodic: Axes along which the body goes on; lines there are near too.

        Raises:
            KeyError: If the body lacks the field.
        """
        ratio, size = body.extra[RATIO], volumes(body.points, body.cells)
        k = int(np.argmax(ratio))
        corners = body.points[np.unique(body.cells)]
        period = np.where([axis in periodic for axis in "xyz"], np.ptp(corners, axis=0), 0.0)
        middle = body.points[body.cells[k]].mean(axis=0)
        near = [_distance(line, middle, period) for line in dislocations]
        share = float(size[ratio > 1.0].sum() / size.sum())
        return cls(float(ratio[k]), share, min(near) if near else None)

    def words(self, body: Body) -> str:
        """The same as a sentence."""
        text = f"Largest value {self.largest:.3g}"
        if self.distance is not None:
            text += f", {self.distance * 1e9:.3g} nm from the nearest dislocation line"
        kind = "area" if body.cells.shape[1] == 3 else "volume"
        above = f"{100.0 * self.share:.2g} % of the {kind}" if self.share else "nowhere"
        return f"{text}; above 1: {above}."


def _distance(dislocation: Dislocation, point: Array, period: Array) -> float:
    """From a line, or the nearest of its images one period away, m."""
    start, line = np.zeros(3), np.array(dislocation.line, float)
    start[: len(dislocation.position)] = dislocation.position
    line /= np.linalg.norm(line)
    steps = np.array(np.meshgrid(*[[-1.0, 0.0, 1.0] if p else [0.0] for p in period])).reshape(3, -1).T
    away = point - start - steps * period
    return float(np.linalg.norm(np.cross(away, line), axis=1).min())


def draw_strength(
    plane: Plane, text: str, path: Path, *, title: str = "", when: str = "", window: float | None = None
) -> None:
    """Tension over strength with a line where it is 1, and beside it Taylor's flow stress if the plane has that.

    Args:
        plane: What to show, with the fields `SHOWN`, or the first of them.
        text: What to say below (see `Opening.words`).
        path: The picture.
        title: Title of the case.
        when: Time, in words.
        window: Width of the close-up around the cores, m; twelve core widths if None.

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
    columns = 2 if FLOW in plane.extra else 1
    width = 9.4 if columns == 2 else 5.6
    head = " · ".join(part for part in (title, when) if part)
    line = "Line: ratio 1. " if plane.extra[RATIO].max() > 1.0 else ""
    notes = [text, f"{line}Drawn: means of the cells around each node."]
    letters = int(12 * width)
    note = "\n".join(panels.wrapped(part, letters) for part in notes)
    tall = sum(heights) + 0.75 * len(views) + 0.7 + 0.17 * note.count("\n")
    with mpl.rc_context(drawing.FONT):
        figure = Figure(figsize=(width, tall), dpi=drawing.DPI, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(views), columns, squeeze=False, gridspec_kw={"height_ratios": heights})
        for row, view in enumerate(views):
            _ratio(axes[row, 0], plane, view)
            if columns == 2:
                _flow(axes[row, 1], plane, view)
            for ax in axes[row]:
                panels.dress(ax, plane, view)
                if row < len(views) - 1:
                    panels.outline(ax, views[-1])
                else:
                    panels.mark(ax, plane, view, small=True)
        if head:
            figure.suptitle(panels.wrapped(head, int(9 * width)), fontsize=13, fontweight="bold")
        figure.supxlabel(note, fontsize=9, color="#444444")
        panels.store(figure, path)


def _ratio(ax: Axes, plane: Plane, view: Box) -> None:
    from matplotlib.tri import Triangulation

    values = plane.extra[RATIO]
    seen = values[panels.inside(plane, view)]
    top = max(panels.quantile(plane, values, view, 0.99), min(float(seen.max()), 1.0)) or 1.0
    ax.set_title("Where a crack would open", loc="left", fontsize=11)
    colours = panels.paint(ax, plane, values, "OrRd", (0.0, top))
    extend = "max" if seen.max() > top else "neither"
    panels.add_bar(ax, colours, "tension / strength", extend)
    if seen.min() < 1.0 < seen.max():
        mesh = Triangulation(plane.points[:, 0], plane.points[:, 1], plane.triangles)
        ax.tricontour(mesh, values, levels=[1.0], colors=[drawing.INK], linewidths=0.9)


def _flow(ax: Axes, plane: Plane, view: Box) -> None:
    values = plane.extra[FLOW]
    size, unit = panels.stress_unit(float(values.max()))
    ax.set_title("Taylor's flow stress", loc="left", fontsize=11)
    ax.set_title(r"$\alpha G b\sqrt{\varrho}$", loc="right", fontsize=9.5, color="#555555")
    top = float(values[panels.inside(plane, view)].max()) / size
    colours = panels.paint(ax, plane, values / size, "BuPu", (0.0, top or 1.0))
    panels.add_bar(ax, colours, unit)
