"""Cycles of computing, estimating the error and meshing anew, until the mesh is as fine as it has to be."""

from __future__ import annotations

import gc
import time as clock
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from mpi4py import MPI

from chemomech.analysis.recovery import PEAKS, CellState, Estimate, estimate, gather_cells
from chemomech.case import Case
from chemomech.case.parts import Adapt
from chemomech.meshing.arrays import MeshArrays
from chemomech.meshing.generate import generate
from chemomech.meshing.sizing import Sizes, cell_sizes, for_energy, for_peak, largest_sizes, predicted_cells
from chemomech.parallel import on_rank_zero
from chemomech.simulation import Simulation
from chemomech.typing import Longs

Tell = Callable[[MPI.Comm, str], None]
_AIM = 0.7  # of the tolerance: what the next mesh is made for
_SLOWEST = 0.4  # of the error: what the next mesh leaves at most
_CLOSE = (0.05, 0.3)  # cells whose stress is this close to the peak may become the peak
_SMALL = 0.1  # of the larger peak: a smaller one does not matter
_AGREE = 0.8  # two meshes closer than this tell no more than two of this ratio
_FULL = 0.8  # of the unknowns allowed: a mesh with more is the last


@dataclass(frozen=True, slots=True)
class _Solved:
    """A state on one mesh; what is known of its cells is on rank 0 only.

    Attributes:
        mesh: The mesh.
        cells: What its cells hold.
        unknowns: Of the equations.
        energy: Free energy, J or J/m.
    """

    mesh: MeshArrays | None
    cells: CellState | None
    unknowns: int
    energy: float


@dataclass(frozen=True, slots=True)
class _Judged:
    """What one mesh gave, on rank 0.

    Attributes:
        mesh: The mesh.
        unknowns: Of the equations.
        energy: Free energy, J or J/m.
        estimate: What its stress says about its error.
        size: Of the cells at the peaks, m.
        errors: Relative error of the energy, and of each of ``PEAKS``.
    """

    mesh: MeshArrays
    unknowns: int
    energy: float
    estimate: Estimate
    size: float
    errors: dict[str, float]


def adapted(case: Case, comm: MPI.Comm, tell: Tell) -> tuple[MeshArrays | None, dict[str, Any]]:
    """Make the mesh a case asks for with ``mesh.adapt``. Collective.

    Args:
        case: The case.
        comm: Ranks that compute together.
        tell: Gets one line per mesh, on every rank.

    Returns:
        The mesh on rank 0 (None elsewhere), and ``adapt_cycles`` and ``adapt_reached`` for the summary.

    Raises:
        CaseError: If a mesh can't be made.
        ConvergenceError: If a state is not found.
    """
    rules = case.mesh.adapt
    if rules is None:
        raise ValueError("the case does not say how to adapt its mesh")
    rows: list[dict[str, Any]] = []
    last: list[_Judged] = []  # on rank 0
    made: list[MeshArrays] = []
    while True:
        began = clock.perf_counter()
        solved = _solved(case, comm, made[0] if made else None, given=bool(rows))
        row = on_rank_zero(comm, partial(_judge, rules, solved, last))
        rows.append(row | {"wall_time_s": clock.perf_counter() - began})
        reached = row["estimate"] <= rules.tolerance and (rules.quantity == "energy" or len(rows) > 1)
        tell(comm, _line(rows, rules))
        full = len(rows) > 1 and solved.unknowns > _FULL * rules.max_unknowns
        if reached or full or len(rows) == rules.max_cycles:
            break
        on_rank_zero(comm, partial(_remesh, case, rules, last, made))
    if not reached:
        tell(comm, _gave_up(rows, rules))
    rows = comm.bcast(rows, root=0)  # times differ
    return solved.mesh, {"adapt_cycles": rows, "adapt_reached": reached}


def _solved(case: Case, comm: MPI.Comm, mesh: MeshArrays | None, *, given: bool) -> _Solved:
    """The state at t = 0, or the final one in equilibrium. Collective."""
    simulation = Simulation(case, comm, mesh, given=given)
    try:
        simulation.begin()
        if case.mode == "equilibrium":
            simulation.equilibrate()
        physics = simulation.physics
        energy = physics.free_energy() * physics.scales.energy(simulation.body.dimension)
        cells = gather_cells(physics, simulation.derived)
        return _Solved(simulation.arrays, cells, simulation.solver.system.dofs(), energy)
    finally:
        simulation.destroy()
        del simulation
        gc.collect()  # what is destroyed collectively must not wait for a moment of each rank's own


def _judge(rules: Adapt, solved: _Solved, last: list[_Judged]) -> dict[str, Any]:
    """The errors of a mesh, put in the place of the ``last``, and its row of ``adapt_cycles``."""
    if solved.mesh is None or solved.cells is None:
        raise ValueError("rank 0 holds the mesh")
    found = estimate(solved.mesh, solved.cells)
    size = float(np.median(cell_sizes(solved.mesh)[_close_to_peaks(found, [_CLOSE[0]] * len(PEAKS))]))
    errors = _errors(found, solved.energy, size, last[0] if last else None)
    last[:] = [_Judged(solved.mesh, solved.unknowns, solved.energy, found, size, errors)]
    return _row(last[0], rules)


def _remesh(case: Case, rules: Adapt, last: list[_Judged], made: list[MeshArrays]) -> None:
    made[:] = [_next(case, rules, last[0])]


