"""Solving with the constant stiffness K in 2D: chemomech's own factorisation against CHOLMOD and MUMPS.

    ./chemomech-env python benchmarks/displacement.py --unknowns 161604 643204 --json displacement.json

K is that of ``edge2d``. All solvers stand in one process and take turns; times are the fastest of ``--repeat``, in
CPU seconds of that process. CHOLMOD and MUMPS get K as PETSc gives it to them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI
from petsc4py import PETSc
from problem import case_of

from chemomech.simulation import Simulation
from chemomech.solvers.substructures import Substructures

Row = dict[str, Any]
Solve = Callable[[PETSc.Vec, PETSc.Vec], None]


def own(matrix: PETSc.Mat, places: Any) -> tuple[Solve, float]:
    """The factorisation of chemomech; its solve and the entries it stores."""
    made = Substructures(matrix, places)
    return made.solve, float(made.stored)


def package(matrix: PETSc.Mat, name: str) -> tuple[Solve, float]:
    """A Cholesky factorisation by a package that PETSc knows."""
    ksp = PETSc.KSP().create(matrix.comm)
    ksp.setOperators(matrix)
    ksp.setType("preonly")
    pc = ksp.getPC()
    pc.setType("cholesky")
    pc.setFactorSolverType(name)
    ksp.setUp()
    return ksp.solve, float(pc.getFactorMatrix().getInfo(PETSc.Mat.InfoType.GLOBAL_SUM)["nz_used"])


def measure(unknowns: int, repeat: int) -> Row:
    """Set-up and solves of all three."""
    simulation = Simulation(case_of("edge2d", unknowns, linear="block"), MPI.COMM_SELF)
    system = simulation.solver.system
    matrix = PETSc.Mat()
    system.blocks[0][0].convert("aij", matrix)  # chemomech keeps its upper half
    matrix.setOption(PETSc.Mat.Option.SPD, True)
    space = system.functions[0].function_space
    places = space.tabulate_dof_coordinates()[: space.dofmap.index_map.size_local, :2]
    row: Row = {"unknowns": system.dofs(), "unknowns_of_K": matrix.getSize()[0], "repeat": repeat}
    solves: dict[str, Solve] = {}
    for name in ("chemomech", "cholmod", "mumps"):
        start = time.process_time()
        solve, stored = own(matrix, places) if name == "chemomech" else package(matrix, name)
        row[name] = {"setup_s": time.process_time() - start, "entries": stored, "solve_s": np.inf}
        solves[name] = solve
    b, x = matrix.createVecRight(), matrix.createVecRight()
    b.setRandom()
    found = {}
    for _ in range(repeat):
        for name, solve in solves.items():
            start = time.process_time()
            solve(b, x)
            row[name]["solve_s"] = min(row[name]["solve_s"], time.process_time() - start)
            found[name] = x.array.copy()
    scale = np.max(np.abs(found["mumps"]))
    row["largest_difference"] = float(np.max(np.abs(found["chemomech"] - found["mumps"])) / scale)
    simulation.destroy()
    return row


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unknowns", type=int, nargs="+", default=[161_604])
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = [measure(n, given.repeat) for n in given.unknowns]
    for row in rows:
        print(
            f"{row['unknowns']} unknowns, {row['unknowns_of_K']} of K; solutions {row['largest_difference']:.0e} apart"
        )
        for name in ("chemomech", "cholmod", "mumps"):
            r = row[name]
            print(
                f"  {name:9s} solve {1e3 * r['solve_s']:6.1f} ms, set-up {r['setup_s']:.2f} s, "
                f"{r['entries'] / 1e6:.1f} million entries"
            )
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
