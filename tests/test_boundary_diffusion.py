"""One boundary in a half-plane against the exact solutions: Whipple, Suzuoka, the limits A and C."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mpi4py import MPI
from scipy.interpolate import CubicSpline
from scipy.special import erfc

from chemomech.analysis.diffusion import BoundaryDiffusion, Source, hart_diffusivity, penetration
from chemomech.simulation import Simulation
from tests.networks import along, case, graded, half_plane, potential, run, simulation
from tests.tools import record

pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="measured on one rank")

D, UNIT, ALPHA, START, CONTACT = 1e-16, 1e-8, 0.01, 1e-4, 0.1  # sqrt(D t) = UNIT after one second
HELD = {"displacement": {"x": 0.0, "y": 0.0}}


def measured(made: Simulation, exact: BoundaryDiffusion, source: Source, strength: float) -> dict[str, Any]:
    """Largest errors of c, in the grain and on the boundary, and relative errors of the slopes of the mean of sections.

    Args:
        made: At t = 1 s.
        exact: The same in closed form.
        source: Its contact.
        strength: Concentration, or amount per area, of the source.
    """
    p = made.physics
    assert p.local is not None
    x, y = np.abs(p.space_mu.tabulate_dof_coordinates()[:, :2].T) * made.length
    start = float(p.case.initial.concentration) if source == "constant" else 1e-5
    c = (1.0 / (1.0 + np.exp(-p.mu.x.array)) - start) / strength
    reach = exact.length(1.0) * np.sqrt(exact.beta(1.0))
    seen = np.flatnonzero((x < 4.0 * UNIT) & (y < 11.0 * reach) & ((y > 0.3 * UNIT) | (source == "instantaneous")))
    true = exact.concentration(x[seen], y[seen], 1.0, source)
    size = 1.0 if source == "constant" else float(exact.concentration(1.0, 0.0, 1.0, source))
    error = np.abs(c[seen] - true) / size
    depths, row = np.unique(np.round(y / UNIT, 9), return_inverse=True)
    mean = np.bincount(row, p.local.weight * (p.c["ag"].x.array - start)) / np.bincount(row, p.local.weight)
    deep = (depths > 4.5) & (mean > 0.0)
    curve = CubicSpline((depths[deep] * UNIT / reach) ** 1.2, np.log(mean[deep]))
    w = np.array([6.0, 8.0, 10.0])
    slopes = -curve(w**1.2, 1) / exact.slope(w * reach, 1.0, source) - 1.0
    return {"c": error.max(), "boundary": error[x[seen] < 1e-3 * UNIT].max(), "slopes": slopes, "nodes": len(x)}


def whipple(
    beta: float, first: float, growth: float, y: tuple[float, float, float], tolerance: float, source: Source
) -> dict[str, Any]:
    """A run; ``y``: first step, growth, largest step over root beta along the boundary, in sqrt(D t)."""
    root = np.sqrt(beta)
    across = graded(first, growth, 1.0, 9.0) * UNIT
    down = graded(y[0], y[1], y[2] * root, 13.0 * root) * UNIT
    width = 2.0 * ALPHA * UNIT
    exact = BoundaryDiffusion(D, beta / ALPHA * D, width)
    bottom: dict[str, Any] = dict(HELD)
    initial: dict[str, Any] = {"concentration": START}
    strength, step = CONTACT - START, 1e-5
    if source == "constant":
        bottom["chemical_potential"] = potential(CONTACT)
    else:
        initial = {"concentration": "1e-5 + 0.4*exp(-(y/1e-12)**2)"}
        strength, step = 0.4 * down[1] / 2.0, 1e-8
    given = case(
        {"HAGB": {"diffusivity": beta / ALPHA * D, "width": width}},
        {"diffusivity": D},
        boundaries={"bottom": bottom},
        initial=initial,
        time={"end": 1.0, "tolerance": tolerance, "initial_step": step},
        solver={"linear": "block"},
    )
    made = Simulation(given, MPI.COMM_WORLD, half_plane(np.concatenate([-across[:0:-1], across]), down), given=True)
    if source == "instantaneous":
        spread_evenly(made, strength)
    made.begin()
    run(made)
    out = measured(made, exact, source, strength) | {"steps": made.step, "drift": made.row()["mass_relative_drift"]}
    made.destroy()
    return out


def spread_evenly(made: Simulation, strength: float) -> None:
    """Start with the same amount per length all along the contact: node volumes of graded triangles do not follow."""
    p = made.physics
    assert p.local is not None
    x, y = p.space_mu.tabulate_dof_coordinates()[:, :2].T * made.length
    low = np.flatnonzero(y < 1e-3 * UNIT)
    low = low[np.argsort(x[low])]
    reach = np.gradient(x[low])
    reach[1:-1] = 0.5 * (x[low][2:] - x[low][:-2])
    reach[[0, -1]] *= 0.5
    c = np.full(len(x), 1e-5)
    c[low] += strength * reach / (p.local.weight[low] / p.local.grain.sites * made.length**2)
    p.initial_concentration = lambda: {"ag": c}


def test_whipple_on_a_coarse_mesh() -> None:
    """Cells of a fifth of sqrt(D t) at the boundary: within half a percent of the source."""
    found = whipple(100.0, 0.2, 1.2, (0.06, 1.1, 0.15), 1e-4, "constant")
    assert found["c"] < 5e-3
    assert found["boundary"] < 2.5e-3
    assert abs(found["drift"]) < 1e-12


@pytest.mark.parametrize("first", [1.0, 4.0])
def test_unresolved_grains_take_up_what_they_should(first: float) -> None:
    """Uniform cells of one and four times sqrt(D t): without columns the boundary would be wrong by 5 and 15 %."""
    found = whipple(100.0, first, 1.0, (0.06, 1.1, 0.15), 1e-4, "constant")
    assert found["boundary"] < 2e-2


@pytest.mark.slow
@pytest.mark.parametrize("beta", [10.0, 100.0, 1000.0])
def test_whipple(beta: float) -> None:
    found = whipple(beta, 0.05, 1.1, (0.03, 1.06, 0.08), 5e-6, "constant")
    record(f"whipple_{beta:g}", **found)
    assert found["c"] < 5e-3
    assert found["boundary"] < 1e-3
    assert np.max(np.abs(found["slopes"])) < 3e-3


@pytest.mark.slow
@pytest.mark.parametrize("beta", [10.0, 100.0, 1000.0])
def test_suzuoka(beta: float) -> None:
    found = whipple(beta, 0.05, 1.06, (0.03, 1.05, 0.045), 1e-6, "instantaneous")
    record(f"suzuoka_{beta:g}", **found)
    assert found["c"] < 5e-3
    assert np.max(np.abs(found["slopes"])) < 3e-3


@pytest.mark.slow
def test_whipple_converges_with_the_mesh() -> None:
    """Cells and their growth together: halving the first one and the excess of growth."""
    meshes = ((0.4, 1.3), (0.2, 1.15), (0.1, 1.075))
    errors = [whipple(100.0, a, b, (0.06, 1.06, 0.08), 2e-5, "constant")["c"] for a, b in meshes]
    record("whipple_convergence", errors=errors)
    assert errors[0] > 1.5 * errors[1] > 2.2 * errors[2]


@pytest.mark.parametrize("size", [2.5e-6, 0.625e-6, 0.15625e-6])
def test_vanishing_diffusivity_of_grains(size: float) -> None:
    """Type C: the grain stores nothing, however large the nodes beside the boundary are."""
    speed, end = 1.7e-14, 2400.0
    given = case(
        {"HAGB": {"diffusivity": speed, "width": "0.5 nm"}}, {"diffusivity": 1e-34},
        boundaries={"bottom": HELD | {"chemical_potential": potential(CONTACT)}},
        initial={"concentration": 1e-6}, time={"end": end, "tolerance": 1e-4},
    )  # fmt: skip
    y = np.arange(0.0, 40e-6 + size / 2, size)
    made = run(simulation(given, half_plane(np.array([-size, 0.0, size]), y)))
    at, c = along(made)
    relative = (c - 1e-6) / (CONTACT - 1e-6)
    assert relative == pytest.approx(erfc(at / (2.0 * np.sqrt(speed * end))), abs=1e-2)
    if size < 1e-6:
        deep = float(np.interp(5e-6, at, relative))
        assert deep == pytest.approx(0.579915, rel=5e-3, abs=0.0)
        assert float(penetration(5e-6, end, speed)) == pytest.approx(0.579915, abs=1e-6)
    made.destroy()


def test_hart() -> None:
    """Type A: grains and boundary go together, D_eff = 501 D (grain volume here is not reduced by the boundary's)."""
    spacing, width, ratio, end = 1e-6, 0.5e-9, 1e6, 100.0 * 1e-12 / 1e-16
    fraction = width / (spacing + width)
    effective = hart_diffusivity(1e-16, 1e-10, fraction)
    reach = np.sqrt(effective * end)
    given = case(
        {"HAGB": {"diffusivity": ratio * 1e-16, "width": width}}, {"diffusivity": 1e-16},
        boundaries={"bottom": HELD | {"chemical_potential": potential(CONTACT)}},
        initial={"concentration": START}, time={"end": end, "tolerance": 1e-4},
    )  # fmt: skip
    x = np.linspace(-0.5, 0.5, 5) * spacing
    made = run(simulation(given, half_plane(x, np.linspace(0.0, 5.0 * reach, 81))))
    at, c = along(made)
    relative = (c - START) / (CONTACT - START)
    assert relative == pytest.approx(erfc(at / (2.0 * reach)), abs=5e-3)
    gained = sum(made.physics.amounts().values()) - made.state.begun
    sites = (spacing + width) / made.length**2 * (CONTACT - START)
    measured_effective = np.pi * (gained / sites) ** 2 / 4.0 / end
    assert measured_effective == pytest.approx(effective, rel=1e-2, abs=0.0)
    made.destroy()