def _errors(found: Estimate, energy: float, size: float, last: _Judged | None) -> dict[str, float]:
    """Relative errors: what the mesh says of itself, and what it changed.

    The energy converges like the squared error: two meshes with the estimates e_1 > e_2 that differ by D leave
    D e_2/(e_1 - e_2); the larger of this and of the estimate counts. The recovered peak is closer to the true one than
    that of a cell; the distance between both counts, and what is left of the change of the recovered one, which
    converges at least like the size of the cells there.
    """
    errors = {"energy": found.energy_error}
    if last is not None and found.energy > 0.0:
        left = min(float(found.squares.sum() / last.estimate.squares.sum()), _AGREE)
        errors["energy"] = max(errors["energy"], abs(energy - last.energy) * left / (1.0 - left) / found.energy)
    largest = max(peak.recovered for peak in found.peaks)
    for k, peak in enumerate(found.peaks):
        error = 0.0
        if peak.recovered > _SMALL * largest:
            error = abs(peak.found - peak.recovered)
            if last is not None:
                left = min(size / last.size, _AGREE)
                error += abs(peak.recovered - last.estimate.peaks[k].recovered) * left / (1.0 - left)
            error /= peak.recovered
        errors[peak.name] = error
    return errors


def _error(cycle: _Judged, rules: Adapt) -> float:
    """That of the quantity that is to be right."""
    return max(cycle.errors[name] for name in (["energy"] if rules.quantity == "energy" else PEAKS))


def _row(cycle: _Judged, rules: Adapt) -> dict[str, Any]:
    """What ``adapt_cycles`` says of a mesh."""
    per = "_per_m" if cycle.mesh.dimension == 2 else ""
    return {
        "unknowns": cycle.unknowns,
        "cells": len(cycle.mesh.cells),
        "quantity": rules.quantity,
        "estimate": _error(cycle, rules),
        f"free_energy_J{per}": cycle.energy,
        f"elastic_energy_J{per}": cycle.estimate.energy,
        **{f"{peak.name}_peak_Pa": peak.found for peak in cycle.estimate.peaks},
        **{f"{peak.name}_recovered_Pa": peak.recovered for peak in cycle.estimate.peaks},
    }


def _line(rows: list[dict[str, Any]], rules: Adapt) -> str:
    row = rows[-1]
    what = "energy" if rules.quantity == "energy" else "peak stress"
    alone = " on one mesh alone" if len(rows) == 1 and rules.quantity != "energy" else ""
    return (
        f"mesh {len(rows)}: {row['unknowns']} unknowns, {row['cells']} cells, estimated error of the {what} "
        f"{100 * row['estimate']:.2g} %{alone} (wanted {100 * rules.tolerance:.2g} %), {row['wall_time_s']:.1f} s"
    )


def _gave_up(rows: list[dict[str, Any]], rules: Adapt) -> str:
    limit = "mesh.adapt.max_cycles" if len(rows) == rules.max_cycles else "mesh.adapt.max_unknowns"
    value = getattr(rules, limit.rpartition(".")[2])
    return (
        f"The tolerance was not reached: {limit} = {value} came first. The run goes on with the last mesh. A stress "
        "that grows from mesh to mesh has no peak: look at edges where an interface or a held boundary ends"
    )


def _next(case: Case, rules: Adapt, cycle: _Judged) -> MeshArrays:
    """The next mesh; on rank 0."""
    mesh, found, error = cycle.mesh, cycle.estimate, _error(cycle, rules)
    ratio = float(np.clip(_AIM * rules.tolerance / error if error > 0.0 else 1.0, rules.reduction, _SLOWEST))
    largest = largest_sizes(case, mesh.points)
    if rules.quantity == "energy":
        sizes = for_energy(mesh, found.squares, ratio, largest)
    else:
        near = [float(np.clip(2.0 * cycle.errors[name], *_CLOSE)) for name in PEAKS]
        sizes = for_peak(mesh, found.squares, _close_to_peaks(found, near), ratio**0.5, largest)
    per_cell = cycle.unknowns / len(mesh.cells)
    cells = predicted_cells(mesh, sizes)
    for _ in range(4):
        # Less than allowed, as the number of cells is not exactly what was predicted.
        sizes = _within(sizes, cells * per_cell, rules.max_unknowns, mesh.dimension)
        made = generate(case, sizes)
        cells = len(made.cells)
        if cells * per_cell <= rules.max_unknowns:
            break
    return made


def _within(sizes: Sizes, unknowns: float, limit: int, dimension: int) -> Sizes:
    """Sizes of a mesh with no more unknowns than allowed."""
    return sizes if unknowns <= limit else sizes.scaled((unknowns / (0.95 * limit)) ** (1.0 / dimension))


def _close_to_peaks(found: Estimate, close: Sequence[float]) -> Longs:
    """The cells whose stress is by no more than a part of it below the peak; of each of ``PEAKS`` another part."""
    near = np.zeros(len(found.squares), dtype=bool)
    largest = max(peak.found for peak in found.peaks)
    for k, (peak, part) in enumerate(zip(found.peaks, close, strict=True)):
        if peak.found > _SMALL * largest:
            near |= found.magnitudes[:, k] >= (1.0 - part) * peak.found
    return np.flatnonzero(near)
