"""What changes during a run: the unknowns, their past, and the lithium that entered."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from chemomech.solvers.timestep import Formula
from chemomech.typing import Array, Function

DEPTH = 3  # past solutions kept: the quadratic predictor of BDF2 needs three


class State:
    """Unknowns with their past.

    Attributes:
        functions: Name -> function; they hold the latest solution.
        past: Name -> nodal values of accepted solutions, latest first, ghosts included.
        steps: Sizes of the accepted steps, latest first, s.
        time, step, step_size: Time reached (s), accepted steps, size of the last (s).
        supplied: Lithium that entered since the start, at accepted solutions, latest first.
        begun: Lithium at t = 0.
    """

    def __init__(self, functions: Mapping[str, Function]) -> None:
        self.functions = dict(functions)
        self.past: dict[str, deque[Array]] = {name: deque(maxlen=DEPTH) for name in functions}
        self.steps: deque[float] = deque(maxlen=DEPTH - 1)
        self.supplied: deque[float] = deque(maxlen=DEPTH)
        self.time, self.step, self.step_size, self.begun = 0.0, 0, 0.0, 0.0

    def begin(self, amount: float) -> None:
        """Take the functions' values as the state at t = 0."""
        self.begun = amount
        self.supplied.appendleft(0.0)
        for name, function in self.functions.items():
            self.past[name].appendleft(function.x.array.copy())

    def blend(self, name: str, weights: tuple[float, ...], out: Array) -> None:
        """out = weighted sum of past values, latest first."""
        out[:] = weights[0] * self.past[name][0]
        for weight, old in zip(weights[1:], list(self.past[name])[1:], strict=False):
            out += weight * old

    def predict(self, f: Formula, bounds: Mapping[str, tuple[float, float] | None]) -> None:
        """Extrapolate the functions; bounded ones go at most nine tenths of the way to a bound."""
        for name, function in self.functions.items():
            self.blend(name, f.predictor, function.x.array)
            limits = bounds.get(name)
            if limits is not None:
                low, high = limits
                old = self.past[name][0]
                np.clip(function.x.array, low + 0.1 * (old - low), high - 0.1 * (high - old), out=function.x.array)

    def accept(self, f: Formula, time: float, supplied: float) -> None:
        """Make the functions' values the latest accepted solution."""
        for name, function in self.functions.items():
            self.past[name].appendleft(function.x.array.copy())
        self.supplied.appendleft(supplied)
        self.steps.appendleft(f.step)
        self.time, self.step, self.step_size = time, self.step + 1, f.step

    def reset(self) -> None:
        """Back to the last accepted solution."""
        for name, function in self.functions.items():
            function.x.array[:] = self.past[name][0]

    def restart(self) -> None:
        """Forget the past: what the solution follows from has changed at once."""
        self.steps.clear()

    def meta(self) -> dict[str, Any]:
        """The numbers a checkpoint keeps beside the arrays."""
        return {
            "time": self.time,
            "step": self.step,
            "step_size": self.step_size,
            "steps": list(self.steps),
            "supplied": list(self.supplied),
            "begun": self.begun,
            "depth": len(next(iter(self.past.values()))),
        }

    def set_meta(self, meta: Mapping[str, Any]) -> None:
        """The inverse of ``meta``."""
        self.time, self.step, self.step_size = float(meta["time"]), int(meta["step"]), float(meta["step_size"])
        self.steps = deque(map(float, meta["steps"]), maxlen=DEPTH - 1)
        self.supplied = deque(map(float, meta["supplied"]), maxlen=DEPTH)
        self.begun = float(meta["begun"])
