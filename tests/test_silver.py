"""What a run with grain boundaries tells: fronts, regimes, values on boundaries, limits passed, pictures; paper 000."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI
from scipy.special import erfc

import chemomech as cm
from chemomech.analysis.evaluation import harrison
from chemomech.analysis.front_history import FrontHistory
from chemomech.analysis.limits import Passed
from chemomech.output.network_figures import draw_fronts
from chemomech.output.redraw import redraw
from chemomech.result import Result
from chemomech.simulation import Simulation
from tests.networks import RT, begun, case, cube, graded, half_plane, junction, potential, run, write_msh

COMM = MPI.COMM_WORLD
BOUNDARY = {"diffusivity": "1e-14 m^2/s", "segregation_energy": -6.0 * RT, "width": "0.5 nm"}


def finished(made: Simulation) -> Result:
    return Result(made, {}, made.summary(True), None)


def height(made: Simulation) -> float:
    return float(COMM.allreduce(float(made.body.points()[:, 1].max(initial=0.0)), MPI.MAX))


# ---- fronts --------------------------------------------------------------------------------------------
def plane(**more: Any) -> tuple[cm.Case, Callable[[], Any]]:
    """A boundary of 10 um across empty grains in which lithium hardly moves, on a contact at y = 0."""
    parts: dict[str, Any] = {
        "boundaries": {"bottom": {"chemical_potential": potential(1e-3)}},
        "initial": {"concentration": 1e-7},
        "time": {"end": 100.0, "tolerance": 3e-4},
    }
    material = {"diffusivity": "1e-26 m^2/s", "reference_concentration": 1e-7}
    given = case({"HAGB": BOUNDARY}, material, **parts | more)
    x = np.linspace(-1e-6, 1e-6, 5)
    return given, lambda: half_plane(x, graded(5e-8, 1.05, 1.5e-7, 1e-5))


def test_front_and_diffusivity_of_a_straight_boundary() -> None:
    given, arrays = plane()
    made = begun(given, arrays)
    rows: dict[str, list[float]] = {}
    control = made.control()
    while made.time < control.end * (1.0 - 1e-12):
        made.advance(control)
        for name, value in ({"time": made.time} | made.row()).items():
            rows.setdefault(name, []).append(value)
    length = math.sqrt(4.0 * 1e-14 * 100.0)
    assert rows["front_distance_HAGB_m"][-1] == pytest.approx(length, rel=0.01, abs=0.0)
    assert rows["front_distance_m"][-1] == rows["front_depth_m"][-1] == rows["front_distance_HAGB_m"][-1]
    found = FrontHistory.of(rows).diffusivity("HAGB", since=10.0)
    assert found.diffusivity == pytest.approx(1e-14, rel=0.02, abs=0.0)
    assert found.slope == pytest.approx(4e-14, rel=0.02, abs=0.0)
    assert found.exponent == pytest.approx(0.5, rel=1e-6, abs=0.01)
    summary = made.summary(True)
    assert summary["front_distance_m"] == rows["front_distance_m"][-1]
    assert summary["harrison_regime"] == "C"
    assert summary["end_time_s"] == pytest.approx(100.0, rel=1e-6, abs=0.0)
    held = summary["boundary_mean_concentration"]["HAGB"]
    full = 1.0 / (1.0 + np.exp(-(math.log(1e-3 / 0.999) + 6.0)))
    assert held == pytest.approx(full * 2.0 * math.sqrt(1e-12 / math.pi) / height(made), rel=0.02, abs=0.0)


def test_first_facet_is_no_front() -> None:
    given, arrays = plane(time={"end": 0.01})
    made = run(begun(given, arrays))
    assert made.row()["front_distance_HAGB_m"] == 0.0
    network = made.physics.network
    assert network is not None and COMM.allreduce(float(network.c["HAGB"].x.array.max(initial=0.0)), MPI.MAX) > 0.2


def test_fronts_of_history_tell_what_is_wrong() -> None:
    with pytest.raises(cm.CaseError, match="no fronts"):
        FrontHistory.of({"time": [0.0, 1.0]})
    none = FrontHistory.of({"time": [0.0, 1.0], "front_distance_a_m": [0.0, 0.0], "front_distance_m": [0.0, 1e-6]})
    with pytest.raises(cm.CaseError, match="no front at these times"):
        none.diffusivity("a")
    with pytest.raises(cm.CaseError, match="no such class"):
        none.diffusivity("b")
    assert none.diffusivity().diffusivity == pytest.approx(2.5e-13, rel=1e-6, abs=0.0)


def test_front_that_stands_at_the_end_does_not_count() -> None:
    t = np.arange(1.0, 9.0)
    reached = np.minimum(np.sqrt(4.0 * t), 4.0)
    rows = {"time": t.tolist(), "front_distance_a_m": reached.tolist(), "front_distance_m": reached.tolist()}
    assert FrontHistory.of(rows).diffusivity("a").diffusivity == pytest.approx(1.0, rel=1e-6, abs=0.0)
    assert FrontHistory.of(rows).diffusivity("a", until=8.0).diffusivity < 0.9


def test_way_along_the_network_and_depth() -> None:
    """From the corner along ``b`` to the middle of the square, then along ``a`` up or ``c`` to the right."""
    law = BOUNDARY | {"initial_concentration": 0.1}
    given = case(dict.fromkeys("abc", law), boundaries={"bottom": {"chemical_potential": potential(0.01)}})
    made = begun(given, lambda: junction(8))
    assert made.fronts is not None
    result = finished(made)
    way = {name: result.grain_boundary(name) for name in "abc"}
    diagonal = math.sqrt(0.5) * 1e-6
    assert way["b"].distance.max() == pytest.approx(diagonal, rel=1e-6, abs=0.0)
    for name in "ac":
        assert way[name].distance.min() == pytest.approx(diagonal, rel=1e-6, abs=0.0)
        assert way[name].distance.max() == pytest.approx(diagonal + 0.5e-6, rel=1e-6, abs=0.0)
    assert way["a"].depth.max() == pytest.approx(1e-6, rel=1e-6, abs=0.0)
    assert way["c"].depth == pytest.approx(0.5e-6, rel=1e-6, abs=0.0)
    assert way["b"].depth == pytest.approx(way["b"].corners[:, :, 1], abs=1e-13)


def test_depth_and_way_in_three_dimensions() -> None:
    given = case({"a": BOUNDARY, "b": BOUNDARY}, boundaries={"bottom": {"chemical_potential": potential(0.01)}})
    result = finished(begun(given, lambda: cube(4)))
    values = result.grain_boundary("a")  # x = 1/2, from the contact at y = 0
    assert values.depth == pytest.approx(values.corners[:, :, 1], abs=1e-12)
    assert np.all(values.distance >= values.depth - 1e-13)
    assert np.all(values.distance <= 1.25 * values.depth + 1e-12)


def test_without_a_contact_there_is_no_front() -> None:
    made = begun(case({"a": BOUNDARY, "default": BOUNDARY}), lambda: junction(4))
    row, summary = made.row(), made.summary(True)
    assert row["front_distance_a_m"] == row["front_distance_m"] == row["front_depth_m"] == 0.0
    assert "harrison_regime" not in summary
    assert finished(made).grain_boundary("a").depth.min() == math.inf


def test_regime_is_that_of_the_numbers_of_the_run() -> None:
    given, arrays = plane(time={"end": 1.0})
    made = run(begun(given, arrays))
    held = 1.0 / (1.0 + math.exp(-(math.log(1e-3 / 0.999) + 6.0)))
    size = 0.5 * math.pi * 2e-6  # pi A/(2 L)
    right = harrison(1e-26, 1e-14, 5e-10, size, made.time, held / 1e-3)
    told = made.summary(True)["harrison"]["HAGB"]
    assert told["alpha"] == pytest.approx(right.alpha, rel=1e-6, abs=0.0)
    assert told["beta"] == pytest.approx(right.beta, rel=1e-6, abs=0.0)
    assert told["regime"] == right.regime == "C"
    assert made.fronts is not None and made.fronts.grain_size == pytest.approx(size, rel=1e-9, abs=0.0)


def test_front_in_grains_without_boundaries() -> None:
    """c = c_0 erfc(y/(2 sqrt(Dt))) in a dilute crystal; L = sqrt(4 D t)."""
    given = plane()[0].replace({"grain_boundaries": {}, "materials.ag.diffusivity": 1e-14, "time.end": 50.0})
    made = run(begun(given, plane()[1]))
    summary = made.summary(True)
    assert summary["front_distance_m"] == pytest.approx(math.sqrt(4.0 * 1e-14 * 50.0), rel=0.01, abs=0.0)
    assert "harrison_regime" not in summary
    assert summary["mean_concentration_change"] == pytest.approx(
        1e-3 * 2.0 * math.sqrt(5e-13 / math.pi) / height(made), rel=0.01, abs=0.0
    )


# ---- values on boundaries --------------------------------------------------------------------------------
def test_fraction_at_points_of_a_class() -> None:
    given, arrays = plane(time={"end": 100.0})
    result = finished(run(begun(given, arrays)))
    y = np.array([0.31e-6, 1.7e-6, 3.3e-6])
    points = np.column_stack([np.zeros(3), y])
    value = result.evaluate("grain_boundary_concentration_HAGB", points)
    assert np.array_equal(result.evaluate("grain_boundary_concentration", points), value)
    full = 1.0 / (1.0 + math.exp(-(math.log(1e-3 / 0.999) + 6.0)))
    assert value == pytest.approx(full * erfc(y / 2e-6), rel=0.01, abs=3e-4)
    way, fraction = result.grain_boundary("HAGB").profile
    assert np.all(np.diff(way) > 0.0) and np.interp(y, way, fraction) == pytest.approx(value, rel=1e-9, abs=0.0)
    with pytest.raises(cm.ChemomechError, match="lies on no boundary"):
        result.evaluate("grain_boundary_concentration_HAGB", [[1e-7, 1e-6]])
    with pytest.raises(cm.ChemomechError, match="lies on no boundary"):
        result.evaluate("grain_boundary_concentration_HAGB", [[0.0, -1e-6]])
    with pytest.raises(cm.CaseError, match="no such class"):
        result.evaluate("grain_boundary_concentration_LAGB", points)


def test_fraction_at_points_of_a_plane_in_space() -> None:
    given = case({"a": BOUNDARY | {"initial_concentration": 0.25}})
    result = finished(begun(given, lambda: cube(4)))
    points = [[0.5e-6, 0.13e-6, 0.77e-6], [0.5e-6, 1e-6, 0.0]]
    assert result.evaluate("grain_boundary_concentration_a", points) == pytest.approx([0.25, 0.25], rel=1e-6, abs=0.0)
    with pytest.raises(cm.ChemomechError):
        result.evaluate("grain_boundary_concentration_a", [[0.5e-6, 0.5e-6, 1.1e-6]])


def test_von_mises_stress_around_fronts() -> None:
    opens = BOUNDARY | {"partial_molar_volume": "9e-6 m^3/mol"}
    given, arrays = plane(time={"end": 10.0})
    made = run(
        begun(case({"HAGB": opens}, **{k: getattr(given, k) for k in ("boundaries", "initial", "time")}), arrays)
    )
    result = finished(made)
    near = result.stress_at_fronts(3e-7)["HAGB"]
    assert len(near.points) == 1
    assert near.points[0] == pytest.approx([0.0, made.row()["front_distance_HAGB_m"], 0.0], abs=1e-12)
    assert 0.0 < near.mean <= near.largest
    everywhere = result.stress_at_fronts(1.0)["HAGB"]
    assert math.isnan(everywhere.elsewhere)
    low, high = sorted((near.mean, near.elsewhere))
    assert low <= everywhere.mean <= high
    with pytest.raises(cm.CaseError, match="radius"):
        result.stress_at_fronts(0.0)


def test_grains_at_a_contact_take_up_what_a_half_space_does() -> None:
    """2 c sqrt(D t/pi) per area, on cells a hundred times as large as sqrt(D t).

    The boundary, slow here, holds the potential of the contact on half a facet of 50 nm, with grains on both sides.
    """
    material = {"diffusivity": "1e-20 m^2/s", "reference_concentration": 1e-7}
    slow = BOUNDARY | {"diffusivity": "1e-25 m^2/s", "segregation_energy": 0.0}
    parts = plane()[0]
    TIME = {"end": 1e4, "tolerance": 1e-4}
    given = case({"HAGB": slow}, material, boundaries=parts.boundaries, initial=parts.initial, time=TIME)
    made = run(begun(given, plane()[1]))
    grains = made.physics.amounts()["ag"] - made.physics.initial_amounts()["ag"]
    amount = grains * made.physics.scales.amount(2)
    assert amount == pytest.approx(1e5 * 1e-3 * 2.05e-6 * 2.0 * math.sqrt(1e-16 / math.pi), rel=0.035, abs=0.0)


# ---- limits ----------------------------------------------------------------------------------------------
BAR = """
title = "A bar that is pulled"
{mode}
plane = "stress"

