"""L(t) of a run with grain boundaries, from its history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from chemomech.analysis.evaluation import FrontDiffusivity, diffusivity_from_front
from chemomech.errors import CaseError
from chemomech.typing import Array


def column(name: str | None = None) -> str:
    """The column of ``history.csv`` with the front of a class; None for the farthest of all."""
    return "front_distance_m" if name is None else f"front_distance_{name}_m"


@dataclass(frozen=True)
class FrontHistory:
    """L(t) of a run; what counts as front stands in fronts.py.

    Attributes:
        time: s, shape (n,).
        distance: Class -> L, m, shape (n,).
        farthest: The farthest swollen point of all classes, m, shape (n,).
    """

    time: Array
    distance: Mapping[str, Array]
    farthest: Array

    @classmethod
    def of(cls, rows: Mapping[str, Sequence[float]]) -> FrontHistory:
        """From the columns of a history (``Result.history``, or ``output.history.read``).

        Raises:
            CaseError: If it has no fronts.
        """
        if column() not in rows:
            raise CaseError("history", None, "it has no fronts", "that of a run with grain boundaries")
        first, last = column("|").split("|")
        ends = first.removesuffix("_") + last
        names = [
            k.removeprefix(first).removesuffix(last)
            for k in rows
            if k != ends and k.startswith(first) and k.endswith(last)
        ]
        distance = {name: np.asarray(rows[column(name)], dtype=float) for name in names}
        return cls(np.asarray(rows["time"], dtype=float), distance, np.asarray(rows[column()], dtype=float))

    def diffusivity(
        self, name: str | None = None, *, since: float = 0.0, until: float | None = None
    ) -> FrontDiffusivity:
        """D of a class from L^2/(4t), and the slope of L^2 against t.

        Args:
            name: The class; None for the farthest of all.
            since: First time to use, s: not one when L is a few cells.
            until: Last time to use, s; if None, the front counts until it stands still at the end of its boundaries.

        Raises:
            CaseError: If there is no such class, or it has no front at these times.
        """
        if name is not None and name not in self.distance:
            raise CaseError("name", name, "there is no such class", ", ".join(self.distance))
        length = self.farthest if name is None else self.distance[name]
        used = (self.time > 0.0) & (self.time >= since) & (length > 0.0)
        if until is not None:
            used &= self.time <= until
        else:
            still = length >= length[-1] * (1.0 - 1e-9)
            used &= ~still | (still.sum() < 2)
        if not used.any():
            raise CaseError("name", name, "its boundaries have no front at these times", "another class or time")
        return diffusivity_from_front(self.time[used], length[used])
