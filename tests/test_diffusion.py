"""Diffusion along one boundary: Whipple, Suzuoka, Fisher, the regimes A and C, and what profiles and fronts say."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erfc, erfcinv

from chemomech.analysis.diffusion import (
    BoundaryDiffusion,
    boundary_fraction,
    hart_diffusivity,
    penetration,
    whipple_integral,
)
from chemomech.analysis.evaluation import (
    diffusivity_from_front,
    fisher_evaluation,
    front_distance,
    harrison,
    le_claire,
)
from chemomech.errors import CaseError
from chemomech.typing import Array

DAY = 86400.0
NM = 1e-9
BETAS = pytest.mark.parametrize("beta", [10.0, 100.0, 1000.0])
SOURCES = pytest.mark.parametrize("source", ["constant", "instantaneous"])
type Source = Literal["constant", "instantaneous"]


def close(expected: Any, rel: float = 1e-6) -> Any:
    """Relative only: of itself ``approx`` takes all numbers below 1e-12 for equal, which in SI units are many."""
    return pytest.approx(expected, rel=rel, abs=0.0)


def boundary(beta: float, alpha: float, t: float = DAY, width: float = 0.5 * NM, s: float = 1.0) -> BoundaryDiffusion:
    """The boundary that has this alpha and beta at the time t."""
    d = (0.5 * s * width / alpha) ** 2 / t
    return BoundaryDiffusion(d, d * beta / alpha, width, s)


def slopes(w: Array, beta: float, order: Literal[0, 1] = 0) -> Array:
    """-d ln(excess)/d(w^1.2) in the limit of infinite D_gb/D."""
    eta = w * math.sqrt(beta)
    one = whipple_integral(0.0, eta, beta, order=order, lateral=True)
    two = whipple_integral(0.0, eta, beta, order=1 if order == 0 else 2, lateral=True)
    return np.asarray(two / one * math.sqrt(beta) * w**-0.2 / 1.2)


# ---- exact solutions -----------------------------------------------------------------------------------------------


def test_slopes_of_whipple() -> None:
    """Every digit that was computed before with another program."""
    assert slopes(np.array([6.0, 8.0, 10.0]), 1000.0) == pytest.approx([0.76156, 0.76526, 0.77189], abs=5e-6)
    constant = 2.0 * slopes(np.array([4.0, 6.0, 8.0, 10.0, 12.0, 14.0]), 1000.0) ** (5.0 / 3.0)
    assert constant == pytest.approx([1.2831, 1.2702, 1.2805, 1.2990, 1.3207, 1.3433], abs=5e-5)
    constant = 2.0 * slopes(np.array([6.0, 8.0, 10.0]), 10.0) ** (5.0 / 3.0)
    assert constant == pytest.approx([1.2512, 1.2634, 1.2833], abs=5e-5)
    w = np.linspace(6.0**1.2, 10.0**1.2, 41) ** (1.0 / 1.2)
    profile = np.log(whipple_integral(0.0, w * math.sqrt(1000.0), 1000.0, lateral=True))
    fitted = -np.polyfit(w**1.2, profile, 1)[0]
    assert 2.0 * fitted ** (5.0 / 3.0) == pytest.approx(1.2816, abs=5e-5)


@BETAS
def test_slope_is_the_derivative(beta: float) -> None:
    one = boundary(beta, 1e-3)
    for source in ("constant", "instantaneous"):
        for w in (3.0, 6.0, 8.0, 10.0):
            y = w / float(one.w(1.0, DAY))
            h = 1e-4
            beside = np.array([w - h, w + h])
            log = np.log(one.excess(beside / float(one.w(1.0, DAY)), DAY, source))
            by_difference = -(log[1] - log[0]) / (beside[1] ** 1.2 - beside[0] ** 1.2)
            assert float(one.slope(y, DAY, source)) == close(by_difference, rel=1e-7)
    # what the boundary itself holds hardly matters at alpha = 1e-3, so that the limit is near
    assert float(one.slope(8.0 / float(one.w(1.0, DAY)), DAY)) == close(slopes(np.array([8.0]), beta)[0], rel=2e-3)


@pytest.mark.parametrize("ratio", [3.0, 1e3, 1e5])
@pytest.mark.parametrize("alpha", [1e-3, 0.1, 20.0])
def test_against_quadrature_in_sigma(ratio: float, alpha: float) -> None:
    """The integral as Whipple wrote it, by an adaptive rule."""
    beta = (ratio - 1.0) * alpha

    def integrand(sigma: float, xi: float, eta: float) -> float:
        far = math.sqrt((ratio - 1.0) / (ratio - sigma)) * (xi + (sigma - 1.0) / beta)
        return float(sigma**-1.5 * math.exp(-(eta**2) / (4.0 * sigma)) * erfc(0.5 * far))

    edges = np.unique(np.minimum(np.geomspace(1.0, ratio, 12), ratio))
    for xi, eta in ((0.0, 0.3), (0.0, 2.0), (0.7, 4.0), (2.0, 1.0)):
        parts = [quad(integrand, a, b, (xi, eta), epsrel=1e-12, epsabs=1e-17, limit=400)[0] for a, b in pairwise(edges)]
        exact = eta / (2.0 * math.sqrt(math.pi)) * math.fsum(parts)
        assert float(whipple_integral(xi, eta, beta, alpha)) == pytest.approx(exact, rel=1e-9, abs=1e-15)


@SOURCES
@pytest.mark.parametrize(("beta", "alpha"), [(10.0, 1e-3), (100.0, 0.05), (1000.0, 1e-4), (50.0, 3.0)])
def test_solves_the_equations(beta: float, alpha: float, source: Source) -> None:
    """Both equations by finite differences, in the grain and along the boundary."""
    s = 2.5
    one = boundary(beta, alpha, s=s)
    unit = one.length(DAY)

    def c(x: float, y: float, t: float) -> float:
        return float(one.concentration(x * unit, y * unit, t * DAY, source))

    ratio = beta / alpha
    depth = math.sqrt(beta)
    for y in (0.5 * depth, 1.5 * depth, 4.0 * depth):
        h, k = 2e-3, 1e-3
        along = 4e-3 * depth  # the profile along y is that much longer
        for x in (0.2, 1.0):
            rate = (c(x, y, 1.0 + k) - c(x, y, 1.0 - k)) / (2.0 * k)
            side = (c(x + h, y, 1.0) - 2.0 * c(x, y, 1.0) + c(x - h, y, 1.0)) / h**2
            deep = (c(x, y + along, 1.0) - 2.0 * c(x, y, 1.0) + c(x, y - along, 1.0)) / along**2
            assert rate == pytest.approx(side + deep, rel=2e-4, abs=2e-5 * abs(c(0.0, y, 1.0)))
        rate = (c(0.0, y, 1.0 + k) - c(0.0, y, 1.0 - k)) / (2.0 * k)
        deep = (c(0.0, y + along, 1.0) - 2.0 * c(0.0, y, 1.0) + c(0.0, y - along, 1.0)) / along**2
        out = (-11.0 * c(0, y, 1) + 18.0 * c(h, y, 1) - 9.0 * c(2 * h, y, 1) + 2.0 * c(3 * h, y, 1)) / (6.0 * h)
        # s delta (c_t - D_gb c_yy) = 2 D c_x, over D/unit
        terms = 2.0 * alpha * rate, -2.0 * alpha * ratio * deep, -2.0 * out
        assert sum(terms) == pytest.approx(0.0, abs=2e-4 * max(abs(term) for term in terms))


@SOURCES
def test_surface_start_and_distance(source: Source) -> None:
    one = boundary(100.0, 0.02)
    unit = one.length(DAY)
    x = np.linspace(0.0, 5.0, 6) * unit
    if source == "constant":
        assert one.concentration(x, 0.0, DAY) == pytest.approx(np.ones(6), abs=1e-14)
        assert one.excess(0.0, DAY) == 0.0
    else:  # nothing flows through the surface
        h = 1e-3 * unit
        near = one.concentration(x[:, None], np.array([0.0, h, 2.0 * h]), DAY, source)
        assert np.abs(-1.5 * near[:, 0] + 2.0 * near[:, 1] - 0.5 * near[:, 2]).max() < 1e-5 * near.max()
    y = np.linspace(0.5, 6.0, 7) * unit
    far = one.concentration(200.0 * unit, y, DAY, source)
    eta = y / unit
    plain = erfc(eta / 2) if source == "constant" else np.exp(-(eta**2) / 4.0) / math.sqrt(math.pi) / unit
    assert far == close(plain, rel=1e-12)
    assert np.all(one.concentration(unit, y, 1e-4 * DAY, source) < 1e-9 * one.concentration(0.0, y[0], DAY, source))
    assert one.concentration(-x, y[0], DAY, source) == close(one.concentration(x, y[0], DAY, source))


def test_suzuoka_is_the_derivative_of_whipple() -> None:
    one = boundary(30.0, 0.05)
    unit = one.length(DAY)
    h = 1e-4 * unit
    x = np.array([0.0, 0.5, 2.0])[:, None] * unit
    y = np.array([0.3, 1.0, 4.0, 12.0]) * unit
    change = (one.concentration(x, y - h, DAY) - one.concentration(x, y + h, DAY)) / (2.0 * h)
    assert one.concentration(x, y, DAY, "instantaneous") == close(change, rel=1e-6)


@pytest.mark.parametrize("alpha", [1e-3, 0.1, 5.0])
def test_instantaneous_source_is_conserved(alpha: float) -> None:
    """The boundary was given s delta times the amount; it and the grains hold that at all times."""
    one = boundary(100.0, alpha, s=4.0)
    for t in (0.1 * DAY, DAY, 20.0 * DAY):
        unit = one.length(t)
        reach = unit * math.sqrt(max(one.beta(t), one.boundary_diffusivity / one.diffusivity * 1e-3, 4.0))

        def held(y: float, t: float = t) -> float:
            return float(one.excess(y, t, "instantaneous", with_boundary=True))

        edges = np.concatenate([[0.0], np.geomspace(0.05 * unit, 80.0 * reach, 14)])
        held_by_both = math.fsum(quad(held, a, b, epsrel=1e-10, limit=200)[0] for a, b in pairwise(edges))
        assert held_by_both == close(one.segregation * one.width, rel=1e-7)


@SOURCES
def test_excess_is_the_integral_over_x(source: Source) -> None:
    one = boundary(50.0, 0.05)
    unit = one.length(DAY)
    for eta in (1.0, 20.0, 60.0):
        y = eta * unit
        plain = float(one.concentration(1e3 * unit, y, DAY, source))

        def extra(xi: float, y: float = y, plain: float = plain) -> float:
            return float(one.concentration(xi * unit, y, DAY, source)) - plain

        total = 2.0 * unit * quad(extra, 0.0, 30.0, epsrel=1e-10, limit=200)[0]
        assert float(one.excess(y, DAY, source)) == close(total, rel=1e-8)
        spacing = 1e-6
        own = one.width * float(one.concentration(0.0, y, DAY, source))
        mean = float(one.mean(y, DAY, spacing, source))
        assert mean == close(plain + (total + own) / spacing, rel=1e-8)


def test_type_c_limit() -> None:
    """A grain that takes up nothing: the error function along the boundary, from the same integral."""
    assert float(penetration(5e-6, 2400.0, 1.7e-14)) == pytest.approx(0.579915, abs=5e-7)
    gone = [1e-30, 1e-26, 1e-22]
    errors = []
    for d in gone:
        one = BoundaryDiffusion(d, 1.7e-14, 0.5 * NM)
        errors.append(abs(float(one.concentration(0.0, 5e-6, 2400.0)) - 0.579915))
    assert errors[0] < 1e-3 and errors[0] < errors[1] < errors[2]


def test_slow_boundary_does_nothing() -> None:
    one = BoundaryDiffusion(1e-18, 1.001e-18, 0.5 * NM)
    y = np.linspace(0.0, 3.0, 7) * one.length(DAY)
    assert one.concentration(0.0, y, DAY) == pytest.approx(penetration(y, DAY, 1e-18), abs=1e-5)


def test_extreme_arguments_are_finite() -> None:
    """No overflow, no warning (warnings are errors here), values between 0 and 1."""
    for beta in (1e-3, 1.0, 1e3, 1e8):
        for alpha in (0.0, 1e-12, 1e-3, 1e4):
            c = whipple_integral(np.array([0.0, 1e-9, 1.0, 1e4])[:, None], np.geomspace(1e-6, 1e6, 9), beta, alpha)
            assert np.all(np.isfinite(c)) and np.all(c >= 0.0) and np.all(c <= 1.0 + 1e-12)


def test_fisher() -> None:
    """Fisher's form solves his own equations; it is near the exact one only where w is small."""
    one = boundary(1000.0, 1e-4)
    unit = one.length(DAY)
    k = math.log(float(one.fisher(0.0, unit, DAY)))
    # delta D_gb k^2 = 2 D/sqrt(pi D t), all over D/unit
    assert 2.0 * one.beta(DAY) * k**2 == close(2.0 / math.sqrt(math.pi), rel=1e-12)
    assert float(one.fisher(unit, 0.0, DAY)) == close(math.erfc(0.5))
    w = np.array([0.1, 0.3, 0.5, 1.0, 2.0, 6.0])
    y = w / float(one.w(1.0, DAY))
    off = one.fisher(0.0, y, DAY) / one.concentration(0.0, y, DAY) - 1.0
    assert np.all(np.abs(off[:3]) < 0.05)
    assert np.all(np.diff(off) > 0.0) and off[-1] > 1.0  # it forgets that the halo began later further down