[domain]
size = ["8 um", "4 um"]

[mesh]
size = "1 um"

[materials.metal]
elasticity = {{ youngs_modulus = "80 GPa", poissons_ratio = 0.3 }}
partial_molar_volume = "0 m^3/mol"
reference_concentration = 0.1
maximum_concentration = "1e5 mol/m^3"
diffusivity = "1e-14 m^2/s"
{more}

[boundaries.left]
roller = true

[boundaries.right]
displacement.x = "{pull}"
"""


def pulled(pull: str, more: str = "", mode: str = "equilibrium") -> cm.Case:
    mode = "time.end = 1.0" if mode == "transient" else "mode = 'equilibrium'"
    return cm.Case.loads(BAR.format(pull=pull, more=more, mode=mode))


def test_yield_stress_passed_is_told_with_place_and_value() -> None:
    result = cm.run(pulled("8 nm", 'yield_stress = "50 MPa"'))  # 80 MPa along x
    (told,) = result.summary["warnings"]
    assert (told["kind"], told["material"], told["limit"]) == (
        "von_mises_stress",
        "metal",
        pytest.approx(5e7, rel=1e-6, abs=0.0),
    )
    assert told["value"] == pytest.approx(8e7, rel=1e-6, abs=0.0) == told["largest"]
    assert len(told["position_m"]) == 2 and abs(told["position_m"][0]) < 4e-6
    assert "80 MPa in metal at (" in told["text"] and "yield stress of 50 MPa" in told["text"]


def test_nothing_is_told_below_the_limits_or_without_them() -> None:
    assert cm.run(pulled("8 nm")).summary["warnings"] == []
    assert cm.run(pulled("8 nm", 'yield_stress = "81 MPa"')).summary["warnings"] == []
    assert cm.run(pulled("390 nm")).summary["warnings"] == []  # 4.9 %


def test_large_strain_is_told() -> None:
    (told,) = cm.run(pulled("-480 nm")).summary["warnings"]
    assert told["kind"] == "strain" and told["limit"] == 0.05
    assert told["value"] == pytest.approx(0.06, rel=1e-6, abs=0.0)  # along x; across it is 0.3 of that
    assert "strain of 6 %" in told["text"]


def test_warnings_are_told_once_and_survive_a_restart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = COMM.bcast(tmp_path, root=0)
    base = pulled("8 nm", 'yield_stress = "50 MPa"', "transient").replace({"output.figures": False})
    cm.run(base, place / "run", progress=True)
    said = capsys.readouterr().out
    result = cm.run(base.replace({"time.end": "2 s"}), place / "run", resume=True, progress=True)
    again = capsys.readouterr().out
    (told,) = result.summary["warnings"]
    assert (told["time_s"], told["step"]) == (0.0, 0)
    if COMM.rank == 0:
        assert said.count("warning: t = 0 s: a von Mises stress") == 1
        assert "warning" not in again
        log = (place / "run" / "run.log").read_text()
        assert log.count("passes its yield stress") == 1
        assert json.loads((place / "run" / "summary.json").read_text())["warnings"] == [told]


def test_the_largest_is_kept_beside_the_first() -> None:
    first = Passed("strain", "ag", 0.05, 3, 1.0, 0.051, (0.0, 1e-6), 0.2, 4.0, (1e-6, 0.0))
    assert Passed.from_dict(json.loads(json.dumps(first.as_dict()))) == first
    assert "(0 nm, 1 µm)" in first.text


def test_stress_at_a_junction_of_the_mesh_does_not_count() -> None:
    """Three openings that don't fit together leave a peak that grows as the cells shrink; it is left out."""
    opens = BOUNDARY | {"partial_molar_volume": "9e-6 m^3/mol", "initial_concentration": 1e-3}
    given = case(
        dict.fromkeys("abc", opens), {"yield_stress": "1 kPa", "reference_concentration": 1e-3},
        initial={"concentration": 1e-3}, boundaries={"bottom": {"chemical_potential": potential(0.01)}},
        time={"end": 1e-3},
    )  # fmt: skip
    made = begun(given, lambda: junction(8))
    made.advance(made.control())
    (told,) = (p for p in made.limits.passed if p.kind == "von_mises_stress")
    msh = made.mesh
    n = msh.topology.index_map(2).size_local
    corners = made.body.cell_vertices()[:n, :, :2]
    at_middle = np.isclose(corners, 0.5e-6, rtol=1e-9).all(axis=2)
    touches = np.asarray(at_middle.sum(axis=1) > 0)
    stress = made.function("von_mises_stress").x.array[:n]
    assert COMM.allreduce(int(touches.sum())) == 6
    assert told.value == pytest.approx(
        COMM.allreduce(float(stress[~touches].max(initial=0.0)), MPI.MAX), rel=1e-9, abs=0.0
    )
    assert COMM.allreduce(float(stress[touches].max(initial=0.0)), MPI.MAX) > 0.0


