"""Finite reservoirs and given currents: exact solutions, exhaustion, voltages, balances, restarts, ranks, words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI
from scipy.special import erfcx

import chemomech as cm
from chemomech.materials.laws import FARADAY
from chemomech.meshing.arrays import MeshArrays
from chemomech.output.checkpoint import load_latest
from chemomech.simulation import Simulation
from tests.networks import (
    RT,
    begun,
    begun_here,
    case,
    cube,
    graded,
    half_plane,
    junction,
    potential,
    run,
    unknowns,
    write_msh,
)
from tests.test_grain_boundary import CLASSES, HELD, SILVER

COMM = MPI.COMM_WORLD
D, SITES, START, WIDTH = 1e-16, 1e5, 1e-3, 1e-7  # m^2/s, mol/m^3, c at t = 0, m
one_rank = pytest.mark.skipif(COMM.size > 1, reason="one rank measures it well enough")


def strip() -> MeshArrays:
    """A strip along y, one cell wide, that is a half-space for what comes in at its bottom."""
    whole = half_plane(np.array([0.0, WIDTH]), graded(2e-9, 1.03, 1e-7, 4e-6))
    kept = whole.facet_tags == 1
    return replace(
        whole, facets=whole.facets[kept], facet_tags=whole.facet_tags[kept], boundaries={"bottom": 1}
    )  # fmt: skip


def half_space(source: dict[str, Any], end: float, scheme: str = "bdf2", start: float = START, **more: Any) -> cm.Case:
    tolerance = 2e-5 if scheme == "bdf2" else 1e-4
    parts: dict[str, Any] = {
        "boundaries": {"bottom": {"displacement": {"x": 0.0, "y": 0.0}} | source},
        "initial": {"concentration": start},
        "time": {"end": end, "scheme": scheme, "tolerance": tolerance},
    }
    return case({}, {"diffusivity": D}, **parts | more)


def marched(made: Simulation, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Times and values of a column of the history, to the end of the run."""
    control, rows = made.control(), []
    while made.time < control.end * (1.0 - 1e-12) and not made.ended:
        made.advance(control)
        rows.append((made.time, made.row()[name]))
        assert abs(made.row()["mass_relative_drift"]) < 1e-12
    return np.array(rows).T[0], np.array(rows).T[1]


def silver(boundaries: dict[str, Any], classes: dict[str, Any] | None = None, **more: Any) -> cm.Case:
    """Swelling cubic grains, three classes of boundaries that open; mechanical conditions are added."""
    names = {**HELD, **boundaries}
    held = {name: HELD.get(name, {}) | boundaries.get(name, {}) for name in names}
    parts: dict[str, Any] = {"boundaries": held, "initial": {"concentration": 0.01}, "time": {"end": 0.02}}
    return case(CLASSES if classes is None else classes, SILVER, **parts | more)


METAL = {"chemical_potential": potential(0.05, 0.3, 700.0)}


# ---- exact solutions --------------------------------------------------------------------------------------
@one_rank
@pytest.mark.parametrize(("scheme", "bar"), [("bdf2", 1e-3), ("backward-euler", 1e-2)])
def test_stirred_source_on_a_half_space(scheme: str, bar: float) -> None:
    """c(0, t) = c1 + (c0 - c1) exp(h^2 D t) erfc(h sqrt(D t)) with h = c_m/C, until a third is left."""
    capacity, first = SITES * 0.3e-6, 0.4
    source = {"reservoir": {"amount": first * capacity, "capacity": capacity}}
    made = begun(half_space(source, 3600.0, scheme), strip)
    t, left = marched(made, "reservoir_mol_per_m")
    fraction = left / (capacity * WIDTH)
    exact = START + (first - START) * erfcx(SITES / capacity * np.sqrt(D * t))
    late = t > 10.0
    off = np.max(np.abs(fraction / exact - 1.0)[late])
    assert fraction[-1] < 0.4 * first
    assert off < bar
    x = made.physics.space_mu.tabulate_dof_coordinates()[:, 1]
    surface = made.physics.c["ag"].x.array[np.abs(x) < 1e-6]
    assert surface == pytest.approx(np.full(len(surface), fraction[-1]), rel=1e-5, abs=0.0)
    total = made.row()["lithium_mol_per_m"] + left[-1]
    begin = made.physics.initial_amounts()["ag"] * made.physics.scales.amount(2) + first * capacity * WIDTH
    assert total == pytest.approx(begin, rel=1e-12, abs=0.0)


