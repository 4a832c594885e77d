"""Lithium in a polycrystal with all its grain boundaries: iterations, time and memory of a Newton step.

    ./chemomech-env python benchmarks/network.py plane --grains 1000 --unknowns 1000000 --json network2d.json
    ./chemomech-env python benchmarks/network.py solid --grains 100 --unknowns 200000 --json network3d.json

Silver grains of 1 um with random orientations, a contact at the top, a few equal steps of backward Euler. Each ratio
D_gb/D of the diffusivities of random boundaries and grains (``--ratios``) is an ``mpirun`` of its own; D_gb stays. The
ratio ``none`` leaves the boundaries out: the same body, one mesh, one contact. Meshes are kept in ``--cache``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from problem import peak_memory
from run import environment
from scaling import Clocks, Timed

if TYPE_CHECKING:
    from chemomech.case import Case
    from chemomech.meshing.arrays import MeshArrays

GRAIN = 1e-6  # mean size, m
ALONG = 1.7e-14  # D of random boundaries, m^2/s
TEMPERATURE = 303.15
STEPS, STEP = 4, 60.0  # s: sqrt(D_gb dt) is the size of a grain
NONE = "none"
SIZED = {"plane": (5.0, 1.2), "solid": (5.0, 1.4)}
"""Unknowns per node of the mesh, and nodes per volume of cells of size one."""
Row = dict[str, Any]


# -- the body --------------------------------------------------------------------------------------------------------


def arrays_of(kind: str, grains: int, unknowns: int, cache: Path) -> tuple[MeshArrays, dict[str, Any]]:
    """The mesh of a polycrystal, from the cache if it is there, and what is known of it."""
    from chemomech.meshing.arrays import MeshArrays
    from chemomech.meshing.grains import mesh_grains
    from chemomech.microstructure.voronoi import polycrystal

    path = cache / f"{kind}-{grains}-{unknowns}.npz"
    if not path.is_file():
        dimension = 2 if kind == "plane" else 3
        edge = GRAIN * grains ** (1.0 / dimension)
        per_node, packing = SIZED[kind]
        size = edge * (packing * per_node / unknowns) ** (1.0 / dimension)
        start = time.perf_counter()
        structure = polycrystal(dimension, [edge] * dimension, number=grains, lloyd=3, phase="silver", seed=5)
        arrays = mesh_grains(structure, size).to_arrays("class")
        known = {
            "grains": len(structure),
            "junctions": len(structure.junctions.lines) or len(structure.junctions),
            "boundaries": len(structure.pairs),
            "time_mesh_s": time.perf_counter() - start,
        }
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(path, known=np.frombuffer(json.dumps(known).encode(), dtype=np.uint8), **arrays.to_dict())
    with np.load(path) as data:
        known = json.loads(bytes(data["known"]).decode())
        return MeshArrays.from_dict(dict(data)), known


def case_of(arrays: MeshArrays, ratio: float | None, linear: str = "block") -> Case:
    """Silver with a contact at the top; without boundaries if there is no ratio."""
    from chemomech.case import Case
    from chemomech.materials.laws import GAS_CONSTANT

    low = {"diffusivity": ALONG / 100.0, "segregation_energy": -5e3}
    classes = {
        "default": {"width": "0.5 nm", "partial_molar_volume": "8.9e-6 m^3/mol"},
        "HAGB": {"diffusivity": ALONG, "segregation_energy": -12e3, "interaction": -1.0},
        "LAGB": low,
        "twin": low,
    }
    inside = {name: law for name, law in classes.items() if name in arrays.boundaries or name == "default"}
    grain = {"library": "Ag", "diffusivity": ALONG / (ratio or 1.0), "elasticity": {"kind": "cubic"}}
    contact = GAS_CONSTANT * TEMPERATURE * float(np.log(0.02 / 0.98))
    sides = {0: "left", 1: "bottom", 2: "back"}
    held: dict[str, Any] = {sides[k]: {"roller": True} for k in range(arrays.dimension)}
    return Case.model_validate(
        {
            "domain": {"shape": "file", "path": "polycrystal.msh"},
            "temperature": TEMPERATURE,
            "materials": {"silver": grain},
            "grain_boundaries": {} if ratio is None else inside,
            "boundaries": held | {"top": {"chemical_potential": contact}},
            "initial": {"concentration": 0.01},
            "time": {"end": STEPS * STEP, "fixed_step": STEP, "scheme": "backward-euler"},
            "solver": {"linear": linear},
        }
    )


# -- one run, on every rank ------------------------------------------------------------------------------------------


def measure(kind: str, grains: int, unknowns: int, ratio: float | None, cache: Path, path: Path) -> None:
    """The steps; rank 0 writes what they took."""
    from mpi4py import MPI

    from chemomech.simulation import Simulation

    comm = MPI.COMM_WORLD
    found = comm.bcast(arrays_of(kind, grains, unknowns, cache) if comm.rank == 0 else None)
    arrays, known = found
    start = time.perf_counter()
    simulation = Simulation(case_of(arrays, ratio), comm, arrays if comm.rank == 0 else None, given=True)
    simulation.begin()
    set_up = time.perf_counter() - start
    made = peak_memory()
    stack, clocks = simulation.solver, Clocks()
    elimination, system = stack._elimination, stack.system
    assert elimination is not None
    wrapped = [
        ("jacobian", system, "jacobian"),
        ("residual", system, "residual"),
        ("eliminate", system, "eliminate"),
        ("K", elimination.displacement, "solve"),
        ("set-up", elimination, "setUp"),
        ("newton", stack.newton, "solve"),
    ]
    for name, owner, method in wrapped:
        setattr(owner, method, clocks.around(name, getattr(owner, method)))
    control = simulation.control()
    each: list[tuple[int, int]] = []
    while simulation.time < control.end * (1.0 - 1e-12):
        before = simulation.newton_iterations, simulation.linear_iterations
        simulation.advance(control)
        each.append((simulation.newton_iterations - before[0], simulation.linear_iterations - before[1]))
        if len(each) == 1 and elimination._ksp is not None:
            elimination._ksp = Timed(elimination._ksp, clocks, "S")
    newton, linear = simulation.newton_iterations, simulation.linear_iterations
    seconds = {name: comm.allreduce(value) / comm.size / newton for name, value in clocks.seconds.items()}
    classes = {} if simulation.physics.network is None else simulation.physics.network.c
    row = {
        "kind": kind,
        "ratio": NONE if ratio is None else ratio,
        **known,
        "cells": len(arrays.cells),
        "unknowns": system.dofs(),
        "boundary_unknowns": sum(c.function_space.dofmap.index_map.size_global for c in classes.values()),
        "components": simulation.physics.u.function_space.dofmap.bs,
        "ranks": comm.size,
        "steps": simulation.step,
        "rejected": simulation.rejected,
        "newton_iterations": newton,
        "linear_iterations": linear,
        "linear_per_newton": linear / newton,
        "steps_newton_linear": each,
        "schur_setups": elimination.setups,
        "blocks": system.assemblies["block"],
        "time_set_up_s": set_up,
        "time_per_newton_s": seconds["newton"],
        "split_s": seconds,
        "peak_memory_bytes": comm.allreduce(peak_memory()),
        "set_up_memory_bytes": comm.allreduce(made),
        "mass_relative_drift": simulation.row()["mass_relative_drift"],
        "means": {} if not classes else simulation.physics.network.means(),
    }
    if comm.rank == 0:
        path.write_text(json.dumps(row) + "\n")
    if isinstance(elimination._ksp, Timed):
        elimination._ksp = elimination._ksp.thing
    simulation.destroy()


# -- all runs --------------------------------------------------------------------------------------------------------


def launched(given: argparse.Namespace, ratio: str) -> Row:
    """What a run of this script on some ranks wrote.

    Raises:
        SystemExit: It failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        words = [given.kind, "--grains", given.grains, "--unknowns", given.unknowns, "--cache", given.cache]
        command = [sys.executable, __file__, *map(str, words), "--measure", ratio, "--json", str(out)]
        if given.ranks > 1:
            command = ["mpirun", "--oversubscribe", "-n", str(given.ranks), *command]
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment(), check=False, timeout=3600,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit("\n".join([f"failed: {' '.join(command)}", *done.stderr.splitlines()[-25:]]))
        row: Row = json.loads(out.read_text())
    return row