def test_library_yields_where_it_is_known() -> None:
    from chemomech.materials import Material

    assert Material.from_library("Ag").yield_stress == pytest.approx(35e6, rel=1e-6, abs=0.0)
    assert Material.from_library("Li").yield_stress == pytest.approx(0.77e6, rel=1e-6, abs=0.0)
    assert Material.from_library("LLZO").yield_stress is None
    with pytest.raises(cm.CaseError) as caught:
        pulled("8 nm", 'yield_stress = "0 MPa"')
    assert caught.value.key == "materials.metal.yield_stress"


# ---- pictures --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("body", ["square", "cube"])
def test_pictures_are_made_and_drawn_again(body: str, tmp_path: Path) -> None:
    place = COMM.bcast(tmp_path, root=0)
    arrays = junction(6) if body == "square" else cube(4)
    if COMM.rank == 0:
        write_msh(arrays, place / "grains.msh")
    COMM.barrier()
    given = case(
        {"a": BOUNDARY, "b": BOUNDARY | {"diffusivity": "1e-19 m^2/s"}},
        domain={"shape": "file", "path": str(place / "grains.msh")}, time={"end": 20.0},
        boundaries={"bottom": {"chemical_potential": potential(0.02)}}, initial={"concentration": 1e-4},
    )  # fmt: skip
    result = cm.run(given, place / "run")
    if COMM.rank:
        return
    pictures = {name: place / "run" / "figures" / f"{name}.png" for name in ("grain_boundaries", "fronts")}
    assert (body == "square") == pictures["fronts"].exists() or result.summary["front_distance_m"] > 0.0
    made = {name: path for name, path in pictures.items() if path.exists()}
    for path in made.values():
        path.unlink()
    drawn = redraw(place / "run")
    assert set(made.values()) <= set(drawn)
    assert all(path.stat().st_size > 5000 for path in made.values())


