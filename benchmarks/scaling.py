"""Strong and weak scaling of a Newton step, what it is made of, and how many bytes it has to read.

    ./chemomech-env python benchmarks/scaling.py --json scaling.json

Each run is an ``mpirun`` of its own with one thread per rank: one step of backward Euler to warm up, then four that are
timed. Strong scaling keeps the number of unknowns, weak scaling that per rank. Beside the times stands what the counted
bytes would take at the memory bandwidth that a triad of long vectors reaches on as many ranks.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from problem import KINDS, case_of
from run import environment

PARTS = ("assembly", "set-up", "K", "S", "vectors")
Row = dict[str, Any]


# -- one run, on every rank ----------------------------------------------------------------------------------------


class Clocks:
    """Seconds and calls of pieces of a program."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, timed."""

        def timed(*args: Any, **more: Any) -> Any:
            start = time.perf_counter()
            out = function(*args, **more)
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
            self.calls[name] = self.calls.get(name, 0) + 1
            return out

        return timed


class Timed:
    """A PETSc object whose ``solve`` is timed; PETSc's own can't be replaced."""

    def __init__(self, thing: Any, clocks: Clocks, name: str) -> None:
        self.thing, self.solve = thing, clocks.around(name, thing.solve)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.thing, name)


def measure(kind: str, unknowns: int, path: Path) -> None:
    """Time Newton's method over four steps and count its bytes; rank 0 writes."""
    from mpi4py import MPI
    from petsc4py import PETSc

    from chemomech.simulation import Simulation

    comm = MPI.COMM_WORLD
    simulation = Simulation(case_of(kind, unknowns, linear="block"), comm)
    stack, clocks = simulation.solver, Clocks()
    elimination, system = stack._elimination, stack.system
    assert elimination is not None
    statistics = elimination._prefix + "pc_hypre_boomeramg_print_statistics"
    PETSc.Options().setValue(statistics, 1)  # hypre tells how large its coarse levels are
    simulation.begin()
    control = simulation.control()
    simulation.advance(control)
    PETSc.Options().delValue(statistics)
    elimination._ksp = Timed(elimination._ksp, clocks, "S")
    wrapped: tuple[tuple[str, Any, str], ...] = (
        ("jacobian", system, "jacobian"),
        ("residual", system, "residual"),
        ("K", elimination.displacement, "solve"),
        ("set-up", elimination, "setUp"),
        ("newton", stack.newton, "solve"),
    )
    for name, owner, method in wrapped:
        setattr(owner, method, clocks.around(name, getattr(owner, method)))
    before = simulation.newton_iterations, simulation.linear_iterations
    comm.Barrier()
    while simulation.time < control.end * (1.0 - 1e-12):
        simulation.advance(control)
    newton, linear = simulation.newton_iterations - before[0], simulation.linear_iterations - before[1]
    seconds = {name: comm.allreduce(value, op=MPI.SUM) / comm.size for name, value in clocks.seconds.items()}
    split = {name: seconds[name] for name in ("set-up", "K", "S")}
    split["assembly"] = seconds["jacobian"] + seconds["residual"]
    split["vectors"] = seconds["newton"] - sum(split.values())
    row = {
        "kind": kind,
        "unknowns": system.dofs(),
        "ranks": comm.size,
        "newton_iterations": newton,
        "linear_iterations": linear,
        "residuals": clocks.calls["residual"],
        "time_per_newton_s": comm.allreduce(clocks.seconds["newton"], op=MPI.MAX) / newton,
        "split_s": {name: split[name] / newton for name in PARTS},
        "terms": terms(simulation),
    }
    if comm.rank == 0:
        path.write_text(json.dumps(row) + "\n")
    elimination._ksp = elimination._ksp.thing
    simulation.destroy()


def stored(matrix: Any) -> tuple[int, float]:
    """Nonzeros of a matrix on all ranks, and its bytes: 8 for a value, 4 for the place of a block."""
    from petsc4py import PETSc

    nonzeros = int(matrix.getInfo(PETSc.Mat.InfoType.GLOBAL_SUM)["nz_used"])
    block = matrix.getBlockSize() if "baij" in matrix.getType() else 1
    return nonzeros, nonzeros * (8.0 + 4.0 / block**2)


