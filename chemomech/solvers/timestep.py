"""Backward Euler and BDF2 with error-controlled steps (Hairer, Norsett, Wanner; variable-step BDF2).

Both have the form  x - x* = g F(x)  with x* a mean of past values (its weights sum to one, so what F conserves
is conserved) and g a fraction of the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from chemomech.case import Time


@dataclass(frozen=True, slots=True)
class Formula:
    """One step of the integrator.

    Attributes:
        step: Its size h.
        weights: Weights of x_n, x_{n-1} in x*.
        g: Weight of the right-hand side.
        predictor: Weights of x_n, x_{n-1}, x_{n-2} in the extrapolated solution.
        error_factor: Local error over the difference of solution and extrapolation; None while unknown.
        order: Order of the method.
    """

    step: float
    weights: tuple[float, ...]
    g: float
    predictor: tuple[float, ...]
    error_factor: float | None
    order: int


def formula(h: float, past: Sequence[float], scheme: str) -> Formula:
    """Weights of a step ``h`` after steps ``past`` (latest first).

    The extrapolation is of the order of the method: through two points for backward Euler, three for BDF2,
    which therefore takes over with the third step.
    """
    if not past:
        return Formula(h, (1.0,), h, (1.0,), None, 1)
    h1 = past[0]
    w = h / h1
    linear = (1.0 + w, -w)
    if scheme == "backward-euler" or len(past) < 2:
        return Formula(h, (1.0,), h, linear, h / (2.0 * h + h1), 1)
    weights = ((1.0 + w) ** 2 / (1.0 + 2.0 * w), -(w**2) / (1.0 + 2.0 * w))
    g = h * (1.0 + w) / (1.0 + 2.0 * w)
    h2 = past[1]
    # Newton's form of the quadratic through t_n, t_{n-1}, t_{n-2}, at t_n + h.
    second = h * (h + h1) / (h1 + h2)
    predictor = (linear[0] + second / h1, linear[1] - second * (1.0 / h1 + 1.0 / h2), second / h2)
    of_method = h**3 * (1.0 + w) ** 2 / (6.0 * w * (1.0 + 2.0 * w))
    of_predictor = h * (h + h1) * (h + h1 + h2) / 6.0
    return Formula(h, weights, g, predictor, of_method / (of_method + of_predictor), 2)


@dataclass(slots=True)
class StepControl:
    """Chooses step sizes, hits given times exactly and gives up below the smallest step.

    Args:
        time: What the case says.
        end: End time.
        first, smallest, largest: Step sizes, in the unit of ``end``.
        stops: Times to hit exactly, ascending.
    """

    time: Time
    end: float
    first: float
    smallest: float
    largest: float
    stops: Sequence[float] = ()
    fixed: float | None = None
    wish: float = field(init=False)

    def __post_init__(self) -> None:
        self.wish = self.fixed or self.first

    def next_step(self, now: float) -> tuple[float, float]:
        """Size of the next step and the time it leads to; the last one before a stop is shared in two halves."""
        goal = next((t for t in self.stops if t > now * (1.0 + 1e-12)), self.end)
        left = goal - now
        h = min(self.wish, self.largest)
        if h >= left * (1.0 - 1e-9):
            return left, goal
        if h > 0.5 * left and self.fixed is None:
            return 0.5 * left, now + 0.5 * left
        return h, now + h

    def accept(self, f: Formula, error: float) -> bool:
        """Whether a solved step is accurate enough; sets the size of the next one, or of the second try.

        Args:
            f: The step.
            error: Local error over the tolerance.
        """
        if self.fixed is not None:
            return True
        factor = 0.9 * max(error, 1e-8) ** (-1.0 / (f.order + 1))
        if error > 1.0:
            self.wish = f.step * max(0.2, min(0.9, factor))
            return self.wish < self.smallest  # as accurate as the smallest step gets
        # A step that was cut short to hit a stop says little against the size wished for before it.
        self.wish = max(f.step * min(self.time.growth, max(0.3, factor)), min(self.wish, f.step * factor))
        return True

    def failed(self, h: float) -> bool:
        """Cut the step after a failed solve; False if there is nothing left to cut."""
        if self.fixed is not None:
            return False
        self.wish = 0.25 * h
        return self.wish >= self.smallest


def local_error(solution: np.ndarray, predicted: np.ndarray, f: Formula, tolerance: float) -> float:
    """Largest local error of an array over the tolerance (local part)."""
    if f.error_factor is None:
        # Nothing is known of the curvature yet: the first step may change c by so much.
        return float(np.max(np.abs(solution - predicted), initial=0.0)) / 0.03
    return float(np.max(np.abs(solution - predicted), initial=0.0)) * f.error_factor / tolerance
