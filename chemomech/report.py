"""What the command line says of runs and meshes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from chemomech.case import Case
from chemomech.case.compare import check_continues
from chemomech.meshing.arrays import MeshArrays
from chemomech.meshing.quality import quality
from chemomech.units import pretty

if TYPE_CHECKING:
    from chemomech.result import Result


def finished(case: Case, out: Path) -> str:
    """What to say of a run in ``out`` that has nothing left to do; empty if it has.

    Raises:
        CaseError: If the run was begun with another case.
    """
    stored = out / "case.toml"
    if not stored.is_file():
        return ""
    check_continues(Case.load(stored), case, out)
    try:
        summary = json.loads((out / "summary.json").read_text())
        steps, end = int(summary["steps"]), float(summary["end_time_s"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    if case.mode == "equilibrium":
        return f"{out} is finished: its equilibrium is found. --overwrite computes it again."
    if case.time.end is None or end < case.time.end * (1.0 - 1e-12):
        return ""
    return (
        f"{out} is finished: t = {pretty(end, 's')} was reached after {steps} steps. To go on, give a later end, "
        f"for example --set time.end='{pretty(2 * end, 's')}'; --overwrite computes it again."
    )


def run_table(result: Result, out: Path) -> str:
    """The outcome of a run in a few lines."""
    from chemomech.output.progress import clock

    s = result.summary
    pictures = sorted((out / "figures").glob("*.png"))
    ranks = "1 core" if s["ranks"] == 1 else f"{s['ranks']} cores"
    low, high = s["hydrostatic_stress_min_Pa"], s["hydrostatic_stress_max_Pa"]
    scale, unit = next(((f, u) for f, u in ((1e9, "GPa"), (1e6, "MPa")) if max(-low, high) >= 0.1 * f), (1.0, "Pa"))
    rows = [
        ("lithium fraction", f"{s['concentration_min']:.4g} to {s['concentration_max']:.4g}"),
        ("hydrostatic stress", f"{low / scale:.4g} to {high / scale:.4g} {unit}"),
        ("lithium drift", f"{s['mass_relative_drift']:.1e} of the whole"),
        ("steps", f"{s['steps']}, {s['newton_iterations']} Newton iterations, {s['dofs']} unknowns"),
        ("wall time", f"{clock(s['wall_time_s'])} ({s['wall_time_s']:.1f} s) on {ranks}"),
        ("pictures", ", ".join(map(str, pictures)) or "none"),
        ("fields", f"{out / 'fields.pvd'} (opens in ParaView)"),
    ]
    return "\n".join(f"  {key:<20}{value}" for key, value in rows)


def mesh_table(mesh: MeshArrays) -> str:
    """Counts, sizes and quality of a mesh in a few lines."""
    q = quality(mesh)
    kind = "triangles" if mesh.dimension == 2 else "tetrahedra"
    worst = ", ".join(pretty(x, "m") for x in q.worst_at)
    twins = f", of which {q.twins} stand for one on the opposite side" if q.twins else ""
    rows = [
        ("cells", f"{q.cells} {kind}: {_counts(q.cells_of)}"),
        ("nodes", f"{q.nodes}{twins}, about {(mesh.dimension + 2) * (q.nodes - q.twins)} unknowns"),
        ("boundaries", _counts(q.facets_of)),
        *([("interfaces", _counts(q.interfaces_of))] if q.interfaces_of else []),
        ("edges", f"{pretty(q.shortest, 'm')} to {pretty(q.longest, 'm')}"),
        ("shape", f"{q.worst:.3f} worst, {q.mean:.3f} mean (1: equal edges), worst at ({worst})"),
    ]
    return "\n".join(f"{key:<12}{value}" for key, value in rows)


def _counts(numbers: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items()) or "none"