def terms(simulation: Any) -> dict[str, float]:
    """Bytes of what a Newton step reads, all ranks."""
    stack = simulation.solver
    system, elimination = stack.system, stack._elimination
    (last,) = elimination.potentials

    def total(matrices: Any) -> float:
        return sum(stored(m)[1] for m in matrices if m is not None)

    coupling = [
        b for k in elimination.phases for b in (system.blocks[0][k], system.blocks[k][last], system.blocks[last][k])
    ]
    if stack.displacement.exact:
        displacement = 2.0 * 8.0 * stack.displacement.stored()  # forward and backward; the blocks have few indices
    else:
        pc = stack.displacement.ksp.getPC()
        # Two steps of Chebyshev before, the first from zero, a residual, two steps behind; the transfer both ways.
        levels = [pc.getMGSmoother(k).getOperators()[0] for k in range(1, pc.getMGLevels())]
        transfer = [pc.getMGInterpolation(k) for k in range(1, pc.getMGLevels())]
        displacement = 4.0 * total(levels) + 2.0 * total(transfer)
    return {
        "jacobian": total(b for row in system.blocks for b in row),
        "coupling": total(coupling),
        "linear": total(m for row in system._linear for m in row),
        "moving_values": 8.0 * sum(stored(m.matrix)[0] for m in system._moving.values()),
        "displacement": displacement,
        "schur": stored(elimination._schur)[1],
        "vector": 8.0 * system.dofs(),
    }


def triad(path: Path, entries: int = 8_000_000, repeat: int = 10) -> None:
    """w = a x + y of PETSc vectors much longer than caches; rank 0 writes bytes per second of all ranks."""
    from mpi4py import MPI
    from petsc4py import PETSc

    comm = MPI.COMM_WORLD
    x, y, w = (PETSc.Vec().createSeq(entries, comm=PETSc.COMM_SELF) for _ in range(3))
    x.set(1.0)
    y.set(2.0)
    w.set(0.0)
    best = np.inf
    for _ in range(repeat):
        comm.Barrier()
        start = time.perf_counter()
        w.waxpy(0.5, x, y)
        comm.Barrier()
        best = min(best, comm.allreduce(time.perf_counter() - start, op=MPI.MAX))
    if comm.rank == 0:
        path.write_text(json.dumps({"bytes_per_second": comm.size * 3 * 8 * entries / best}) + "\n")


# -- all runs ------------------------------------------------------------------------------------------------------


