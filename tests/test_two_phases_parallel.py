"""Two phases on several ranks: ranks without an interface or a phase, runs taken up on other ranks, boxes."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

import chemomech as cm
from chemomech.output import history
from tests.test_interface import BILAYER, MISFIT
from tests.test_misfits import box
from tests.test_resume import compute, difference, finish, kill_when, rows, same_fields, start
from tests.tools import physics_of, record

NM = 1e-9
alone = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts processes of its own")


def tall(**more: Any) -> cm.Case:
    """A film of 6 nm under 54 nm of the other phase: cut across its height, only the lowest part knows both."""
    layers = [{"material": "upper", "thickness": 6 * NM}, {"material": "lower", "thickness": 54 * NM}]
    misfit = {"phase": "upper", "substrate": "lower", "strain": MISFIT, "out_of_plane": "coherent"}
    return cm.Case.model_validate(
        {
            "domain": {"size": [6 * NM, 60 * NM], "layers": layers, "periodic": ["x"]},
            "mesh": {"size": NM, "structured": True},
            "materials": BILAYER,
            "misfits": [misfit],
            "initial": {"concentration": {"lower": 0.7, "upper": 0.25}},
            "mode": "equilibrium",
        }
        | more
    )


def shares(result: cm.Result) -> list[dict[str, int]]:
    """Per rank: owned cells of each phase and owned facets of the interface."""
    body = physics_of(result).body
    d = body.dimension
    cells, facets = (body.mesh.topology.index_map(k).size_local for k in (d, d - 1))
    mine = {name: int(np.sum(body.cell_tags.find(tag) < cells)) for name, tag in body.phases.items()}
    (interface,) = [name for name in body.boundaries if "|" in name]
    mine["interface"] = int(np.sum(body.facets(interface) < facets))
    return list(MPI.COMM_WORLD.allgather(mine))


def test_ranks_without_interface_or_phase() -> None:
    """The closed form of two layers at rest, wherever the body is cut."""
    from tests import test_interface

    thickness = {"lower": 54.0, "upper": 6.0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(test_interface, "THICKNESS", thickness)
        lower, upper, mu = test_interface.at_rest()
    result = cm.run(tall())
    parts = shares(result)
    y = np.array([-29.0, -26.5, -24.1, -23.9, -11.0, -9.9, 0.2, 9.8, 10.3, 29.0])
    points = np.column_stack([np.linspace(-2.9, 2.8, len(y)), y]) * NM
    c = result.evaluate("concentration", points)
    wanted = np.where(y < -24.0, upper, lower)
    found = result.evaluate("chemical_potential", points) / test_interface.RT
    stress = result.evaluate("stress", points)[:, [0, 1, 2], [0, 1, 2]]
    sides = [test_interface.along(name, value) for name, value in (("upper", upper), ("lower", lower))]
    across = np.where(y < -24.0, *sides)[:, None] * np.array([1.0, 0.0, 1.0])
    errors = [np.abs(c - wanted).max(), np.abs(found - mu / test_interface.RT).max()]
    errors.append(np.abs(stress - across).max() / np.abs(across).max())
    assert max(errors) < 1e-9
    assert abs(result.summary["mass_relative_drift"]) < 1e-12
    if len(parts) == 3:
        assert any(part["interface"] == 0 for part in parts), parts
        assert any(part["upper"] == 0 for part in parts), parts
    assert sum(part["interface"] for part in parts) == 6


PROBE = """
import json, sys
from pathlib import Path
import numpy as np
from mpi4py import MPI
import chemomech as cm
from tests.test_two_phases_parallel import shares, tall
array = {"relaxation": 1.0, "burgers": 6e-9 * 0.012, "core": "1 nm"}
misfit = {"phase": "upper", "substrate": "lower", "strain": 0.012, "array": array}
exact = {"tolerance": 1e-13}
still = tall(misfits=[misfit], solver=exact)
moving = tall(misfits=[misfit], solver=exact, mode="transient", time={"end": "50 us"})
points = np.random.default_rng(0).uniform(-1, 1, (300, 2)) * [2.99e-9, 29.9e-9]
out = {}
for name, case in (("still", still), ("moving", moving)):
    result = cm.run(case)
    for field in ("concentration", "chemical_potential", "stress", "strain", "displacement"):
        out[f"{name}_{field}"] = result.evaluate(field, points)
    out |= {f"{name}_{k}": np.array(v) for k, v in result.history.items()}
    force = [line["peach_koehler_N_per_m"] for line in result.summary["dislocations"]]
    out |= {f"{name}_force": np.array(force), f"{name}_moved": result.summary["lithium_transferred_mol_per_m2"]}
parts = shares(result)
if MPI.COMM_WORLD.rank == 0:
    np.savez(Path(sys.argv[1]) / f"{MPI.COMM_WORLD.size}.npz", **out)
    (Path(sys.argv[1]) / f"{MPI.COMM_WORLD.size}.json").write_text(json.dumps(parts))