def test_no_picture_of_fronts_that_do_not_move(tmp_path: Path) -> None:
    path = tmp_path / "fronts.png"
    still = {"time": [0.0, 1.0], "front_distance_a_m": [0.0, 0.0], "front_distance_m": [0.0, 0.0]}
    assert not draw_fronts(still, path) and not draw_fronts({"time": [0.0]}, path)
    assert not path.exists()
    moving = {"time": [0.0, 1.0, 2.0], "front_distance_a_m": [0.0, 1e-6, 2e-6], "front_distance_m": [0.0, 1e-6, 2e-6]}
    assert draw_fronts(moving, path, title="b") and path.stat().st_size > 5000


# ---- paper 000 -------------------------------------------------------------------------------------------
def builtin(name: str, **changes: Any) -> Result:
    return cm.run(cm.Case.load(name).replace({key.replace("__", "."): value for key, value in changes.items()}))


@pytest.mark.slow
def test_network_is_reached_and_twins_stay_empty() -> None:
    """About 12.8 um in 40 min along random boundaries; others below 5 % of their content; grains empty."""
    result = builtin("ag-grain-boundary-network")
    summary = result.summary
    assert summary["end_time_s"] == pytest.approx(2400.0, rel=1e-6, abs=0.0)
    assert summary["front_distance_m"] == pytest.approx(12.8e-6, rel=0.08, abs=0.0)
    assert summary["front_depth_m"] == pytest.approx(12.8e-6, rel=0.08, abs=0.0)
    held = summary["boundary_mean_concentration"]
    assert held["LAGB"] < 0.05 * held["HAGB"] and held["twin"] < 0.05 * held["HAGB"]
    assert summary["harrison_regime"] == "C"
    fit = FrontHistory.of(result.history).diffusivity("HAGB", since=240.0)
    assert fit.exponent == pytest.approx(0.5, rel=1e-6, abs=0.03)
    last = {key: values[-1] - values[0] for key, values in result.history.items()}
    boundaries = sum(last[f"lithium_{name}_mol_per_m"] for name in held)
    assert last["lithium_silver_mol_per_m"] < 0.03 * boundaries  # what is swollen are boundaries
    assert summary["concentration_max"] < 6e-4
    assert abs(summary["mass_relative_drift"]) < 1e-12
    assert summary["warnings"] == []
    free = cm.run(without_stress(result.case)).history
    columns = [free[f"lithium_{name}_mol_per_m"] for name in held]
    assert 0.999 < boundaries / sum(values[-1] - values[0] for values in columns) < 1.0  # free to bend: 0.9998


