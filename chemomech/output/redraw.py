"""The pictures of runs, drawn again from their files. Not collective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chemomech.case import Case
from chemomech.errors import CaseError, OutputError
from chemomech.output import history
from chemomech.output.fields import CORNERS, read_index
from chemomech.output.figures import draw_comparison, draw_fields, draw_history, draw_profile
from chemomech.output.folder import RunFolder
from chemomech.output.network import FIELD, Facets
from chemomech.output.network_figures import GRAIN, MISES, draw_boundaries, draw_fronts
from chemomech.output.plane import Body, Placed, plane_of
from chemomech.output.profile import read_profile
from chemomech.output.progress import duration
from chemomech.output.strength import RATIO, SHOWN, Opening, draw_strength
from chemomech.typing import Array

PICTURES = (".png", ".pdf", ".svg")
_CORNERS = {5: 3, 10: 4}  # VTK's triangle and tetrahedron


def redraw(place: Path) -> list[Path]:
    """Draw ``figures/fields.png`` from the last fields, ``history.png`` and ``profile.png`` from their tables.

    ``strength.png`` too, if the fields tell where a crack would open, and those of grain boundaries if there are any.

    Args:
        place: Folder of a run, finished or not.

    Returns:
        The pictures drawn.

    Raises:
        CaseError: If the folder holds no run.
        OutputError: If its files can't be read, or the pictures can't be written.
    """
    run = _Run.read(place)
    case, folder = run.case, run.folder
    drawn = [folder.figures / "fields.png"]
    plane = plane_of(run.body, run.case.all_dislocations)
    draw_fields(plane, drawn[0], title=case.title, when=run.when, window=case.output.window)
    rows = history.read(folder.history)
    if len(rows["step"]) >= 2 and rows["time"][-1] > rows["time"][0]:
        drawn.append(folder.figures / "history.png")
        draw_history(rows, drawn[-1], title=case.title)
    if folder.profile.is_file():
        drawn.append(folder.figures / "profile.png")
        draw_profile(read_profile(folder.profile), drawn[-1], title=case.title, when=run.when)
    if folder.grain_boundaries.is_file() and case.grain_boundaries:
        drawn += _boundaries(run, rows)
    if RATIO in run.body.extra:
        drawn.append(folder.figures / "strength.png")
        text = Opening.of(run.body, case.all_dislocations, case.domain.periodic).words(run.body)
        draw_strength(plane, text, drawn[-1], title=case.title, when=run.when, window=case.output.window)
    return drawn


def compare(places: Sequence[Path], picture: Path) -> Path:
    """Draw the last fields of several runs in one figure: a row each, the same colours, the same window.

    The window is the ``output.window`` of the first run that has one, else the whole body.

    Args:
        places: Folders of runs, finished or not.
        picture: The file; its ending names the format.

    Returns:
        The picture drawn.

    Raises:
        CaseError: If a folder holds no run, or the ending is not known.
        OutputError: If files can't be read, or the picture can't be written.
    """
    if picture.suffix not in PICTURES:
        raise CaseError("--out", str(picture), "this ending is not known", ", ".join(PICTURES))
    runs = [_Run.read(place) for place in places]
    windows = [run.case.output.window for run in runs if run.case.output.window is not None]
    titles = [" · ".join(part for part in (run.case.title or run.folder.path.name, run.when) if part) for run in runs]
    planes = [plane_of(run.body, run.case.all_dislocations) for run in runs]
    draw_comparison(planes, picture, titles=titles, window=windows[0] if windows else None)
    return picture


@dataclass(frozen=True)
class _Run:
    """A run as its files tell it: its case, the last fields, and when they are from, in words."""

    folder: RunFolder
    case: Case
    body: Body
    when: str
    file: Path

    @classmethod
    def read(cls, place: Path) -> _Run:
        folder = RunFolder(place)
        if not folder.case.is_file():
            raise CaseError("DIR", str(place), "this folder holds no run", "a folder made by `chemomech run`")
        case = Case.load(folder.case)
        entries = read_index(folder.fields)
        if not entries:
            raise OutputError(f"{folder.fields} lists no fields yet; continue the run with --resume.")
        stamp, file = entries[-1]
        equilibrium = case.mode == "equilibrium"
        when = ("equilibrium" if stamp > 0 else "initial state") if equilibrium else f"t = {duration(stamp)}"
        return cls(folder, case, read_body(place / file), when, place / file)


def read_body(path: Path, extra: Sequence[str] = SHOWN, *, by: str = "phase") -> Body:
    """Mesh and drawn fields from a ``.vtu`` or ``.pvtu`` file.

    Args:
        path: The file.
        extra: Names of further fields, constant per cell; those that are not there are left out.
        by: The field whose values tell where the body is split, if there is one.

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

    def in_cells(name: str) -> Array | None:
        return np.asarray(grid.cell_data[name], np.float64) if name in grid.cell_data else None

    def placed(name: str) -> Placed:
        if name in grid.point_data:
            return "nodes", np.asarray(grid.point_data[name], np.float64)[keep]
        if (values := in_cells(f"{name}{CORNERS}")) is not None:
            return "corners", values
        if (values := in_cells(name)) is not None:
            return "cells", values
        raise OutputError(f"{path} has no field {name}.")

    further = {name: values for name in extra if (values := in_cells(name)) is not None}
    return Body.of(points, cells, placed("concentration"), placed("hydrostatic_stress"), in_cells(by), further)


def read_facets(path: Path) -> Facets:
    """The network from a file of ``grain_boundaries``.

    Raises:
        OutputError: If it can't be read.
    """
    import pyvista

    try:
        grid: Any = pyvista.read(path)
        points, values = np.asarray(grid.points, np.float64), np.asarray(grid.point_data[FIELD], np.float64)
        count = {3: 2, 5: 3}[int(grid.celltypes[0])]  # VTK's line and triangle
        cells = np.asarray(grid.cells, np.int64).reshape(-1, count + 1)[:, 1:]
        classes = np.rint(np.asarray(grid.cell_data["class"])).astype(np.int32)
    except Exception as error:  # VTK's readers raise whatever they like
        raise OutputError(f"Can't read {path}: {error}.") from error
    return Facets(points[cells], values.reshape(len(points))[cells], classes.reshape(-1))


def _boundaries(run: _Run, rows: Mapping[str, Sequence[float]]) -> list[Path]:
    """Draw the pictures of grain boundaries."""
    folder, case = run.folder, run.case
    entries = read_index(folder.grain_boundaries)
    first, last = "boundary_mean_concentration_", []
    names = [name.removeprefix(first) for name in rows if name.startswith(first)]  # in the order of the classes
    if entries:
        facets = read_facets(folder.path / entries[-1][1])
        last.append(folder.figures / "grain_boundaries.png")
        plane = plane_of(read_body(run.file, (MISES,), by=GRAIN))
        draw_boundaries(facets, names, plane, last[-1], title=case.title, when=run.when)
    if draw_fronts(rows, folder.figures / "fronts.png", title=case.title):
        last.append(folder.figures / "fronts.png")
    return last
