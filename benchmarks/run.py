"""chemomech against other codes on the same discrete problem, both taken in turn, each run in a process of its own.

    ./chemomech-env python benchmarks/run.py edge2d --unknowns 161604 --against plain --repeat 3 --json edge2d.json

Kinds: edge2d, edge3d, interface, network. Others: plain (a short DOLFINx script), ngsolve, freefem, skfem; none is
for chemomech alone. benchmarks/README.md says what is measured, and how the others are installed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from problem import KINDS, ONLY, OUTPUTS

HERE = Path(__file__).resolve().parent
PEERS = ("plain", "ngsolve", "freefem", "skfem")
WARM_UP = 12_000  # unknowns of the first run, which compiles forms; the interface resolves its cores from there on

Values = dict[str, npt.NDArray[Any]]
Row = dict[str, Any]


def environment() -> dict[str, str]:
    """Of every measured process: one thread, unless the caller says otherwise."""
    return {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} | os.environ


def interpreter(peer: str) -> str:
    """The Python that has a peer.

    Raises:
        SystemExit: There is none.
    """
    if peer == "plain":
        return sys.executable
    named = os.environ.get("CHEMOMECH_PEERS")
    if named:
        places = [Path(named)]
    else:
        # chemomech-env has a cache folder of its own inside that of the user.
        caches = [Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser(), Path("~/.cache").expanduser()]
        places = [p for c in caches for p in (c / "chemomech" / "peers", c.parent / "peers")]
    for place in places:
        for python in (place, place / "bin" / "python", place / "venv" / "bin" / "python"):
            if python.is_file():
                return str(python)
    raise SystemExit(_absent(peer, f"no Python in {', '.join(map(str, places))}"))


def _absent(peer: str, why: str) -> str:
    return (
        f"{peer} can't be run: {why}. Other codes live outside the environment of chemomech: "
        "benchmarks/peers/install makes a place for them, CHEMOMECH_PEERS names another one (an interpreter, or the "
        "folder of a virtual environment), and --against plain or none needs nothing beside chemomech."
    )


def started(command: Sequence[str | Path], peer: str = "") -> None:
    """Run a process to its end.

    Raises:
        SystemExit: It failed; with what it said.
    """
    variables = environment()
    if peer and peer != "plain":
        variables.pop("PYTHONPATH", None)
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=variables, check=False)
    if done.returncode == 0:
        return
    said = (done.stderr.strip() or done.stdout.strip()).splitlines() or [f"exit code {done.returncode}"]
    if peer and "ModuleNotFoundError" in said[-1]:
        raise SystemExit(_absent(peer, said[-1].removeprefix("ModuleNotFoundError: ")))
    raise SystemExit("\n".join([f"{peer or 'chemomech'} failed:", *said[-20:]]))


class Runs:
    """Both codes on one problem.

    Args:
        kind: Of ``problem.KINDS``.
        unknowns: About how many.
        against: A peer or ``none``.
        solver: Of the peer; its own choice if None.
        folder: For files.
    """

    def __init__(self, kind: str, unknowns: int, against: str, solver: str | None, folder: Path) -> None:
        self.kind, self.unknowns, self.against, self.solver = kind, unknowns, against, solver
        self.folder, self.problem = folder, folder / f"problem-{unknowns}.npz"
        if against != "none":
            self._own("--write", self.problem)

    def _own(self, *more: str | Path) -> None:
        started([sys.executable, HERE / "problem.py", self.kind, "--unknowns", str(self.unknowns), *more])

    def ours(self, whole: bool = False, finer: int = 1) -> Values:
        """One run of chemomech; in the whole solution with steps a few times finer than it would take by itself."""
        result = self.folder / "ours.npz"
        self._own("--solve", result, *(["--whole", "--finer", str(finer)] if whole else []))
        return _read(result)

    def theirs(self, whole: bool = False) -> Values:
        """One run of the other code."""
        result, rule = self.folder / "theirs.npz", []
        if whole:
            with np.load(self.problem) as data:
                first, growth, longest = (
                    repr(float(data[key])) for key in ("whole_first_step", "whole_growth", "whole_largest_step")
                )
            rule = ["--whole", "--first-step", first, "--growth", growth]
            if self.against == "plain":
                rule += ["--largest-step", longest]
        chosen = ["--solver", self.solver] if self.solver else []
        script = HERE / "peers" / f"{self.against}.py"
        started([interpreter(self.against), script, self.problem, result, *chosen, *rule], self.against)
        return _read(result)

    def residual(self) -> float:
        """Time of one residual of the plain script, s, without any step: for sizes it can't factorise."""
        with np.load(self.problem) as data:
            np.savez(self.folder / "still.npz", **{**data, "steps": np.zeros(0)})
        result = self.folder / "theirs.npz"
        started([interpreter("plain"), HERE / "peers" / "plain.py", self.folder / "still.npz", result], "plain")
        return float(_read(result)["time_residual_s"])

    def in_turn(self, repeat: int, whole: bool = False) -> tuple[list[Values], list[Values]]:
        """Ours, theirs, ours, theirs ..."""
        ours, theirs = [], []
        for _ in range(repeat):
            ours.append(self.ours(whole))
            if self.against != "none":
                theirs.append(self.theirs(whole))
        return ours, theirs