def test_type_a() -> None:
    f = boundary_fraction(0.5 * NM, 1e-6)
    assert hart_diffusivity(1.0, 1e6, f) == pytest.approx(501.0, abs=1e-3)
    assert hart_diffusivity(2.0, 5.0, 0.0) == 2.0 and hart_diffusivity(2.0, 5.0, 1.0) == 5.0
    # amounts: the grains hold (1-f) c, the boundaries s f c
    assert hart_diffusivity(1.0, 1e6, f, 20.0) == close((20 * f * 1e6 + 1 - f) / (20 * f + 1 - f))
    assert boundary_fraction(1.0, 10.0, "cubes") == close(1 - 0.9**3)
    assert boundary_fraction(1e-6, 1.0, "columns") == close(2e-6, rel=1e-5)


# ---- evaluations ---------------------------------------------------------------------------------------------------


@BETAS
@SOURCES
def test_le_claire(beta: float, source: Source) -> None:
    """The closed formula is right within its known error, the match of the integral within rounding."""
    one = boundary(beta, 0.008)
    y = np.linspace(6.0, 10.0, 12) / float(one.w(1.0, DAY))
    mean = 3e-3 * one.excess(y, DAY, source)
    found = le_claire(y, mean, one.diffusivity, DAY, source=source, width=one.width)
    assert found.matched == close(one.product, rel=1e-9)
    assert found.product == close(one.product, rel=0.05 if source == "constant" else 0.08)
    assert found.valid and found.depths == 12 and found.slope_error < 0.01 * found.slope
    assert found.w == close((6.0, 10.0)) and found.beta == close(beta)
    assert found.alpha == close(0.008)


