"""The time steps that give other codes an error just not smaller than ours in the whole solution of run.py.

    ./chemomech-env python benchmarks/tune.py edge2d [--json FILE]
    ./chemomech-env python benchmarks/tune.py edge2d --newton

Backward Euler with a first step, a factor by which steps grow and a longest step: for every factor the longest first
step whose error at the first output is at most 1.15 times our largest, and with it the longest longest step whose
errors at all outputs are; then the rule with the fewest steps. The discrete problem is the same for every code, so
chemomech's own Newton's method solves these steps here; run.py --errors measures the outcome with the other code.
The winner goes into ``problem.KINDS``. ``--newton`` looks for the loosest tolerance of the plain script.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from problem import KINDS, Kind, case_of, concentration, write
from run import Values, difference, interpreter, started

from chemomech.case import Time
from chemomech.simulation import Simulation
from chemomech.solvers.timestep import Formula, StepControl

if TYPE_CHECKING:
    from chemomech.case import Case

Array = npt.NDArray[np.float64]

WORSE = 1.15
"""How much larger than ours their error may be."""

GROWTHS = (1.03, 1.05, 1.04, 1.07, 1.1, 1.14, 1.02, 1.2)
"""Likely ones first: the others need only be finished where they take fewer steps."""


class Growing(StepControl):
    """The rule of the other codes while Newton's method is at ease: the next step is longer by a factor.

    A step that is cut to hit a time does not count: the next wish follows from the last one.
    """

    def __init__(self, time: Time, kind: Kind, growth: float, first: float, largest: float) -> None:
        super().__init__(time, kind.end, first, 0.0, largest, kind.outputs)
        self.factor = growth

    def next_step(self, now: float) -> tuple[float, float]:
        """The wish, or what is left until the next output."""
        goal = next(t for t in self.stops if t > now * (1.0 + 1e-12))
        h = min(self.wish, self.largest)
        return (goal - now, goal) if now + h >= goal * (1.0 - 1e-12) else (h, now + h)

    def accept(self, f: Formula, error: float) -> bool:
        """Always: nobody measures."""
        self.wish *= self.factor
        return True

    def failed(self, h: float) -> bool:
        """Half of it."""
        self.wish *= 0.5
        return True


def text(errors: Sequence[float]) -> str:
    return " ".join(f"{e:.2e}" for e in errors)


@dataclass(frozen=True, slots=True)
class Trial:
    """One march.

    Attributes:
        growth, first, largest: Of its steps; the steps in s.
        steps: Up to where it was left.
        errors: At the outputs it reached.
    """

    growth: float
    first: float
    largest: float
    steps: int
    errors: tuple[float, ...]

    @property
    def error(self) -> float:
        return max(self.errors)


class Tuning:
    """Marches of one kind of problem on one mesh.

    Args:
        name: Of ``problem.KINDS``.
        unknowns: About how many.
    """

    def __init__(self, name: str, unknowns: int) -> None:
        self.kind, self.name, self.unknowns = KINDS[name], name, unknowns
        half, _ = self._march(case_of(name, unknowns, whole=True, finer=4))
        self.reference, self.reference_steps = self._march(case_of(name, unknowns, whole=True, finer=8))
        own, self.own_steps = self._march(case_of(name, unknowns, whole=True))
        self.doubt = self._errors(half)
        self.ours = self._errors(own)

    def _errors(self, fields: Sequence[Array]) -> tuple[float, ...]:
        return tuple(float(np.nanmax(np.abs(a - b))) for a, b in zip(fields, self.reference, strict=False))

    def _march(
        self,
        case: Case,
        rule: Callable[[Case], StepControl] | None = None,
        enough: Callable[[Array, int], bool] = lambda c, k: False,
    ) -> tuple[list[Array], int]:
        """c at the outputs, and the number of steps.

        Args:
            case: What is marched.
            rule: Of the steps; those of chemomech if None.
            enough: Told c at the k-th output, whether the rest can be left.
        """
        from mpi4py import MPI

        simulation = Simulation(case, MPI.COMM_WORLD)
        simulation.begin()
        control = rule(case) if rule else simulation.control()
        out: list[Array] = []
        for stop in self.kind.outputs:
            while simulation.time < stop * (1.0 - 1e-12):
                simulation.advance(control)
            out.append(concentration(simulation, {p: c.x.array for p, c in simulation.physics.c.items()}))
            if enough(out[-1], len(out) - 1):
                break
        steps = simulation.step
        simulation.destroy()
        return out, steps

    def trial(self, growth: float, first: float, largest: float, outputs: int) -> Trial:
        """Backward Euler with growing steps to one of the outputs, left where its error is too large."""
        case = case_of(self.name, self.unknowns, whole=True, linear="block")
        time = case.time.model_copy(update={"scheme": "backward-euler"})
        solver = case.solver.model_copy(update={"tolerance": 1e-8})
        fields, steps = self._march(
            case.model_copy(update={"time": time, "solver": solver}),
            lambda case: Growing(case.time, self.kind, growth, first, largest),
            lambda c, k: k + 1 >= outputs or float(np.nanmax(np.abs(c - self.reference[k]))) > self.limit,
        )
        found = Trial(growth, first, largest, steps, self._errors(fields))
        print(
            f"  growth {growth:g}, first {first:.3g} s, at most {largest:.3g} s: {steps} steps, {text(found.errors)}",
            flush=True,
        )
        return found

    @property
    def limit(self) -> float:
        """What their error may be."""
        return WORSE * max(self.ours)

    def count(self, growth: float, first: float, largest: float) -> int:
        """Steps of a march, without solving anything."""
        control, now, steps = Growing(Time(), self.kind, growth, first, largest), 0.0, 0
        while now < self.kind.end * (1.0 - 1e-12):
            _, now = control.next_step(now)
            control.wish *= growth
            steps += 1
        return steps

    def rule(self, growth: float, fewer: int) -> Trial | None:
        """The longest steps that are accurate enough, to five per cent; None if they are not fewer than so many."""
        end, early = self.kind.end, self.kind.outputs[0]

        def near(low: float, high: float, good: Callable[[float], bool]) -> float | None:
            """The largest value that is good, to three digits."""
            if good(high):
                return high
            if not good(low):
                return None
            while high > 1.05 * low:
                middle = float(f"{np.sqrt(low * high):.3g}")
                low, high = (middle, high) if good(middle) else (low, middle)
            return low

        kept: dict[float, Trial] = {}

        def whole(largest: float) -> bool:
            if self.count(growth, first or 0.0, largest) >= fewer:
                return True  # shorter steps are not wanted
            kept[largest] = self.trial(growth, first or 0.0, largest, len(self.kind.outputs))
            return kept[largest].error <= self.limit

        first = near(2e-3 * early, 0.5 * early, lambda h: self.trial(growth, h, end, 1).error <= self.limit)
        if first is None or self.count(growth, first, end) >= fewer:
            return None
        largest = near(3e-3 * end, end, whole)
        return None if largest is None else kept.get(largest)

    def best(self, growths: Sequence[float] = GROWTHS) -> tuple[Trial, list[Trial]]:
        """The pair with the fewest steps whose error is not smaller than ours, and those it was better than."""
        found: list[Trial] = []
        for growth in growths:
            fewest = min((t.steps for t in found), default=1000)
            trial = self.rule(growth, fewest)
            if trial is not None and trial.error >= max(self.ours):
                found.append(trial)
        if not found:
            raise SystemExit(f"no step rule reaches an error between 1 and {WORSE} times ours; try other --growths")
        return min(found, key=lambda t: (t.steps, t.error)), found


def newton(name: str, unknowns: int) -> None:
    """What tolerances of Newton's method in the plain script leave in its fields."""
    tolerances = (1e-3, 1e-4, 1e-5, 1e-6, 1e-8)
    kind = KINDS[name]
    with tempfile.TemporaryDirectory() as folder:
        file, result = Path(folder) / "problem.npz", Path(folder) / "result.npz"
        write(name, unknowns, file)
        with np.load(file) as data:
            unit = kind.end / float(data["end"])
        rule = {"first-step": kind.first / unit, "growth": kind.growth, "largest-step": kind.largest / unit}

        def fields(rtol: float, more: Sequence[str]) -> Values:
            script = Path(__file__).parent / "peers" / "plain.py"
            started([interpreter("plain"), script, file, result, "--rtol", repr(rtol), *more], "plain")
            with np.load(result) as data:
                return dict(data)

        steps = [f"--{what}={value!r}" for what, value in rule.items()]
        for what, more in (("equal work", []), ("whole solution", ["--whole", *steps])):
            exact = fields(1e-12, more)
            for rtol in tolerances:
                run = fields(rtol, more)
                worst = difference(exact, run)
                if more:  # on the way as well
                    worst = max(worst, float(np.nanmax(np.abs(exact["c_outputs"] - run["c_outputs"]))))
                count = f"{len(run['newton'])} steps, Newton {int(np.sum(run['newton']))}"
                print(f"{name} {what}: rtol {rtol:.0e} leaves {worst:.1e} in the fields; {count}", flush=True)


