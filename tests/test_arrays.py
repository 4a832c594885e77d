"""Rows of dislocations: closed forms against sums over images, far fields, rows of periodic and mirrored bodies."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chemomech as cm
from chemomech.defects.analytic import EdgeField
from chemomech.defects.dislocations import (
    Line,
    cell_distortion,
    cell_eigenstrain,
    distortion_at,
    infinite_medium_displacement,
    infinite_medium_stress,
    lift,
    peach_koehler,
)
from chemomech.defects.rows import Row
from chemomech.defects.spreading import line_density, slip_density
from chemomech.errors import CaseError
from tests.tools import LLZO

NM = 1e-9
SHEAR, NU, CORE = 7.0, 0.25, 0.3
VECTORS = [(0.35, 0.0), (0.0, 0.35), (0.2, -0.3)]
PERIODS = [None, 1.7, 5.0]
RNG = np.random.default_rng(11)
X, Y = RNG.uniform(-4, 4, 300), RNG.uniform(-3, 3, 300)
MEDIUM = cm.Isotropic(youngs_modulus=149.8e9, poissons_ratio=0.257)

every_field = pytest.mark.parametrize(
    "field",
    [EdgeField(b, CORE, SHEAR, NU, plane, p) for plane in ("strain", "stress") for p in PERIODS for b in VECTORS],
    ids=lambda f: f"{f.plane}-{f.period}-{f.burgers}",
)


def slope(function: Callable[[np.ndarray, np.ndarray], np.ndarray], axis: int, h: float = 2e-3) -> np.ndarray:
    """Derivative at (X, Y) along x or y by differences of sixth order."""

    def at(s: int) -> np.ndarray:
        return function(X + s * h, Y) if axis == 0 else function(X, Y + s * h)

    return np.asarray((45 * (at(1) - at(-1)) - 9 * (at(2) - at(-2)) + (at(3) - at(-3))) / (60 * h))


# -- sums over images --------------------------------------------------------------------------------------


def test_sums_over_images() -> None:
    """Against 2e5 images on either side; those further out, from one term of Euler and Maclaurin."""
    period, count = 1.7, 200_000
    n = np.arange(-count, count + 1)
    x, c = RNG.uniform(-3, 3, 20), RNG.uniform(0.02, 2.5, 20)
    row = Row(period)
    sums, sixth, angle = row.sums(x, c**2), row.sixth(x, c**2), row.angle(x, c)
    end = (count + 0.5) * period
    for i in range(len(x)):
        away = x[i] - n * period
        r2 = away**2 + c[i] ** 2
        angles = np.arctan2(c[i], away) - np.where(n > 0, np.pi, 0.0)
        assert sums.s1[i] == pytest.approx(np.sum(1 / r2) + 2 / (end * period), rel=1e-11, abs=0.0)
        assert sums.s2[i] == pytest.approx(np.sum(1 / r2**2), rel=1e-11, abs=0.0)
        assert sums.t1[i] == pytest.approx(np.sum(away / r2) - 2 * x[i] / (end * period), abs=1e-10)
        assert sums.t2[i] == pytest.approx(np.sum(away / r2**2), abs=1e-10)
        assert sixth[i] == pytest.approx(np.sum(1 / r2**3), rel=1e-10, abs=0.0)
        assert angle[i] == pytest.approx(np.sum(angles) - 2 * x[i] * c[i] / (end * period), abs=1e-9)


@pytest.mark.parametrize("period", [None, 1.7])
def test_derivatives_of_angle_and_logarithm(period: float | None) -> None:
    row, c = Row(period), np.abs(Y) + 0.1
    h = 1e-6
    sums = row.sums(X, c**2)
    for function, along_x, along_c in (
        (row.angle, -c * sums.s1, sums.t1),
        (lambda x, c: row.logarithm(x, c, CORE), 2 * sums.t1, 2 * c * sums.s1),
    ):
        scale = np.abs(along_x).max()
        assert np.abs((function(X + h, c) - function(X - h, c)) / (2 * h) - along_x).max() < 1e-8 * scale
        assert np.abs((function(X, c + h) - function(X, c - h)) / (2 * h) - along_c).max() < 1e-8 * scale


def test_no_overflow_and_no_cancellation() -> None:
    far = Row(1.0).sums(np.array([0.3]), np.array([1e12]))
    assert far.s1[0] == pytest.approx(np.pi / 1e6, rel=1e-6, abs=0.0) and far.t1[0] == 0.0 and far.t2[0] == 0.0
    # A row of period 1e6 is a single line close to it.
    x, c2 = RNG.uniform(-1, 1, 50), RNG.uniform(1e-3, 1, 50) ** 2
    for many, one in zip(Row(1e6).sums(x, c2), Row().sums(x, c2), strict=True):
        assert np.abs(many - one).max() < 1e-11 * np.abs(one).max()
    assert Row(1e6).sixth(x, c2) == pytest.approx(Row().sixth(x, c2), rel=1e-6, abs=0.0)


# -- fields ------------------------------------------------------------------------------------------------


@every_field
def test_equilibrium(field: EdgeField) -> None:
    divergence = slope(field.stress, 0)[..., 0] + slope(field.stress, 1)[..., 1]
    assert np.abs(divergence).max() < 1e-9 * np.abs(slope(field.stress, 0)).max()


@every_field
def test_incompatibility_is_the_spread_burgers_vector(field: EdgeField) -> None:
    """(curl beta)_iz = d beta_iy/dx - d beta_ix/dy = b_i w."""
    curl = slope(field.distortion, 0)[..., 1] - slope(field.distortion, 1)[..., 0]
    expected = field.w(X, Y)[:, None] * np.array([*field.components, 0.0])
    assert np.abs(curl - expected).max() < 1e-9 * np.abs(slope(field.distortion, 0)).max()


@every_field
def test_distortion_belongs_to_stress(field: EdgeField) -> None:
    beta = field.distortion(X, Y)
    e = 0.5 * (beta + beta.transpose(0, 2, 1))
    lame = 2 * SHEAR * NU / (1 - 2 * NU)
    from_strain = 2 * SHEAR * e + lame * np.trace(e, axis1=1, axis2=2)[:, None, None] * np.eye(3)
    stress = field.stress(X, Y)
    assert np.abs(from_strain - stress).max() < 1e-13 * np.abs(stress).max()
    assert np.all(stress[:, 2, 2] == 0.0) if field.plane == "stress" else np.all(beta[:, 2, 2] == 0.0)


@every_field
def test_displacement_belongs_to_distortion(field: EdgeField) -> None:
    """Grad u less the slip b e_y W is the distortion."""
    gradient = np.stack([slope(field.displacement, 0), slope(field.displacement, 1)], axis=-1)
    gradient[..., 1] -= field.slip_density(X, Y)[:, None] * np.array([*field.components, 0.0])
    beta = field.distortion(X, Y)
    assert np.abs(gradient - beta[:, :, :2]).max() < 1e-8 * np.abs(beta).max()
    assert slope(field.slip_density, 0) == pytest.approx(-field.w(X, Y), abs=1e-8 * field.w(X, Y).max())


def test_both_directions_of_b_are_one_line_turned() -> None:
    """b along y is b along x in a frame turned by a right angle."""
    up, along = EdgeField((0.0, 0.35), CORE, SHEAR, NU), EdgeField(0.35, CORE, SHEAR, NU)
    turn = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # rows: b and its normal
    for name in ("stress", "distortion"):
        turned = turn.T @ getattr(along, name)(Y, -X) @ turn
        assert np.abs(getattr(up, name)(X, Y) - turned).max() < 1e-13 * np.abs(turned).max()


@pytest.mark.parametrize("b", VECTORS)
def test_row_is_the_sum_of_its_lines(b: tuple[float, float]) -> None:
    """Single lines, -N..N, less the same far below; what is left out falls off like 1/N."""
    period = 1.7
    one, row = EdgeField(b, CORE, SHEAR, NU), EdgeField(b, CORE, SHEAR, NU, period=period)
    below = np.array([0.0]), np.array([-1e4 * period])
    error = []
    for count in (50_000, 200_000):
        n = period * np.arange(-count, count + 1)

        def total(x: float, y: float, n: np.ndarray = n) -> np.ndarray:
            return one.distortion(x - n, np.full(len(n), y)).sum(axis=0)

        known = total(0.4, -1.1) - row.distortion(np.array([0.4]), np.array([-1.1]))[0]
        found = [total(x, y) - known for x, y in zip(X[:20], Y[:20], strict=True)]
        error.append(np.abs(found - row.distortion(X[:20], Y[:20])).max())
    assert error[1] < 0.26 * error[0] < 1e-4
    assert np.abs(row.distortion(*below)).max() < 1e-12
    weights = sum(line_density(np.hypot(X - k * period, Y), CORE) for k in range(-300, 301))
    assert row.w(X, Y) == pytest.approx(weights, rel=1e-8, abs=0.0)


@pytest.mark.parametrize("plane", ["strain", "stress"])
def test_far_field(plane: str) -> None:
    """Nothing below; above, the strain -b_x/L along the row, what it draws along the other axes, and the tilt b_y/L."""
    b, period, core = (0.2, -0.3), 1.7, 0.01
    field = EdgeField(b, core, SHEAR, NU, plane, period)
    x = np.linspace(0, period, 7)
    up = np.full_like(x, 12 * period)
    assert np.abs(field.distortion(x, -up)).max() < 1e-12
    assert np.abs(field.displacement(x, -up)).max() < 1e-6 * b[0]
    above = field.distortion(x, up)
    strain, tilt, nu = -b[0] / period, b[1] / period, NU
    across = -nu / (1 - nu) * strain if plane == "strain" else -nu * strain
    expected = np.diag([strain, across, 0.0 if plane == "strain" else across])
    expected[0, 1], expected[1, 0] = tilt, -tilt
    assert np.abs(above - expected).max() < 1e-11
    stress = field.stress(x, up)
    modulus = 2 * SHEAR / (1 - nu) if plane == "strain" else 2 * SHEAR * (1 + nu)
    assert stress[:, 0, 0] == pytest.approx(modulus * strain, rel=1e-6, abs=0.0)
    assert np.abs(stress[:, :2, 1]).max() < 1e-11
    # One period further all above has moved by -b, nothing below.
    y = np.array([-6.0, -3.0, 3.0, 6.0]) * period
    moved = field.displacement(np.full(4, 0.3 + period), y) - field.displacement(np.full(4, 0.3), y)
    assert np.abs(moved[:2]).max() < 1e-6
    assert np.abs(moved[2:] + np.array([*b, 0.0])).max() < 1e-6


def test_far_field_is_reached_exponentially() -> None:
    """The variation along the row falls by exp(-2 pi) per period of height (times the height)."""
    field = EdgeField(0.2, 1e-3, SHEAR, NU, "strain", 1.0)
    x = np.linspace(0, 1, 64, endpoint=False)
    spread = [np.ptp(field.stress(x, np.full_like(x, h))[:, 0, 0]) for h in (1.0, 2.0, 3.0, 4.0)]
    ratio = np.array(spread[1:]) / np.array(spread[:-1]) * np.exp(2 * np.pi)
    assert ratio == pytest.approx([(h * np.pi - 1) / ((h - 1) * np.pi - 1) for h in (2, 3, 4)], rel=1e-4, abs=0.0)


# -- rows of a case ----------------------------------------------------------------------------------------


def case(dislocations: list[dict[str, Any]], size: tuple[float, ...] = (40, 30), **domain: Any) -> cm.Case:
    return cm.Case.model_validate(
        {
            "domain": {**({"size": [s * NM for s in size]} if size else {}), **domain},
            "materials": {"llzo": LLZO},
            "dislocations": [{"core": "1 nm", **d} for d in dislocations],
            "mode": "equilibrium",
        }
    )


def entry(position: tuple[float, ...], burgers: tuple[float, ...], **more: Any) -> dict[str, Any]:
    return {"position": [p * NM for p in position], "burgers": [p * NM for p in burgers], **more}


def points_in(size: tuple[float, ...], n: int = 200) -> np.ndarray:
    return np.random.default_rng(3).uniform(-0.5, 0.5, (n, len(size))) * np.array(size) * NM


def test_lines_of_an_open_body_stay_single() -> None:
    found = cm.lines(case([entry((0, 0), (0.3, 0.4)), entry((3, 1), (0.3, 0.0))]))
    assert [line.index for line in found] == [0, 1]
    assert all(line.period is None and not line.image and line.direction == (1.0, 0.0) for line in found)
    assert found[0].vector == pytest.approx(np.array([0.3, 0.4, 0.0]) * NM, rel=1e-6, abs=0.0)


@pytest.mark.parametrize("angle", [0.0, 40.0, 90.0, 200.0])
@pytest.mark.parametrize("backwards", [False, True])
def test_periodic_body(angle: float, backwards: bool) -> None:
    """The row differs from the line near it by something smooth, has b of the case, and the period of the body."""
    b = 0.3 * np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))])
    turned = {"normal": [float(b[1]), float(-b[0])]} if backwards else {}  # of the line -z
    (row,) = cm.lines(case([entry((2, 1), (b[0], b[1]), **turned)], periodic=["x"]))
    (one,) = cm.lines(case([entry((2, 1), (b[0], b[1]), **turned)]))
    assert row.period == pytest.approx(40 * NM, rel=1e-6, abs=0.0)
    assert np.array_equal(row.frame, np.eye(3))
    assert row.vector == pytest.approx((-1 if backwards else 1) * np.array([*b, 0.0]) * NM, abs=1e-22)
    near = np.array([2.0, 1.0, 0.0]) * NM + 0.5 * NM * np.column_stack([X, Y, 0 * X])
    pair = [distortion_at([each], near, NU) for each in (row, one)]
    assert np.abs(pair[0] - pair[1]).max() < 0.1 * np.abs(pair[1]).max()
    x = points_in((40, 30))
    shifted = x + np.array([40 * NM, 0.0])
    stress = infinite_medium_stress([row], MEDIUM, x)
    assert np.abs(infinite_medium_stress([row], MEDIUM, shifted) - stress).max() < 1e-11 * np.abs(stress).max()


def test_periodic_body_far_from_its_lines() -> None:
    """Lines with b along the period strain what is above them, whatever way they are written down."""
    given = case(
        [entry((-9, 0), (0.3, 0.0)), entry((11, 0), (-0.3, 0.0), normal=[0.0, 1.0]), entry((1, 0), (0, 0.2))],
        (40, 400), periodic=["x"],
    )  # fmt: skip
    above = distortion_at(cm.lines(given), np.array([[3.0, 190.0]]) * NM, NU)[0]
    below = distortion_at(cm.lines(given), np.array([[3.0, -190.0]]) * NM, NU)[0]
    assert np.abs(below).max() < 1e-9
    assert above[0, 0] == pytest.approx(-2 * 0.3 / 40, rel=1e-6, abs=0.0)
    assert above[0, 1] - above[1, 0] == pytest.approx(2 * 0.2 / 40, rel=1e-6, abs=0.0)


def test_mirror_construction_is_the_periodic_one() -> None:
    """Half a period between planes of symmetry has the field of the whole period with all its images."""
    half = [entry((2, 1), (0.3, 0.1)), entry((-10, -2), (0.2, 0.0)), entry((10, 3), (-0.25, 0.0))]
    mirrored = cm.lines(case(half, (20, 30), mirror=["x"]))
    assert [(line.index, line.image) for line in mirrored] == [(0, False), (0, True), (1, False), (2, False)]
    assert all(line.period == pytest.approx(40 * NM, rel=1e-6, abs=0.0) for line in mirrored)
    # The whole period from -10 nm to 30 nm, with its plane of symmetry at 10 nm.
    whole = [*half, entry((18, 1), (0.3, -0.1))]
    periodic = cm.lines(case(whole, (40, 30), center=[10 * NM, 0.0], periodic=["x"]))
    x = points_in((20, 30))
    expected = distortion_at(periodic, x, NU)
    assert np.abs(distortion_at(mirrored, x, NU) - expected).max() < 1e-12 * np.abs(expected).max()


def test_planes_of_symmetry() -> None:
    """In both planes shear stress, and the slope of the displacement across, vanish; stress is even across them."""
    given = case(
        [entry((2, 1), (0.3, 0.1)), entry((-10, -2), (0.2, 0.0)), entry((5, 4), (0.0, 0.3))], (20, 30), mirror=["x"]
    )
    every = cm.lines(given)
    y = np.linspace(-14, 14, 57)
    for plane in (-10.0, 10.0):
        at = np.column_stack([np.full_like(y, plane), y]) * NM
        beta = distortion_at(every, at, NU)
        assert np.abs(beta[:, 0, 1]).max() < 1e-13 and np.abs(beta[:, 1, 0]).max() < 1e-13
        sides = [infinite_medium_stress(every, MEDIUM, at + np.array([s * 1.3 * NM, 0.0])) for s in (-1, 1)]
        even = np.diag([-1.0, 1.0, 1.0])
        assert np.abs(sides[0] - even @ sides[1] @ even).max() < 1e-11 * np.abs(sides[0]).max()


@pytest.mark.parametrize("kind", ["periodic", "mirror"])
def test_boxes(kind: str) -> None:
    """Lines along z are rows along x, lines along x rows along z; both with what is above on the side of y."""
    along_z = entry((2, 1, 0), (0.3, 0, 0))
    along_x = entry((0, 1, 3), (0, 0, 0.3), line=(-1.0, 0.0, 0.0))
    given = [along_z, along_x, {**along_x, "burgers": [0.0, 0.0, -0.3 * NM], "line": [1.0, 0.0, 0.0]}]
    size, factor = (40, 900, 60), 1 if kind == "periodic" else 2
    both = cm.lines(case(given, size, **{kind: ["x", "z"]}))
    real = [line for line in both if not line.image]
    assert len(both) == 3 * factor and [line.index for line in real] == [0, 1, 2]
    assert [line.period for line in real] == pytest.approx(
        [40 * factor * NM, 60 * factor * NM, 60 * factor * NM], rel=1e-6, abs=0.0
    )
    assert all(line.frame[1] == pytest.approx([0, 1, 0], rel=1e-6, abs=0.0) for line in both)
    assert [line.frame[0].tolist() for line in real] == [[1, 0, 0], [0, 0, 1], [0, 0, 1]]
    above, below = distortion_at(both, np.array([[3.0, 440.0, 5.0], [3.0, -440.0, 5.0]]) * NM, NU)
    assert np.abs(below).max() < 1e-8
    assert above[0, 0] == pytest.approx(-0.3 / 40, rel=1e-4, abs=0.0)
    assert above[2, 2] == pytest.approx(-2 * 0.3 / 60, rel=1e-4, abs=0.0)
    # Parallel to the only closed axis, a line stays single.
    (single,) = cm.lines(case([along_z], size, **{kind: ["z"]}))
    assert single.period is None and not single.image


def test_mesh_files_need_their_size() -> None:
    """What a case can't check for them is checked here."""
    for kind, factor in (("periodic", 1), ("mirror", 2)):
        domain = {"shape": "file", "path": "body.msh", kind: ["x"]}
        given = case([entry((2, 1, 0), (0.3, 0, 0)), entry((20, 1, 0), (0.3, 0.1, 0))], size=(), **domain)
        with pytest.raises(CaseError, match=r"dislocations\.0"):
            cm.lines(given)
        first = cm.lines(given, [[-20 * NM, -15 * NM], [25 * NM, 15 * NM]])[0]
        assert first.period == pytest.approx(45 * factor * NM, rel=1e-6, abs=0.0)
        if kind == "mirror":
            with pytest.raises(CaseError, match="plane of symmetry"):
                cm.lines(given, [[-20 * NM, -15 * NM], [20 * NM, 15 * NM]])