def test_le_claire_overestimates_perfect_data() -> None:
    unit, beta = math.sqrt(1e-20 * DAY), 100.0
    product = 2.0 * 1e-20 * unit * beta
    assert unit == pytest.approx(29.39e-9, abs=5e-12) and product == pytest.approx(5.879e-26, abs=5e-30)
    y = np.linspace(6.0, 10.0, 30) * math.sqrt(beta) * unit
    assert y[0] / 6.0 * 8.0 == close(2.35e-6, rel=1e-3)
    mean = whipple_integral(0.0, y / unit, beta, lateral=True)
    found = le_claire(y, mean, 1e-20, DAY)
    assert found.matched == close(product, rel=1e-9)
    assert 1.03 < found.product / product < 1.04
    assert math.isnan(found.alpha)


def test_window_and_remarks() -> None:
    one = boundary(200.0, 1e-3)
    y = np.linspace(0.5, 16.0, 63) / float(one.w(1.0, DAY))
    mean = one.excess(y, DAY)
    everything = le_claire(y, mean, one.diffusivity, DAY, width=one.width)
    assert not everything.valid and "leaves 2 to 20" in everything.remarks[0]
    found = le_claire(y, mean, one.diffusivity, DAY, width=one.width, window=(6.0, 10.0))
    assert found.valid and found.matched == close(one.product, rel=1e-9)
    assert 6.0 <= found.w[0] < found.w[1] <= 10.0 and found.depths < len(y)
    slow = boundary(2.0, 0.3)
    y = np.linspace(3.0, 8.0, 9) / float(slow.w(1.0, DAY))
    doubtful = le_claire(y, slow.excess(y, DAY), slow.diffusivity, DAY, width=slow.width)
    assert [word.split(" ")[0] for word in doubtful.remarks] == ["beta", "alpha"]
    with pytest.raises(CaseError, match="fewer than two depths"):
        le_claire(y, slow.excess(y, DAY), slow.diffusivity, DAY, window=(100.0, 200.0))


