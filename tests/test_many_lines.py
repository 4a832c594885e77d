"""Thousands of dislocations: sums by a tree of boxes against sums one by one, their cost, and their memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

import chemomech as cm
from chemomech.analysis.eshelby import forces
from chemomech.defects import bundles, dislocations
from chemomech.defects.across import Across
from chemomech.defects.dislocations import (
    Line,
    cell_distortion,
    distortion_at,
    distortion_in_cells,
    infinite_medium_displacement,
    infinite_medium_stress,
    local_density,
)
from chemomech.defects.simplex import Simplices
from chemomech.typing import Array
from tests.tools import LLZO

NM, NU, B = 1e-9, 0.3, 0.3e-9
MEDIUM = cm.Isotropic(youngs_modulus=1e11, poissons_ratio=NU)
KINDS: dict[str, dict[str, Any]] = {
    "plane": {},
    "forward": {"forward": True},
    "periodic": {"period": 200 * NM},
    "periodic-forward": {"period": 200 * NM, "forward": True},
    "any-direction": {"turned": True},
}


def random_lines(count: int, side: float = 200 * NM, **more: Any) -> list[Line]:
    """Lines of both directions, with all cores and Burgers vectors, in a square across z or turned in space."""
    rng = np.random.default_rng(7)
    turn = np.eye(3)
    if more.get("turned"):
        turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
        turn *= np.linalg.det(turn)
    made = []
    for index in range(count):
        place = np.array([*rng.uniform(-0.5 * side, 0.5 * side, 2), 0.0])
        angle, core = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.5) * NM
        way, ahead = float(rng.choice([-1.0, 1.0])), bool(rng.integers(2)) and "forward" in more
        b, xi = np.array([np.cos(angle), np.sin(angle), 0.0]), np.array([0.0, 0.0, way])
        frame, direction, period, rest = np.array([b, np.cross(xi, b), xi]), (1.0, 0.0), more.get("period"), 1
        if period:
            frame, direction, rest = np.eye(3), (float(b[0]), float(b[1])), int(rng.choice([-1, 0, 1]))
        slip = bool(more.get("slip"))
        made.append(Line(place @ turn, frame @ turn, B, core, ahead, slip, direction, period, rest, index=index))
    return made


def triangles(n: int, side: float = 200 * NM) -> Array:
    ticks = np.linspace(-0.5 * side, 0.5 * side, n + 1)
    x, y = np.meshgrid(ticks, ticks, indexing="ij")
    points = np.column_stack([x.ravel(), y.ravel(), np.zeros(x.size)])
    i, j = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    a = (i * (n + 1) + j).ravel()
    return np.asarray(
        points[np.concatenate([np.stack([a, a + n + 1, a + n + 2], 1), np.stack([a, a + n + 2, a + 1], 1)])]
    )


def tetrahedra(count: int) -> Array:
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]) * 4 * NM
    return np.asarray(corners + np.random.default_rng(1).uniform(-60 * NM, 60 * NM, (count, 1, 3)))


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Calls a function with the tree switched off."""

    def call(function: Any, *given: Any, **more: Any) -> Array:
        with monkeypatch.context() as patch:
            patch.setattr(dislocations, "FEW", 10**9)
            return np.asarray(function(*given, **more))

    return call


