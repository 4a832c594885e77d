"""What the command line does with a measured map: mesh, tables, picture, and what to say of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from chemomech.errors import CaseError, OutputExistsError
from chemomech.frozen import Invalid
from chemomech.meshing.arrays import table_of
from chemomech.meshing.ebsd import MapMesh, mesh_map
from chemomech.meshing.grains import By
from chemomech.meshing.grains2d import Progress
from chemomech.microstructure.ebsd.kam import kam
from chemomech.microstructure.plots import overview
from chemomech.microstructure.statistics import class_fractions, fit_log_normal
from chemomech.output.folder import write_atomic
from chemomech.units import pretty, to_si

_MESHES = (".msh", ".vtu")


def mesh_of_map(
    source: str,
    size: str | None,
    out: str | None,
    figure: str | None,
    *,
    boundary_size: str | None = None,
    angle: float = 10.0,
    minimum: int = 5,
    quality: dict[str, float] | None = None,
    largest_hole: int | None = None,
    pseudosymmetry: bool = False,
    by: By = "class",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> str:
    """Mesh a map and write mesh, ``*.grains.csv`` and picture; return what to say.

    Args:
        source: The map.
        size: Length of edges in words such as ``0.2um``; the step of the map if None.
        out: A .msh or .vtu file; named after the map if None.
        figure: A picture; beside the mesh if None.
        boundary_size: Length of edges at boundaries.
        angle: Degrees between points of two grains.
        minimum: Points of the smallest grain.
        quality: Least value by name of a quality.
        largest_hole: Holes of more points stay open.
        pseudosymmetry: Undo false 60 degrees <111> solutions.
        by: How cells and boundaries are tagged.
        overwrite: Replace files.
        progress: Called with what is done.

    Raises:
        CaseError: If the map or an option is wrong.
        OutputExistsError: If a file is there.
    """
    path = Path(out) if out else Path(Path(source).with_suffix(".msh").name)
    if path.suffix not in _MESHES:
        raise CaseError("--out", str(path), "this ending is not known", " or ".join(_MESHES))
    picture = Path(figure) if figure else path.with_suffix(".png")
    table = table_of(path)
    for file in (path, picture, table):
        if file.exists() and not overwrite:
            raise OutputExistsError(f"{file} is there already. Give --overwrite to replace it, or another --out.")
    length = None if size is None else _length("--size", size)
    fine = None if boundary_size is None else _length("--boundary-size", boundary_size)
    made = mesh_map(
        source, length, boundary_size=fine, angle=angle, minimum=minimum, quality=quality,
        largest_hole=largest_hole, pseudosymmetry=pseudosymmetry, progress=progress,
    )  # fmt: skip
    made.mesh.save(path, by)
    write_atomic(table, _grains(made).encode())
    overview(made.structure, picture, title=Path(source).name, ebsd=made.measured, kam=kam(made.cleaned))
    return words(made, path, table, picture)


def _length(key: str, text: str) -> float:
    try:
        value = to_si(text, "m")
    except Invalid as error:
        raise CaseError(key, text, error.problem, "a length such as 0.2um") from None
    if not value > 0.0:
        raise CaseError(key, text, "the size of cells must be positive", "a length such as 0.2um")
    return value


def _grains(made: MapMesh) -> str:
    """The table of the grains with the spread of their points (degrees) and how many there are."""
    points = np.bincount(made.labels[made.labels >= 0], minlength=len(made.structure))
    extra = {"spread_deg": made.spread.tolist(), "points": points.tolist()}
    return made.mesh.to_arrays("phase").grain_table(extra)


def words(made: MapMesh, path: Path, table: Path, picture: Path) -> str:
    """The outcome in a few lines."""
    s, q = made.structure, made.mesh.quality()
    fit = fit_log_normal(s.diameters) if len(s) > 2 else None
    size = f", median {pretty(float(fit.median), 'm')}, log-normal width {fit.sigma:.2f}" if fit is not None else ""
    parts = {name: found["fraction"] for name, found in class_fractions(s).items()}
    classes = ", ".join(f"{name} {100.0 * part:.3g} %" for name, part in parts.items() if part > 0.0)
    indexed = float(np.mean(made.measured.indexed))
    rows = [
        ("map", f"{len(made.measured)} points, step {pretty(made.measured.step, 'm')}, {100 * indexed:.3g} % indexed"),
        *(("clean-up", str(report)) for report in made.reports),
        ("grains", f"{len(s)}{size}"),
        ("boundaries", f"{pretty(float(s.measures.sum()), 'm')}: {classes or 'none'}"),
        ("cells", f"{q.cells} triangles, shape {q.worst:.3f} worst, {q.mean:.3f} mean (1: equal edges)"),
        ("areas", f"of the grains within {100.0 * float(np.abs(made.area_changes).max()):.2g} % of their points"),
        *(("warning", text) for text in made.warnings),
        ("written", f"{path}, {table}, {picture}"),
    ]
    return "\n".join(f"{key:<12}{value}" for key, value in rows)