def main() -> None:
    """Search and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=[*KINDS])
    parser.add_argument("--unknowns", type=int, help="default: those of the table in problem.py")
    parser.add_argument("--growths", type=float, nargs="+", default=GROWTHS)
    parser.add_argument("--newton", action="store_true", help="the tolerance of Newton's method instead of the steps")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    unknowns = given.unknowns or KINDS[given.kind].tuned
    if given.newton:
        newton(given.kind, unknowns)
        return
    tuning = Tuning(given.kind, unknowns)
    parts = " ".join(f"{t / KINDS[given.kind].end:.3g}" for t in KINDS[given.kind].outputs)
    print(f"{given.kind}, {unknowns} unknowns; errors of c at {parts} of the end")
    print(f"ours: {tuning.own_steps} steps, errors {text(tuning.ours)}")
    print(f"reference: {tuning.reference_steps} steps; half as many differ by {text(tuning.doubt)}", flush=True)
    winner, found = tuning.best(given.growths)
    for t in found:
        ratio = t.error / max(tuning.ours)
        print(
            f"growth {t.growth:g}, first {t.first:.3g} s, at most {t.largest:.3g} s: {t.steps} steps, "
            f"{text(t.errors)}; {ratio:.3f} of ours{'; the fewest steps' if t is winner else ''}"
        )
    if given.json:
        row: dict[str, Any] = {
            "kind": given.kind,
            "unknowns": unknowns,
            "steps_ours": tuning.own_steps,
            "errors_ours": tuning.ours,
            "first": winner.first,
            "growth": winner.growth,
            "largest": winner.largest,
            "steps_theirs": winner.steps,
            "errors_theirs": winner.errors,
            "reference_moved_by": tuning.doubt,
        }
        given.json.write_text(json.dumps(row, indent=1) + "\n")


if __name__ == "__main__":
    main()
