"""Lithium in a network of grain boundaries: junctions, classes, segregation, opening, balances, restarts, ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ufl
from dolfinx import fem, la
from mpi4py import MPI
from scipy.optimize import brentq

import chemomech as cm
from chemomech.output.checkpoint import load_latest
from chemomech.output.fields import read_index
from chemomech.physics.columns import CELLS, Columns, regular_fraction, thicknesses
from chemomech.physics.opening import shifts
from chemomech.simulation import Simulation
from tests.networks import (
    RT,
    begun,
    begun_here,
    case,
    cube,
    junction,
    potential,
    run,
    simulation,
    uncorrected,
    unknowns,
    write_msh,
)

COMM = MPI.COMM_WORLD
CUBIC = {"kind": "cubic", "c11": "124 GPa", "c12": "93.4 GPa", "c44": "46.1 GPa", "orientation": ["20 deg", 0.0, 0.0]}
SILVER = {
    "elasticity": CUBIC,
    "partial_molar_volume": "2e-7 m^3/mol",
    "diffusivity": "1e-14 m^2/s",
    "interaction": 0.3,
    "reference_potential": "700 J/mol",
}
CLASSES = {
    "default": {"width": "1 nm", "partial_molar_volume": "9e-6 m^3/mol", "segregation_energy": -2.0 * RT},
    "a": {"diffusivity": "1e-11 m^2/s", "interaction": 0.5},
    "b": {"diffusivity": "1e-12 m^2/s", "segregation_energy": -RT},
    "c": {"diffusivity": "1e-11 m^2/s", "width": "2 nm"},
}
HELD = {"left": {"roller": True}, "bottom": {"roller": True}}


def coupled(**more: Any) -> cm.Case:
    """Three classes that open, swelling cubic grains, a contact at the top."""
    contact = {"top": {"chemical_potential": potential(0.05, 0.3, 700.0)}}
    parts: dict[str, Any] = {"boundaries": HELD | contact, "initial": {"concentration": 0.01}, "time": {"end": 0.1}}
    return case(CLASSES, SILVER, **parts | more)


def closed() -> cm.Case:
    return coupled(boundaries=HELD, initial={"concentration": "0.02 + 0.1*exp(-(y-1e-6)**2/4e-14)"})


# ---- pieces --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("chi", [-3.0, 0.0, 1.2, 2.0])
def test_fraction_is_the_inverse_of_the_potential(chi: float) -> None:
    psi = np.linspace(-30.0, 30.0, 201)
    c, slope = regular_fraction(psi, chi)
    near = np.abs(psi) > 0.1  # at chi = 2 and c = 1/2 the slope is infinite
    assert np.log(c / (1.0 - c))[np.abs(psi) < 20] + chi * (1.0 - 2.0 * c)[np.abs(psi) < 20] == pytest.approx(
        psi[np.abs(psi) < 20], abs=1e-6
    )
    step = 1e-5
    middle = (regular_fraction(psi + step, chi)[0] - regular_fraction(psi - step, chi)[0]) / (2.0 * step)
    assert slope[near] == pytest.approx(middle[near], rel=1e-4, abs=2e-11)  # rounding of 1/step


@pytest.mark.parametrize("reach", [1e-8, 1e-3, 1.0, 1e3])
def test_columns_are_filled_to_their_depth(reach: float) -> None:
    depth = np.array([0.1, 1.0, 7.0])
    cells = thicknesses(depth, reach)
    assert cells.min() > 0.0
    assert cells.sum(axis=0) == pytest.approx(depth, rel=1e-12, abs=0.0)
    assert cells[0] == pytest.approx(np.minimum(depth, reach) / 15.0, rel=0.3, abs=0.0)


@pytest.mark.parametrize("depth", [1.0, 1e3])
def test_a_column_takes_up_what_a_half_space_does(depth: float) -> None:
    """2 c sqrt(D t/pi) per area, whatever the depth; a step of backward Euler is coarse, so there are many."""
    columns = Columns(np.array([depth]), 1.0, 0.0, 0.2)
    c = np.full((CELLS, 1), 1e-6)
    steps, end = 400, 0.04
    times = end * (np.arange(steps + 1) / steps) ** 2
    psi = np.array([np.log(0.1 / 0.9)])
    for g in np.diff(times):
        mean = columns.respond(psi, c, c.copy(), float(g)).mean
    assert float(mean[0] - 1e-6) * depth == pytest.approx(2.0 * 0.1 * np.sqrt(end / np.pi), rel=0.02, abs=0.0)


def test_slopes_of_columns() -> None:
    columns = Columns(np.array([1.0, 0.2]), 1.0, 1.1, 0.3)
    start = np.linspace(0.3, 0.05, CELLS)[:, None] * np.ones((1, 2))
    psi, step = np.array([0.2, -1.0]), 1e-6

    def at(shift: float) -> Any:
        return columns.respond(psi + shift, start.copy(), start, 0.03)

    high, low, here = at(step), at(-step), at(0.0)
    assert here.mean_slope == pytest.approx((high.mean - low.mean) / (2.0 * step), rel=1e-7, abs=0.0)
    assert here.end_slope == pytest.approx((high.end - low.end) / (2.0 * step), rel=1e-7, abs=0.0)


def test_settled_columns_have_the_mean_and_stay_inside() -> None:
    columns = Columns(np.array([1.0]), 1.0, 0.0, 0.3)
    c = np.linspace(0.3, 1e-5, CELLS)[:, None]
    mean = (columns.share * c).sum(axis=0) * (1.0 + 1e-9)
    columns.settle(c, mean)
    assert (columns.share * c).sum(axis=0) == pytest.approx(mean, rel=1e-15, abs=0.0)
    assert c.min() > 0.0


def test_shifts_of_a_plane_and_of_a_tip() -> None:
    """Across a flat boundary the sides move apart by one; at its free end nothing moves."""
    mesh = junction(6)
    tag = mesh.boundaries["a"]
    mine = mesh.facets[mesh.facet_tags == tag]
    found = shifts(mesh.points[:, :2], mesh.cells, mine, np.zeros(len(mine), np.int32), 1)
    node = mesh.cells[found.cells, found.corners]
    left = mesh.points[mesh.cells[found.cells]].mean(axis=1)[:, 0] < 0.5e-6
    assert found.shift[left, 0] == pytest.approx(np.tile([-0.5, 0.0], (int(left.sum()), 1)), abs=1e-12)
    assert found.shift[~left, 0] == pytest.approx(np.tile([0.5, 0.0], (int((~left).sum()), 1)), abs=1e-12)
    tip = np.argmin(np.linalg.norm(mesh.points[:, :2] - 0.5e-6, axis=1))
    assert tip not in node


def test_shifts_at_a_junction_fit_where_normals_do() -> None:
    """Three boundaries at 120 degrees with equal openings are compatible: every jump is the normal."""
    angle = np.radians([90.0, 210.0, 330.0])
    rim = np.radians(np.arange(0.0, 360.0, 30.0))
    points = np.concatenate([[[0.0, 0.0]], np.stack([np.cos(rim), np.sin(rim)], axis=1)])
    k = np.arange(12)
    cells = np.stack([np.zeros(12, int), 1 + k, 1 + (k + 1) % 12], axis=1)
    facets = np.array([[0, 1 + round(np.degrees(a) / 30) % 12] for a in angle])
    found = shifts(points, cells, facets, np.zeros(3, np.int32), 1)
    at = {int(c): s[0] for c, s, corner in zip(found.cells, found.shift, found.corners, strict=True) if corner == 0}
    for a in angle:
        n = round(np.degrees(a) / 30) % 12
        jump = at[n] - at[(n - 1) % 12]  # counter-clockwise less clockwise
        assert jump == pytest.approx([-np.sin(a), np.cos(a)], abs=1e-12)


# ---- the coupled problem --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "kind", ["plain", "melting line", "free surface", "exchange", "exchange, melting line, free surface"]
)
def test_jacobian(kind: str) -> None:
    """All of it, along changes that leave the columns in equilibrium with the grain, as a Newton step does."""
    given = coupled(time={"end": 0.1, "fixed_step": 1e-3})  # long enough for columns to fill
    if "melting line" in kind:
        given = given.replace({"materials.ag.melting_points": [[0.0, 1234.93], [1.0, 453.65]]})
        given = given.replace({"materials.ag.homologous_activation": 8.0})
    if "free surface" in kind:
        surface = {"diffusivity": "1e-11 m^2/s", "interaction": 0.2, "partial_molar_volume": 0.0}
        given = given.replace({"grain_boundaries.left": surface})
    if "exchange" in kind:
        given = given.replace({"grain_boundaries.default.exchange_rate": 2e-7})
    made = begun(given, lambda: junction(6))
    control = made.control()
    for _ in range(3):
        made.advance(control)
    system, rng = made.solver.system, np.random.default_rng(COMM.rank)
    system.push()
    system.residual(system.x, system.f)
    system.jacobian()
    at = [part.array_r.copy() for part in system.x.getNestSubVecs()]
    way = [1e-5 * rng.standard_normal(len(at[0])), *(1e-2 * x * rng.standard_normal(len(x)) for x in at[1:])]
    for direction, (rows, _) in zip(way, system._fixed, strict=True):
        direction[rows] = 0.0
    v, y = system.f.duplicate(), system.f.duplicate()
    for part, direction in zip(v.getNestSubVecs(), way, strict=True):
        part.array_w[:] = direction
    local = made.physics.local
    assert local is not None
    on = local._nodes[local._nodes < local._owned]
    way[1][on], way[-1][on] = 1e-2 * rng.standard_normal(len(on)) / local.stiffness.x.array[on], 0.0
    for k in (1, -1):
        way[k][system._fixed[k][0]] = 0.0
        v.getNestSubVecs()[k].array_w[:] = way[k]
    system.matrix.mult(v, y)
    free = np.setdiff1d(on, system._fixed[-1][0])
    way[-1][free] = y.getNestSubVecs()[1].array_r[free] / local.weight[free]
    v.getNestSubVecs()[-1].array_w[:] = way[-1]
    system.matrix.mult(v, y)
    step, sides = 1e-2, []
    for sign in (1.0, -1.0):
        for part, x, direction in zip(system.x.getNestSubVecs(), at, way, strict=True):
            part.array_w[:] = x + sign * step * direction
        system.residual(system.x, system.f)
        sides.append([part.array_r.copy() for part in system.f.getNestSubVecs()])
    for name, plus, minus, part in zip(made.state.past, *sides, y.getNestSubVecs(), strict=False):
        here = COMM.allreduce(float(np.max(np.abs(part.array_r), initial=0.0)), op=MPI.MAX)
        off = np.max(np.abs((plus - minus) / (2.0 * step) - part.array_r), initial=0.0)
        assert off < 1e-6 * here, name
    v.destroy()
    y.destroy()


@pytest.mark.parametrize("body", ["square", "cube"])
def test_no_lithium_is_lost(body: str) -> None:
    exact = {"solver.tolerance": 1e-12}
    if body == "square":
        made = begun(closed().replace(exact), lambda: junction(12))
    else:
        held = HELD | {"back": {"roller": True}}
        classes = {name: CLASSES[name] for name in ("default", "a", "b")}
        start = {"concentration": "0.02 + 0.1*exp(-(y-1e-6)**2/4e-14)"}
        elasticity = {"elasticity": CUBIC | {"orientation": ["20 deg", "30 deg", "50 deg"]}}
        given = case(classes, SILVER | elasticity, boundaries=held, initial=start, time={"end": 0.01})
        made = begun(given.replace(exact), lambda: cube(4))
    control, physics = uncorrected(made).control(), made.physics
    assert physics.network is not None
    before = physics.network.amounts()
    drift = []
    while made.time < control.end * (1.0 - 1e-12):
        made.advance(control)
        drift.append(made.row()["mass_relative_drift"])
    assert np.max(np.abs(drift)) < 1e-12
    assert min(np.abs(after / before[name] - 1.0) for name, after in physics.network.amounts().items()) > 1e-3


def test_balance_at_the_junction() -> None:
    """What the branches bring, the node stores or hands on: the balance there is closed far below its terms."""
    made = begun(coupled(solver={"tolerance": 1e-13}), lambda: junction(12))
    control = made.control()
    while made.time < 0.01:
        made.advance(control)
    p, system = made.physics, made.solver.system
    assert p.network is not None
    x = p.space_mu.tabulate_dof_coordinates() * made.length
    size = system.owned[-1]
    here = np.flatnonzero(np.linalg.norm(x[:size, :2] - 0.5e-6, axis=1) < 1e-10)
    made.advance(control)
    rest = float(np.abs(system.nodal_residual(p.mu_equation)[here]).sum())
    balance = p.network.balance(p.mu, ufl.TestFunction(p.space_mu), p.step)
    flux = 0.0
    for along in balance.integrals()[2::3]:  # of each class: c, c* and the flux
        branch = fem.assemble_vector(fem.form(ufl.Form([along]), entity_maps=p.entity_maps))
        branch.scatter_reverse(la.InsertMode.add)
        flux += COMM.allreduce(float(np.abs(branch.array[:size][here]).sum()))
    assert flux > 0.0
    assert COMM.allreduce(rest) < 1e-10 * flux


ISOTHERMS = {-1.0: 0.2784, 0.0: 0.4000, 1.0: 0.7458, 2.0: 0.9693}


@pytest.mark.parametrize("chi", ISOTHERMS)
def test_isotherm(chi: float) -> None:
    """The coupled solver, left alone for long, ends on the isotherm (dG + chi_gb (1 - 2 x_b) = -12.32 kJ/mol)."""
    energy = -12320.0 / RT - chi * (1.0 - 2.0 * 0.005)
    same = {"diffusivity": "1e-11 m^2/s", "interaction": chi, "segregation_energy": energy * RT}
    given = case(
        {name: same for name in "abc"}, {"diffusivity": "1e-12 m^2/s"},
        boundaries=HELD | {"top": {"chemical_potential": potential(0.005)}},
        initial={"concentration": 0.001}, time={"end": 1e6}, solver={"tolerance": 1e-12},
    )  # fmt: skip
    made = run(begun(given, lambda: junction(6)))
    network = made.physics.network
    assert network is not None

    def gap(x: float) -> float:
        return float(np.log(x / (1 - x)) + chi * (1 - 2 * x) + energy - np.log(0.005 / 0.995))

    exact = brentq(gap, 1e-9, 1.0 - 1e-9, xtol=1e-15)
    assert exact == pytest.approx(ISOTHERMS[chi], abs=1e-4)
    for c in network.c.values():
        assert c.x.array == pytest.approx(np.full(len(c.x.array), exact), abs=2e-8)


def test_stress_shifts_the_isotherm() -> None:
    """A plane opens between clamped ends: sigma_nn = -C11 delta n Omega (c - c_0)/L, mu shifts by -Omega sigma_nn."""
    omega, width, sites, size, c11 = 9e-6, 1e-9, 1e5, 1e-6, 124e9
    law = {
        "diffusivity": "1e-11 m^2/s", "partial_molar_volume": omega, "width": width, "segregation_energy": -3.0 * RT,
        "initial_concentration": 0.01,
    }  # fmt: skip
    sides = {side: {"roller": True} for side in ("left", "right", "bottom", "back", "front")}
    given = case(
        {"a": law}, {"diffusivity": "1e-12 m^2/s", "elasticity": CUBIC | {"orientation": [0.0, 0.0, 0.0]}},
        boundaries=sides | {"top": {"roller": True, "chemical_potential": potential(0.05)}},
        initial={"concentration": 0.001}, time={"end": 1e6},
    )  # fmt: skip
    made = run(begun(given, lambda: cube(4)))
    network = made.physics.network
    assert network is not None

    def gap(x: float) -> float:
        stress = -c11 * width * sites * omega * (x - 0.01) / size
        return float(RT * np.log(x / (1 - x)) - 3.0 * RT - omega * stress - potential(0.05))

    exact = brentq(gap, 1e-9, 1.0 - 1e-9, xtol=1e-15)
    free = brentq(lambda x: gap(x) - c11 * width * sites * omega**2 * (x - 0.01) / size, 1e-9, 1 - 1e-9)
    assert abs(exact / free - 1.0) > 1e-3
    c = network.c["a"].x.array
    assert c == pytest.approx(np.full(len(c), exact), rel=1e-9, abs=0.0)
    sigma = made.function("stress").x.array.reshape(-1, 3, 3)
    wanted = -c11 * width * sites * omega * (exact - 0.01) / size
    assert sigma[:, 0, 0] == pytest.approx(np.full(len(sigma), wanted), rel=1e-7, abs=0.0)


def test_a_free_boundary_opens_without_stress() -> None:
    law = {"diffusivity": "1e-11 m^2/s", "partial_molar_volume": "9e-6 m^3/mol", "initial_concentration": 0.01}
    given = case(
        {"a": law}, {"diffusivity": "1e-12 m^2/s"}, boundaries=HELD | {"top": {"chemical_potential": potential(0.5)}},
        initial={"concentration": 0.01}, time={"end": 1e6},
    )  # fmt: skip
    made = run(begun(given, lambda: cube(4)))
    u = made.function("displacement").x.array.reshape(-1, 3)
    x = made.physics.space_u.tabulate_dof_coordinates()[:, 0] * made.length
    gap = 5e-10 * 1e5 * 9e-6 * (0.5 - 0.01)
    assert u[x > 0.999e-6, 0] == pytest.approx(np.full(int(np.sum(x > 0.999e-6)), gap), rel=1e-8, abs=0.0)
    assert np.max(np.abs(made.function("stress").x.array), initial=0.0) < 1e-6 * 80e9 * gap / 0.25e-6


# ---- where it stands in the program ---------------------------------------------------------------------
def test_a_body_without_network_pays_nothing() -> None:
    given = cm.Case.load("llzo-edge-dislocation", {"mesh.size": "10 nm", "mesh.core_size": "1 nm"})
    made = Simulation(given, COMM)
    begun_here.append(made)
    made.begin()
    system = made.solver.system
    equations = system.equations
    assert (equations.followers, equations.follow, equations.eliminate, equations.composite) == ((), None, None, None)
    before = dict(system.assemblies)
    system.residual(system.x, system.f)
    system.jacobian()
    changing = sum(form is not None for form in system._changing)
    assert system.assemblies["residual"] - before["residual"] == 1
    assert system.assemblies["vector"] - before["vector"] == changing + len(system._nodal)
    assert system.assemblies["block"] - before["block"] == len(system._moving) == 2
    assert changing == 2


@pytest.mark.parametrize("kind", ["plain", "melting line", "exchange"])
def test_restart_gives_the_same(kind: str, tmp_path: Path) -> None:
    given = coupled()
    if kind == "exchange":
        given = given.replace({"grain_boundaries.default.exchange_rate": 2e-7})
    elif kind == "melting line":  # its columns have other cells
        given = given.replace({"materials.ag.melting_points": [[0.0, 1234.93], [1.0, 453.65]]})
        given = given.replace({"grain_boundaries.left": {"diffusivity": "1e-11 m^2/s"}})
    whole = begun(given, lambda: junction(8))
    control = whole.control()
    for _ in range(12):
        whole.advance(control)
        if whole.step == 6:
            folder = whole.save(COMM.bcast(tmp_path if COMM.rank == 0 else None), control.wish).parent
    again = begun(given, lambda: junction(8))
    saved = load_latest(folder, COMM)
    assert saved is not None
    for past in again.state.past.values():
        past.clear()
    again.restore(saved)
    again.state.reset()
    follow = again.control()
    follow.wish = again.wish
    while again.step < 12:
        again.advance(follow)
    assert again.time == whole.time
    after = unknowns(again)
    for name, values in unknowns(whole).items():
        assert after[name] == pytest.approx(values, rel=1e-6, abs=1e-9), name


@pytest.mark.parametrize("body", ["square", "cube"])
def test_files_and_summary_of_a_run(body: str, tmp_path: Path) -> None:
    """From a .msh file whose named facets are the boundaries to the numbers of the run and the facets in ParaView."""
    place = COMM.bcast(tmp_path)
    arrays = junction(8) if body == "square" else cube(4)
    if COMM.rank == 0:
        write_msh(arrays, place / "grains.msh")
    COMM.Barrier()
    classes = {k: law for k, law in CLASSES.items() if k == "default" or k in arrays.boundaries}
    contact = {"top": {"chemical_potential": potential(0.05, 0.3, 700.0)}}
    given = case(
        classes, SILVER, domain={"shape": "file", "path": str(place / "grains.msh")}, initial={"concentration": 0.01},
        boundaries=HELD | contact | ({"back": {"roller": True}} if body == "cube" else {}), time={"end": 1e-3},
    )  # fmt: skip
    result = cm.run(given, place / "run")
    summary = result.summary
    means = summary["boundary_mean_concentration"]
    assert set(means) == set(classes) - {"default"}
    assert abs(summary["mass_relative_drift"]) < 1e-12
    assert summary["mean_concentration_change"] > 0.0
    last = {key: values[-1] for key, values in result.history.items()}
    assert {k: last[f"boundary_mean_concentration_{k}"] for k in means} == means
    if COMM.rank:
        return
    import pyvista

    index = read_index(place / "run" / "grain_boundaries.pvd")
    assert index[-1][0] == pytest.approx(1e-3, rel=1e-6, abs=0.0)
    grid: Any = pyvista.read(place / "run" / index[-1][1])
    tags = [arrays.boundaries[name] for name in means]
    assert grid.n_cells == np.isin(arrays.facet_tags, tags).sum()
    sized = grid.compute_cell_sizes()
    size = sized.cell_data["Length" if body == "square" else "Area"]
    value = grid.point_data_to_cell_data().cell_data["grain_boundary_concentration"]
    for k, mean in enumerate(means.values(), 1):
        on = grid.cell_data["class"] == k
        assert np.average(value[on], weights=size[on]) == pytest.approx(mean, rel=1e-9, abs=0.0)
    assert (place / "run" / "figures" / "grain_boundaries.png").stat().st_size > 5000


def wrong(key: str, **parts: Any) -> str:
    data = coupled().model_dump() | parts
    with pytest.raises(cm.CaseError) as caught:
        simulation(cm.Case(**data), junction(4) if COMM.rank == 0 else None)
    assert caught.value.key == key
    return str(caught.value)


def test_errors() -> None:
    law = {"diffusivity": "1e-12 m^2/s"}
    assert "did you mean 'a'" in wrong("grain_boundaries.A", grain_boundaries={"A": law})
    assert "a part on its outside" in wrong("grain_boundaries.[ab]*", grain_boundaries={"[ab]*": law})
    opens = {"top": law | {"partial_molar_volume": "9e-6 m^3/mol"}}
    assert "does not open" in wrong("grain_boundaries.top.partial_molar_volume", grain_boundaries=opens)
    assert "missing" in wrong("grain_boundaries.a.diffusivity", grain_boundaries={"a": {"width": "1 nm"}})
    assert "two states" in wrong("grain_boundaries.a.interaction", grain_boundaries={"a": law | {"interaction": 2.5}})
    assert "in time" in wrong("mode", boundaries=HELD, mode="equilibrium")
    wrong("grain_boundaries.a.width", grain_boundaries={"a": law | {"width": "-1 nm"}})
    wrong("grain_boundaries.ag", grain_boundaries={"ag": law})


def test_names_patterns_and_the_default() -> None:
    law = {"diffusivity": "1e-12 m^2/s"}
    made = begun(coupled(grain_boundaries={"[ab]": law, "default": law}), lambda: junction(4))
    assert made.physics.network is not None
    assert made.physics.network.members == {"[ab]": ["a", "b"], "default": ["c"]}
    again = begun(coupled(grain_boundaries={"a": law, "default": {"width": "2 nm"}}), lambda: junction(4))
    assert again.physics.network is not None
    assert again.physics.network.members == {"a": ["a"]}
    assert again.physics.network.laws["a"].width == 2e-9
    text = coupled().to_toml()
    assert cm.Case.loads(text) == coupled()