def launched(ranks: int, *words: str) -> tuple[Row, str]:
    """What a run of this script on some ranks wrote into its file, and what it said.

    Raises:
        SystemExit: It failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        command = ["mpirun", "--oversubscribe", "-n", str(ranks), sys.executable, __file__, *words, "--out", str(out)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=environment(),
            check=False,
            timeout=600,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            raise SystemExit("\n".join([f"failed: {' '.join(command)}", *done.stderr.splitlines()[-20:]]))
        row: Row = json.loads(out.read_text())
    return row, done.stdout


def bytes_per_newton(row: Row) -> dict[str, float]:
    """Bytes a Newton step reads and writes, by part; cells' own data in kernels are left out.

    A Krylov iteration multiplies with the Jacobian once, applies the blocks that couple unknowns once, K^-1 and S^-1
    once. A V-cycle of BoomerAMG sweeps once down and once up and takes a residual, on S and its coarse levels. fgmres
    reads k vectors twice in its k-th iteration and writes three; a solve adds its direction up.
    """
    t, newton = row["terms"], row["newton_iterations"]
    per = row["linear_iterations"] / newton
    residuals = row["residuals"] / newton
    krylov = per * (per + 1.0) + 4.0 * per
    return {
        "assembly": residuals * t["linear"] + 5.0 * t["moving_values"],  # zeroed, added to (2), handed over (2)
        "set-up": 3.0 * t["schur"],
        "K": per * t["displacement"],
        "S": per * 3.0 * row["schur_complexity"] * t["schur"],
        "vectors": per * (t["jacobian"] + t["coupling"]) + (krylov + 2.0 * per) * t["vector"],
    }


def complexity(said: str) -> float:
    """Nonzeros on all levels over those of S, as hypre prints it; 1 if it printed nothing."""
    found = re.findall(r"operator\s*=\s*([0-9.]+)", said)
    return float(found[-1]) if found else 1.0


def one(kind: str, unknowns: int, ranks: int, repeat: int, bandwidth: float) -> Row:
    """The fastest of several runs, with its bytes."""
    runs = []
    for _ in range(repeat):
        row, said = launched(ranks, "--measure", kind, "--unknowns", str(unknowns))
        runs.append(row | {"schur_complexity": complexity(said)})
    row = min(runs, key=lambda r: float(r["time_per_newton_s"]))
    counted = bytes_per_newton(row)
    row["bytes_per_newton"] = counted
    row["bytes_per_unknown_and_newton"] = sum(counted.values()) / row["unknowns"]
    row["model_s"] = {name: value / bandwidth for name, value in counted.items()}
    row["model_time_per_newton_s"] = sum(counted.values()) / bandwidth
    return row


def show(rows: list[Row], title: str) -> None:
    """A table; in brackets what the bytes alone would take."""
    print(f"\n{title}: ms per Newton step (counted bytes at the measured bandwidth)")
    print(f"{'':8s}{'unknowns':>9s} ranks Krylov{'all':>16s}" + "".join(f"{p:>16s}" for p in PARTS) + "  efficiency")
    for row in rows:
        cells = [(row["time_per_newton_s"], row["model_time_per_newton_s"])]
        cells += [(row["split_s"][p], row["model_s"][p]) for p in PARTS]
        text = "".join(f"{1e3 * a:8.2f} ({1e3 * b:5.1f})" for a, b in cells)
        krylov = row["linear_iterations"] / row["newton_iterations"]
        first = row["efficiency"]
        print(f"{row['kind']:8s}{row['unknowns']:9d} {row['ranks']:5d} {krylov:6.2f}{text} {first:10.2f}")


def main() -> None:
    """Run everything, or one run under mpirun."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=[*KINDS], default=["edge2d", "edge3d"])
    parser.add_argument("--unknowns", type=int, help="on one rank; default: 161604 in 2D, 46305 in 3D")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeat", type=int, default=3, help="the fastest run counts")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", choices=[*KINDS], help=argparse.SUPPRESS)
    parser.add_argument("--triad", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.triad:
        triad(given.out)
        return
    if given.measure:
        measure(given.measure, given.unknowns, given.out)
        return
    bandwidth = {n: float(launched(n, "--triad")[0]["bytes_per_second"]) for n in sorted({1, *given.ranks})}
    for ranks, speed in bandwidth.items():
        print(f"triad on {ranks} rank{'s' * (ranks > 1)}: {speed / 1e9:.1f} GB/s")
    rows: dict[str, list[Row]] = {"strong": [], "weak": []}
    for kind in given.kinds:
        unknowns = given.unknowns or {"edge3d": 46_305}.get(kind, 161_604)
        alone = one(kind, unknowns, 1, given.repeat, bandwidth[1]) | {"efficiency": 1.0}
        for how in rows:
            rows[how].append(alone)
            for ranks in sorted({*given.ranks} - {1}):
                size = unknowns if how == "strong" else ranks * unknowns
                row = one(kind, size, ranks, given.repeat, bandwidth[ranks])
                work = row["unknowns"] / alone["unknowns"] / ranks
                row["efficiency"] = work * alone["time_per_newton_s"] / row["time_per_newton_s"]
                rows[how].append(row)
    for how, table in rows.items():
        show(table, f"{how} scaling")
    for row in rows["strong"]:
        if row["ranks"] == 1:
            print(f"{row['kind']}: {row['bytes_per_unknown_and_newton']:.0f} bytes per unknown and Newton step")
    if given.json:
        speeds = {str(n): speed for n, speed in bandwidth.items()}
        given.json.write_text(json.dumps({"triad_bytes_per_second": speeds, **rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
