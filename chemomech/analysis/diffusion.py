"""Exact diffusion along one grain boundary in a half-space: Whipple, Suzuoka, Fisher, and the limits A and C.

The boundary is the plane x = 0, the surface y = 0, lithium in the grain c(x, y, t) and s c(0, y, t) in the boundary:

    dc/dt = D (d2c/dx2 + d2c/dy2),    s delta (dc/dt - D_gb d2c/dy2) = 2 D dc/dx  at x = +0.

This is a boundary of dimension one less than the body with local equilibrium, and Whipple's integral solves it exactly,
for any ratio D_gb/D > 1. Lengths are measured in sqrt(D t): xi = x/sqrt(Dt), eta = y/sqrt(Dt).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import erfc, erfcx

from chemomech.errors import CaseError
from chemomech.typing import Array

type Source = Literal["constant", "instantaneous"]

_NODES: Final = 401  # of the trapezoidal rule; more change nothing but rounding
_SCAN: Final = 400
_NATS: Final = 45.0  # what is smaller than exp(-45) of the largest is left out
_CHUNK: Final = 2000  # points at a time


def positive(key: str, value: float) -> float:
    """The value itself.

    Raises:
        CaseError: If it is not a finite number above zero.
    """
    if not (math.isfinite(value) and value > 0.0):
        raise CaseError(key, value, "it must be a finite number above zero", "a number above 0, in SI units")
    return value


def _log_integrand(v: Array, xi: Array, eta: Array, alpha: float, beta: float, lateral: bool) -> tuple[Array, Array]:
    """Logarithm of Whipple's integrand and sigma, where sigma = 1 + beta q and q = e^v/(1 + alpha e^v).

    With this v the integrand is analytic on the whole axis and falls off at least exponentially on both sides, so that
    the trapezoidal rule converges faster than any power of its step.
    """
    e = np.exp(v)
    g = 1.0 + alpha * e
    q = e / g
    sigma = 1.0 + beta * q
    z = 0.5 * np.sqrt(g) * (xi + q)
    scaled = erfcx(z)
    if lateral:  # the integral of erfc over xi >= 0; far out its asymptote, as the difference cancels
        r = 0.5 / np.maximum(z, 1.0) ** 2
        near = 1.0 / math.sqrt(math.pi) - z * scaled
        far = r * (1.0 - 3.0 * r + 15.0 * r**2) / math.sqrt(math.pi)
        scaled = 2.0 / np.sqrt(g) * np.where(z < 100.0, near, far)
    log = v - 2.0 * np.log(g) - 1.5 * np.log(sigma) - eta**2 / (4.0 * sigma) - z**2 + np.log(scaled)
    return log, sigma


def whipple_integral(
    xi: npt.ArrayLike,
    eta: npt.ArrayLike,
    beta: float,
    alpha: float = 0.0,
    *,
    order: Literal[0, 1, 2] = 0,
    lateral: bool = False,
) -> Array:
    """What the boundary adds to erfc(eta/2): Whipple's integral and (-d/deta)^order of it.

    Whipple, Phil. Mag. 45, 1225 (1954): (eta/(2 sqrt(pi))) times the integral from 1 to Delta of sigma^(-3/2)
    exp(-eta^2/(4 sigma)) erfc[sqrt((Delta-1)/(Delta-sigma)) (xi + (sigma-1)/beta)/2] dsigma, Delta = D_gb/D. Order 1 is
    the instantaneous source of Suzuoka, Trans. Japan Inst. Met. 2, 25 (1961), in units of amount/sqrt(Dt).

    Args:
        xi: Distances from the boundary over sqrt(Dt), not negative.
        eta: Depths over sqrt(Dt), not negative; broadcast with ``xi``.
        beta: (Delta - 1) alpha, which for large Delta is s delta D_gb/(2 D sqrt(Dt)).
        alpha: s delta/(2 sqrt(Dt)); 0 is the limit of infinite Delta at this ``beta``.
        order: How often it is differentiated.
        lateral: Integrate over xi from 0 to infinity instead; ``xi`` must be 0.

    Raises:
        CaseError: If a number is out of range.
    """
    positive("beta", beta)
    if not (math.isfinite(alpha) and alpha >= 0.0):
        raise CaseError("alpha", alpha, "it must not be negative", "0 or more")
    x, y = np.broadcast_arrays(np.asarray(xi, dtype=float), np.asarray(eta, dtype=float))
    if not (np.all(np.isfinite(x)) and np.all(np.isfinite(y)) and np.all(x >= 0.0) and np.all(y >= 0.0)):
        raise CaseError("xi, eta", None, "a distance or depth is negative or not finite", "0 or more")
    if lateral and np.any(x > 0.0):
        raise CaseError("xi", None, "the integral over xi is taken from the boundary on", "xi = 0")
    flat_x, flat_y = x.reshape(-1), y.reshape(-1)
    out = np.empty(flat_x.size)
    for start in range(0, flat_x.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        out[part] = _integrate(flat_x[part, None], flat_y[part, None], alpha, beta, order, lateral)
    return np.asarray(beta / (2.0 * math.sqrt(math.pi)) * out.reshape(x.shape))


def _integrate(x: Array, y: Array, alpha: float, beta: float, order: int, lateral: bool) -> Array:
    last = max(math.log(1e4), -math.log(alpha) if alpha > 0.0 else 0.0) + _NATS
    if alpha == 0.0:
        last = math.log(1e4)
    scan = np.linspace(min(-math.log(beta), 0.0) - _NATS - 5.0, last, _SCAN)
    log, sigma = _log_integrand(scan[None, :], x, y, alpha, beta, lateral)
    log += np.log(0.5 * y**2 / sigma + 1.0)
    kept = log > log.max(axis=1, keepdims=True) - _NATS
    step = scan[1] - scan[0]
    lower = scan[np.argmax(kept, axis=1)] - step
    upper = scan[_SCAN - 1 - np.argmax(kept[:, ::-1], axis=1)] + step
    h = ((upper - lower) / (_NODES - 1))[:, None]
    v = lower[:, None] + h * np.arange(_NODES)
    log, sigma = _log_integrand(v, x, y, alpha, beta, lateral)
    r = 0.5 * y**2 / sigma
    weight = y if order == 0 else r - 1.0 if order == 1 else 0.5 * y / sigma * (r - 3.0)
    return np.asarray((h * weight * np.exp(log)).sum(axis=1))


def _surface(eta: Array, order: Literal[0, 1]) -> Array:
    """(-d/deta)^order of erfc(eta/2): what comes through the surface itself."""
    if order == 0:
        return np.asarray(erfc(0.5 * eta))
    return np.asarray(np.exp(-0.25 * eta**2) / math.sqrt(math.pi))


def _order(source: Source) -> Literal[0, 1]:
    if source not in ("constant", "instantaneous"):
        raise CaseError("source", source, "not one of the possible values", "'constant' or 'instantaneous'")
    return 0 if source == "constant" else 1


@dataclass(frozen=True)
class BoundaryDiffusion:
    """One grain boundary in a half-space, and its exact solutions.

    All functions take distances x from the boundary, m, depths y below the surface, m, and one time t, s. A
    ``constant`` source holds c = 1 at the surface (Whipple); an ``instantaneous`` one (Suzuoka) has put an amount 1 m,
    concentration times length, on every part of the surface at t = 0, s times that on the boundary. Both are linear:
    multiply by the true concentration or amount.

    Args:
        diffusivity: D of the grains, m^2/s.
        boundary_diffusivity: D_gb, m^2/s, above D.
        width: delta of the boundary, m.
        segregation: s, concentration in the boundary over that in the grain beside it.

    Raises:
        CaseError: If a number is out of range.
    """

    diffusivity: float
    boundary_diffusivity: float
    width: float
    segregation: float = 1.0

    def __post_init__(self) -> None:
        for key in ("diffusivity", "boundary_diffusivity", "width", "segregation"):
            positive(key, getattr(self, key))
        if self.boundary_diffusivity <= self.diffusivity:
            raise CaseError(
                "boundary_diffusivity",
                self.boundary_diffusivity,
                "the boundary is not faster than the grains",
                f"a number above the diffusivity {self.diffusivity:g} m^2/s",
            )

    @property
    def product(self) -> float:
        """P = s delta D_gb, m^3/s; all that a profile of type B can tell of the boundary."""
        return self.segregation * self.width * self.boundary_diffusivity

    def length(self, t: float) -> float:
        """sqrt(D t), m."""
        return math.sqrt(self.diffusivity * positive("t", t))

    def alpha(self, t: float) -> float:
        """s delta/(2 sqrt(Dt)): what the boundary itself holds against the grain beside it."""
        return 0.5 * self.segregation * self.width / self.length(t)

    def beta(self, t: float) -> float:
        """s delta D_gb/(2 D sqrt(Dt)): how far the boundary is ahead of the grain."""
        return self.boundary_diffusivity / self.diffusivity * self.alpha(t)

    def w(self, y: npt.ArrayLike, t: float) -> Array:
        """Reduced depth eta/sqrt(beta)."""
        return np.asarray(np.asarray(y, dtype=float) / (self.length(t) * math.sqrt(self.beta(t))))

    def _boundary_part(
        self, x: npt.ArrayLike, y: npt.ArrayLike, t: float, order: Literal[0, 1, 2], lateral: bool = False
    ) -> Array:
        unit, alpha = self.length(t), self.alpha(t)
        beta = (self.boundary_diffusivity / self.diffusivity - 1.0) * alpha
        xi, eta = np.abs(np.asarray(x, dtype=float)) / unit, np.asarray(y, dtype=float) / unit
        part = whipple_integral(xi, eta, beta, alpha, order=order, lateral=lateral)
        return part / unit**order * (unit if lateral else 1.0)

    def _surface_part(self, y: npt.ArrayLike, t: float, order: Literal[0, 1]) -> Array:
        unit = self.length(t)
        return _surface(np.asarray(y, dtype=float) / unit, order) / unit**order

    def concentration(self, x: npt.ArrayLike, y: npt.ArrayLike, t: float, source: Source = "constant") -> Array:
        """c(x, y, t) in the grain; the boundary holds s c(0, y, t).

        Args:
            x: Distances from the boundary, m; the sign does not matter.
            y: Depths, m.
            t: Time, s.
            source: What the surface does.

        Returns:
            In units of the surface concentration (constant) or 1/m (instantaneous); shape of ``x`` and ``y`` together.
        """
        order = _order(source)
        return np.asarray(self._surface_part(y, t, order) + self._boundary_part(x, y, t, order))

    def excess(self, y: npt.ArrayLike, t: float, source: Source = "constant", *, with_boundary: bool = False) -> Array:
        """What the boundary has brought to the depth y: the integral over x of c less what came through the surface.

        Divided by the distance of the boundaries it is the mean concentration of a deep section.

        Args:
            y: Depths, m.
            t: Time, s.
            source: What the surface does.
            with_boundary: Count the content s delta c(0, y, t) of the boundary too; otherwise both grains only, as in
                the evaluations of type B.

        Returns:
            In m (constant) or dimensionless (instantaneous), in units of the source.
        """
        order = _order(source)
        grains = 2.0 * self._boundary_part(0.0, y, t, order, lateral=True)
        if with_boundary:
            grains = grains + self.segregation * self.width * self.concentration(0.0, y, t, source)
        return np.asarray(grains)

    def mean(self, y: npt.ArrayLike, t: float, spacing: float, source: Source = "constant") -> Array:
        """Mean concentration over x of a body with parallel boundaries, content of the boundaries included.

        Args:
            y: Depths, m.
            t: Time, s.
            spacing: Distance of the boundaries, m; far above sqrt(Dt), so that each is alone.
            source: What the surface does.
        """
        excess = self.excess(y, t, source, with_boundary=True)
        return np.asarray(self._surface_part(y, t, _order(source)) + excess / positive("spacing", spacing))

    def slope(self, y: npt.ArrayLike, t: float, source: Source = "constant") -> Array:
        """-d ln(excess)/d(w^(6/5)), by exact differentiation; the depth must be above 0.

        Le Claire, Brit. J. Appl. Phys. 14, 351 (1963), took it for constant, 0.78, in deriving his formula.
        """
        depth = np.asarray(y, dtype=float)
        if np.any(depth <= 0.0):
            raise CaseError("y", None, "the slope in y^(6/5) has no value at the surface", "depths above 0, m")
        order = _order(source)
        one = self._boundary_part(0.0, depth, t, order, lateral=True)
        two = self._boundary_part(0.0, depth, t, 1 if order == 0 else 2, lateral=True)
        if np.any(one == 0.0):
            raise CaseError("y", float(depth.max()), "nothing arrives at this depth", "smaller depths, m")
        w = self.w(depth, t)
        return np.asarray(two / one * (depth / w) * w**-0.2 / 1.2)

    def fisher(self, x: npt.ArrayLike, y: npt.ArrayLike, t: float) -> Array:
        """Fisher's approximation exp(-w/pi^(1/4)) erfc(xi/2) for a constant source.

        Fisher, J. Appl. Phys. 22, 74 (1951): the boundary is stationary and the grain beside it is fed sideways only.
        """
        side = erfc(0.5 * np.abs(np.asarray(x, dtype=float)) / self.length(t))
        return np.asarray(np.exp(-(math.pi**-0.25) * self.w(y, t)) * side)


def penetration(y: npt.ArrayLike, t: float, diffusivity: float) -> Array:
    """erfc(y/(2 sqrt(D t))) for a constant source: a boundary alone (type C, with D_gb) or a body of type A.

    Args:
        y: Depths, m.
        t: Time, s.
        diffusivity: D_gb, or D_eff of :func:`hart_diffusivity`, m^2/s.
    """
    root = 2.0 * math.sqrt(positive("diffusivity", diffusivity) * positive("t", t))
    return np.asarray(erfc(np.asarray(y, dtype=float) / root))


def boundary_fraction(width: float, grain_size: float, shape: Literal["slabs", "columns", "cubes"] = "slabs") -> float:
    """Volume fraction of boundaries of width delta between grains whose centres are d apart.

    Args:
        width: delta, m.
        grain_size: d, m.
        shape: Parallel slabs, square columns or cubes: about 1, 2 or 3 times delta/d.

    Raises:
        CaseError: If the boundaries are wider than the grains.
    """
    part = positive("width", width) / positive("grain_size", grain_size)
    if part >= 1.0:
        raise CaseError("width", width, "the boundaries are wider than the grains", f"less than {grain_size:g} m")
    return part if shape == "slabs" else 1.0 - (1.0 - part) ** {"columns": 2, "cubes": 3}[shape]


def hart_diffusivity(
    diffusivity: float, boundary_diffusivity: float, fraction: float, segregation: float = 1.0
) -> float:
    """Effective diffusivity of type A, m^2/s, for boundaries along the flux.

    (s f D_gb + (1-f) D)/(s f + 1 - f): Hart, Acta Met. 5, 597 (1957) for s = 1, Mortlock, Acta Met. 8, 132 (1960).

    Args:
        diffusivity: D of the grains, m^2/s.
        boundary_diffusivity: D_gb, m^2/s.
        fraction: f, volume fraction of the boundaries, between 0 and 1.
        segregation: s, concentration in the boundary over that in the grain.
    """
    if not 0.0 <= fraction <= 1.0:
        raise CaseError("fraction", fraction, "a volume fraction lies between 0 and 1", "0 to 1")
    held = positive("segregation", segregation) * fraction
    flow = held * positive("boundary_diffusivity", boundary_diffusivity) + (1.0 - fraction) * diffusivity
    return flow / (held + 1.0 - fraction)