def test_noise_is_told() -> None:
    one = boundary(100.0, 1e-3)
    y = np.linspace(4.0, 10.0, 40) / float(one.w(1.0, DAY))
    noise = np.exp(np.random.default_rng(1).normal(0.0, 0.05, len(y)))
    found = le_claire(y, noise * one.excess(y, DAY), one.diffusivity, DAY, width=one.width)
    off = abs(found.matched / one.product - 1.0)
    assert 0.0 < off < 4.0 * (5.0 / 3.0) * found.slope_error / found.slope < 0.05


def test_fisher_evaluation() -> None:
    """Exact for his own profile; for the true one deep down three times too small, unlike the match."""
    one = boundary(1000.0, 1e-4)
    y = np.linspace(0.5, 3.0, 9) / float(one.w(1.0, DAY))
    own = fisher_evaluation(y, one.fisher(0.0, y, DAY), one.diffusivity, DAY)
    assert own.product == close(one.product, rel=1e-12)
    y = np.linspace(6.0, 10.0, 9) / float(one.w(1.0, DAY))
    true = fisher_evaluation(y, one.excess(y, DAY), one.diffusivity, DAY, width=one.width)
    assert 0.2 < true.product / one.product < 0.4
    assert true.matched == close(one.product, rel=1e-9)