def test_lift_of_a_row() -> None:
    """It is the displacement of the medium; one period further it has moved by -b above, whichever the cut."""
    for cut in ("backward", "forward"):
        every = cm.lines(case([entry((2, 1), (0.3, 0.1), cut=cut)], (40, 600), periodic=["x"]))
        x = np.array([[-20.0, 250.0], [20.0, 250.0], [-20.0, -250.0], [20.0, -250.0]]) * NM
        u = lift(every, NU, "strain", x)
        assert u[1] - u[0] == pytest.approx(-every[0].vector, rel=1e-4, abs=1e-5 * 0.3 * NM)
        assert np.abs(u[2:]).max() < 1e-4 * 0.3 * NM
        assert np.array_equal(
            u, infinite_medium_displacement(every, cm.Isotropic(youngs_modulus=1.0, poissons_ratio=NU), x)
        )


# -- means, forces -----------------------------------------------------------------------------------------


def grid(side: float, n: int) -> np.ndarray:
    """Corners of 2 n^2 triangles on a square, m."""
    ticks = np.linspace(-0.5 * side, 0.5 * side, n + 1) * NM
    x, y = np.meshgrid(ticks, ticks, indexing="ij")
    points = np.column_stack([x.ravel(), y.ravel(), np.zeros(x.size)])
    i, j = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    a = (i * (n + 1) + j).ravel()
    return np.asarray(
        points[np.concatenate([np.stack([a, a + n + 1, a + n + 2], 1), np.stack([a, a + n + 2, a + 1], 1)])]
    )