def _read(path: Path) -> Values:
    with np.load(path) as data:
        return dict(data)


def total(run: Values) -> float:
    """Set-up and march, s."""
    return float(run["time_setup_s"]) + float(run["time_march_s"])


def of(key: str) -> Callable[[Values], float]:
    """Reads one number of a run."""
    return lambda run: float(run[key])


def ratio(ours: list[Values], theirs: list[Values], number: Callable[[Values], float]) -> float:
    """Theirs over ours, the median over neighbours in time."""
    return median(number(b) / number(a) for a, b in zip(ours, theirs, strict=True))


def difference(ours: Values, theirs: Values) -> float:
    """Largest difference of a field at any node, relative to the largest value of that field."""
    worst = 0.0
    for key in ("u", "c", "mu"):
        a, b = ours[key], theirs[key]
        if not np.array_equal(np.isnan(a), np.isnan(b)):
            return float("inf")
        worst = max(worst, float(np.nanmax(np.abs(a - b)) / np.nanmax(np.abs(a))))
    return worst


def apart(a: Values, b: Values) -> list[float]:
    """Largest difference of c at any node at each output of a whole solution; at the end if one has no outputs."""
    both = (a, b) if all("c_outputs" in run for run in (a, b)) else ({"c_outputs": run["c"][None]} for run in (a, b))
    one, other = (run["c_outputs"] for run in both)
    return [float(np.nanmax(np.abs(x - y))) for x, y in zip(one, other, strict=True)]


def accuracy(kind: str) -> Row:
    """How accurate whole solutions are, from the table of ``problem.KINDS``."""
    entry = KINDS[kind]
    return {
        "error_ours": entry.error_ours,
        "error_theirs": entry.error_theirs,
        "error_measured": (
            f"benchmarks/tune.py {kind}, {entry.tuned} unknowns: largest error of c at any node at "
            f"{', '.join(f'{part:g}' for part in OUTPUTS)} of the end time, against our steps 8 times smaller"
        ),
    }


def numbers(runs: list[Values]) -> Row:
    """Counters and medians of one code."""
    last = runs[-1]
    row: Row = {
        "steps": len(last["newton"]),
        "newton_iterations": int(np.sum(last["newton"])),
        "linear_iterations": int(np.sum(last["linear"])),
    }
    for key in ("time_per_newton_s", "time_setup_s", "time_march_s"):
        row[key] = median(float(r[key]) for r in runs)
    row["time_total_s"] = median(total(r) for r in runs)
    for key in ("peak_memory_bytes", "import_memory_bytes"):
        if key in last:
            row[key] = int(median(int(r[key]) for r in runs))
    for key in ("schur_setups", "rejected_steps"):
        if key in last:
            row[key] = int(last[key])
    for key in ("versions", "solver"):
        if key in last:
            row[key] = str(last[key])
    return row