@one_rank
@pytest.mark.parametrize(("scheme", "bar"), [("bdf2", 1e-3), ("backward-euler", 1e-2)])
def test_current_into_a_half_space(scheme: str, bar: float) -> None:
    """c(0, t) = c1 + 2 J sqrt(t/(pi D))/c_m, read off the voltage."""
    flux, exchange = 4e-6, 0.05
    source = {"current_density": flux * FARADAY, "exchange_current_density": exchange}
    made = begun(half_space({"galvanostatic": source}, 1000.0, scheme), strip)
    t, volts = marched(made, "potential_V")
    eta = 2.0 * RT / FARADAY * np.arcsinh(flux * FARADAY / (2.0 * exchange))
    surface = 1.0 / (1.0 + np.exp((volts + eta) * FARADAY / RT))
    exact = START + 2.0 * flux * np.sqrt(t / (np.pi * D)) / SITES
    off = np.max(np.abs(surface / exact - 1.0)[t > 100.0])
    assert 0.1 < surface[-1] < 0.2
    assert off < bar
    assert np.all(np.diff(volts) < 0.0)  # lithium that enters lowers the potential against lithium
    row = made.row()
    assert row["overpotential_V"] == pytest.approx(eta, rel=1e-12, abs=0.0)
    assert row["lithium_supplied_mol_per_m"] == pytest.approx(flux * WIDTH * 1000.0, rel=1e-12, abs=0.0)


@one_rank
def test_voltage_at_rest_is_that_of_nernst() -> None:
    """E = -[mu0 + RT ln(c/(1 - c)) + RT chi (1 - 2 c)]/F in a body free of stress, whatever i0 is."""
    for c in (1e-6, 0.02, 0.6):
        source = {"galvanostatic": {"current_density": 0.0, "exchange_current_density": 1.0}}
        given = half_space(source, 10.0, start=c)
        given = given.replace({"materials.ag.interaction": 1.2, "materials.ag.reference_potential": "-9 kJ/mol"})
        made = begun(given, strip)
        _, volts = marched(made, "potential_V")
        exact = -potential(c, 1.2, -9000.0) / FARADAY
        assert made.row()["overpotential_V"] == 0.0
        assert volts == pytest.approx(np.full(len(volts), exact), rel=1e-9, abs=0.0)


@one_rank
def test_outward_current_raises_the_voltage() -> None:
    made = begun(half_space({"galvanostatic": {"molar_flux": -4e-6}}, 100.0, start=0.3), strip)
    _, volts = marched(made, "potential_V")
    assert np.all(np.diff(volts) > 0.0)
    assert volts[0] > -potential(0.3) / FARADAY


@one_rank
@pytest.mark.parametrize("scheme", ["bdf2", "backward-euler"])
def test_stirred_source_comes_to_equilibrium(scheme: str) -> None:
    """Body and source end at one fraction: that of all lithium over all sites."""
    capacity = 0.1
    source = {"reservoir": {"amount": 0.06, "capacity": capacity}}
    made = begun(half_space(source, 1e7, scheme, 0.01), strip)
    _, left = marched(made, "reservoir_mol_per_m")
    sites = SITES * WIDTH * made.arrays.points[:, 1].max() if made.arrays is not None else 0.0
    sites = COMM.bcast(sites)
    exact = (0.06 * WIDTH + 0.01 * sites) / (capacity * WIDTH + sites)
    assert left[-1] / (capacity * WIDTH) == pytest.approx(exact, rel=1e-6, abs=0.0)
    assert made.row()["concentration_mean"] == pytest.approx(exact, rel=1e-6, abs=0.0)