@pytest.mark.parametrize("closed", [{}, {"periodic": ["x"]}, {"mirror": ["x"]}], ids=["open", "periodic", "mirror"])
@pytest.mark.parametrize("plane", ["strain", "stress"])
def test_means_of_cells(closed: dict[str, Any], plane: str) -> None:
    """Coarse and fine cells against an allowed error a thousand times smaller."""
    every = cm.lines(case([entry((2, 1), (0.3, 0.1), core="0.5 nm"), entry((-9, 3), (0.0, 0.3))], **closed))
    for n in (6, 40):
        cells = grid(40, n)
        found = cell_distortion(every, cells, NU, plane)
        exact = cell_distortion(every, cells, NU, plane, tolerance=1e-8)
        size = max(line.burgers / line.core for line in every)
        assert np.abs(found - exact).max() < 1e-5 * len(every) * size
        eigenstrain = cell_eigenstrain(every, cells, NU, plane)
        assert np.array_equal(eigenstrain, -0.5 * (found + found.transpose(0, 2, 1)))


def test_means_of_tetrahedra() -> None:
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]) * 2 * NM
    centers = np.random.default_rng(4).uniform(-15, 15, (200, 1, 3)) * NM
    every = cm.lines(case([entry((2, 1, 0), (0.3, 0, 0))], (40, 30, 40), periodic=["x"]))
    cells = corners + centers
    found, exact = (cell_distortion(every, cells, NU, tolerance=t) for t in (1e-5, 1e-7))
    assert np.abs(found - exact).max() < 1e-5 * 0.3