def without_stress(given: cm.Case) -> cm.Case:
    zero = {f"grain_boundaries.{name}.partial_molar_volume": 0.0 for name in given.grain_boundaries}
    return given.replace(zero | {"materials.silver.partial_molar_volume": 0.0})


def test_single_crystal_takes_up_nothing() -> None:
    summary = builtin("ag-single-crystal").summary
    assert summary["end_time_s"] == pytest.approx(14400.0, rel=1e-6, abs=0.0)
    assert 0.0 < summary["front_distance_m"] < 5e-8
    assert summary["front_distance_m"] == pytest.approx(math.sqrt(4.0 * 1e-20 * 14400.0), rel=0.06, abs=0.0)
    assert summary["mean_concentration_change"] < 1e-5


@pytest.mark.slow
def test_twin_beside_a_random_boundary() -> None:
    result = builtin("ag-twin-vs-random")
    summary = result.summary
    assert summary["front_distance_m"] == pytest.approx(math.sqrt(4.0 * 1.7e-14 * 2400.0), rel=0.02, abs=0.0)
    assert summary["boundary_mean_concentration"]["twin"] < 0.05 * summary["boundary_mean_concentration"]["HAGB"]
    assert FrontHistory.of(result.history).diffusivity("HAGB", since=240.0).diffusivity == pytest.approx(
        1.7e-14, rel=0.02, abs=0.0
    )