# ---- exhaustion -------------------------------------------------------------------------------------------
@one_rank
@pytest.mark.parametrize("scheme", ["bdf2", "backward-euler"])
def test_lithium_metal_is_used_up_exactly(scheme: str) -> None:
    """mu stays until 2 (c0 - c1) c_m sqrt(D t/pi) is the amount; then nothing enters, and nothing is lost."""
    amount, contact = SITES * 0.1e-6, 0.3
    source = {"reservoir": {"amount": amount, "chemical_potential": potential(contact)}}
    made = begun(half_space(source, 2000.0, scheme), strip)
    t, left = marched(made, "reservoir_mol_per_m")
    when = np.pi / D * (amount / (2.0 * SITES * (contact - START))) ** 2
    gone = int(np.argmax(left == 0.0))
    assert t[gone] == pytest.approx(when, rel=4e-3 if scheme == "bdf2" else 2e-2, abs=0.0)
    assert np.all(left[:gone] > 0.0) and np.all(left[gone:] == 0.0)
    supplied = made.row()["lithium_supplied_mol_per_m"]
    assert supplied == pytest.approx(amount * WIDTH, rel=1e-12, abs=0.0)
    begin = made.physics.initial_amounts()["ag"] * made.physics.scales.amount(2)
    assert made.row()["lithium_mol_per_m"] - begin == pytest.approx(amount * WIDTH, rel=1e-12, abs=0.0)
    assert made.row()["concentration_max"] < 0.8 * contact  # the surface has no source any more


@one_rank
def test_what_is_shared_out_at_the_end_is_rounding() -> None:
    """The step ends where the equations themselves have taken up the amount, before anything is corrected."""
    amount = SITES * 0.02e-6
    source = {"reservoir": {"amount": amount, "chemical_potential": potential(0.3)}}
    made = begun(half_space(source, 2000.0), strip)
    contacts, found = made.contacts, []
    arrive = contacts.arrive

    def watched(k: int, g: float) -> None:
        found.append(contacts.gap(k, g))
        arrive(k, g)

    contacts.arrive = watched  # type: ignore[method-assign]
    control = made.control()
    while contacts.rows[0].open:
        made.advance(control)
    assert found and max(map(abs, found)) < 1e-9


@pytest.mark.parametrize("linear", ["direct", "block"])
def test_used_up_in_a_network(linear: str) -> None:
    """After its end the contact is an ordinary surface: what is there goes on along boundaries and into grains."""
    amount = 2e-5
    made = begun(
        silver({"top": {"reservoir": METAL | {"amount": amount}}}, solver={"linear": linear}, time={"end": 0.1}),
        lambda: junction(8),
    )  # fmt: skip
    t, left = marched(made, "reservoir_mol_per_m")
    assert left[-1] == 0.0 and t[np.argmax(left == 0.0)] < 0.05
    assert made.row()["lithium_supplied_mol_per_m"] == pytest.approx(amount * 1e-6, rel=1e-12, abs=0.0)
    mu = made.function("chemical_potential").x.array
    high = COMM.allreduce(float(np.max(mu, initial=-np.inf)), op=MPI.MAX)
    assert high < METAL["chemical_potential"]


