"""Free surfaces as fast paths: the same as boundaries between grains, with a grain on one side only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mpi4py import MPI
from scipy.special import erfc

from chemomech.analysis.diffusion import BoundaryDiffusion
from chemomech.meshing.arrays import MeshArrays
from tests.networks import along, begun, case, cube, graded, half_plane, potential, run

COMM = MPI.COMM_WORLD
ALONE = pytest.mark.skipif(COMM.size > 1, reason="measured on one rank")
D, UNIT, START, CONTACT = 1e-16, 1e-8, 1e-4, 0.1  # sqrt(D t) = UNIT after one second
HELD = {"displacement": {"x": 0.0, "y": 0.0}}


def with_surface(x: np.ndarray, y: np.ndarray) -> MeshArrays:
    """A boundary on x = 0 that ends on the free surface ``top``; ``sides`` are x at both ends."""
    made = half_plane(x, y)
    n = len(y)
    row = (np.arange(len(x) - 1) + 1) * n - 1
    column = np.arange(n - 1)
    more = [np.stack([row, row + n], axis=1)]
    more += [np.stack([first + column, first + column + 1], axis=1) for first in (0, (len(x) - 1) * n)]
    return replace(
        made,
        facets=np.concatenate([made.facets, *more]),
        facet_tags=np.concatenate([made.facet_tags, np.repeat([3, 4], [len(row), 2 * (n - 1)])]).astype(np.int32),
        boundaries={**made.boundaries, "top": 3, "sides": 4},
    )


@ALONE
@pytest.mark.parametrize("size", [2.5e-6, 0.625e-6])
def test_vanishing_diffusivity_of_grains(size: float) -> None:
    """Along the surface an error function, however large the nodes below it are."""
    speed, end = 2.6e-15, 16000.0
    given = case(
        {"HAGB": {"diffusivity": speed, "width": "0.5 nm"}}, {"diffusivity": 1e-34},
        boundaries={"bottom": HELD | {"chemical_potential": potential(CONTACT)}},
        initial={"concentration": 1e-6}, time={"end": end, "tolerance": 1e-4},
    )  # fmt: skip
    y = np.arange(0.0, 40e-6 + size / 2, size)
    made = run(begun(given, lambda: half_plane(np.array([0.0, size]), y)))
    assert made.physics.network is not None
    assert made.physics.network.sides == {"HAGB": 1}
    at, c = along(made)
    assert (c - 1e-6) / (CONTACT - 1e-6) == pytest.approx(erfc(at / (2.0 * np.sqrt(speed * end))), abs=1e-2)


@ALONE
@pytest.mark.parametrize(("first", "growth", "bar"), [(0.2, 1.2, 5e-3), (4.0, 1.0, 2e-2)])
def test_whipple_below_a_surface(first: float, growth: float, bar: float) -> None:
    """A surface of half the width over one grain is half of a boundary between two: Whipple's solution."""
    beta, alpha = 100.0, 0.01
    across = graded(first, growth, max(first, 1.0), 9.0) * UNIT
    down = graded(0.06, 1.1, 1.5, 130.0) * UNIT
    exact = BoundaryDiffusion(D, beta / alpha * D, 2.0 * alpha * UNIT)
    given = case(
        {"HAGB": {"diffusivity": beta / alpha * D, "width": alpha * UNIT}}, {"diffusivity": D},
        boundaries={"bottom": HELD | {"chemical_potential": potential(CONTACT)}},
        initial={"concentration": START}, time={"end": 1.0, "tolerance": 1e-4, "initial_step": 1e-5},
        solver={"linear": "block"},
    )  # fmt: skip
    made = run(begun(given, lambda: half_plane(across, down)))
    p = made.physics
    x, y = p.space_mu.tabulate_dof_coordinates()[:, :2].T * made.length
    c = (1.0 / (1.0 + np.exp(-p.mu.x.array)) - START) / (CONTACT - START)
    seen = (x < (4.0 * UNIT if first < 1.0 else 1e-3 * UNIT)) & (y < 110.0 * UNIT) & (y > 0.3 * UNIT)
    assert c[seen] == pytest.approx(exact.concentration(x[seen], y[seen], 1.0), abs=bar)
    assert abs(made.row()["mass_relative_drift"]) < 1e-12


