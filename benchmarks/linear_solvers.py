"""Direct solver against block elimination: time per Newton step over the number of unknowns, in one interleaved run.

    ./chemomech-env python benchmarks/linear_solvers.py [--repeat 3] [--json FILE]

Both do the same work: same mesh, same fixed steps, same tolerance; Newton and linear iterations are printed. The
crossing sets DIRECT_LIMIT in chemomech/solvers/stack.py.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

from mpi4py import MPI

import chemomech as cm
from chemomech.simulation import Simulation

SIZES_2D = (2.0, 1.0, 0.6, 0.4, 0.2)  # nm, for 40 nm
SIZES_3D = (2.0, 1.3, 1.0)  # nm, for 16 nm
STEPS = 4


def case(dimension: int, size: float, solver: str) -> cm.Case:
    """An edge dislocation on a uniform mesh, a few fixed steps."""
    side, line = f"{40 if dimension == 2 else 16} nm", "2.5 nm"
    centre = ["0 nm"] * dimension
    return cm.Case.model_validate(
        {
            "domain": {"shape": "rectangle" if dimension == 2 else "box", "size": [side] * dimension},
            "mesh": {"size": f"{size} nm", "structured": True},
            "materials": {"llzo": {"library": "LLZO"}},
            "dislocations": [{"position": centre, "burgers": ["1.124 nm", *["0 nm"] * (dimension - 1)], "core": line}],
            "boundaries": {"outer": {"traction": "dislocations"}},
            "time": {"end": "8 us", "fixed_step": "2 us"},
            "solver": {"linear": solver},
        }
    )


def measure(dimension: int, size: float, solver: str) -> dict[str, Any]:
    """Seconds per Newton step, set-up apart."""
    simulation = Simulation(case(dimension, size, solver), MPI.COMM_WORLD)
    simulation.begin()
    control = simulation.control()
    start = time.perf_counter()
    for _ in range(STEPS):
        simulation.advance(control)
    seconds = time.perf_counter() - start
    row = {
        "dimension": dimension,
        "unknowns": simulation.solver.system.dofs(),
        "solver": solver,
        "newton_iterations": simulation.newton_iterations,
        "linear_iterations": simulation.linear_iterations,
        "time_per_newton_s": seconds / simulation.newton_iterations,
    }
    simulation.destroy()
    return row


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    for dimension, sizes in ((2, SIZES_2D), (3, SIZES_3D)):
        for size in sizes:
            runs: dict[str, list[dict[str, Any]]] = {"direct": [], "block": []}
            for _ in range(given.repeat):
                for solver, done in runs.items():
                    done.append(measure(dimension, size, solver))
            for done in runs.values():
                rows.append({**done[0], "time_per_newton_s": median(r["time_per_newton_s"] for r in done)})
            direct, block = rows[-2], rows[-1]
            if MPI.COMM_WORLD.rank == 0:
                ratio = direct["time_per_newton_s"] / block["time_per_newton_s"]
                print(
                    f"{dimension}D {direct['unknowns']:7d} unknowns: direct {direct['time_per_newton_s']:.4f} s, "
                    f"block {block['time_per_newton_s']:.4f} s per Newton step, ratio {ratio:.2f}; "
                    f"Newton {direct['newton_iterations']} and {block['newton_iterations']}, "
                    f"linear {block['linear_iterations']}",
                    flush=True,
                )
    if given.json and MPI.COMM_WORLD.rank == 0:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