def test_less_than_the_contact_takes_at_once() -> None:
    """Where the nodes of the contact alone hold more than there is, it enters in one short step, at a lower mu."""
    time = {"end": 0.02, "tolerance": 0.02, "initial_step": 1e-3}
    made = begun(silver({"top": {"reservoir": METAL | {"amount": 1e-6}}}, time=time), lambda: junction(4))
    made.advance(made.control())
    row, contact = made.row(), made.contacts.rows[0]
    assert made.time < 1e-6 and not contact.open
    assert contact.value * made.physics.scales.potential < METAL["chemical_potential"]
    assert row["reservoir_mol_per_m"] == 0.0
    assert row["lithium_supplied_mol_per_m"] == pytest.approx(1e-6 * 1e-6, rel=1e-12, abs=0.0)
    marched(made, "reservoir_mol_per_m")
    assert made.row()["lithium_supplied_mol_per_m"] == pytest.approx(1e-6 * 1e-6, rel=1e-12, abs=0.0)


# ---- several contacts, networks ---------------------------------------------------------------------------
@one_rank
@pytest.mark.parametrize("size", [2e-6, 1e-6])
def test_current_goes_along_the_boundary(size: float) -> None:
    """With grains that take up nothing all of it does, whatever the mesh: c_gb(0) = 2 (I/delta n) sqrt(t/(pi D_gb))."""
    fast, end, width = 1.7e-14, 2400.0, 5e-10
    current = 0.2 * width * SITES * np.sqrt(np.pi * fast / end) / 2.0
    made = begun(
        case(
            {"HAGB": {"diffusivity": fast, "width": width, "segregation_energy": -2.0 * RT}}, {"diffusivity": 1e-34},
            boundaries={"bottom": {"roller": True, "galvanostatic": {"molar_flux": current / (10.0 * size)}}},
            initial={"concentration": 1e-6}, time={"end": end},
        ),
        lambda: half_plane(np.linspace(-5.0, 5.0, 11) * size, np.linspace(0.0, 40e-6, round(40e-6 / size) + 1)),
    )  # fmt: skip
    before = made.physics.amounts()
    run(made)
    gained = {name: value - before[name] for name, value in made.physics.amounts().items()}
    assert gained["HAGB"] / sum(gained.values()) > 1.0 - 1e-5
    network = made.physics.network
    assert network is not None
    highest = COMM.allreduce(float(np.max(network.c["HAGB"].x.array, initial=0.0)), op=MPI.MAX)
    assert highest == pytest.approx(0.2, rel=0.01, abs=0.0)
    assert made.row()["lithium_supplied_mol_per_m"] == pytest.approx(current * end, rel=1e-12, abs=0.0)


@pytest.mark.parametrize("scheme", ["bdf2", "backward-euler"])
@pytest.mark.parametrize("linear", ["direct", "block"])
def test_current_from_a_source_through_the_body(scheme: str, linear: str) -> None:
    """A current at the top and a stirred source at the bottom, found together; all lithium is accounted for."""
    flux = 1e-3
    boundaries = {
        "top": {"galvanostatic": {"molar_flux": flux}},
        "bottom": {"reservoir": {"amount": 2e-3, "capacity": 4e-2}},
    }
    time = {"end": 5e-3, "scheme": scheme}
    made = begun(silver(boundaries, solver={"linear": linear}, time=time), lambda: junction(6))
    begin = sum(made.physics.amounts().values()) * made.physics.scales.amount(2)
    marched(made, "potential_V")
    row = made.row()
    total = row["lithium_mol_per_m"] + row["reservoir_mol_per_m"]
    assert total == pytest.approx(begin + (2e-3 + flux * 5e-3) * 1e-6, rel=1e-12, abs=0.0)
    assert row["reservoir_mol_per_m"] != pytest.approx(2e-3 * 1e-6, rel=1e-3, abs=0.0)


@one_rank
def test_two_currents() -> None:
    """Names tell them apart; what enters at one and leaves at the other is exact."""
    boundaries = {"top": {"galvanostatic": {"molar_flux": 1e-3}}, "bottom": {"galvanostatic": {"molar_flux": -2.5e-4}}}
    made = begun(silver(boundaries, {}), lambda: junction(6))
    _, volts = marched(made, "potential_V_top")
    row = made.row()
    assert row["potential_V_bottom"] > volts[-1]
    assert row["lithium_supplied_mol_per_m"] == pytest.approx(7.5e-4 * 0.02 * 1e-6, rel=1e-12, abs=0.0)