@pytest.fixture
def evaluations(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all calls of the closed forms by bundles: lines times points."""
    counted: list[int] = []
    for module, name in ((bundles, "plane_fields"), (bundles, "displacements"), (bundles, "slip_tail")):
        original = getattr(module, name)

        def counting(x: Array, *more: Any, original: Any = original) -> Array:
            counted.append(x.size)
            return np.asarray(original(x, *more))

        monkeypatch.setattr(module, name, counting)
    return counted


@pytest.mark.parametrize("kind", KINDS)
def test_means_of_cells(kind: str, one_by_one: Any) -> None:
    """Within the tolerance per line of the same means, line by line; cells coarse against the cores, and fine."""
    lines = random_lines(60, **KINDS[kind])
    for cells in (tetrahedra(1500),) if kind == "any-direction" else (triangles(20), triangles(50)):
        for tolerance in (1e-5, 1e-6):
            fast = cell_distortion(lines, cells, NU, tolerance=tolerance)
            direct = one_by_one(cell_distortion, lines, cells, NU, tolerance=tolerance)
            assert np.abs(direct).max() > 0.02 * B / (0.5 * NM)
            # Both are allowed this error for every line; of many lines errors do not add up.
            assert np.abs(fast - direct).max() < 4.0 * tolerance * B / (0.5 * NM)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("plane", ["strain", "stress"])
def test_fields_at_points(kind: str, plane: str, one_by_one: Any) -> None:
    lines = random_lines(60, **KINDS[kind])
    points = np.random.default_rng(0).uniform(-100 * NM, 100 * NM, (20_000, 3))
    for function, unit in (
        (lambda: distortion_at(lines, points, NU, plane), B / (0.5 * NM)),
        (lambda: infinite_medium_stress(lines, MEDIUM, points, plane), MEDIUM.youngs_modulus * B / (0.5 * NM)),
        (lambda: infinite_medium_displacement(lines, MEDIUM, points, plane), B),
    ):
        direct = one_by_one(function)
        assert np.abs(direct).max() > 0.02 * unit
        assert np.abs(function() - direct).max() < 2e-7 * unit


@pytest.mark.parametrize("kind", ["plane", "periodic", "forward"])
def test_slip(kind: str, one_by_one: Any) -> None:
    """Slipped planes end at their lines; rows have slipped all along."""
    lines = random_lines(24, slip=True, **KINDS[kind])
    points = np.random.default_rng(0).uniform(-100 * NM, 100 * NM, (20_000, 3))
    direct = one_by_one(distortion_at, lines, points, NU)
    assert np.abs(distortion_at(lines, points, NU) - direct).max() < 2e-7 * B / (0.5 * NM)
    cells = triangles(40, 16 * NM)
    direct = one_by_one(cell_distortion, lines, cells, NU)
    assert np.abs(cell_distortion(lines, cells, NU) - direct).max() < 4e-5 * B / (0.5 * NM)


def test_quadrature_points(one_by_one: Any) -> None:
    lines, cells = random_lines(60), triangles(60)
    corners = np.array([[0.6, 0.2, 0.2], [0.2, 0.7, 0.1]])
    fast = distortion_in_cells(lines, cells, corners, NU)
    flat = (corners @ cells).reshape(-1, 3)
    direct = one_by_one(distortion_at, lines, flat, NU).reshape(fast.shape)
    assert np.abs(fast - direct).max() < 2e-6 * B / (0.5 * NM)


def test_a_part_of_the_cells(one_by_one: Any) -> None:
    """What a cell gets does not depend on which others a rank holds, nor on how their corners are stored."""
    lines, cells = random_lines(60), triangles(60)
    every = cell_distortion(lines, cells, NU)
    some = np.random.default_rng(2).permutation(len(cells))[:1500]
    largest = np.abs(every).max()
    assert np.abs(cell_distortion(lines, cells[some], NU) - every[some]).max() < 1e-13 * largest
    corner = np.flatnonzero(np.all(cells.mean(axis=1)[:, :2] > 60 * NM, axis=1))
    assert np.abs(cell_distortion(lines, cells[corner], NU) - every[corner]).max() < 1e-13 * largest
    points, numbers = np.unique(cells.reshape(-1, 3), axis=0, return_inverse=True)
    shared = Simplices(points, numbers.reshape(-1, 3).astype(np.int32))
    out = np.empty((len(cells), 3, 3))
    assert cell_distortion(lines, shared, NU, out=out) is out
    assert np.abs(out - every).max() < 1e-13 * largest


def test_few_lines_are_summed_as_ever(one_by_one: Any, evaluations: list[int]) -> None:
    lines, cells = random_lines(20), triangles(30)
    points = cells[:, 0]
    for function in (cell_distortion, lambda *given: distortion_at(given[0], points, NU)):
        assert np.array_equal(function(lines, cells), one_by_one(function, lines, cells))
    assert not evaluations
    crossing = [*lines, *random_lines(20, turned=True)]  # two directions of few lines each
    cell_distortion(crossing, cells)
    assert not evaluations


def test_cost_of_means(evaluations: list[int]) -> None:
    """Twice the lines, or four times the cells, take hardly more evaluations each; all pairs would take 7 x lines."""

    def cost(count: int, n: int) -> int:
        evaluations.clear()
        cell_distortion(random_lines(count, 1000 * NM), triangles(n, 1000 * NM), NU)
        return sum(evaluations)

    base = cost(500, 80)
    assert base < 0.2 * 7 * 500 * 2 * 80**2
    assert cost(1000, 80) < 2.2 * base
    assert cost(1000, 160) < 0.08 * 7 * 1000 * 2 * 160**2


def test_cost_of_displacements(evaluations: list[int]) -> None:
    """Four times the points take less than twice the evaluations."""

    def cost(n: int) -> int:
        evaluations.clear()
        points = np.unique(triangles(n, 1000 * NM).reshape(-1, 3), axis=0)
        infinite_medium_displacement(random_lines(500, 1000 * NM), MEDIUM, points)
        return sum(evaluations)

    assert cost(200) < min(2.0 * cost(100), 0.4 * 500 * 200**2)


def test_points_across_lines() -> None:
    """Near a line or a row of them, whatever the direction."""
    points = np.random.default_rng(5).uniform(-100 * NM, 100 * NM, (3000, 3))
    for more in ({}, {"period": 70 * NM}, {"turned": True}):
        lines = random_lines(30, **more)
        across = Across(points, lines[0])
        assert len({Across.key(line) for line in lines}) == 1
        for line in lines:
            distance = line.distance(points)
            assert np.array_equal(across.within(line, 20 * NM), np.flatnonzero(distance < 20 * NM))
            assert across.least(line) == pytest.approx(distance.min(), rel=1e-9, abs=0.0)
        area = (200 * NM) ** 2
        square = 8 * area / (np.pi * len(lines))
        counts = sum((line.distance(points) ** 2 < square).astype(float) for line in lines)
        assert local_density(lines, points, area) == pytest.approx(counts / (np.pi * square), rel=1e-6, abs=0.0)
    assert Across(np.zeros((0, 3)), lines[0]).least(lines[0]) == np.inf


@pytest.mark.parametrize("sides", [{}, {"periodic": ["x"]}, {"mirror": ["x"]}], ids=["open", "periodic", "mirror"])
def test_a_run_with_a_forest(sides: dict[str, Any], one_by_one: Any) -> None:
    """Stress and forces of a body with more lines than are summed one by one."""
    case = cm.Case.model_validate(
        {
            "mode": "equilibrium",
            "domain": {"size": ["80 nm", "80 nm"], **sides},
            "mesh": {"size": "4 nm", "core_size": "1 nm", "growth": 1.0},
            "materials": {"llzo": LLZO},
            "ensembles": [{"density": 30 / (80 * NM) ** 2, "burgers": "0.3 nm", "core": "1 nm", "seed": 3}],
            "initial": {"concentration": 0.5},
        }
    )

    def state() -> tuple[Array, list[dict[str, Any]]]:
        result = cm.run(case)
        return result.function("stress").x.array.copy(), forces(result._simulation.forces)

    (stress, rows) = state()
    direct = one_by_one(lambda: np.array([state()], dtype=object))[0]
    assert MPI.COMM_WORLD.allreduce(np.abs(stress - direct[0]).max(initial=0.0), MPI.MAX) < 1e-3 * np.abs(stress).max()
    for row, expected in zip(rows, direct[1], strict=True):
        of_stress = np.array(row["peach_koehler_N_per_m"]) - expected["peach_koehler_N_per_m"]
        assert np.abs(of_stress).max() < 1e-3 * np.abs(expected["peach_koehler_N_per_m"]).max()
