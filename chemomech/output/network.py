"""Lithium in grain boundaries as files and as a picture: ``grain_boundaries.pvd``, ``figures/grain_boundaries.png``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chemomech import drawing
from chemomech.output import panels
from chemomech.output.fields import FieldSeries, Grid
from chemomech.output.nodes import layout, owned_cells
from chemomech.output.progress import duration
from chemomech.output.protocol import Snapshot
from chemomech.parallel import gather_rows, on_rank_zero
from chemomech.typing import Array, Ints

FIELD = "grain_boundary_concentration"


@dataclass(frozen=True)
class Facets:
    """Facets of the network with the fraction at their corners; where classes meet, each has its own.

    Attributes:
        corners: Shape (f, d, 3), m.
        values: Occupied fraction, shape (f, d).
        classes: Number of the class of each, from 1, shape (f,).
    """

    corners: Array
    values: Array
    classes: Ints

    def sizes(self) -> Array:
        """Length (m) or area (m^2) of each."""
        edges = self.corners[:, 1:] - self.corners[:, :1]
        if edges.shape[1] == 1:
            return np.asarray(np.linalg.norm(edges[:, 0], axis=1))
        return np.asarray(0.5 * np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1))

    @classmethod
    def owned(cls, snapshot: Snapshot) -> Facets:
        """Those of this rank."""
        d = snapshot.mesh.topology.dim
        corners, values, classes = [np.zeros((0, d, 3))], [np.zeros((0, d))], [np.zeros(0, np.int32)]
        for k, function in enumerate(snapshot.grain_boundaries.values(), 1):
            mesh = function.function_space.mesh
            cells = owned_cells(mesh)
            corners.append(mesh.geometry.x[cells] * snapshot.length)
            values.append(layout(function.function_space).values(function)[cells][:, :, 0])
            classes.append(np.full(len(cells), k, np.int32))
        return cls(np.concatenate(corners), np.concatenate(values), np.concatenate(classes))

    @classmethod
    def gathered(cls, snapshot: Snapshot) -> Facets:
        """All of them on rank 0, none elsewhere. Collective."""
        mine, comm = cls.owned(snapshot), snapshot.comm
        return cls(*(gather_rows(comm, rows) for rows in (mine.corners, mine.values, mine.classes)))


class BoundarySeries(FieldSeries):
    """Writes the facets of the network with ``grain_boundary_concentration`` and the number of their class.

    Due as in `FieldSeries`. Facets do not share nodes in the file: where classes meet, the fraction jumps.
    """

    def _content(self, snapshot: Snapshot) -> tuple[Grid, dict[str, Array], dict[str, Array]]:
        facets = Facets.owned(snapshot)
        count, corners = facets.values.shape
        nodes = np.arange(count * corners, dtype=np.int64)
        grid = Grid(nodes, facets.corners.reshape(-1, 3), nodes.reshape(count, corners))
        return grid, {FIELD: facets.values.reshape(-1, 1)}, {"class": facets.classes[:, None].astype(float)}


class BoundaryPicture:
    """Draws ``grain_boundaries.png`` when the run ends: the network, coloured by the fraction.

    Args:
        path: The PNG file.
        title: Title of the case.
    """

    def __init__(self, path: Path, title: str = "") -> None:
        self.path, self.title = path, title

    def open(self, snapshot: Snapshot) -> None:
        """Nothing to do yet."""

    def update(self, snapshot: Snapshot) -> None:
        """Nothing to do yet."""

    def close(self, snapshot: Snapshot) -> None:
        """Draw. Raises OutputError if the picture can't be written."""
        facets = Facets.gathered(snapshot)
        when = f"t = {duration(snapshot.time)}"
        names = tuple(snapshot.grain_boundaries)
        on_rank_zero(snapshot.comm, lambda: draw_boundaries(facets, names, self.path, title=self.title, when=when))


def draw_boundaries(facets: Facets, names: tuple[str, ...], path: Path, *, title: str = "", when: str = "") -> None:
    """The network coloured by the fraction of occupied sites, with the mean of every class.

    Args:
        facets: What to show.
        names: Of the classes.
        path: The PNG file.
        title: Title of the case.
        when: Time, in words.

    Raises:
        OutputError: The file can't be written.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    size, unit = drawing_unit(facets.corners)
    corners, value = facets.corners / size, facets.values.mean(axis=1)
    norm = mpl.colors.Normalize(*panels.concentration_limits(facets.values))
    solid = corners.shape[1] == 3
    with mpl.rc_context(drawing.FONT):
        figure = Figure(figsize=(7.2, 6.0), dpi=drawing.DPI, layout="constrained")
        FigureCanvasAgg(figure)
        ax: Any = figure.add_subplot(projection="3d" if solid else None)
        colours = mpl.colormaps["viridis"](norm(value))
        if solid:
            ax.add_collection3d(Poly3DCollection(list(corners), facecolors=colours, edgecolors="none"))
        else:
            ax.add_collection(LineCollection(list(corners[:, :, :2]), colors=colours, linewidths=2.5, capstyle="round"))
            ax.set_aspect("equal")
        low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
        room = 0.03 * float((high - low).max())
        for k, axis in enumerate("xyz"[: corners.shape[1]]):
            ax.set(**{f"{axis}lim": (low[k] - room, high[k] + room), f"{axis}label": f"{axis} ({unit})"})
        bar = figure.colorbar(mpl.cm.ScalarMappable(norm, "viridis"), ax=ax, shrink=0.8)
        bar.set_label("occupied fraction in the boundary")
        weight = facets.sizes()
        of = {name: facets.classes == k for k, name in enumerate(names, 1)}
        means = [f"{name}: mean {np.average(value[on], weights=weight[on]):.3g}" for name, on in of.items()]
        figure.suptitle(panels.wrapped(" · ".join(part for part in (title, when) if part), 60), fontsize=13)
        figure.supxlabel(panels.wrapped(";  ".join(means), 90), fontsize=8.5, color="#666666")
        panels.store(figure, path)


def drawing_unit(points: Array) -> tuple[float, str]:
    """A unit of length that suits the extent of points: its size in m, its name."""
    extent = float(np.ptp(points.reshape(-1, 3), axis=0).max()) if points.size else 0.0
    return (1e-6, "µm") if extent >= 1e-6 else (1e-9, "nm")