def test_regimes() -> None:
    def regime(d: float, size: float, t: float = 2400.0) -> str:
        return harrison(d, 1.7e-14, 0.5 * NM, size, t).regime

    assert regime(0.0, 1e-6) == regime(1e-25, 1e-6) == regime(1e-20, 1e-6, 0.0) == "C"
    assert regime(2.6e-23, 1e-6) == "B-C" and regime(1e-18, 1e-5) == "B"
    assert regime(1e-16, 1e-6) == "A-B" and regime(1e-15, 1e-6) == "A"
    assert regime(1e-21, 1e-8) == "A-C"
    # both sides of each limit, by L = sqrt(Dt) over s delta = 1 and d
    for reach, size, word in (
        (0.049, 1e4, "C"), (0.051, 1e4, "B-C"), (9.9, 1e4, "B-C"), (10.1, 1e4, "B"),
        (990.0, 1e4, "B"), (1010.0, 1e4, "A-B"), (9990.0, 1e4, "A-B"), (10010.0, 1e4, "A"),
    ):  # fmt: skip
        assert harrison(reach**2, 1e12, 1.0, size, 1.0).regime == word
    at = harrison(2.6e-23, 1.7e-14, 0.5 * NM, 1.5e-6, 2400.0)
    assert at.alpha == pytest.approx(1.0, abs=5e-3) and at.beta == close(at.alpha * 1.7e-14 / 2.6e-23)
    assert "halos" in at.reason and "m" in at.reason
    assert "not ahead" in harrison(1e-15, 1.7e-14, 0.5 * NM, 1e-6, 2400.0).reason
    assert harrison(1e-20, 1e-14, 0.5 * NM, 1e-6, 60.0, segregation=30.0).alpha == close(
        30.0 * harrison(1e-20, 1e-14, 0.5 * NM, 1e-6, 60.0).alpha
    )


def test_front_of_a_profile() -> None:
    y = np.linspace(0.0, 30e-6, 301)
    c = penetration(y, 2400.0, 1.7e-14)
    for level in (0.5, 0.157, 0.01):
        true = 2.0 * float(erfcinv(level)) * math.sqrt(1.7e-14 * 2400.0)
        assert front_distance(y, c, level) == close(true, rel=1e-3)
    assert front_distance(y, c, 2.0) == 0.0 and front_distance(y, c, 0.0) == 30e-6