def test_slip_enters_with_its_sign() -> None:
    """Both eigenstrains have the same incompatibility: they differ by the gradient of the displacement."""
    x = points_in((10, 10))
    slip, smooth = (cm.lines(case([entry((0.4, 0.2), (0.3, 0.1), eigenstrain=kind)])) for kind in ("slip", "elastic"))
    h = 1e-4 * NM
    step = [np.array([h, 0.0]), np.array([0.0, h])]
    u = [[infinite_medium_displacement(smooth, MEDIUM, x + s * d) for s in (-1, 1)] for d in step]
    gradient = np.stack([(b - a) / (2 * h) for a, b in u] + [np.zeros((len(x), 3))], axis=-1)
    difference = distortion_at(smooth, x, MEDIUM.poissons_ratio) - distortion_at(slip, x, MEDIUM.poissons_ratio)
    assert np.abs(difference - gradient).max() < 1e-6 * np.abs(gradient).max()
    cells = grid(10, 12)
    mean, middle = cell_distortion(slip, cells, NU), distortion_at(slip, cells.mean(axis=1), NU)
    assert np.abs(mean - middle).max() < 0.15 * np.abs(middle).max()
    density = slip_density(slip[0].local(cells.mean(axis=1))[:, 0], slip[0].local(cells.mean(axis=1))[:, 1], NM)
    assert middle == pytest.approx(
        -density[:, None, None] * np.outer(slip[0].vector, slip[0].frame[1]), rel=1e-6, abs=0.0
    )


