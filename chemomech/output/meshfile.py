"""A mesh as a file for gmsh or ParaView, and as a picture. Not collective."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from chemomech.errors import CaseError
from chemomech.meshing.arrays import GRAIN_MARK, MeshArrays, measures, table_of
from chemomech.output.folder import write_atomic, writing
from chemomech.typing import Array

FORMATS = {".msh": "gmsh22", ".vtu": "vtu"}


def write_mesh(mesh: MeshArrays, path: Path) -> None:
    """Write a mesh; a ``.msh`` file holds the phases and boundaries as named physical groups.

    If the grains are known each is an entity of its own in it, and their table is written beside it.

    Raises:
        CaseError: If the name ends in neither ``.msh`` nor ``.vtu``.
        OutputError: If the file can't be written.
    """
    import meshio

    if path.suffix not in FORMATS:
        raise CaseError("--out", str(path), "this ending is not known", " or ".join(FORMATS))
    cell, facet = ("triangle", "line") if mesh.dimension == 2 else ("tetra", "triangle")
    groups = {f"{GRAIN_MARK}{mesh.grains}": np.array([1, 0])} if mesh.grains else {}
    groups |= {name: np.array([tag, mesh.dimension]) for name, tag in mesh.phases.items()}
    groups |= {name: np.array([tag, mesh.dimension - 1]) for name, tag in mesh.boundaries.items()}
    tags = [mesh.cell_tags.astype(np.int32), mesh.facet_tags.astype(np.int32)]
    if path.suffix == ".msh":
        blocks = [(cell, mesh.cells), (facet, mesh.facets)]
        own = [(mesh.cell_grain + 1).astype(np.int32), tags[1]] if mesh.grains else tags
        data = {"gmsh:physical": tags, "gmsh:geometrical": own}
        content = meshio.Mesh(mesh.points, blocks, cell_data=data, field_data=groups)
    else:
        content = meshio.Mesh(mesh.points, [(cell, mesh.cells)], cell_data={"phase": tags[:1]})
    part = path.with_name(f".{path.name}.part")
    options: dict[str, Any] = {"binary": False, "float_fmt": ".16e"} if path.suffix == ".msh" else {}
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            meshio.write(part, content, file_format=FORMATS[path.suffix], **options)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    if mesh.grains and path.suffix == ".msh":
        write_atomic(table_of(path), mesh.grain_table())


def draw_mesh(mesh: MeshArrays, path: Path, title: str = "") -> None:
    """Draw the cells of a body in 2D, or its surface in 3D, as PNG. Raises OutputError if that can't be written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    extent = float(np.ptp(mesh.points, axis=0).max())
    size, unit = next(((s, u) for s, u in ((1.0, "m"), (1e-3, "mm"), (1e-6, "µm")) if extent >= s), (1e-9, "nm"))
    x = mesh.points / size
    figure = Figure(figsize=(8.0, 7.0), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    ax: Any
    if mesh.dimension == 2:
        fine = _finest(mesh) / size
        close = fine[2] < 0.2 * extent / size
        panels = figure.subplots(1, 2 if close else 1, squeeze=False)[0]
        colours = np.searchsorted(np.unique(mesh.cell_tags), mesh.cell_tags)
        for ax in panels:
            face = ax.tripcolor(x[:, 0], x[:, 1], mesh.cells, facecolors=colours, cmap="Pastel2", vmin=0, vmax=8)
            face.set_edgecolor("#333333")
            face.set_linewidth(0.2)
            ax.set_aspect("equal")
            ax.set(xlabel=f"x ({unit})", ylabel=f"y ({unit})")
        if close:
            figure.set_size_inches(13.0, 6.6)
            panels[1].set(xlim=(fine[0] - fine[2], fine[0] + fine[2]), ylim=(fine[1] - fine[2], fine[1] + fine[2]))
            panels[1].set_title("the finest part")
    else:
        from mpl_toolkits.mplot3d.art3d import Poly3DCollection

        ax = figure.add_subplot(projection="3d")
        ax.add_collection3d(Poly3DCollection(x[mesh.facets], facecolor="#dbe5f1", edgecolor="#333333", linewidth=0.2))
        low, high = x.min(axis=0), x.max(axis=0)
        ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]), zlabel=f"z ({unit})")
        ax.set_box_aspect(tuple((high - low).tolist()))
        ax.set(xlabel=f"x ({unit})", ylabel=f"y ({unit})")
    figure.suptitle("\n".join(part for part in (title, f"{len(mesh.cells)} cells, {len(mesh.points)} nodes") if part))
    image = io.BytesIO()
    figure.savefig(image, format="png")
    write_atomic(path, image.getvalue())


def _finest(mesh: MeshArrays) -> Array:
    """Middle of the smallest cell and half the width of a view of what is around it, m, shape (3,)."""
    sizes = np.abs(measures(mesh.points, mesh.cells))
    cell = mesh.points[mesh.cells[int(np.argmin(sizes))]]
    return np.array([*cell.mean(axis=0)[:2], 15.0 * float(np.sqrt(2.0 * sizes.min()))])