FILM = """
temperature = "30 degC"

[domain]
shape = "polycrystal"
kind = "bicrystal"
size = ["1.6 um", "24 um"]
center = ["0 um", "12 um"]
misorientation = ["random", "random", "random"]

[mesh]
size = "0.15 um"

[materials.silver]
library = "Ag"
elasticity = { kind = "cubic" }
reference_potential = "18697 J/mol"
reference_concentration = 1e-6

[grain_boundaries.HAGB]
diffusivity = "1.7e-14 m^2/s"
segregation_energy = "-20444 J/mol"
partial_molar_volume = "8.9e-6 m^3/mol"

[boundaries]
left.roller = true
right.roller = true
bottom.chemical_potential = "0 J/mol"

[time]
end = "40 min"
"""


@pytest.mark.slow
def test_pressure_lowers_what_clamped_boundaries_take_up() -> None:
    """Columns of 0.4 um between walls: full boundaries under pressure hold 1 to 5 % less; the front is where it was."""
    given = cm.Case.loads(FILM)
    result = cm.run(given)
    summary, free = result.summary, cm.run(without_stress(given)).summary
    assert 0.95 < summary["lithium_HAGB_mol_per_m"] / free["lithium_HAGB_mol_per_m"] < 0.99
    assert summary["front_distance_m"] == pytest.approx(free["front_distance_m"], rel=0.02, abs=0.0)
    values = result.grain_boundary("HAGB")
    full = values.corners[values.concentration.min(axis=1) > 0.4].mean(axis=1)[:, :2]
    assert len(full) > 10
    stress = result.evaluate("hydrostatic_stress", full + np.array([1e-8, 0.0]))
    assert np.all(stress[full[:, 1] > 1e-6] < -5e6)  # compression
    told = [w for w in summary["warnings"] if w["kind"] == "von_mises_stress"]
    assert len(told) == 1 and told[0]["largest"] > 35e6
    assert free["warnings"] == []