def test_the_potential_is_uniform_and_the_current_is_not() -> None:
    made = begun(silver({"top": {"galvanostatic": {"molar_flux": 1e-3}}}), lambda: junction(8))
    marched(made, "potential_V")
    x = made.physics.space_mu.tabulate_dof_coordinates() * made.length
    at_top = made.function("chemical_potential").x.array[x[:, 1] > 1e-6 - 1e-12]
    assert np.ptp(at_top) <= 1e-12 * RT if len(at_top) else True
    volts = -made.physics.scales.potential * made.contacts.rows[0].value / FARADAY
    assert made.row()["potential_V"] == pytest.approx(volts, rel=1e-12, abs=0.0)
    system, p = made.solver.system, made.physics
    rows = made.contacts.rows[0].rows
    entered = system.nodal_residual(p.mu_equation)[rows] / p.constraints.contacts.places[0].nodal[rows]
    densities = np.concatenate(COMM.allgather(entered))
    middle = np.concatenate(COMM.allgather(np.abs(x[rows, 0] - 0.5e-6) < 1e-9))
    assert densities[middle].min() > 4.0 * densities[~middle].mean()


# ---- cut-off, restarts, ranks -----------------------------------------------------------------------------
def test_cut_off(tmp_path: Path) -> None:
    """The run ends at its voltage, to the second, and says so; continued, it is over."""
    place = COMM.bcast(tmp_path)
    if COMM.rank == 0:
        write_msh(strip(), place / "strip.msh")
    COMM.Barrier()
    flux, exchange, surface = 4e-6, 0.05, 0.1
    volts = -(potential(surface) + 2.0 * RT * np.arcsinh(flux * FARADAY / (2.0 * exchange))) / FARADAY
    source = {"molar_flux": flux, "exchange_current_density": exchange, "cut_off_voltage": volts}
    given = half_space(
        {"galvanostatic": source}, 1e5, domain={"shape": "file", "path": str(place / "strip.msh")},
        output={"figures": False},
    )  # fmt: skip
    result = cm.run(given, place / "run")
    exact = np.pi * D * ((surface - START) * SITES / (2.0 * flux)) ** 2
    assert result.summary["end_time_s"] == pytest.approx(exact, rel=2e-3, abs=0.0)
    assert result.summary["potential_V"] == pytest.approx(volts, abs=1e-12)
    assert result.summary["converged"] is True
    assert "boundaries.bottom reached its cut_off_voltage at t = " in result.summary["ended"]
    supplied = result.summary["lithium_supplied_mol_per_m"]
    assert supplied == pytest.approx(flux * WIDTH * result.summary["end_time_s"], rel=1e-12, abs=0.0)
    again = cm.run(given, place / "run", resume=True)
    assert again.summary["steps"] == result.summary["steps"]
    assert again.summary["ended"] == result.summary["ended"]
    assert again.history["potential_V"] == result.history["potential_V"]
    if COMM.rank == 0:
        assert result.summary["ended"] in (place / "run" / "run.log").read_text()
        assert json.loads((place / "run" / "summary.json").read_text())["ended"] == result.summary["ended"]


@one_rank
def test_a_full_body_without_cut_off_is_an_error() -> None:
    made = begun(half_space({"galvanostatic": {"molar_flux": 1e-4}}, 1e5, start=0.5), strip)
    with pytest.raises(cm.ConvergenceError, match="contact bottom") as caught:
        marched(made, "potential_V")
    assert "cut_off_voltage" in str(caught.value)
    assert made.time > 0.0 and made.row()["concentration_max"] < 1.0