def test_front_of_facets() -> None:
    """Edges and triangles: the level is cut inside a facet, wherever its deepest point is."""
    depth = np.array([[0.0, 4.0], [4.0, 8.0], [9.0, 5.0]])
    assert front_distance(depth, np.array([[1.0, 0.5], [0.5, 0.0], [0.0, 0.0]]), 0.25) == close(6.0)
    assert front_distance(np.array([[1.0, 7.0, 3.0]]), np.array([[1.0, 0.0, 0.4]]), 0.5) == close(4.0)
    assert front_distance(np.array([[7.0, 1.0]]), np.array([[1.0, 0.0]]), 0.5) == 7.0


def test_diffusivity_from_front() -> None:
    """Paper 000: 12.8 um in 40 min and 12.2 um in 4 h are its two diffusivities as L^2/4t, not as a slope."""
    boundaries = diffusivity_from_front([2400.0], [12.8e-6])
    assert boundaries.diffusivity == close(1.7e-14, rel=0.01)
    assert diffusivity_from_front([14400.0], [12.2e-6]).diffusivity == close(2.6e-15, rel=0.01)
    assert boundaries.slope == close(4.0 * boundaries.diffusivity)
    assert math.isnan(boundaries.standard_error) and math.isnan(boundaries.exponent)
    t = np.linspace(300.0, 2400.0, 8)
    exact = diffusivity_from_front(t, np.sqrt(4.0 * 1.7e-14 * t))
    assert exact.diffusivity == close(1.7e-14) and exact.exponent == close(0.5)
    assert exact.standard_error < 1e-12 * exact.diffusivity
    straight = diffusivity_from_front(t, 5e-9 * t)
    noise = np.random.default_rng(3).normal(0.0, 1e-12, (4000, len(t)))
    many = [diffusivity_from_front(t, np.sqrt(4.0 * 1.7e-14 * t + row)) for row in noise]
    spread = np.std([one.diffusivity for one in many])
    assert np.sqrt(np.mean([one.standard_error**2 for one in many])) == close(spread, rel=0.05)
    assert straight.exponent == close(1.0) and straight.standard_error > 0.02 * straight.diffusivity


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: BoundaryDiffusion(-1.0, 1.0, 1.0), "diffusivity = -1.0"),
        (lambda: BoundaryDiffusion(1.0, 0.5, 1.0), "not faster"),
        (lambda: BoundaryDiffusion(1.0, 2.0, math.nan), "width"),
        (lambda: boundary(10.0, 0.1).concentration(0.0, -1.0, 1.0), "negative"),
        (lambda: boundary(10.0, 0.1).concentration(0.0, 1.0, 0.0), "t = 0.0"),
        (lambda: boundary(10.0, 0.1).excess(0.0, 1.0, "thin"), "'constant' or 'instantaneous'"),  # type: ignore[arg-type]
        (lambda: boundary(10.0, 0.1).slope(0.0, 1.0), "surface"),
        (lambda: boundary(10.0, 0.1).slope(1.0, DAY), "nothing arrives"),
        (lambda: whipple_integral(0.0, 1.0, 1.0, -1.0), "alpha"),
        (lambda: whipple_integral(1.0, 1.0, 1.0, lateral=True), "xi"),
        (lambda: boundary_fraction(2.0, 1.0), "wider"),
        (lambda: hart_diffusivity(1.0, 2.0, 1.5), "between 0 and 1"),
        (lambda: le_claire([1.0], [1.0], 1.0, 1.0), "two depths"),
        (lambda: le_claire([1.0, 2.0], [1.0, -1.0], 1.0, 1.0), "background"),
        (lambda: le_claire([1.0, 2.0], [1.0, 2.0], 1.0, 1.0), "fall"),
        (lambda: harrison(-1.0, 1.0, 1.0, 1.0, 1.0), "negative"),
        (lambda: front_distance([1.0, 2.0], [1.0], 0.5), "shapes"),
        (lambda: diffusivity_from_front([0.0, 1.0], [1.0, 2.0]), "above zero"),
        (lambda: diffusivity_from_front([1.0], [1.0, 2.0]), "each time"),
    ],
)
def test_errors_say_what_is_wrong(call: Any, word: str) -> None:
    with pytest.raises(CaseError, match=word):
        call()
