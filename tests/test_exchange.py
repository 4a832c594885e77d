"""Grain boundaries that exchange lithium with grains at a finite rate: exact solutions, balances, local equilibrium."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI
from pydantic import ValidationError
from scipy.integrate import solve_ivp
from scipy.special import erfc, erfcx

import chemomech as cm
from chemomech.meshing.arrays import MeshArrays
from chemomech.output.fields import read_index
from chemomech.simulation import Simulation
from tests.networks import (
    RT,
    along,
    begun,
    case,
    cube,
    graded,
    half_plane,
    junction,
    potential,
    run,
    uncorrected,
    unknowns,
    write_msh,
)
from tests.test_grain_boundary import CLASSES, HELD, coupled
from tests.tools import record

COMM = MPI.COMM_WORLD
ALONE = pytest.mark.skipif(COMM.size > 1, reason="measured on one rank")
D, UNIT = 1e-16, 1e-8  # sqrt(D t) = UNIT after one second
PIN = {"displacement": {"x": 0.0, "y": 0.0}}
RATE = "grain_boundaries.default.exchange_rate"
FAST, FINE = 1e-6, {"tolerance": 1e-13}
"""Diffusivity that makes a boundary uniform; solver where fractions are small."""


def beside_uniform_boundary(biot: float, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """A boundary kept at activity 1e-4 between grains: x, c and uptake per side of a row of nodes far from the contact.

    All over 1e-4 after one second, lengths in sqrt(D t); ``biot`` is h sqrt(D t).
    """
    source, start = 1e-4, 1e-8
    given = case(
        {"HAGB": {"diffusivity": FAST, "width": "1 nm", "exchange_rate": biot * D / UNIT}}, {"diffusivity": D},
        boundaries={"bottom": PIN | {"chemical_potential": potential(source)}}, initial={"concentration": start},
        time={"end": 1.0, "tolerance": 1e-9, "initial_step": 1e-5}, solver=FINE,
    )  # fmt: skip
    across = np.concatenate([-x[:0:-1], x])
    made = run(begun(given, lambda: half_plane(across * UNIT, np.linspace(0.0, 80.0, 5) * UNIT)))
    p = made.physics
    assert p.local is not None
    at, y = p.space_mu.tabulate_dof_coordinates()[:, :2].T * made.length / UNIT
    row = np.flatnonzero(np.abs(y - 40.0) < 1e-6)
    c = (1.0 / (1.0 + np.exp(-p.mu.x.array[row])) - start) / (source - start)
    weight = p.local.weight[row]
    mean = float(weight @ (p.c["ag"].x.array[row] - start)) / float(weight.sum()) / (source - start)
    assert abs(made.row()["mass_relative_drift"]) < 1e-12
    return np.abs(at[row]), c, mean * x[-1]


@ALONE
@pytest.mark.parametrize("biot", [0.1, 1.0, 10.0])
def test_half_space_behind_a_resistance(biot: float) -> None:
    """Crank, The Mathematics of Diffusion, chapter 3, surface evaporation: -D dc/dx = k (c_s - c) at the surface."""
    x, c, _ = beside_uniform_boundary(biot, graded(0.05, 1.1, 0.3, 9.0))
    # exp(hx + h^2 Dt) erfc(x/2 + h) without the product of the very large and the very small
    exact = erfc(x / 2.0) - np.exp(-(x**2) / 4.0) * erfcx(x / 2.0 + biot)
    uptake = (erfcx(biot) - 1.0) / biot + 2.0 / np.sqrt(np.pi)
    _, _, coarse = beside_uniform_boundary(biot, np.array([0.0, 8.0, 16.0]))
    error, missed = float(np.abs(c - exact).max()), coarse / uptake - 1.0
    record(f"exchange_half_space_{biot:g}", error=error, uptake=missed)
    assert error < 5e-3
    assert abs(missed) < 2e-2


@ALONE
@pytest.mark.parametrize("sides", [2, 1])
def test_steady_boundary_between_grains_that_stay_as_they_are(sides: int) -> None:
    """D_gb delta c'' = sides k (c/s - c_far): an exponential of length sqrt(s delta D_gb/(sides k)).

    The grains are given diffusivity enough to stay at c_far beside the boundary, and too little to matter along it.
    """
    speed, width, gain, rate = 1e-10, 5e-10, 5.0, 8e-16
    length = np.sqrt(gain * width * speed / (sides * rate))
    source, far = 1e-4, 1e-6
    given = case(
        {"HAGB": {
            "diffusivity": speed, "width": width, "segregation_energy": -RT * np.log(gain), "exchange_rate": rate,
        }},
        {"diffusivity": D}, boundaries={"bottom": PIN | {"chemical_potential": potential(source)}},
        initial={"concentration": far}, solver=FINE,
        time={"end": 10.0 * gain * width / (sides * rate), "tolerance": 1e-7},
    )  # fmt: skip
    x, deep = np.array([-1.0, 0.0, 1.0])[2 - sides :] * length, 8.0
    made = run(begun(given, lambda: half_plane(x, np.linspace(0.0, deep, 161) * length)))
    assert made.physics.network is not None
    assert made.physics.network.sides == {"HAGB": sides}
    y, c = along(made)
    relative = (c / gain - far) / (source - far)
    exact = np.cosh(deep - y / length) / np.cosh(deep)
    near = (y > 0.5 * length) & (y < 3.5 * length)
    found = -1.0 / np.polyfit(y[near], np.log(relative[near]), 1)[0] / length
    record(f"exchange_steady_{sides}", length=found - 1.0, error=float(np.abs(relative - exact).max()))
    assert found == pytest.approx(1.0, abs=5e-3)
    assert relative == pytest.approx(exact, abs=2e-3)


def bicrystal(
    first: float, second: float, chi: float, scheme: str, step: float, solid: bool = False
) -> tuple[Simulation, float]:
    """A boundary with ``first`` in closed grains, 20 nm thick, with ``second``, all well mixed, after 1 s; and k."""
    rate = 1e-9
    law = {
        "diffusivity": 1e-10, "width": 5e-10, "segregation_energy": -RT * np.log(5.0), "interaction": -chi,
        "exchange_rate": rate, "initial_concentration": first,
    }  # fmt: skip
    given = case(
        {"a" if solid else "HAGB": law}, {"diffusivity": 1e-10, "interaction": chi},
        initial={"concentration": second}, solver=FINE,
        time={"end": 1.0, "scheme": scheme, "fixed_step": step},
    )  # fmt: skip
    x = np.linspace(-1e-8, 1e-8, 5)
    arrays = (lambda: cube(4, 2e-8)) if solid else (lambda: half_plane(x, np.linspace(0.0, 2e-8, 5)))
    return run(begun(given, arrays)), rate


@ALONE
@pytest.mark.parametrize(("scheme", "order"), [("bdf2", 2), ("backward-euler", 1)])
def test_well_mixed_grains_relax_to_the_isotherm(scheme: str, order: int) -> None:
    """Of a dense solution the equations of two numbers; the order of the time integrator is seen."""
    width, thick, chi, first, second = 5e-10, 2e-8, 0.6, 0.4, 0.02

    def activity(c: float, interaction: float, energy: float) -> float:
        return float(c / (1.0 - c) * np.exp(interaction * (1.0 - 2.0 * c) + energy))

    def change(_: float, c: np.ndarray) -> list[float]:
        flow = 2e-9 * (activity(c[0], -chi, -np.log(5.0)) - activity(c[1], chi, 0.0))
        return [-flow / width, flow / thick]

    exact = solve_ivp(change, (0.0, 1.0), [first, second], rtol=1e-12, atol=1e-14, method="Radau").y[:, -1]
    errors = []
    for step in (0.1, 0.05, 0.025, 0.0125):
        made, _ = bicrystal(first, second, chi, scheme, step)
        assert made.physics.network is not None
        c = made.physics.network.c["HAGB"].x.array
        assert float(np.ptp(c)) < 1e-6
        errors.append(abs(float(c.mean()) - exact[0]))
    seen = np.log2(np.array(errors[:-1]) / errors[1:])
    record(f"exchange_order_{scheme}", errors=errors, order=float(seen[-1]))
    assert seen[-1] == pytest.approx(order, abs=0.15)
    assert errors[-1] < (2e-4 if order == 2 else 5e-3)


@ALONE
@pytest.mark.parametrize("solid", [False, True])
def test_dilute_grains_relax_exponentially(solid: bool) -> None:
    """Rate 2 k (1/(s delta) + 1/W), W the thickness of both grains; isotherm and amounts at the end."""
    first, second, width, thick, gain = 1e-4, 1e-6, 5e-10, 2e-8, 5.0
    made, rate = bicrystal(first, second, 0.0, "bdf2", 0.01 if solid else 0.005, solid)
    assert made.physics.network is not None
    speed = 2.0 * rate * (1.0 / (gain * width) + 1.0 / thick)
    rest = (first * width + second * thick) / (width + thick / gain)  # in the boundary, in the end
    exact = rest + (first - rest) * np.exp(-speed)
    (c,) = (function.x.array for function in made.physics.network.c.values())
    record(f"exchange_relaxation_{3 if solid else 2}d", error=float(np.abs(c / exact - 1.0).max()))
    assert c == pytest.approx(np.full(len(c), exact), rel=2e-4, abs=0.0)
    grains = made.physics.c["ag"].x.array
    assert (c - first).mean() * width == pytest.approx(-(grains - second).mean() * thick, rel=1e-5, abs=0.0)


def with_rate(rate: float | None, **more: Any) -> cm.Case:
    """Three classes with stress, opening, chi and segregation; a contact."""
    given = coupled(**more)
    return given if rate is None else given.replace({RATE: rate})


def test_fast_exchange_is_local_equilibrium() -> None:
    """The difference falls as 1/k; nothing is lost on the way."""
    found, steps = {}, {"end": 0.02, "fixed_step": 1e-3}
    rates = (None, 1e-4, 1e-3, 1e-2)
    for rate in rates:
        made = run(begun(with_rate(rate, time=steps, solver={"tolerance": 1e-12}), lambda: junction(6)))
        assert abs(made.row()["mass_relative_drift"]) < 1e-12
        found[rate] = unknowns(made)
    names = [name for name in found[None] if "concentration" in name]
    off = [max(float(np.abs(found[rate][n] - found[None][n]).max()) for n in names) for rate in rates[1:]]
    record("exchange_fast", differences=off)
    assert 0.0 < off[-1] < 1e-4
    assert np.array(off[:-1]) / off[1:] == pytest.approx(np.full(2, 10.0), rel=0.15, abs=0.0)


@ALONE
def test_without_exchange_boundaries_are_alone() -> None:
    """Type C at any diffusivity of the grains: an error function along the network, and empty grains."""
    speed, end, size = 1.7e-14, 2400.0, 0.625e-6
    given = case(
        {"HAGB": {"diffusivity": speed, "width": "0.5 nm", "exchange_rate": 1e-20}}, {"diffusivity": 1e-16},
        boundaries={"bottom": PIN | {"chemical_potential": potential(0.1)}},
        initial={"concentration": 1e-6}, time={"end": end, "tolerance": 1e-4},
    )  # fmt: skip
    y = np.arange(0.0, 40e-6 + size / 2, size)
    made = run(begun(given, lambda: half_plane(np.array([-size, 0.0, size]), y)))
    at, c = along(made)
    assert (c - 1e-6) / (0.1 - 1e-6) == pytest.approx(erfc(at / (2.0 * np.sqrt(speed * end))), abs=1e-2)
    depth = made.physics.space_mu.tabulate_dof_coordinates()[:, 1] * made.length
    beside = made.physics.c["ag"].x.array[depth > 1e-5]  # the contact feeds those nearer
    assert beside == pytest.approx(np.full(len(beside), 1e-6), rel=1e-3, abs=0.0)


KINDS = ("square", "melting line", "free surface", "cube")


def isolated(kind: str) -> tuple[cm.Case, Callable[[], MeshArrays]]:
    """Classes that open at a junction, one filled beforehand, in swelling grains of another content; and the mesh."""
    classes = {name: CLASSES[name] for name in (("default", "a", "b") if kind == "cube" else CLASSES)}
    classes["default"] = classes["default"] | {"exchange_rate": 2e-7}
    classes["b"] = classes["b"] | {"initial_concentration": 0.3}
    held = HELD | ({"back": {"roller": True}} if kind == "cube" else {})
    start = {"concentration": "0.02 + 0.1*exp(-(y-1e-6)**2/4e-14)"}
    given = coupled(grain_boundaries=classes, boundaries=held, initial=start, solver={"tolerance": 1e-12})
    if kind == "melting line":
        given = given.replace({"materials.ag.melting_points": [[0.0, 1234.93], [1.0, 453.65]]})
        given = given.replace({"materials.ag.homologous_activation": 8.0})
    elif kind == "free surface":
        surface = {"diffusivity": "1e-11 m^2/s", "interaction": 0.2, "partial_molar_volume": 0.0, "exchange_rate": 1e-6}
        given = given.replace({"grain_boundaries.left": surface | {"initial_concentration": 0.01}})
    if kind == "cube":
        given = given.replace({"materials.ag.elasticity.orientation": ["20 deg", "30 deg", "50 deg"], "time.end": 0.02})
        return given, lambda: cube(4)
    return given, lambda: junction(8)


@pytest.mark.parametrize("kind", KINDS)
def test_isolated_energy_falls_and_no_lithium_is_lost(kind: str) -> None:
    """Without the correction that shares out what the solver leaves."""
    given, arrays = isolated(kind)
    made = uncorrected(begun(given, arrays))
    p = made.physics
    assert p.network is not None
    control, before = made.control(), p.network.amounts()
    drift, energy = [], [p.free_energy()]
    while made.time < control.end * (1.0 - 1e-12):
        made.advance(control)
        drift.append(made.row()["mass_relative_drift"])
        energy.append(p.free_energy())
    change = {name: after / before[name] - 1.0 for name, after in p.network.amounts().items()}
    rise = float(np.max(np.diff(energy)) / (energy[0] - energy[-1]))
    record(f"exchange_closed_{kind.replace(' ', '_')}", drift=float(np.max(np.abs(drift))), rise=rise)
    assert np.max(np.abs(drift)) < 1e-12
    assert rise < 0.0
    assert min(map(abs, change.values())) > 1e-2


def test_block_solver_gives_the_same() -> None:
    found = {}
    for linear in ("direct", "block"):
        solver = {"linear": linear, "tolerance": 1e-12}
        found[linear] = unknowns(
            run(begun(with_rate(2e-7, time={"end": 0.01, "fixed_step": 1e-3}, solver=solver), lambda: junction(8)))
        )
    off = {n: float(np.abs(found["block"][n] - x).max() / np.abs(x).max()) for n, x in found["direct"].items()}
    record("exchange_block", difference=max(off.values()))
    assert max(off.values()) < 1e-10


def test_all_that_enters_is_counted() -> None:
    """Through the rows of both balances at a contact, without the correction that shares out what the solver leaves."""
    given = with_rate(2e-7, time={"end": 0.02}, solver={"tolerance": 1e-13})
    made = run(uncorrected(begun(given, lambda: junction(8))))
    p = made.physics
    gained = sum(p.amounts().values()) / made.state.begun - 1.0
    record("exchange_supply", drift=made.row()["mass_relative_drift"], gained=gained)
    assert gained > 0.05
    assert abs(made.row()["mass_relative_drift"]) < 1e-12
    rows = p.equations.supply
    assert sorted(rows) == [p.mu_equation - 1, p.mu_equation]
    assert COMM.allreduce(len(rows[p.mu_equation - 1])) == 1  # where the boundary ``a`` meets the contact


def linear_iterations(ratio: float, rate: float | None, n: int) -> tuple[float, int]:
    """Of the block solver per Newton step, mean and most, for D_gb/D of all classes and k."""
    speed = {f"grain_boundaries.{name}.diffusivity": ratio * 1e-14 for name in "abc"}
    time = {"end": 10.0, "initial_step": 1e-4, "tolerance": 1e-2}
    given = with_rate(rate, time=time, solver={"linear": "block"}).replace(speed)
    made = begun(given, lambda: junction(n))
    control, most = made.control(), 0.0
    for _ in range(20):
        newton, linear = made.newton_iterations, made.linear_iterations
        made.advance(control)
        most = max(most, (made.linear_iterations - linear) / max(1, made.newton_iterations - newton))
    return made.linear_iterations / made.newton_iterations, most


@ALONE
def test_linear_iterations_do_not_grow() -> None:
    """With D_gb/D over eight decades and k over six they are those of local equilibrium."""
    found = {}
    for rate in (None, 1e-9, 1e-6, 1e-3):
        found[str(rate)] = [linear_iterations(ratio, rate, 16) for ratio in (1.0, 1e4, 1e8)]
    record("exchange_linear", iterations=found)
    without = max(mean for mean, _ in found.pop("None"))
    assert max(mean for each in found.values() for mean, _ in each) < 1.2 * without < 6.0
    assert max(most for each in found.values() for _, most in each) < 12.0


def test_what_has_no_rate_is_as_before() -> None:
    """One potential, the same equations; with a rate one unknown more."""
    names = [u.name for u in begun(with_rate(None), lambda: junction(2)).physics.equations.unknowns]
    classes = [f"grain_boundary_concentration_{k}" for k in "abc"]
    assert names == ["displacement", "concentration", *classes, "chemical_potential"]
    more = [u.name for u in begun(with_rate(1e-7), lambda: junction(2)).physics.equations.unknowns]
    assert more == [*names[:-1], "grain_boundary_potential", names[-1]]


@pytest.mark.parametrize("kind", ["square", "cube"])
def test_files_hold_the_potential_of_the_boundaries(kind: str, tmp_path: Path) -> None:
    """Without stress it is what the fraction beside it says."""
    place, arrays = COMM.bcast(tmp_path), junction(6) if kind == "square" else cube(4)
    if COMM.rank == 0:
        write_msh(arrays, place / "grains.msh")
    COMM.Barrier()
    laws = {"a": {"diffusivity": 1e-11, "interaction": 0.5}, "b": {"diffusivity": 1e-12, "segregation_energy": -RT}}
    given = case(
        laws | {"default": {"exchange_rate": 2e-7}}, {"diffusivity": 1e-14, "reference_potential": 700.0},
        domain={"shape": "file", "path": str(place / "grains.msh")}, initial={"concentration": 0.01},
        boundaries={"top": {"chemical_potential": potential(0.05, 0.0, 700.0)}}, time={"end": 1e-2},
    )  # fmt: skip
    result = cm.run(given, place / "run")
    assert abs(result.summary["mass_relative_drift"]) < 1e-12
    if COMM.rank:
        return
    import pyvista

    grid: Any = pyvista.read(place / "run" / read_index(place / "run" / "grain_boundaries.pvd")[-1][1])
    held = grid.point_data["grain_boundary_concentration"]
    c, corners = np.asarray(held, dtype=float)[grid.cells.reshape(grid.n_cells, -1)[:, 1:]], arrays.dimension
    m = np.asarray(grid.point_data["grain_boundary_potential"])[grid.cells.reshape(-1, corners + 1)[:, 1:]]
    first = (np.asarray(grid.cell_data["class"]) == 1)[:, None]
    said = RT * np.log(c / (1.0 - c)) + 700.0 + np.where(first, 0.5 * RT * (1.0 - 2.0 * c), -RT)
    assert m == pytest.approx(said, rel=1e-6, abs=0.0)
    assert float(np.ptp(c[first[:, 0]])) > 0.01


def test_errors() -> None:
    law = {"diffusivity": "1e-12 m^2/s"}
    for classes in ({"a": law | {"exchange_rate": "1 nm/s"}, "b": law}, {"a": {"exchange_rate": 1e-9}, "default": law}):
        with pytest.raises(cm.CaseError, match="for every class") as caught:
            coupled(grain_boundaries=classes)
        assert caught.value.key.endswith(".exchange_rate")
    everywhere = {"a": law, "default": law | {"exchange_rate": 1e-9}}
    words = {
        "reservoir": {"amount": "1e-6 mol/m^2", "chemical_potential": 0.0},
        "galvanostatic": {"current_density": "1 A/m^2"},
        "concentration": 0.1,
    }
    for word, value in words.items():
        with pytest.raises(cm.CaseError, match="not computed") as caught:
            coupled(grain_boundaries=everywhere, boundaries=HELD | {"top": {word: value}})
        assert caught.value.key == f"boundaries.top.{word}"
    with pytest.raises(cm.CaseError, match="not computed"):
        coupled(grain_boundaries=everywhere | {"top": law}, boundaries=HELD | {"top": {"molar_flux": 1e-6}})
    with pytest.raises(ValidationError, match="must be above zero"):
        coupled(grain_boundaries={"a": law | {"exchange_rate": 0.0}})