def show(row: Row, first: bool) -> None:
    """One line of the table."""
    if first:
        print(
            f"{row['kind']}: {row['grains']} grains, {row['boundaries']} boundaries, {row['junctions']} junctions, "
            f"{row['cells']} cells, u of {row['components']} components, {row['ranks']} ranks, {row['steps']} steps"
        )
        print("   D_gb/D unknowns Newton linear per Newton  s per Newton    set-up s    memory GB   drift")
    name = row["ratio"] if row["ratio"] == NONE else f"{row['ratio']:.0e}"
    print(
        f"{name:>9s}{row['unknowns']:9d}{row['newton_iterations']:7d}{row['linear_iterations']:7d}"
        f"{row['linear_per_newton']:11.1f}{row['time_per_newton_s']:14.2f}{row['time_set_up_s']:12.1f}"
        f"{row['peak_memory_bytes'] / 1e9:13.2f}{row['mass_relative_drift']:9.0e}"
    )
    print("          ", {k: round(v, 3) for k, v in row["split_s"].items()}, row["steps_newton_linear"], flush=True)


def main() -> None:
    """Measure one ratio, or start the measurement of several."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=[*SIZED])
    parser.add_argument("--grains", type=int, default=1000)
    parser.add_argument("--unknowns", type=int, default=1_000_000)
    parser.add_argument("--ratios", default="none,1,1e2,1e4,1e6,1e8")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "chemomech-network")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--measure", metavar="RATIO", help="one ratio, on the ranks this process was started on")
    given = parser.parse_args()
    if given.measure is not None:
        ratio = None if given.measure == NONE else float(given.measure)
        measure(given.kind, given.grains, given.unknowns, ratio, given.cache, given.json)
        return
    arrays_of(given.kind, given.grains, given.unknowns, given.cache)
    rows: list[Row] = []
    for ratio in given.ratios.split(","):
        rows.append(launched(given, ratio))
        show(rows[-1], len(rows) == 1)
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
