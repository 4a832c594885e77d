"""Contacts with one chemical potential that is found in each step: finite reservoirs and given currents.

On a contact mu has one value mu_R, and what enters is the sum of the balance there, S. A step with g, after N entered
before it, asks of

    lithium metal:      mu_R = mu_M as long as N + S <= A; at N + S = A the contact closes, for good
    a stirred source:   mu_R = mu0 + RT [ln(y/(1 - y)) + chi (1 - 2 y)],  y = (A - N - S)/C
    a given current I:  S = g I

S rises with mu_R. The unknowns are the fractions y (of a current: that of an ideal solution at mu_R), in which S is
nearly linear where little lithium is. They are found by secants whose slopes are kept from step to step (Broyden's
method if there are several contacts).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from mpi4py import MPI
from scipy.special import expit, logit

from chemomech.case import Case
from chemomech.case.sources import Galvanostatic, Reservoir, law_of
from chemomech.errors import ConvergenceError
from chemomech.materials.laws import FARADAY
from chemomech.physics.equations import Contact
from chemomech.physics.scales import Scales
from chemomech.typing import Array, Ints

DEPTH: Final = 3  # past values kept, as of the unknowns
EXACT: Final = 1e-6
"""Relative error of a current, or of the fraction of a source, at which a step is solved."""
REACHED: Final = 1e-6
"""Largest relative error of the amount, or of the current, at the moment a contact closes or a run ends."""
EMPTY, FULL = -60.0, 30.0
"""Levels beyond which a contact is empty or full: sites that are free, or taken, are lost in rounding."""
_TRIES: Final = 30


@dataclass(frozen=True, slots=True)
class Place:
    """Where a contact is.

    Attributes:
        name: Of the boundary.
        rows: Owned dofs of mu that no other condition holds.
        nodal: Area around each local dof of mu, zero off the contact.
        area: Of the whole boundary, internal units.
    """

    name: str
    rows: Ints
    nodal: Array
    area: float


@dataclass(frozen=True, slots=True)
class Metal:
    """A pure substance: one potential until nothing is left; its level is mu_R.

    Attributes:
        potential: mu_M.
        amount: A.
    """

    potential: float
    amount: float

    def potential_of(self, level: float) -> float:
        """mu_R."""
        return level

    def defect(self, level: float, before: float, entered: float, g: float) -> tuple[float, float]:
        """What entered beyond the amount, and the size errors are relative to."""
        return before + entered - self.amount, self.amount


@dataclass(frozen=True, slots=True)
class Stirred:
    """A solution without gradients; its level is ln(y/(1 - y)).

    Attributes:
        amount, capacity: A and C.
        interaction, reference: chi and mu0.
    """

    amount: float
    capacity: float
    interaction: float
    reference: float

    def potential_of(self, level: float) -> float:
        """mu_R."""
        return self.reference + level + self.interaction * (1.0 - 2.0 * float(expit(level)))

    def defect(self, level: float, before: float, entered: float, g: float) -> tuple[float, float]:
        """The fraction less that of what is left, and the size errors are relative to."""
        y = float(expit(level))
        return y - (self.amount - before - entered) / self.capacity, y * (1.0 - y)


@dataclass(frozen=True, slots=True)
class Current:
    """A total current; its level is mu_R - mu0.

    Attributes:
        current: I, into the body.
        reference: mu0 of the grains.
        overpotential: Of the charge transfer, above zero where lithium enters, in units of RT.
        limit: The level at which the run ends, if any.
    """

    current: float
    reference: float
    overpotential: float
    limit: float | None

    def potential_of(self, level: float) -> float:
        """mu_R."""
        return self.reference + level

    def defect(self, level: float, before: float, entered: float, g: float) -> tuple[float, float]:
        """What entered less what should have, and the size errors are relative to."""
        return entered - g * self.current, abs(g * self.current)

    @property
    def hair(self) -> float:
        """A millionth of RT in the direction the level moves."""
        return float(np.copysign(1e-6, self.current))

    def beyond(self, level: float) -> bool:
        """Whether a level is at the cut-off or further."""
        return self.limit is not None and (level - self.limit) * self.current >= 0.0


class Contacts:
    """All contacts of a case, with their state.

    Args:
        case: The case.
        scales: Internal units.
        places: Where they are, in the order of the boundaries.
        comm: The ranks.

    Attributes:
        rows: What the equations know of them.
        entered: S of each in the last step that was solved.
        ended: Why the run is over, empty while it is not.
        solves: Solutions of the equations that were asked for.
    """

    def __init__(self, case: Case, scales: Scales, places: Sequence[Place], comm: MPI.Comm) -> None:
        self.places, self._scales, self._comm = tuple(places), scales, comm
        self.rows = tuple(Contact(place.rows, open=False) for place in places)
        self._laws = [_law(case, scales, place) for place in places]
        n = len(self.rows)
        self.level = np.zeros(n)
        self.past: deque[Array] = deque(maxlen=DEPTH)
        self.supplied: deque[Array] = deque(maxlen=DEPTH)
        self._before, self.entered = np.zeros(n), np.zeros(n)
        self._slopes: dict[tuple[int, ...], Array] = {}  # of the defects by the fractions, kept for the next step
        self.crossed: int | None = None
        self.ended = ""
        self.solves = 0

    def __len__(self) -> int:
        return len(self.rows)

    def begin(self, mu: Array) -> None:
        """Open the contacts at t = 0; a current begins at the mean of mu on its contact. Collective."""
        for k, (place, law) in enumerate(zip(self.places, self._laws, strict=True)):
            self.rows[k].open = True
            if isinstance(law, Metal):
                self.level[k] = law.potential
            elif isinstance(law, Stirred):
                self.level[k] = logit(law.amount / law.capacity)
            elif isinstance(law, Current):
                weight = place.nodal[place.rows]
                sums: Array = self._comm.allreduce(np.array([weight @ mu[place.rows], weight.sum()]))
                self.level[k] = sums[0] / sums[1] - law.reference
                if law.beyond(self.level[k]):
                    self._end(k, 0.0)
        self.past.appendleft(self.level.copy())
        self.supplied.appendleft(np.zeros(len(self)))
        self._set()

    # -- a step ------------------------------------------------------------------------------------

    def predict(self, weights: tuple[float, ...], predictor: tuple[float, ...]) -> None:
        """Begin a step: what entered before it, and a first guess of the levels.

        Args:
            weights: Of past values in the mean the step starts from.
            predictor: Of past values in the extrapolation.
        """
        if not self.rows:
            return
        self._before = _blend(self.supplied, weights)
        latest, open_ = self.past[0], np.array([row.open for row in self.rows], dtype=bool)
        self.level = latest + np.where(open_, np.clip(_blend(self.past, predictor) - latest, -2.0, 2.0), 0.0)
        self.crossed = None

    def match(
        self,
        solve: Callable[[], Array],
        g: float,
        floor: float,
        *,
        pinned: int | None = None,
        emptied: int | None = None,
    ) -> None:
        """Find the potentials of a step; the equations are solved with them afterwards. Collective.

        Sets ``crossed`` to a contact that gives more than it holds, or whose current the cut-off does not allow.

        Args:
            solve: Solves the equations with the present values of the contacts and returns what entered at each.
            g: Weight of the flux in the balance.
            floor: Error of what enters that the solver may leave anyway.
            pinned: A contact that is held where it closes or ends, whatever enters.
            emptied: A reservoir that gives all it holds, at whatever potential.

        Raises:
            ConvergenceError: If there are no such potentials, or ``solve`` finds no solution.
        """
        for k, law in enumerate(self._laws):
            if isinstance(law, Metal) and self.rows[k].open:
                self.level[k] = law.potential
            elif isinstance(law, Current) and k == pinned and law.limit is not None:
                self.level[k] = law.limit
        free = [
            k for k, law in enumerate(self._laws)
            if self.rows[k].open and k != pinned and (k == emptied or not isinstance(law, Metal))
        ]  # fmt: skip
        search = _Search(free, self._slopes.get(tuple(free)))
        self.crossed = None
        for _ in range(_TRIES):
            for k in free:
                self.level[k] = self._within(k, self.level[k])
            self._solve(solve)
            defects, sizes = self._defects(free, g)
            stuck = self._stuck(free, defects)
            if stuck is not None or search.done(defects, EXACT * sizes, self._floors(free, floor)):
                break
            if search.slopes is None:
                search.slopes = self._differences(solve, free, defects, g)
            self.level[free] = search.step(self.level[free], defects)
        else:
            raise self._failure(free, defects)
        if search.slopes is not None:
            self._slopes[tuple(free)] = search.slopes
        self.crossed = stuck
        for k, law in enumerate(self._laws):
            if isinstance(law, Metal) and self.rows[k].open and k not in (pinned, emptied) and self.gap(k, g) > 0.0:
                self.crossed = k
        for k in free:
            law = self._laws[k]
            if isinstance(law, Current) and self.crossed is None:
                self.entered[k] = g * law.current  # what the search left open is shared out (set_amount)

    def gap(self, k: int, g: float) -> float:
        """How far a contact is beyond where it closes (relative to the amount) or ends the run (to the current)."""
        law = self._laws[k]
        if isinstance(law, Current):
            return float(1.0 - self.entered[k] / (g * law.current))
        return float((self._before[k] + self.entered[k]) / _amount(law) - 1.0)

    def arrive(self, k: int, g: float) -> None:
        """The step ends exactly where contact k closes or ends.

        Raises:
            ConvergenceError: If it does not.
        """
        law = self._laws[k]
        if abs(self.gap(k, g)) > REACHED:
            raise self._failure([k], np.array([self.gap(k, g)]))
        self.entered[k] = g * law.current if isinstance(law, Current) else _amount(law) - self._before[k]
        for j, other in enumerate(self._laws):
            if isinstance(other, Current) and self.rows[j].open:
                self.entered[j] = g * other.current
        self.crossed = None

    def accept(self, time: float) -> bool:
        """Make the step the latest; whether a contact has closed, so that the past says nothing about what follows."""
        self.supplied.appendleft(self._before + self.entered)
        self.past.appendleft(self.level.copy())
        closed = False
        for k, law in enumerate(self._laws):
            if isinstance(law, Metal) and self.supplied[0][k] > law.amount * (1.0 - 1e-12):
                self.supplied[0][k] = law.amount  # and nothing of it returns
                closed |= self.rows[k].open
                self.rows[k].open = False
            elif isinstance(law, Current) and law.limit is not None and law.beyond(self.level[k] + law.hair):
                self._end(k, time)
        return closed

    def reset(self) -> None:
        """Back to the last accepted step."""
        self.level = self.past[0].copy()
        self.crossed = None
        self._set()

    # -- inside a step -----------------------------------------------------------------------------

    def _set(self) -> None:
        for row, law, level in zip(self.rows, self._laws, self.level.tolist(), strict=True):
            row.value = law.potential_of(level)

    def _solve(self, solve: Callable[[], Array]) -> None:
        self._set()
        self.entered = np.array(solve())
        self.solves += 1

    def _defects(self, free: Sequence[int], g: float) -> tuple[Array, Array]:
        found = [self._laws[k].defect(self.level[k], self._before[k], self.entered[k], g) for k in free]
        values = np.array(found).reshape(-1, 2)
        return values[:, 0], values[:, 1]

    def _floors(self, free: Sequence[int], floor: float) -> Array:
        laws = [self._laws[k] for k in free]
        return np.array([floor / law.capacity if isinstance(law, Stirred) else floor for law in laws])

    def _within(self, k: int, level: float) -> float:
        """A level no further than the cut-off, and what a contact can hold."""
        law, level = self._laws[k], min(max(level, EMPTY), FULL)
        return law.limit if isinstance(law, Current) and law.beyond(level) and law.limit is not None else level

    def _stuck(self, free: Sequence[int], defects: Array) -> int | None:
        """A current that does not flow even at its cut-off; an error if the contact is full or empty before."""
        for k, defect in zip(free, defects.tolist(), strict=True):
            law = self._laws[k]
            if (self.level[k] >= FULL and defect < 0.0) or (self.level[k] <= EMPTY and defect > 0.0):
                raise self._failure([k], defects)
            if isinstance(law, Current) and law.beyond(self.level[k]) and defect * law.current < 0.0:
                return k
        return None

    def _differences(self, solve: Callable[[], Array], free: Sequence[int], defects: Array, g: float) -> Array:
        """Slopes of the defects by the fractions, once per run."""
        start, entered = self.level.copy(), self.entered.copy()
        out = np.zeros((len(free), len(free)))
        for j, k in enumerate(free):
            self.level = start.copy()
            self.level[k] += 1e-2
            self._solve(solve)
            change = expit(self.level[k]) - expit(start[k])
            out[:, j] = (self._defects(free, g)[0] - defects) / change
        self.level, self.entered = start, entered
        return out

    def _failure(self, free: Sequence[int], defects: Array) -> ConvergenceError:
        names = ", ".join(self.places[k].name for k in free)
        levels = ", ".join(f"{self.rows[k].value * self._scales.potential:.4g} J/mol" for k in free)
        return ConvergenceError(
            f"no chemical potential of the contact {names} gives what is asked for (tried up to {levels})",
            field="chemical_potential",
            history=[{"chemical_potential": float(np.max(np.abs(defects), initial=0.0))}],
            worst_point=(),
            advice="A full or an empty body carries no current: give a cut_off_voltage, or a smaller current.",
        )

    # -- numbers -----------------------------------------------------------------------------------

    def potential(self, k: int) -> tuple[float, float]:
        """Potential of a contact with a current against lithium metal (mu = 0), and its overpotential, V."""
        law = self._laws[k]
        if not isinstance(law, Current):
            raise TypeError("no current is given here")
        unit = self._scales.potential / FARADAY
        return -unit * (law.potential_of(float(self.past[0][k])) + law.overpotential), unit * law.overpotential

    def row(self, dimension: int) -> dict[str, float]:
        """Numbers of the history: ``potential_V`` and ``overpotential_V`` of currents, what reservoirs hold."""
        per = "_per_m" if dimension == 2 else ""
        currents = [k for k, law in enumerate(self._laws) if isinstance(law, Current)]
        others = [k for k in range(len(self)) if k not in currents]
        out: dict[str, float] = {}
        for k in currents:
            of = f"_{self.places[k].name}" if len(currents) > 1 else ""
            out[f"potential_V{of}"], out[f"overpotential_V{of}"] = self.potential(k)
        for k in others:
            of = f"_{self.places[k].name}" if len(others) > 1 else ""
            left = _amount(self._laws[k]) - float(self.supplied[0][k])
            out[f"reservoir{of}_mol{per}"] = left * self._scales.amount(dimension)
        return out

    def _end(self, k: int, time: float) -> None:
        self.ended = f"boundaries.{self.places[k].name} reached its cut_off_voltage at t = {time:.6g} s"

    def meta(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "levels": [v.tolist() for v in self.past],
            "supplied": [v.tolist() for v in self.supplied],
            "open": [row.open for row in self.rows],
            "slopes": [[list(free), matrix.tolist()] for free, matrix in self._slopes.items()],
            "ended": self.ended,
        }

    def set_meta(self, meta: Mapping[str, Any]) -> None:
        """The inverse of ``meta``."""
        self.past = deque(map(np.array, meta["levels"]), maxlen=DEPTH)
        self.supplied = deque(map(np.array, meta["supplied"]), maxlen=DEPTH)
        for row, is_open in zip(self.rows, meta["open"], strict=True):
            row.open = bool(is_open)
        self._slopes = {tuple(free): np.array(matrix) for free, matrix in meta["slopes"]}
        self.ended = str(meta["ended"])
        self.reset()


class _Search:
    """Broyden's method for defects that vanish, in fractions; with one unknown the secant, kept between its bounds.

    Attributes:
        slopes: Present estimate of d(defect)/d(fraction).
    """

    def __init__(self, free: Sequence[int], slopes: Array | None) -> None:
        self.slopes = slopes
        self._bounds = [-np.inf, np.inf] if len(free) == 1 else None
        self._last: tuple[Array, Array] | None = None

    def done(self, defects: Array, wanted: Array, floor: Array) -> bool:
        """Whether defects are as small as wanted, or small and not about to become smaller: rounding."""
        least, before = 1e-4 * floor, np.inf if self._last is None else np.abs(self._last[1])
        small = np.abs(defects) <= wanted + least
        return bool(np.all(small | ((np.abs(defects) <= floor) & (np.abs(defects) >= 0.5 * before))))

    def step(self, level: Array, defects: Array) -> Array:
        """The next levels."""
        if self.slopes is None:
            raise ValueError("there are no slopes yet")
        y, slopes = expit(level), self.slopes
        if self._last is not None:
            change, of_defects = y - self._last[0], defects - self._last[1]
            scaled = change / (y * expit(-level)) ** 2
            new = slopes + np.outer(of_defects - slopes @ change, scaled) / max(float(scaled @ change), 1e-300)
            if np.all(np.diag(new) > 0.0):  # more enters at a higher potential; what says otherwise is rounding
                self.slopes = slopes = new
        self._last = y, defects
        with np.errstate(all="ignore"):
            change = np.linalg.solve(slopes, -defects)
            # At most nine tenths of the way to an empty or a full contact, in the form that keeps small numbers.
            full, empty = expit(-level), y
            share = np.clip(change, -0.9 * empty, 0.9 * full)
            target = np.asarray(np.log(empty + share) - np.log(full - share))
        if self._bounds is not None:
            self._bounds[int(defects[0] > 0.0)] = float(level[0])
            low, high = self._bounds
            if not low < target[0] < high:
                target[0] = 0.5 * (low + high) if np.isfinite(low + high) else target[0]
        return target


def _amount(law: Metal | Stirred | Current) -> float:
    if isinstance(law, Current):
        raise TypeError("a current has no amount")
    return law.amount


def _law(case: Case, scales: Scales, place: Place) -> Metal | Stirred | Current:
    source = case.boundaries[place.name].source
    per_area = place.area / (scales.concentration * scales.length)
    if isinstance(source, Reservoir):
        amount = source.amount * per_area
        if source.capacity is None:
            return Metal((source.chemical_potential or 0.0) / scales.potential, amount)
        material = law_of(case, source)
        reference = material.reference_potential / scales.potential
        return Stirred(amount, source.capacity * per_area, material.interaction, reference)
    if not isinstance(source, Galvanostatic):
        raise TypeError(f"boundaries.{place.name} is no source")
    reference = next(iter(case.used_materials.values())).reference_potential / scales.potential
    current, exchange = source.current, source.exchange_current_density
    eta = 0.0 if exchange is None else 2.0 * float(np.arcsinh(current / (2.0 * exchange)))
    limit = source.cut_off_voltage
    unit = scales.potential / FARADAY
    end = None if limit is None else -limit / unit - eta - reference
    return Current(current / FARADAY / scales.molar_flux * place.area, reference, eta, end)


def _blend(past: Sequence[Array], weights: tuple[float, ...]) -> Array:
    return np.asarray(sum(w * old for w, old in zip(weights, past, strict=False)))
