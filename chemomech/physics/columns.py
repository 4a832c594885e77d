"""Sub-grid columns: the grain around a node of a boundary, as a chain of thin cells normal to the boundary.

Seen from a boundary, a mesh that is coarser than sqrt(D t) would take up lithium into the whole volume of its nodes.
The column resolves what happens there: a node of volume V and boundary area S (both sides) has a column of depth
L = V/S whose surface is in local equilibrium with the node's chemical potential and whose end is closed. The mean of
the column is what the node holds, and its end is what the rest of the grain sees. Where the mesh resolves sqrt(D t) the
column is in equilibrium and the ordinary scheme comes back.

Regular solution with Darken's mobility: the flux -D(c) c (1-c) grad mu is -D0 grad phi, without a logarithm,
phi = int D(c)/D0 [1 - 2 chi c (1-c)] dc; with constant D phi = c - chi (c^2 - 2 c^3/3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from chemomech.materials.lithiation import HomologousLaw
from chemomech.typing import Array

CELLS, FINE = 10, 24
"""Cells of a column; where D(c) spreads the depths that lithium reaches over orders of magnitude."""
_REACH, _FIRST = 4.0, 15.0  # depth that is resolved over sqrt(D t); sqrt(D t) or depth over the first cell
_LEAST = (
    30.0  # width of the boundary over the thinnest first cell that D(c) asks for: such a cell holds next to nothing
)
_CLOSE = 1e-13
_BEND = 0.02  # most by which ln D may change in a piece of the interpolation of D(c)

Potential = Callable[[Array], tuple[Array, Array]]
"""phi and its derivative of c, the driving force of the flux in a column."""


def regular_fraction(psi: Array, chi: float) -> tuple[Array, Array]:
    """c with ln(c/(1-c)) + chi (1-2c) = psi, and dc/dpsi; chi <= 2, so that there is one."""
    target = np.clip(psi, -700.0, 700.0).astype(float)
    y = target.copy()
    if chi != 0.0:
        # From a side from which Newton's method walks one way only.
        y = np.sign(target) * np.maximum(np.abs(target) + chi, 0.0)
        for _ in range(200):
            c = 1.0 / (1.0 + np.exp(-y))
            slope = np.maximum(1.0 - 2.0 * chi * c * (1.0 - c), 1e-12)
            step = (y - chi * np.tanh(0.5 * y) - target) / slope
            y -= step
            if np.max(np.abs(step), initial=0.0) < 1e-14 * (1.0 + np.max(np.abs(y), initial=0.0)):
                break
    c = 1.0 / (1.0 + np.exp(-y))
    room = c / (1.0 + np.exp(y))
    return c, room / np.maximum(1.0 - 2.0 * chi * room, 1e-8)


def stiff_fraction(psi: Array, chi: float, stiffness: Array, at: Array) -> Array:
    """c with ln(c/(1-c)) + chi (1-2c) + stiffness (c - at) = psi; chi <= 2, stiffness >= 0, so that there is one.

    Args:
        psi: Shape (n,).
        chi: Interaction.
        stiffness: Shape (n,).
        at: c for which psi holds, shape (n,).
    """
    low = np.clip(psi - stiffness * (1.0 - at), -700.0, 700.0) - abs(chi)
    high = np.clip(psi + stiffness * at, -700.0, 700.0) + abs(chi)
    y = np.clip(np.log(at / (1.0 - at)), low, high)
    for _ in range(100):
        c = 1.0 / (1.0 + np.exp(-y))
        off = y - chi * np.tanh(0.5 * y) + stiffness * (c - at) - psi
        low, high = np.where(off < 0.0, y, low), np.where(off > 0.0, y, high)
        step = off / np.maximum(1.0 + (stiffness - 2.0 * chi) * c * (1.0 - c), 1e-12)
        new = np.where((y - step > low) & (y - step < high), y - step, 0.5 * (low + high))
        new = np.where(off == 0.0, y, new)
        done = np.max(np.abs(new - y), initial=0.0) < 1e-14 * (1.0 + np.max(np.abs(y), initial=0.0))
        y = new
        if done:
            break
    return np.asarray(1.0 / (1.0 + np.exp(-y)))


def regular_potential(chi: float) -> Potential:
    """phi of a regular solution with constant D."""

    def phi(c: Array) -> tuple[Array, Array]:
        return c - chi * c**2 * (1.0 - 2.0 / 3.0 * c), 1.0 - 2.0 * chi * c * (1.0 - c)

    return phi


def homologous_potential(chi: float, law: HomologousLaw) -> Potential:
    """phi of a regular solution whose D(c) follows the melting point.

    The derivative is interpolated by cubics to a relative 1e-9, and phi is exactly its integral, so that Newton's
    method sees one function and its slope.
    """
    from scipy.interpolate import PPoly  # takes 5 MB

    low, high = law.extremes()
    count = max(200, int(np.ceil(np.log(high / low) / _BEND)))
    kinks = [x / (1.0 - x) for x in law.knots if 0.0 < x < 0.5]
    pieces = np.unique(np.concatenate([np.linspace(0.0, 1.0, count + 1), kinks]))
    at = np.array([0.0, 0.25, 0.75, 1.0])
    size = np.diff(pieces)
    c = pieces[:-1] + at[:, None] * size
    values = law.ratio(c) * (1.0 - 2.0 * chi * c * (1.0 - c))
    powers = np.linalg.solve(np.vander(at), values) / size ** np.arange(3, -1, -1)[:, None]
    slope = PPoly(powers, pieces)
    whole = slope.antiderivative()

    def phi(c: Array) -> tuple[Array, Array]:
        return np.asarray(whole(c)), np.asarray(slope(c))

    return phi


def thicknesses(depth: Array, reach: float, count: int = CELLS, shortest: float | None = None) -> Array:
    """Thickness of the cells of each column, shape (count, columns).

    They grow by one ratio from a fifteenth of ``reach`` or of the depth; beyond 4 ``reach``, where nothing happens, the
    last cell takes what is left.

    Args:
        depth: Depth of each column.
        reach: sqrt(D t) at the end of the run.
        count: Number of cells.
        shortest: sqrt(D t) where diffusion is slowest, if it is not the same everywhere; the first cell resolves it.
    """
    resolved = np.minimum(depth, _REACH * reach)
    nearest = reach if shortest is None else shortest
    first = np.minimum(np.minimum(depth, nearest) / _FIRST, resolved / count)
    k = np.arange(count)[:, None]
    low, high = np.zeros_like(depth), np.full_like(depth, np.log(100.0))
    for _ in range(60):
        middle = 0.5 * (low + high)
        long = first * np.exp(middle * k).sum(axis=0) > resolved
        high, low = np.where(long, middle, high), np.where(long, low, middle)
    cells = first * np.exp(low * k)
    cells *= resolved / cells.sum(axis=0)
    cells[-1] += depth - resolved
    return np.asarray(cells)


@dataclass(slots=True)
class Response:
    """Columns after a step whose surfaces are at given potentials.

    Attributes:
        mean, end: Mean of each column, and its last cell.
        mean_slope, end_slope: Their derivatives by the potential at the surface.
    """

    mean: Array
    mean_slope: Array
    end: Array
    end_slope: Array


class Columns:
    """The columns of one rank.

    Args:
        depth: Depth of each column, shape (n,).
        diffusivity: D0 of the grain.
        interaction: chi of the grain, at most 2.
        reach: sqrt(D0 t) at the end of the run.
        law: D(c)/D0 if it is not one.
        width: Of the boundary. With D(c) first cells need not be much thinner, however slow diffusion is.

    Attributes:
        thickness: Of the cells, shape (count, n).
        share: Of each cell in its column; they add up to one.
    """

    def __init__(
        self,
        depth: Array,
        diffusivity: float,
        interaction: float,
        reach: float,
        law: HomologousLaw | None = None,
        width: float = 0.0,
    ) -> None:
        self.diffusivity, self.interaction = diffusivity, interaction
        self._linear = law is None and interaction == 0.0
        self._phi: Potential
        if law is None:
            self._phi = regular_potential(interaction)
            self.thickness = thicknesses(depth, reach)
        else:
            self._phi = homologous_potential(interaction, law)
            low, high = np.sqrt(law.extremes()) * reach
            shortest = max(float(low), width / _LEAST * _FIRST)
            self.thickness = thicknesses(depth, max(float(high), shortest), FINE, shortest)
        self.share = self.thickness / depth
        self._between = 1.0 / (0.5 * (self.thickness[:-1] + self.thickness[1:]))
        self._surface = 2.0 / self.thickness[0]

    def respond(self, psi: Array, c: Array, start: Array, g: float) -> Response:
        """Solve t_k (c_k - c*_k) = g (F_{k-1} - F_k) in every column.

        Args:
            psi: ln(c/(1-c)) + chi (1-2c) at the surfaces, shape (n,).
            c: First guess, shape (CELLS, n); holds the solution afterwards.
            start: c*, shape (CELLS, n).
            g: Weight of the fluxes in the step.
        """
        surface, slope = regular_fraction(psi, self.interaction)
        # What comes out lies between these; a steep D(c) throws Newton's method beyond.
        lowest, highest = np.minimum(surface, start.min(axis=0)), np.maximum(surface, start.max(axis=0))
        outer, outer_slope = self._phi(surface)
        first, between = g * self.diffusivity * self._surface, g * self.diffusivity * self._between
        t = self.thickness
        for _ in range(50):
            phi, dphi = self._phi(c)
            flux = between * (phi[:-1] - phi[1:])
            rest = t * (c - start)
            rest[0] -= first * (outer - phi[0])
            rest[:-1] += flux
            rest[1:] -= flux
            diagonal = t.copy()
            diagonal[0] += first * dphi[0]
            diagonal[:-1] += between * dphi[:-1]
            diagonal[1:] += between * dphi[1:]
            right = np.zeros((2, *c.shape))
            right[0], right[1, 0] = rest, first * outer_slope * slope
            step, sensitivity = _tridiagonal(-between * dphi[:-1], diagonal, -between * dphi[1:], right)
            if self._linear:
                c -= step
                break
            before = c.copy()
            np.clip(c - step, lowest, highest, out=c)
            if np.max(np.abs(c - before), initial=0.0) < _CLOSE:
                break
        else:
            c[:] = np.nan  # the step is then tried again in parts
        return Response(
            mean=(self.share * c).sum(axis=0),
            mean_slope=(self.share * sensitivity).sum(axis=0),
            end=c[-1].copy(),
            end_slope=sensitivity[-1],
        )

    def settle(self, c: Array, mean: Array) -> None:
        """Give the columns exactly these means, by a change proportional to c (1-c), in place."""
        room = c * (1.0 - c)
        c += room * ((mean - (self.share * c).sum(axis=0)) / (self.share * room).sum(axis=0))

    def mixing_energy(self, c: Array) -> Array:
        """Mean of c ln c + (1-c) ln(1-c) + chi c (1-c) over each column."""
        mixing = c * np.log(c) + (1.0 - c) * np.log1p(-c) + self.interaction * c * (1.0 - c)
        return np.asarray((self.share * mixing).sum(axis=0))


def _tridiagonal(lower: Array, diagonal: Array, upper: Array, right: Array) -> Array:
    """Thomas' algorithm for all columns at once: (count - 1, n), (count, n), (count - 1, n), (k, count, n)."""
    d, r = diagonal, right
    for j in range(1, len(d)):
        factor = lower[j - 1] / d[j - 1]
        d[j] -= factor * upper[j - 1]
        r[:, j] -= factor * r[:, j - 1]
    r[:, -1] /= d[-1]
    for j in range(len(d) - 2, -1, -1):
        r[:, j] = (r[:, j] - upper[j] * r[:, j + 1]) / d[j]
    return r
