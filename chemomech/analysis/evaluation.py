"""What a measured or computed penetration profile says: s delta D_gb, D from L(t), and the regime of a run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from chemomech.analysis.diffusion import Source, positive, whipple_integral
from chemomech.errors import CaseError
from chemomech.typing import Array

LE_CLAIRE: Final = {"constant": 1.322, "instantaneous": 1.308}  # recalled; see the docstring of le_claire
FISHER: Final = 2.0 / math.sqrt(math.pi)  # 1.128
_DEEP: Final = (2.0, 20.0)  # range of w in which Le Claire's formula is right within 10 %


@dataclass(frozen=True)
class BoundaryProduct:
    """s delta D_gb from a profile, and how far to trust it.

    Attributes:
        product: By the closed formula, m^3/s.
        matched: By matching the exact integral at the same depths, m^3/s; with a width, what the boundary itself holds
            is part of it. nan if nothing matches.
        slope: -d ln c/d(y^p), m^-p, with p = 6/5 (Le Claire) or 1 (Fisher).
        slope_error: Standard error of it; nan of two points.
        w: Smallest and largest reduced depth used, by the matched product.
        beta: s delta D_gb/(2 D sqrt(Dt)), by the matched product.
        alpha: s delta/(2 sqrt(Dt)); nan if no width was given.
        depths: How many depths were used.
        remarks: What speaks against the result; empty if nothing does.
    """

    product: float
    matched: float
    slope: float
    slope_error: float
    w: tuple[float, float]
    beta: float
    alpha: float
    depths: int
    remarks: tuple[str, ...]

    @property
    def valid(self) -> bool:
        """Whether all conditions of the evaluation are met."""
        return not self.remarks


def _profile(y: npt.ArrayLike, mean: npt.ArrayLike) -> tuple[Array, Array]:
    depth, value = np.asarray(y, dtype=float).reshape(-1), np.asarray(mean, dtype=float).reshape(-1)
    if depth.shape != value.shape or len(np.unique(depth)) < 2:
        raise CaseError("y, mean", None, "a slope needs two depths or more, with one mean each", "arrays of one length")
    for key, values in (("y", depth), ("mean", value)):
        if not (np.all(np.isfinite(values)) and np.all(values > 0.0)):
            what = "a depth or mean is not above zero; subtract the background and leave out what is lost in noise"
            raise CaseError(key, None, what, "numbers above 0")
    return depth, value


def _fit(depth: Array, value: Array, power: float) -> tuple[float, float]:
    """Slope of -ln(value) in depth^power by least squares, and its standard error."""
    x = depth**power
    x, z = x - x.mean(), -np.log(value)
    slope = float(x @ z / (x @ x))
    rest = z - z.mean() - slope * x
    free = len(x) - 2
    return slope, math.sqrt(float(rest @ rest) / free / float(x @ x)) if free > 0 else math.nan


def _match(
    depth: Array, slope: float, power: float, guess: float, diffusivity: float, unit: float, alpha: float, order: int
) -> float:
    """The product whose exact profile has this slope at these depths; ``unit`` is sqrt(Dt)."""

    def gap(log_product: float) -> float:
        beta = math.exp(log_product) / (2.0 * diffusivity * unit) - alpha
        if beta <= 0.0:  # a boundary no faster than the grain
            return math.inf
        exact = whipple_integral(0.0, depth / unit, beta, alpha, order=1 if order else 0, lateral=True)
        if not np.all(exact > 0.0):  # too small a product: nothing arrives; beyond the slopes of all others
            return math.inf
        return float(_fit(depth, exact, power)[0] - slope)

    low = high = math.log(guess)
    for _ in range(60):
        if gap(high) < 0.0:
            break
        high += 0.5
    for _ in range(60):
        if gap(low) > 0.0:
            break
        low -= 0.5
    ends = gap(low), gap(high)
    if not (ends[0] > 0.0 > ends[1]):
        return math.nan
    while not math.isfinite(gap(low)):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if gap(middle) > 0.0 else (low, middle)
    from scipy.optimize import brentq  # takes 5 MB, and every run imports this module

    return math.exp(float(brentq(gap, low, high, xtol=1e-12, rtol=1e-12)))


def _evaluate(
    y: npt.ArrayLike,
    mean: npt.ArrayLike,
    diffusivity: float,
    t: float,
    source: Source,
    held: float | None,
    window: tuple[float, float] | None,
    power: float,
    formula: Callable[[float], float],
) -> BoundaryProduct:
    depth, value = _profile(y, mean)
    positive("diffusivity", diffusivity)
    positive("t", t)
    if source not in LE_CLAIRE:
        raise CaseError("source", source, "not one of the possible values", "'constant' or 'instantaneous'")
    unit = math.sqrt(diffusivity * t)
    order = int(source == "instantaneous")
    alpha = math.nan if held is None else 0.5 * positive("width", held) / unit
    used = np.ones(len(depth), dtype=bool)
    seen: list[bytes] = []
    while True:
        slope, error = _fit(depth[used], value[used], power)
        if slope <= 0.0:
            raise CaseError("mean", None, "the profile does not fall with depth", "means that fall with depth")
        product = formula(slope)
        matched = _match(depth[used], slope, power, product, diffusivity, unit, np.nan_to_num(alpha), order)
        best = matched if math.isfinite(matched) else product
        w = depth / math.sqrt(best * unit / (2.0 * diffusivity))
        seen.append(used.tobytes())
        if window is None:
            break
        inside = (w >= window[0]) & (w <= window[1])
        if np.count_nonzero(inside) < 2:
            told = f"the depths lie at w = {w.min():.3g} to {w.max():.3g}"
            raise CaseError("window", window, f"fewer than two depths fall into it; {told}", "another range of w")
        if inside.tobytes() in seen:
            break
        used = inside
    beta = best / (2.0 * diffusivity * unit)
    range_w = float(w[used].min()), float(w[used].max())
    remarks = []
    if beta < 9.99:
        remarks.append(f"beta = {beta:.3g} is below 10: the boundary is hardly ahead of the grains")
    if alpha > 0.1:
        remarks.append(f"alpha = {alpha:.3g} is above 0.1: the boundary itself holds too much, not type B")
    if range_w[0] < 0.99 * _DEEP[0] or range_w[1] > 1.01 * _DEEP[1]:
        remarks.append(f"w = {range_w[0]:.3g} to {range_w[1]:.3g} leaves {_DEEP[0]:g} to {_DEEP[1]:g}")
    if not math.isfinite(matched):
        remarks.append("no exact profile has this slope at these depths")
    count = int(np.count_nonzero(used))
    return BoundaryProduct(product, matched, slope, error, range_w, beta, alpha, count, tuple(remarks))


def le_claire(
    y: npt.ArrayLike,
    mean: npt.ArrayLike,
    diffusivity: float,
    t: float,
    *,
    source: Source = "constant",
    width: float | None = None,
    window: tuple[float, float] | None = None,
) -> BoundaryProduct:
    """s delta D_gb from the slope of ln(mean) against y^(6/5), type B.

    s delta D_gb = k sqrt(D/t) (-d ln c/dy^(6/5))^(-5/3), k = 1.322 for a constant and 1.308 for an instantaneous source
    (Le Claire, Brit. J. Appl. Phys. 14, 351, 1963; numbers recalled). k is no constant: by the exact integral it is
    1.270, 1.280 and 1.299 at w = 6, 8, 10 and beta = 1000 (instantaneous: 1.216, 1.237, 1.263), so that the closed
    formula is 2 to 4 % (4 to 8 %) too large there even with perfect data; ``matched`` has no such error. Errors below
    10 % are reported for beta > 10 and 2 < w < 20 (Chung and Wuensch, Mater. Lett. 28, 47, 1996, abstract).

    Args:
        y: Depths, m.
        mean: Mean over a section less what came through the surface and the background; any unit.
        diffusivity: D of the grains, m^2/s, known from elsewhere.
        t: Time, s.
        source: What the surface did.
        width: s delta, m, if known: tells whether the profile is of type B and makes ``matched`` exact.
        window: Range of w to use; found again with each product until it stays. All depths if not given.

    Raises:
        CaseError: If there are fewer than two depths, a number is not above zero, or the profile does not fall.
    """

    def formula(slope: float) -> float:
        return LE_CLAIRE[source] * math.sqrt(diffusivity / t) * math.pow(slope, -5.0 / 3.0)

    return _evaluate(y, mean, diffusivity, t, source, width, window, 1.2, formula)


def fisher_evaluation(
    y: npt.ArrayLike,
    mean: npt.ArrayLike,
    diffusivity: float,
    t: float,
    *,
    width: float | None = None,
    window: tuple[float, float] | None = None,
) -> BoundaryProduct:
    """s delta D_gb from the slope of ln(mean) against y: (2/sqrt(pi)) sqrt(D/t) slope^-2, constant source.

    Fisher, J. Appl. Phys. 22, 74 (1951). The true profile is no straight line in y: the formula is off by a factor that
    depends on depth, see ``matched``. Arguments and errors as in :func:`le_claire`.
    """

    def formula(slope: float) -> float:
        return FISHER * math.sqrt(diffusivity / t) / slope**2

    return _evaluate(y, mean, diffusivity, t, "constant", width, window, 1.0, formula)


class Harrison(NamedTuple):
    """The kinetic regime of a run.

    Attributes:
        regime: ``A`` (one body), ``B`` (boundaries apart, each with its halo), ``C`` (boundaries alone); ``A-B``,
            ``B-C`` and ``A-C`` lie between and have no simple law.
        alpha: s delta/(2 sqrt(Dt)); infinite if D or t is 0.
        beta: s delta D_gb/(2 D sqrt(Dt)); infinite if D or t is 0.
        grains: sqrt(Dt)/d.
        reason: Why, in words, with numbers.
    """

    regime: Literal["A", "A-B", "B", "B-C", "C", "A-C"]
    alpha: float
    beta: float
    grains: float
    reason: str


def harrison(
    diffusivity: float,
    boundary_diffusivity: float,
    width: float,
    grain_size: float,
    t: float,
    segregation: float = 1.0,
) -> Harrison:
    """Which of Harrison's regimes a run is in (Harrison, Trans. Faraday Soc. 57, 1191, 1961).

    With L = sqrt(Dt): A if L >= d; B if 10 s delta < L < d/10; C if s delta > 20 L; limits as recalled from the reviews
    of Kaur, Mishin and Gust. Authors differ by factors of 2 to 10 about them, and what lies between is called so.

    Args:
        diffusivity: D of the grains, m^2/s; 0 is allowed.
        boundary_diffusivity: D_gb, m^2/s.
        width: delta, m.
        grain_size: d, m.
        t: Time, s.
        segregation: s.
    """
    positive("boundary_diffusivity", boundary_diffusivity)
    held = positive("segregation", segregation) * positive("width", width)
    positive("grain_size", grain_size)
    if not (math.isfinite(diffusivity * t) and diffusivity >= 0.0 and t >= 0.0):
        raise CaseError("diffusivity, t", (diffusivity, t), "it must not be negative", "0 or more, m^2/s and s")
    reach = math.sqrt(diffusivity * t)
    alpha = 0.5 * held / reach if reach > 0.0 else math.inf
    beta = alpha * boundary_diffusivity / diffusivity if reach > 0.0 else math.inf
    grains = reach / grain_size
    told = f"sqrt(Dt) = {reach:.3g} m, s delta = {held:.3g} m, d = {grain_size:.3g} m"
    one_body, apart = reach >= grain_size, reach < 0.1 * grain_size
    halo, alone = reach > 10.0 * held, held > 20.0 * reach
    regime: Literal["A", "A-B", "B", "B-C", "C", "A-C"]
    if one_body and not alone:
        regime, why = "A", "the halos of the boundaries overlap"
    elif alone and not one_body:
        regime, why = "C", "lithium stays in the boundaries"
    elif apart and halo:
        regime, why = "B", "each boundary has a halo of its own"
    elif apart:
        regime, why = "B-C", "the halos are hardly wider than what the boundaries hold"
    elif halo:
        regime, why = "A-B", "the halos begin to overlap"
    else:
        regime, why = "A-C", "the grains are too small for a regime B"
    if beta < 1.0:
        why += f"; beta = {beta:.3g}: the boundaries are not ahead of the grains"
    return Harrison(regime, alpha, beta, grains, f"{why}: {told}")


def front_distance(depth: npt.ArrayLike, concentration: npt.ArrayLike, level: float) -> float:
    """Largest depth at which the concentration reaches the level, m; 0 if nowhere.

    Args:
        depth: Depths of the corners of boundary facets, shape (facets, corners), m; or of a profile's points in order
            of depth, shape (points,).
        concentration: Values there, linear between corners or neighbouring points.
        level: The level, in the unit of the concentration.
    """
    y, c = np.asarray(depth, dtype=float), np.asarray(concentration, dtype=float)
    if y.shape != c.shape or y.ndim not in (1, 2):
        allowed = "two arrays of shape (points,) or (facets, corners)"
        raise CaseError("depth, concentration", (y.shape, c.shape), "the shapes do not fit", allowed)
    found = float(np.max(y, initial=0.0, where=c >= level))
    if y.ndim == 1:
        y, c = np.stack([y[:-1], y[1:]], axis=1), np.stack([c[:-1], c[1:]], axis=1)
    for i in range(y.shape[1]):
        for j in range(y.shape[1]):
            cut = (c[:, i] >= level) & (c[:, j] < level) & (y[:, j] > y[:, i])
            part = (c[cut, i] - level) / (c[cut, i] - c[cut, j])
            found = max(found, float(np.max(y[cut, i] + part * (y[cut, j] - y[cut, i]), initial=0.0)))
    return found


@dataclass(frozen=True)
class FrontDiffusivity:
    """Diffusivities from the distance of a front against time.

    Attributes:
        diffusivity: L^2/(4t) by least squares through the origin, m^2/s: the one to compare with paper 000.
        standard_error: Of it, from the scatter; nan of one time.
        slope: L^2/t, m^2/s, four times that; paper 000 mentions both.
        exponent: n of L ~ t^n, 1/2 for diffusion; nan of one time.
    """

    diffusivity: float
    standard_error: float
    slope: float
    exponent: float


def diffusivity_from_front(t: npt.ArrayLike, distance: npt.ArrayLike) -> FrontDiffusivity:
    """D = L^2/(4t) from how far a front has come.

    For c = erfc(y/(2 sqrt(Dt))) it is the true D if L is where c = erfc(1) = 0.157; for a front at another level divide
    by erfcinv(level)^2. Paper 000 offers "the slope of L^2 against t, or L^2/4t", which differ by four; its values
    (1.7e-14 m^2/s and 12.8 um in 40 min) are L^2/4t.

    Args:
        t: Times, s, above 0.
        distance: L at these times, m, above 0.

    Raises:
        CaseError: If a number is not above zero, or the lengths differ.
    """
    time, length = np.asarray(t, dtype=float).reshape(-1), np.asarray(distance, dtype=float).reshape(-1)
    if time.shape != length.shape or not len(time):
        raise CaseError("t, distance", None, "each time needs a distance", "two arrays of one length")
    for key, values in (("t", time), ("distance", length)):
        if not (np.all(np.isfinite(values)) and np.all(values > 0.0)):
            raise CaseError(
                key, None, "a number is not above zero", "numbers above 0; leave out times before the front"
            )
    square = length**2
    slope = float(time @ square / (time @ time))
    error = exponent = math.nan
    if len(time) > 1:
        rest = square - slope * time
        error = math.sqrt(float(rest @ rest) / (len(time) - 1) / float(time @ time))
    if len(np.unique(time)) > 1:
        x = np.log(time) - np.log(time).mean()
        exponent = float(x @ np.log(length) / (x @ x))
    return FrontDiffusivity(0.25 * slope, 0.25 * error, slope, exponent)