def test_means_take_little_time() -> None:
    every = cm.lines(case([entry((x, 1), (0.3, 0.1), core="0.5 nm") for x in (-17, -8, 0.3, 7, 15)], periodic=["x"]))
    cells = grid(40, 158)
    start = time.perf_counter()
    cell_distortion(every, cells, NU)
    assert len(cells) > 49_000 and time.perf_counter() - start < 5.0


def test_peach_koehler_force() -> None:
    """Along its plane an edge feels b times the shear stress; two of one sign repel on one plane."""
    one, two = cm.lines(case([entry((0, 0), (1.124, 0)), entry((5, 0), (1.124, 0))]))
    force = peach_koehler(infinite_medium_stress([one], MEDIUM, [[5 * NM, 0.0]]), two)[0]
    d = EdgeField(1.124 * NM, NM, MEDIUM.youngs_modulus / (2 * 1.257), 0.257).prefactor
    assert force == pytest.approx([d * 1.124 * NM * 5 / 26 / NM, 0.0, 0.0], rel=1e-6, abs=0.0)
    shear = np.array([[[0.0, 2.0, 0.0], [2.0, 3.0, 0.0], [0.0, 0.0, 0.0]]])
    climb = Line.of(case([entry((0, 0), (0, 1.0))]).dislocations[0])
    assert peach_koehler(shear, climb)[0] == pytest.approx(np.array([3.0, -2.0, 0.0]) * NM, rel=1e-6, abs=0.0)


def test_force_between_row_and_line() -> None:
    """A row attracts and repels as the sum of its lines; in its own plane the forces of both sides cancel halfway."""
    (row,) = cm.lines(case([entry((0, 0), (0.3, 0))], periodic=["x"]))
    shear = infinite_medium_stress([row], MEDIUM, np.array([[20.0, 0.0], [8.0, 0.0], [-8.0, 0.0]]) * NM)[:, 0, 1]
    singles: list[Line] = []
    for n in range(-2000, 2001):
        singles += [Line(row.position + 40 * NM * n * row.frame[0], row.frame, row.burgers, row.core)]
    expected = infinite_medium_stress(singles, MEDIUM, np.array([[8.0, 0.0]]) * NM)[0, 0, 1]
    assert abs(shear[0]) < 1e-10 * abs(shear[1])
    assert shear[1] == pytest.approx(-shear[2], rel=1e-6, abs=0.0) == pytest.approx(expected, rel=1e-3, abs=0.0)