def test_a_boundary_feeds_a_surface() -> None:
    """Steady: what comes up the boundary leaves along both arms of the surface, mu being one where they meet."""
    deep, wide, n = 1e-6, 2e-6, 16
    boundary, surface, high, low = 1e-12 * 1e-9, 3e-12 * 0.5e-9, 0.1, 0.05
    given = case(
        {"HAGB": {"diffusivity": 1e-12, "width": "1 nm"}, "top": {"diffusivity": 3e-12, "width": "0.5 nm"}},
        {"diffusivity": 1e-34},
        boundaries={
            "bottom": HELD | {"chemical_potential": potential(high)}, "sides": {"chemical_potential": potential(low)},
        },
        initial={"concentration": 0.05}, time={"end": 1e3, "tolerance": 1e-2},
    )  # fmt: skip
    x, y = np.linspace(-wide, wide, 2 * n + 1), np.linspace(0.0, deep, n + 1)
    made = run(begun(given, lambda: with_surface(x, y)))
    network = made.physics.network
    assert network is not None
    assert network.sides == {"HAGB": 2, "top": 1}
    meeting = (boundary / deep * high + 2.0 * surface / wide * low) / (boundary / deep + 2.0 * surface / wide)
    for name in ("HAGB", "top"):
        c = network.c[name]
        place = c.function_space.tabulate_dof_coordinates()[:, :2] * made.length
        here = np.linalg.norm(place - [0.0, deep], axis=1) < 1e-9
        assert c.x.array[here] == pytest.approx(np.full(int(here.sum()), meeting), rel=2e-4, abs=0.0)


@pytest.mark.parametrize("body", ["square", "cube"])
def test_no_lithium_is_lost(body: str) -> None:
    """From a boundary and its grains to a surface that prefers lithium, nothing enters: the amounts add up."""
    rich = {"diffusivity": 1e-12, "width": "1 nm", "segregation_energy": -8000.0, "initial_concentration": 0.01}
    given = case(
        {("HAGB" if body == "square" else "a"): rich | {"segregation_energy": 0.0}, "top": rich},
        {"diffusivity": 1e-15}, initial={"concentration": 0.02}, time={"end": 0.1, "tolerance": 1e-3},
    )  # fmt: skip
    x, y = np.linspace(-1e-6, 1e-6, 9), np.linspace(0.0, 1e-6, 9)
    made = begun(given, (lambda: with_surface(x, y)) if body == "square" else (lambda: cube(4)))
    assert made.physics.network is not None
    before = made.physics.network.amounts()["top"]
    run(made)
    assert abs(made.row()["mass_relative_drift"]) < 1e-12
    assert made.physics.network.amounts()["top"] > 1.5 * before


def test_lithium_plated_on_a_surface() -> None:
    """A flux given where the surface is a fast path of its own: exactly that much enters."""
    given = case(
        {"HAGB": {"diffusivity": 1e-12}, "top": {"diffusivity": 1e-12}}, {"diffusivity": 1e-15},
        boundaries={"top": {"molar_flux": 1e-6}}, initial={"concentration": 0.02}, time={"end": 1.0, "tolerance": 1e-3},
    )  # fmt: skip
    x, y = np.linspace(-1e-6, 1e-6, 9), np.linspace(0.0, 1e-6, 9)
    made = run(begun(given, lambda: with_surface(x, y)))
    p = made.physics
    gained = (sum(p.amounts().values()) - made.state.begun) * p.scales.amount(2)
    assert gained == pytest.approx(1e-6 * 2e-6 * 1.0, rel=1e-9, abs=0.0)
    assert abs(made.row()["mass_relative_drift"]) < 1e-12