@one_rank
def test_beyond_the_cut_off_at_once() -> None:
    source = {"galvanostatic": {"molar_flux": 1e-6, "cut_off_voltage": "0.5 V"}}
    made = begun(half_space(source, 1.0, start=0.5), strip)
    assert "at t = 0 s" in made.ended


SOURCES = {
    "current": {"top": {"galvanostatic": {"molar_flux": 1e-3}}},
    "metal": {"top": {"reservoir": METAL | {"amount": 1e-5}}},
    "stirred": {"top": {"reservoir": {"amount": 2e-3, "capacity": 4e-2}}},
    "both": {
        "top": {"galvanostatic": {"molar_flux": 1e-3}}, "bottom": {"reservoir": METAL | {"amount": 2e-5}},
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", SOURCES)
def test_restart_gives_the_same(kind: str, tmp_path: Path) -> None:
    given = silver(SOURCES[kind], time={"end": 0.1 if kind == "metal" else 0.02})
    whole = begun(given, lambda: junction(6))
    control, stop = whole.control(), 24 if kind == "metal" else 6
    while whole.time < control.end * (1.0 - 1e-12):
        whole.advance(control)
        if whole.step == stop:
            folder = whole.save(COMM.bcast(tmp_path), control.wish).parent
    again = begun(given, lambda: junction(6))
    saved = load_latest(folder, COMM)
    assert saved is not None and saved.step == stop
    for past in again.state.past.values():
        past.clear()
    again.restore(saved)
    again.state.reset()
    follow = again.control()
    follow.wish = again.wish
    while again.step < whole.step:
        again.advance(follow)
    assert again.time == whole.time
    assert again.contacts.meta()["open"] == whole.contacts.meta()["open"]
    assert again.contacts.past[0] == pytest.approx(whole.contacts.past[0], rel=1e-10, abs=0.0)
    assert again.contacts.supplied[0] == pytest.approx(whole.contacts.supplied[0], rel=1e-10, abs=0.0)
    after = unknowns(again)
    for name, values in unknowns(whole).items():
        assert after[name] == pytest.approx(values, rel=1e-6, abs=1e-9), name


@pytest.mark.skipif(COMM.size == 1, reason="compares several ranks with one")
@pytest.mark.parametrize(("kind", "linear"), [*((kind, "direct") for kind in SOURCES), ("both", "block")])
def test_ranks_do_not_matter(kind: str, linear: str) -> None:
    """Each rank alone, and all together; the contact lies on one of them or across (see test_ranks.py)."""
    coarse = {"end": 0.02, "tolerance": 0.02, "initial_step": 1e-3}
    sources = SOURCES[kind] if kind != "metal" else {"top": {"reservoir": METAL | {"amount": 1e-6}}}
    given = silver(sources, solver={"linear": linear}, time=coarse)
    together = run(begun(given, lambda: junction(4)))
    alone = Simulation(given, MPI.COMM_SELF, junction(4), given=True)
    begun_here.append(alone)
    alone.begin()
    run(alone)
    # where the tolerance of an iteration decides, it decides the same to that tolerance only
    close = 1e-9 if linear == "direct" else 1e-6
    assert together.step == alone.step and together.time == alone.time
    assert [row.open for row in together.contacts.rows] == [row.open for row in alone.contacts.rows]
    assert together.contacts.level == pytest.approx(alone.contacts.level, rel=close, abs=0.0)
    assert together.contacts.supplied[0] == pytest.approx(alone.contacts.supplied[0], rel=close, abs=0.0)


def test_a_contact_on_a_cube() -> None:
    """The same words in 3D, where amounts are mol and areas m^2."""
    held = {"left": {"roller": True}, "bottom": {"roller": True}, "back": {"roller": True}}
    classes = {name: CLASSES[name] for name in ("default", "a", "b")}
    given = case(
        classes, SILVER, boundaries=held | {"top": {"galvanostatic": {"current_density": "2 A/m^2"}}},
        initial={"concentration": 0.01}, time={"end": 0.01},
    )  # fmt: skip
    made = run(begun(given, lambda: cube(4)))
    expected = 2.0 / FARADAY * 1e-12 * 0.01
    assert made.row()["lithium_supplied_mol"] == pytest.approx(expected, rel=1e-12, abs=0.0)


# ---- words ------------------------------------------------------------------------------------------------
FLUX = {"molar_flux": 1e-6}


@pytest.mark.parametrize(
    ("source", "key", "words"),
    [
        ({"reservoir": {"amount": 1e-4}}, "reservoir.chemical_potential", "one of chemical_potential"),
        ({"reservoir": {"amount": 1e-4, "capacity": 1.0, "chemical_potential": 0.0}}, "reservoir.capacity", "either"),
        ({"reservoir": {"amount": 1e-4, "capacity": 1e-4}}, "reservoir.amount", "less than capacity"),
        ({"reservoir": {"amount": 0.0, "chemical_potential": 0.0}}, "reservoir.amount", "above zero"),
        ({"reservoir": {"amount": "1 m", "chemical_potential": 0.0}}, "reservoir.amount", "amount per area"),
        ({"reservoir": {"capacity": 1e-4}}, "reservoir.amount", "is missing"),
        ({"reservoir": {"amount": 1e-4, "capacity": 1.0, "material": "au"}}, "reservoir.material", "no material"),
        ({"reservoir": {"amount": 1.0, "chemical_potential": 0.0, "material": "ag"}}, "reservoir.material", "capacity"),
        ({"galvanostatic": {}}, "galvanostatic.current_density", "one of current_density and molar_flux"),
        ({"galvanostatic": FLUX | {"current_density": 1.0}}, "galvanostatic.molar_flux", "one way"),
        ({"galvanostatic": {"current_density": "1 mA"}}, "galvanostatic.current_density", "not a unit of current"),
        ({"galvanostatic": FLUX | {"exchange_current_density": 0.0}}, "galvanostatic.exchange_current_density", "zero"),
        (
            {"galvanostatic": {"current_density": 0.0, "cut_off_voltage": "1 V"}},
            "galvanostatic.cut_off_voltage", "without a current",
        ),
        ({"galvanostatic": FLUX, "molar_flux": 1.0}, "galvanostatic", "can't hold on the same boundary"),
    ],
)  # fmt: skip
def test_wrong_words(source: dict[str, Any], key: str, words: str) -> None:
    given = half_space({}, 1.0)
    with pytest.raises(cm.CaseError, match=words) as caught:
        given.replace({"boundaries.bottom": source})
    assert caught.value.key == f"boundaries.bottom.{key}"


def test_sources_that_do_not_fit_the_case() -> None:
    given = half_space({"reservoir": {"amount": 1e-4, "capacity": 1e-3}}, 1.0)
    with pytest.raises(cm.CaseError, match="two states at one potential"):
        given.replace({"materials.ag.interaction": 2.5})
    with pytest.raises(cm.CaseError, match="there are several") as caught:
        given.replace({"materials.au": given.materials["ag"].model_dump()})
    assert caught.value.key == "boundaries.bottom.reservoir.material"
    with pytest.raises(cm.CaseError, match="in equilibrium a body has one reservoir") as caught:
        given.replace({"mode": "equilibrium"})
    assert caught.value.key == "boundaries.bottom.reservoir"
    assert cm.Case.loads(given.to_toml()) == given


@one_rank
def test_a_body_without_sources_pays_nothing() -> None:
    """No rows of the balance are summed up or replaced for contacts that are not there."""
    made = begun(half_space({"chemical_potential": potential(0.3)}, 1.0), strip)
    assert len(made.contacts) == 0 and made.solver.system.equations.contacts == ()
    control = made.control()
    made.advance(control)
    assert made.contacts.solves == 1 + made.rejected
    assert "potential_V" not in made.row()
