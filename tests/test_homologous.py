"""Diffusivity that follows the melting point: D(c) in grains, phases and columns, against exact fronts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from dolfinx import fem
from mpi4py import MPI
from scipy.integrate import quad
from scipy.linalg import solve_banded
from scipy.optimize import brentq

import chemomech as cm
from chemomech.materials import Material
from chemomech.materials.lithiation import HomologousLaw, MeltingLine, homologous_diffusivity, prefactor_for
from chemomech.physics import energies
from chemomech.physics.columns import FINE, Columns, homologous_potential
from chemomech.simulation import Simulation
from tests.networks import TEMPERATURE, begun_here, case, graded, half_plane, junction, potential, run, simulation

COMM = MPI.COMM_WORLD
POINTS = [[0.0, "1234.93 K"], [1.0, "453.65 K"]]
BENT = [[0.0, "1234.93 K"], [0.15, "1000 K"], [1.0, "453.65 K"]]
STEEP = 16.0  # D(1/2)/D(0.001) = 9e5
D, SITES = 1e-16, 97353.0
ALONE = pytest.mark.skipif(COMM.size > 1, reason="measured on one rank")


def law_of(activation: float, points: list[list[Any]] | None = None, reference: float = 0.0) -> HomologousLaw:
    material = Material.from_library(
        "Ag", melting_points=points or POINTS, homologous_activation=activation, reference_concentration=reference
    )
    law = material.homologous_law(TEMPERATURE)
    assert law is not None
    return law


def silver(activation: float, points: list[list[Any]] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "elasticity": {"youngs_modulus": "80 GPa", "poissons_ratio": 0.3},
        "partial_molar_volume": 0.0,
        "reference_concentration": 0.0,
        "maximum_concentration": SITES,
        "diffusivity": D,
        "melting_points": points or POINTS,
        "homologous_activation": activation,
    } | more


def front(law: HomologousLaw, high: float, low: float, count: int = 4000) -> tuple[float, np.ndarray, np.ndarray]:
    """c(x/sqrt(D0 t)) where c = high at x = 0 and low far away: uptake over sqrt(D0 t), places and fractions.

    With F(c) = int eta dc from low to c (Boltzmann's variable eta = x/sqrt(D0 t); Philip 1955) diffusion says
    F F'' = -2 D/D0, F(low) = 0, F'(high) = 0, and F(high) is the uptake.
    """
    c = low + (high - low) * np.linspace(0.0, 1.0, count + 1) ** 3
    h, source = np.diff(c), 2.0 * law.ratio(c[1:])
    width = np.append(0.5 * (h[:-1] + h[1:]), 0.5 * h[-1])
    f = 1e-3 * np.sqrt(source.min() * np.linspace(0.0, 1.0, count + 1)[1:])
    for _ in range(100):
        slope = np.diff(np.concatenate([[0.0], f])) / h
        gap = slope - np.append(slope[1:], 0.0) - width * source / f
        bands = np.zeros((3, count))
        bands[1] = width * source / f**2 + 1.0 / h + np.append(1.0 / h[1:], 0.0)
        bands[0, 1:] = bands[2, :-1] = -1.0 / h[1:]
        step = solve_banded((1, 1), bands, -gap)
        f = f + step
        if np.max(np.abs(step) / f) < 1e-11:
            break
    else:
        raise RuntimeError("no exact front")
    eta = np.diff(np.concatenate([[0.0], f])) / h
    return float(f[-1]), np.append(eta, 0.0)[::-1], np.append(0.5 * (c[1:] + c[:-1]), high)[::-1]


def strip(cells: int, length: float, tolerance: float, activation: float = STEEP, linear: str = "direct") -> Simulation:
    """A strip that starts at 0.001 and is held at 1/2 on its left, after one second."""
    size = length / cells
    given = cm.Case.model_validate(
        {
            "domain": {"shape": "rectangle", "size": [length, 2.0 * size]},
            "mesh": {"size": size, "structured": True},
            "temperature": TEMPERATURE,
            "materials": {"ag": silver(activation)},
            "boundaries": {"left": {"concentration": 0.5}},
            "initial": {"concentration": 0.001},
            "time": {"end": 1.0, "tolerance": tolerance},
            "solver": {"linear": linear},
        }
    )
    made = Simulation(given, COMM)
    begun_here.append(made)
    made.begin()
    return run(made)


def uptake(made: Simulation) -> float:
    """Sites filled since the start over sites per volume, m^2."""
    p = made.physics
    gained = sum(p.amounts().values()) - made.state.begun
    return gained * made.length**2 / float(p.laws[p.phases[0]].sites.value)


def place(made: Simulation, level: float) -> float:
    """Where c falls below a level along the bottom of the strip, m; -inf on ranks that do not see it."""
    p = made.physics
    x, y = p.space_mu.tabulate_dof_coordinates()[:, :2].T * made.length
    low = COMM.allreduce(float(y.min(initial=np.inf)), op=MPI.MIN)
    left = COMM.allreduce(float(x.min(initial=np.inf)), op=MPI.MIN)
    row = np.flatnonzero(np.abs(y - low) < 1e-12)
    pairs = np.concatenate(COMM.allgather(np.stack([x[row] - left, p.c["ag"].x.array[row]], axis=1)))
    pairs = pairs[np.argsort(pairs[:, 0])]
    return float(np.interp(-level, -pairs[:, 1], pairs[:, 0]))


# ---- the law ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("points", [POINTS, BENT])
def test_the_law_is_that_of_the_paper(points: list[list[Any]]) -> None:
    """D(c)/D(c_ref) from c = 0 to 1 is D0 exp(-a T_m/T) over its value at the reference, x = c/(1+c)."""
    line = MeltingLine(tuple(p[0] for p in points), tuple(float(p[1].split()[0]) for p in points))
    law = law_of(18.4, points, reference=0.25)
    c = np.linspace(0.0, 1.0, 41)
    prefactor = prefactor_for(1.0, 0.2, TEMPERATURE, melting=line)
    assert law.ratio(c) == pytest.approx(
        homologous_diffusivity(c / (1.0 + c), TEMPERATURE, prefactor, melting=line), rel=1e-6, abs=0.0
    )
    x = np.linspace(0.0, 1.0, 41)
    assert line(x) == pytest.approx(np.interp(x, line.fractions, line.temperatures), rel=1e-14, abs=0.0)
    low, high = law.extremes()
    assert (low, high) == pytest.approx((law.ratio(0.0), law.ratio(1.0)), rel=1e-12, abs=0.0)


def test_lithium_speeds_itself_up() -> None:
    """Lithium lowers the melting point of silver: D(c) rises, by orders of magnitude."""
    ratio = law_of(18.4).ratio(np.linspace(0.0, 1.0, 101))
    assert np.all(np.diff(ratio) > 0.0)
    assert law_of(18.4).ratio(1.0) == pytest.approx(
        np.exp(18.4 * (1234.93 - 453.65) / 2.0 / TEMPERATURE), rel=1e-6, abs=0.0
    )


def test_flux_and_columns_use_one_law() -> None:
    given = case({"a": {"diffusivity": 1e-12}}, silver(18.4, BENT), initial={"concentration": 0.01})
    made = simulation(given, junction(4) if COMM.rank == 0 else None)
    begun_here.append(made)
    p = made.physics
    p.c["ag"].x.array[:] = np.linspace(0.01, 0.9, len(p.c["ag"].x.array))
    space = p.c["ag"].function_space
    of_forms = fem.Function(space)
    of_forms.interpolate(
        fem.Expression(energies.diffusivity(p.c["ag"], p.laws["ag"]), space.element.interpolation_points)
    )
    here = law_of(18.4, BENT)
    unit = float(p.laws["ag"].diffusivity.value)
    assert of_forms.x.array == pytest.approx(unit * here.ratio(p.c["ag"].x.array), rel=1e-12, abs=0.0)
    assert p.local is not None
    law = p.local.grain.homologous
    assert law is not None
    assert (law.start, law.knots, law.bends) == (here.start, here.knots, here.bends)


# ---- grains without boundaries ---------------------------------------------------------------------------
def flux(made: Simulation) -> float:
    """Mean flux along x over the body times its length, D0 sites."""
    p, total, volume = made.physics, 0.0, 0.0
    for phase in p.phases:
        law = p.laws[phase]
        j = energies.lithium_flux(p.c[phase], p.mu, law)[0] * p.inner(phase)
        total += fem.assemble_scalar(fem.form(j, entity_maps=p.entity_maps or None))
        volume += float(p.weights(phase).sum())
    total, volume = COMM.allreduce(total), COMM.allreduce(volume)
    x = made.mesh.geometry.x[:, 0]
    length = COMM.allreduce(float(x.max()), op=MPI.MAX) - COMM.allreduce(float(x.min()), op=MPI.MIN)
    return total / volume * length


def steady(size: float) -> Simulation:
    given = cm.Case.model_validate(
        {
            "domain": {"shape": "rectangle", "size": ["40 nm", "2 nm"]},
            "mesh": {"size": size, "structured": True},
            "temperature": TEMPERATURE,
            "materials": {"ag": silver(8.0)},
            "boundaries": {"left": {"concentration": 0.4}, "right": {"concentration": 0.15}},
            "initial": {"concentration": 0.2},
            "time": {"end": 1e4, "tolerance": 1e-2},
        }
    )
    made = Simulation(given, COMM)
    begun_here.append(made)
    made.begin()
    return run(made)


@ALONE
def test_steady_flux_through_a_slab() -> None:
    """Kirchhoff: J L = c_m int D dc, approached with the square of the cells."""
    law = law_of(8.0)
    exact = quad(lambda c: float(law.ratio(c)), 0.15, 0.4, epsrel=1e-10)[0]
    assert exact > 20.0 * 0.25
    errors = [abs(flux(steady(size)) / exact - 1.0) for size in (1e-9, 0.5e-9)]
    assert errors[1] < 1e-3
    assert errors[0] > 3.0 * errors[1]


@ALONE
def test_steady_flux_through_two_phases() -> None:
    """Each phase follows its own melting line; c is one where they meet (mu0 and chi are equal)."""
    given = cm.Case.model_validate(
        {
            "domain": {
                "shape": "rectangle",
                "size": ["1 nm", "20 nm"],
                "layers": [{"material": "ag", "thickness": "10 nm"}, {"material": "au", "thickness": "10 nm"}],
            },
            "mesh": {"size": "0.25 nm", "structured": True},
            "temperature": TEMPERATURE,
            "materials": {"ag": silver(8.0), "au": silver(3.0, BENT, diffusivity=4.0 * D)},
            "boundaries": {"bottom": {"concentration": 0.4}, "top": {"concentration": 0.05}},
            "initial": {"concentration": 0.1},
            "time": {"end": 1e3, "tolerance": 1e-2},
        }
    )
    made = Simulation(given, COMM)
    begun_here.append(made)
    made.begin()
    run(made)
    laws = law_of(8.0), law_of(3.0, BENT)

    def part(k: int, low: float, high: float) -> float:
        return (1.0, 4.0)[k] * quad(lambda c: float(laws[k].ratio(c)), low, high, epsrel=1e-10)[0]

    between = brentq(lambda c: part(0, c, 0.4) - part(1, 0.05, c), 0.05, 0.4)
    p = made.physics
    y = p.c["ag"].function_space.tabulate_dof_coordinates()[:, 1]
    top = COMM.allreduce(float(y.max(initial=-np.inf)), op=MPI.MAX)
    at = p.c["ag"].x.array[y > top - 1e-6]
    assert at == pytest.approx(np.full(len(at), between), rel=5e-3, abs=0.0)


@ALONE
def test_a_sharp_front() -> None:
    """D changes by 9e5: the front of Boltzmann's variable, its uptake and its place within a percent."""
    amount, eta, c = front(law_of(STEEP), 0.5, 0.001)
    reach = float(np.interp(-0.05, -c, eta))
    made = strip(60, 1.3 * reach * np.sqrt(D), 2e-3, linear="block")
    width = 1.3 * reach * np.sqrt(D) / 30.0
    assert uptake(made) / width == pytest.approx(amount * np.sqrt(D), rel=1e-2, abs=0.0)
    assert place(made, 0.3) == pytest.approx(float(np.interp(-0.3, -c, eta)) * np.sqrt(D), rel=1e-2, abs=0.0)
    assert amount > 100.0 * 2.0 / np.sqrt(np.pi) * 0.499  # what it would be with D0 alone
    assert made.newton_iterations < 6 * (made.step + made.rejected)


@ALONE
@pytest.mark.slow
def test_a_sharp_front_converges() -> None:
    amount, eta, c = front(law_of(STEEP), 0.5, 0.001)
    length = 1.3 * float(np.interp(-0.05, -c, eta)) * np.sqrt(D)
    errors = []
    for cells, tolerance in ((25, 2e-3), (50, 1e-3), (100, 5e-4), (50, 1e-2)):
        found = uptake(strip(cells, length, tolerance)) / (2.0 * length / cells) / (amount * np.sqrt(D)) - 1.0
        errors.append(abs(found))
    assert errors[0] > 1.6 * errors[1] > 2.5 * errors[2]
    assert abs(errors[3] - errors[1]) < 1e-3  # the steps matter less than the cells


# ---- columns beside boundaries ---------------------------------------------------------------------------
@pytest.mark.parametrize("chi", [0.0, 1.1])
def test_driving_force_of_columns(chi: float) -> None:
    """phi is the integral of D(c)/D0 [1 - 2 chi c (1-c)], and its slope is what it says, bends of the line included."""
    law = law_of(18.4, BENT)
    phi = homologous_potential(chi, law)
    c = np.linspace(1e-6, 1.0, 37)
    value, slope = phi(c)
    assert slope == pytest.approx(law.ratio(c) * (1.0 - 2.0 * chi * c * (1.0 - c)), rel=1e-8, abs=0.0)
    kink = 0.15 / 0.85
    for here, there in zip(c[::6], value[::6], strict=True):
        pieces = [(0.0, min(here, kink)), (min(here, kink), here)]
        whole = sum(
            quad(lambda s: float(law.ratio(s)) * (1.0 - 2.0 * chi * s * (1.0 - s)), a, b, epsrel=1e-11)[0]
            for a, b in pieces
        )
        assert there == pytest.approx(whole, rel=1e-8, abs=0.0)


def test_slopes_of_columns() -> None:
    columns = Columns(np.array([1.0, 0.2]), 1.0, 0.7, 0.01, law_of(STEEP), 1e-3)
    start = np.linspace(0.3, 0.01, FINE)[:, None] * np.ones((1, 2))
    psi, step = np.array([0.2, -1.0]), 1e-6

    def at(shift: float) -> Any:
        return columns.respond(psi + shift, start.copy(), start, 1e-7)

    high, low, here = at(step), at(-step), at(0.0)
    assert here.mean_slope == pytest.approx((high.mean - low.mean) / (2.0 * step), rel=1e-6, abs=0.0)
    assert here.end_slope == pytest.approx((high.end - low.end) / (2.0 * step), rel=1e-6, abs=1e-12)


@ALONE
@pytest.mark.parametrize(("activation", "high"), [(STEEP, 0.5), (STEEP, 0.1), (8.0, 0.5)])
def test_a_column_takes_up_what_a_half_space_does(activation: float, high: float) -> None:
    """A front in a column that the mesh does not resolve: 3 % for contrasts up to 9e5."""
    law = law_of(activation)
    amount, _, _ = front(law, high, 0.001)
    end, steps = (0.01 * high / amount) ** 2, 150
    columns = Columns(np.array([1.0]), 1.0, 0.0, float(np.sqrt(end)), law, 1e-3)
    c = np.full((FINE, 1), 0.001)
    times = end * (np.arange(steps + 1) / steps) ** 2
    for k, g in enumerate(np.diff(times), 1):
        mean = columns.respond(np.array([np.log(high / (1.0 - high))]), c, c.copy(), float(g)).mean
        if k > steps // 2:
            assert float(mean[0] - 0.001) == pytest.approx(amount * np.sqrt(times[k]), rel=0.03, abs=0.0)


def test_columns_without_solution_say_so() -> None:
    columns = Columns(np.array([1.0]), 1.0, 0.0, 0.01, law_of(STEEP), 1e-3)
    found = columns.respond(np.array([np.nan]), np.full((FINE, 1), 0.1), np.full((FINE, 1), 0.1), 1e-3)
    assert np.isnan(found.mean).all()


def beside(first: float, growth: float, activation: float = STEEP) -> tuple[Simulation, float]:
    """A boundary filled at once by its contact, beside grains that start at 0.001; and its length, m."""
    amount, eta, c = front(law_of(activation), 0.5, 0.001)
    reach = float(np.interp(-0.05, -c, eta)) * np.sqrt(D)
    across = graded(first * reach, growth, 1.0 * reach, 4.0 * reach)
    down = np.linspace(0.0, 10.0 * reach, 5)
    given = case(
        {"HAGB": {"diffusivity": 1e9 * D * amount**2, "width": reach / 100.0}}, silver(activation),
        boundaries={"bottom": {"displacement": {"x": 0.0, "y": 0.0}, "chemical_potential": potential(0.5)}},
        initial={"concentration": 0.001}, time={"end": 1.0, "tolerance": 2e-3}, solver={"linear": "block"},
    )  # fmt: skip
    arrays = half_plane(np.concatenate([-across[:0:-1], across]), down) if COMM.rank == 0 else None
    made = simulation(given, arrays)
    begun_here.append(made)
    run(made)
    return made, 10.0 * reach


@pytest.mark.parametrize("first", [pytest.param(0.05, marks=ALONE), 0.5])
def test_a_front_leaves_a_boundary(first: float) -> None:
    """Resolved or hidden in columns, the grains take up what two half-spaces do."""
    made, length = beside(first, 1.2 if first < 0.1 else 1.0)
    p = made.physics
    amount, _, _ = front(law_of(STEEP), 0.5, 0.001)
    # Only the far part: what the contact feeds straight into the grains does not reach it.
    assert p.local is not None
    y = p.space_mu.tabulate_dof_coordinates()[:, 1] * made.length
    owned = p.local.weight[: p.space_mu.dofmap.index_map.size_local]
    rest = y[: len(owned)] > 0.3 * length
    c = p.c["ag"].x.array[: len(owned)]
    gained = COMM.allreduce(float(owned[rest] @ (c[rest] - 0.001))) / p.local.grain.sites * made.length**2
    height = length - 0.375 * length
    assert gained == pytest.approx(2.0 * amount * np.sqrt(D) * height, rel=0.05 if first > 0.1 else 0.03, abs=0.0)


def test_no_lithium_is_lost() -> None:
    classes = {k: {"diffusivity": 1e-12, "segregation_energy": -4000.0, "width": "1 nm"} for k in "abc"}
    start = {"concentration": "0.02 + 0.3*exp(-(y-1e-6)**2/4e-14)"}
    given = case(classes, silver(STEEP, interaction=0.4), initial=start, time={"end": 1.0, "tolerance": 2e-3})
    made = simulation(given, junction(8) if COMM.rank == 0 else None)
    begun_here.append(made)
    control, drift = made.control(), []
    while made.time < control.end * (1.0 - 1e-12):
        made.advance(control)
        drift.append(made.row()["mass_relative_drift"])
    assert np.max(np.abs(drift)) < 1e-12
    assert made.newton_iterations < 8 * (made.step + made.rejected)


# ---- words -----------------------------------------------------------------------------------------------
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "melting_points": ({"homologous_activation": 18.4}, "is missing"),
    "melting_points.0.1": ({"melting_points": [[0.0, "-3 K"], [1.0, "450 K"]]}, "above zero"),
    "melting_points.0": ({"melting_points": [[0.0], [1.0, "450 K"]]}, "2 entries"),
    "homologous_activation": ({"melting_points": POINTS, "homologous_activation": -1.0}, "barriers"),
}


@pytest.mark.parametrize("key", WRONG)
def test_wrong_words(key: str) -> None:
    words, problem = WRONG[key]
    with pytest.raises(cm.CaseError, match=problem) as caught:
        Material.from_library("Ag", **words)
    assert caught.value.key == key


@pytest.mark.parametrize("points", [[], [[0.0, 1234.0]], [[0.0, 1234.0], [0.5, 800.0]], [[1.0, 1234.0], [0.0, 800.0]]])
def test_points_that_make_no_line(points: list[list[float]]) -> None:
    with pytest.raises(cm.CaseError, match="do not make a line"):
        Material.from_library("Ag", melting_points=points)


def test_words_are_written_out() -> None:
    given = case({"a": {"diffusivity": 1e-12}}, {"melting_points": BENT})
    material = given.materials["ag"]
    assert material.homologous_activation == 18.4
    assert cm.Case.loads(given.to_toml()) == given
    assert Material.from_library("Ag").homologous_law(TEMPERATURE) is None