"""


@alone
@pytest.mark.mpi
@pytest.mark.slow
def test_any_number_of_ranks(tmp_path: Path) -> None:
    """With an array at the interface, at rest and on the way; three ranks, of which two know one phase only."""
    script = tmp_path / "probe.py"
    script.write_text(PROBE)
    for ranks in (1, 2, 3):
        finish(start(ranks, tmp_path, program=(str(script),)))
    parts = json.loads((tmp_path / "3.json").read_text())
    assert any(part["interface"] == 0 for part in parts) and any(part["upper"] == 0 for part in parts), parts
    one = np.load(tmp_path / "1.npz")
    free = ("newton_iterations", "linear_iterations")
    for ranks in (2, 3):
        other = np.load(tmp_path / f"{ranks}.npz")
        worst = {}
        for name in one.files:
            if not name.endswith(free):
                assert one[name].shape == other[name].shape, name
                scale = 1.0 if name.endswith("drift") else np.abs(one[name]).max() or 1.0
                worst[name] = float(np.abs(other[name] - one[name]).max() / scale)
        record(f"interface_ranks_{ranks}", difference=max(worst.values()), parts=parts if ranks == 3 else None)
        assert max(worst.values()) <= 1e-9, worst


# -- taken up again ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A periodic body with an array whose lithium crosses the interface, undisturbed on one rank."""
    place = tmp_path_factory.mktemp("two-phases")
    misfit = {"phase": "upper", "substrate": "lower", "strain": MISFIT}
    misfit["array"] = {"relaxation": 1.0, "burgers": 6 * NM * MISFIT, "core": "1 nm"}
    # One Newton iteration more or less, by rounding, would show at the usual tolerance: 3e-9 in the stress.
    steps = {"initial_step": "1 ns", "minimum_step": "1e-15 s", "maximum_step": "1 ms"}
    case = tall(
        misfits=[misfit], mode="transient", time={"end": "1 ms", **steps}, solver={"tolerance": 1e-13},
        output={"times": ["20 us"], "checkpoint_every": 3, "every": 10, "figures": False},
    )  # fmt: skip
    (place / "case.toml").write_text(case.to_toml())
    compute(1, place / "case.toml", "--out", place / "whole", "--quiet")
    return place / "whole"


def worst_difference(place: Path, reference: Path) -> float:
    worst = difference(history.read(reference / "history.csv"), history.read(place / "history.csv"))
    return max(v for k, v in worst.items() if not k.endswith("iterations"))


@alone
@pytest.mark.mpi
@pytest.mark.slow
@pytest.mark.parametrize("ranks", [(1, 2), (2, 3), (3, 1)])
def test_killed_and_taken_up_on_other_ranks(whole: Path, tmp_path: Path, ranks: tuple[int, int]) -> None:
    place, dice = tmp_path / "run", random.Random(sum(ranks))
    due = len(history.read(whole / "history.csv")["time"]) // 2
    process = start(ranks[0], "run", whole.parent / "case.toml", "--out", place, "--quiet")
    assert kill_when(process, lambda: rows(place) >= due, dice), "the run was over before it was killed"
    compute(ranks[1], place, "--resume", "--quiet")
    worst = worst_difference(place, whole)
    record(f"interface_resume_{ranks[0]}_{ranks[1]}", difference=worst)
    assert worst <= 1e-9
    same_fields(place, whole)


@alone
@pytest.mark.mpi
@pytest.mark.slow
def test_ended_early_and_extended_on_other_ranks(whole: Path, tmp_path: Path) -> None:
    """time.end = 20 us, where the whole run stops too, then on to its end."""
    place = tmp_path / "run"
    compute(2, whole.parent / "case.toml", "--out", place, "--quiet", "--set", "time.end=20 us")
    compute(3, place, "--resume", "--quiet", "--set", "time.end=1 ms")
    worst = worst_difference(place, whole)
    record("interface_resume_extended", difference=worst)
    assert worst <= 1e-9


# -- boxes -------------------------------------------------------------------------------------------------


def test_box_with_both_families_on_any_ranks() -> None:
    """Periodic along x and z: lithium moves, none is lost, and every line feels a finite force."""
    case = box(0.02, 1.0, 1.5, swelling=True, mode="transient", time={"end": "10 us"})
    result = cm.run(case)
    drift = float(np.abs(result.history["mass_relative_drift"]).max())
    forces = [line["peach_koehler_N_per_m"] for line in result.summary["dislocations"]]
    record("interface_box", drift=drift, forces=forces, steps=result.summary["steps"])
    integrals = [line["configurational_force_N_per_m"] for line in result.summary["dislocations"]]
    assert len(forces) == 2 and np.all(np.isfinite(forces))
    assert all(force is None or np.all(np.isfinite(force)) for force in integrals)
    assert drift < 1e-12
    assert abs(result.summary["lithium_transferred_mol_per_m2"]) > 0.0