def measure(given: argparse.Namespace, folder: Path) -> Row:
    """Everything that goes into the JSON file."""
    if given.warm_up:
        Runs(given.kind, min(given.unknowns, WARM_UP), given.against, given.solver, folder).in_turn(1)
    runs = Runs(given.kind, given.unknowns, given.against, given.solver, folder)
    seconds: list[float] = []
    if given.residual:
        ours, theirs = [], []
        for _ in range(given.repeat):
            ours.append(runs.ours())
            seconds.append(runs.residual())
    else:
        ours, theirs = runs.in_turn(given.repeat)
    row: Row = {
        "kind": given.kind,
        "unknowns": int(ours[0]["unknowns"]),
        "against": given.against,
        "solver_asked": given.solver,
        "repeat": given.repeat,
        "threads": int(environment()["OMP_NUM_THREADS"]),
        **numbers(ours),
        "assembled_blocks": int(ours[0]["assembled_blocks"]),
    }
    if seconds:
        row["theirs"] = {"time_residual_s": min(seconds)}
        row["newton_step_in_residual_evaluations"] = median(
            float(run["time_per_newton_s"]) / second for run, second in zip(ours, seconds, strict=True)
        )
    if not theirs:
        return row
    row["theirs"] = numbers(theirs)
    row["ratio_time_per_newton"] = ratio(ours, theirs, of("time_per_newton_s"))
    row["ratio_peak_memory"] = ratio(ours, theirs, of("peak_memory_bytes"))
    row["max_field_difference"] = max(difference(a, b) for a, b in zip(ours, theirs, strict=True))
    if "time_residual_s" in theirs[0]:
        row["theirs"]["time_residual_s"] = min(float(r["time_residual_s"]) for r in theirs)
        row["newton_step_in_residual_evaluations"] = 1.0 / ratio(
            [{**a, "x": a["time_per_newton_s"]} for a in ours],
            [{**b, "x": b["time_residual_s"]} for b in theirs],
            of("x"),
        )
    if given.whole:
        ours, theirs = runs.in_turn(given.repeat, whole=True)
        row["ratio_total"] = ratio(ours, theirs, total)
        row["whole"] = {
            "ours": numbers(ours),
            "theirs": numbers(theirs),
            "max_difference_of_c": max(apart(ours[0], theirs[0])),
            **accuracy(given.kind),
        }
        if given.errors:
            reference = runs.ours(whole=True, finer=8)
            for who, run in (("ours", ours[0]), ("theirs", theirs[0])):
                row["whole"][who]["errors_of_c"] = apart(run, reference)
                row["whole"][who]["error_of_c"] = max(apart(run, reference))
    return row


def show(row: Row) -> None:
    """A few lines for the terminal."""

    def line(who: str, r: Row) -> str:
        return (
            f"  {who:9s} {r['time_per_newton_s']:.4g} s per Newton step; {r['steps']} steps, Newton "
            f"{r['newton_iterations']}, linear {r['linear_iterations']}; set-up {r['time_setup_s']:.3g} s, in all "
            f"{r['time_total_s']:.3g} s; memory {r['peak_memory_bytes'] / 1e9:.3g} GB"
        )

    against = row["against"]
    print(f"{row['kind']}, {row['unknowns']} unknowns")
    print(line("chemomech", row))
    if "ratio_time_per_newton" not in row:
        if "newton_step_in_residual_evaluations" in row:
            print(f"  a Newton step costs {row['newton_step_in_residual_evaluations']:.1f} residual evaluations")
        return
    print(line(against, row["theirs"]))
    print(
        f"  {against}/chemomech: {row['ratio_time_per_newton']:.2f} per Newton step, {row['ratio_peak_memory']:.2f} "
        f"in memory; fields differ by {row['max_field_difference']:.1e}"
    )
    if "newton_step_in_residual_evaluations" in row:
        print(f"  a Newton step costs {row['newton_step_in_residual_evaluations']:.1f} residual evaluations")
    if "whole" in row:
        print(line("whole", row["whole"]["ours"]))
        print(line(against, row["whole"]["theirs"]))
        print(f"  {against}/chemomech: {row['ratio_total']:.2f} for the whole solution")
        if "error_of_c" in row["whole"]["ours"]:
            own, other = (row["whole"][who]["error_of_c"] for who in ("ours", "theirs"))
            print(f"  largest errors of c at the outputs: chemomech {own:.2e}, {against} {other:.2e}")


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=[*KINDS])
    parser.add_argument("--unknowns", type=int, default=40_804)
    parser.add_argument("--against", choices=[*PEERS, "none"], default="plain")
    parser.add_argument("--solver", help="of the other code; default: its own choice")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--no-whole", dest="whole", action="store_false", help="leave the second measurement out")
    parser.add_argument("--residual", action="store_true", help="of plain, time the residual only")
    parser.add_argument("--no-warm-up", dest="warm_up", action="store_false", help="no run before, to compile forms")
    parser.add_argument("--errors", action="store_true", help="errors of the whole solutions, by steps 8 times finer")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.against not in ONLY.get(given.kind, (*PEERS, "none")):
        parser.error(
            f"{given.kind} --against {given.against}: grain boundaries are not in its script; choose one of "
            f"{', '.join(ONLY[given.kind])}"
        )
    if given.residual and given.against != "plain":
        parser.error("--residual: it is that of the plain script, with --against plain")
    if given.repeat < 1:
        parser.error(f"--repeat {given.repeat}: at least one run is needed")
    if given.against not in ("plain", "none"):
        interpreter(given.against)
    with tempfile.TemporaryDirectory() as folder:
        row = measure(given, Path(folder))
    show(row)
    if given.json:
        given.json.write_text(json.dumps(row, indent=1) + "\n")


if __name__ == "__main__":
    main()
