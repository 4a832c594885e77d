"""The pictures of a run, drawn again from its files. Not collective."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from chemomech.case import Case
from chemomech.errors import CaseError, OutputError
from chemomech.output import history
from chemomech.output.fields import read_index
from chemomech.output.figures import draw_fields, draw_history
from chemomech.output.folder import RunFolder
from chemomech.output.plane import Body, nodal_average, plane_of
from chemomech.output.progress import duration

_CORNERS = {5: 3, 10: 4}  # VTK's triangle and tetrahedron


def redraw(place: Path) -> list[Path]:
    """Draw ``figures/fields.png`` from the last fields, ``figures/history.png`` from ``history.csv``.

    Args:
        place: Folder of a run, finished or not.

    Returns:
        The pictures drawn.

    Raises:
        CaseError: If the folder holds no run.
        OutputError: If its files can't be read, or the pictures can't be written.
    """
    folder = RunFolder(place)
    if not folder.case.is_file():
        raise CaseError("DIR", str(place), "this folder holds no run", "a folder made by `chemomech run`")
    case = Case.load(folder.case)
    entries = read_index(folder.fields)
    if not entries:
        raise OutputError(f"{folder.fields} lists no fields yet; continue the run with --resume.")
    stamp, file = entries[-1]
    body = read_body(place / file)
    equilibrium = case.mode == "equilibrium"
    when = ("equilibrium" if stamp > 0 else "initial state") if equilibrium else f"t = {duration(stamp)}"
    fields, course = folder.figures / "fields.png", folder.figures / "history.png"
    plane = plane_of(body, case.dislocations)
    draw_fields(plane, fields, title=case.title, when=when, window=case.output.window)
    rows = history.read(folder.history)
    if len(rows["step"]) < 2 or rows["time"][-1] <= rows["time"][0]:
        return [fields]
    draw_history(rows, course, title=case.title)
    return [fields, course]


def read_body(path: Path) -> Body:
    """Mesh and drawn fields from a ``.vtu`` or ``.pvtu`` file.

    Raises:
        OutputError: If it can't be read or lacks a field.
    """
    import pyvista

    try:
        grid: Any = pyvista.read(path)
    except Exception as error:  # VTK's readers raise whatever they like
        raise OutputError(f"Can't read {path}: {error}.") from error
    kinds = np.unique(grid.celltypes) if grid.n_cells else np.array([])
    if len(kinds) != 1 or int(kinds[0]) not in _CORNERS:
        raise OutputError(f"{path} is damaged, or not a mesh of triangles or tetrahedra.")
    cells = np.asarray(grid.cells, np.int64).reshape(-1, _CORNERS[int(kinds[0])] + 1)[:, 1:]
    points = np.asarray(grid.points, np.float64)
    keep = np.arange(len(points))
    if path.suffix == ".pvtu":  # the pieces of neighbouring ranks share nodes
        points, keep, inverse = np.unique(points, axis=0, return_index=True, return_inverse=True)
        cells = inverse.reshape(-1)[cells]

    def nodal(name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        if name in grid.point_data:
            return np.asarray(grid.point_data[name], np.float64)[keep]
        if name in grid.cell_data:
            return nodal_average(points, cells, np.asarray(grid.cell_data[name], np.float64))
        raise OutputError(f"{path} has no field {name}.")

    return Body(points, cells, nodal("concentration"), nodal("hydrostatic_stress"))
