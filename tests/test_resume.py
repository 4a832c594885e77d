"""A run that was killed goes on as if nothing had happened, on any number of ranks; and ranks do not matter at all."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

from chemomech.case import Case
from chemomech.output import history
from chemomech.output.fields import read_index
from tests.tools import record

ROOT = Path(__file__).resolve().parent.parent
pytestmark = [
    pytest.mark.mpi,
    pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts processes of its own"),
]

# Coarse, but with everything a step depends on: BDF2, error control, rejected steps, output times, an influx.
CASE = """
title = "A coarse body that is killed often"
[domain]
size = ["40 nm", "40 nm"]
[mesh]
size = "2 nm"
structured = true
[materials.llzo]
library = "LLZO"
[[dislocations]]
position = ["1 nm", "0.5 nm"]
burgers = ["1.124 nm", "0 nm"]
core = "4 nm"
[boundaries.outer]
traction = "dislocations"
[boundaries.top]
molar_flux = "1e-6 mol/(m^2 s)"
[initial]
concentration = 0.5
[time]
end = "20 ms"
[output]
times = ["1 ms"]
checkpoint_every = 3
every = 10
figures = false
"""

SOLVER_WORK = ("newton_iterations", "linear_iterations")  # may differ by one where ranks sum up in another order
ROUNDING = ("mass_relative_drift",)  # is rounding itself: compared with the whole, which is 1


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OMPI_MCA", "PMIX", "PRTE"))}
    return kept | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def start(ranks: int, *arguments: object, program: tuple[str, ...] = ("-m", "chemomech")) -> subprocess.Popen[str]:
    command = [sys.executable, *program, *map(str, arguments)]
    if ranks > 1:
        command = ["mpirun", "--oversubscribe", "-n", str(ranks), *command]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=150)
    assert process.returncode == 0, out + err
    return out


def compute(ranks: int, *arguments: object) -> str:
    return finish(start(ranks, "run", *arguments))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run nobody disturbed, on one rank."""
    place = tmp_path_factory.mktemp("resume")
    (place / "small.toml").write_text(CASE)
    compute(1, place / "small.toml", "--out", place / "whole", "--quiet")
    return place / "whole"


def python_processes(parent: int) -> list[int]:
    """The ranks among the descendants of a process that this test started (or that process itself)."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, _, rest = stat.read_text().partition(" (")
            children.setdefault(int(rest.rpartition(")")[2].split()[1]), []).append(int(pid))
        except OSError:
            continue
    found, queue = [], [parent]
    while queue:
        pid = queue.pop()
        queue += children.get(pid, [])
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"python" in words[0] and b"chemomech" in words:
            found.append(pid)
    return found


def rows(place: Path) -> int:
    path = place / "history.csv"
    return path.read_text().count("\n") - 1 if path.exists() else 0


def kill_when(process: subprocess.Popen[str], due: Callable[[], bool], dice: random.Random) -> bool:
    """SIGKILL one rank once it is due; whether the run was still alive then."""
    end = time.monotonic() + 100
    while not due():
        if process.poll() is not None:
            process.communicate()
            return False
        assert time.monotonic() < end
        time.sleep(0.002)
    time.sleep(dice.uniform(0.0, 0.05))  # a step takes about as long: in the middle of one, or of writing
    victims = python_processes(process.pid)
    if victims:
        os.kill(dice.choice(victims), signal.SIGKILL)
    process.communicate(timeout=60)
    return process.returncode != 0


def difference(a: dict[str, list[float]], b: dict[str, list[float]]) -> dict[str, float]:
    """Largest relative difference of each column; of the largest entry where a column goes through zero."""
    assert list(a) == list(b)
    found = {}
    for name in a:
        x, y = np.array(a[name]), np.array(b[name])
        assert x.shape == y.shape, (name, x.shape, y.shape)
        scale = 1.0 if name in ROUNDING else np.abs(x).max() or 1.0
        found[name] = float(np.abs(x - y).max() / scale)
    return found


def same_warnings(found: list[dict[str, Any]], right: list[dict[str, Any]]) -> None:
    """The same limits passed, by the same values at the same places, up to rounding."""
    assert [told["text"] for told in found] == [told["text"] for told in right]
    for one, other in zip(found, right, strict=True):
        for key, value in other.items():
            if isinstance(value, list | float):
                assert one[key] == pytest.approx(value, rel=1e-8, abs=0.0), key
            else:
                assert one[key] == value, key


def same_forces(found: list[dict[str, object]], wanted: list[dict[str, object]]) -> None:
    """Forces on dislocations, whose parts of some N/m may cancel to almost nothing."""
    for one, other in zip(found, wanted, strict=True):
        for key, value in other.items():
            assert one[key] == pytest.approx(value, rel=1e-8, abs=1e-8), key


def close(place: Path, reference: Path, tolerance: float = 1e-8) -> float:
    one, two = history.read(reference / "history.csv"), history.read(place / "history.csv")
    worst = difference(one, two)
    print({k: f"{v:.1e}" for k, v in worst.items()})
    odd = {k: v for k, v in worst.items() if v > tolerance and k not in SOLVER_WORK}
    assert not odd, odd
    # The step sizes one by one: the largest hides what the others do.
    steps, again = np.array(one["step_size"][1:]), np.array(two["step_size"][1:])
    assert np.all(np.abs(steps - again) <= tolerance * steps)
    s, t = (json.loads((p / "summary.json").read_text()) for p in (reference, place))
    free = {"ranks", "wall_time_s", "versions", *SOLVER_WORK}
    for name in s.keys() - free:
        if name == "dislocations":
            same_forces(t[name], s[name])
        elif isinstance(s[name], float) and name not in ROUNDING:
            # A difference of energies over their drop, a fifteenth of them here, rounds more coarsely.
            rounding = 1e-12 if name == "max_free_energy_increase_relative" else 1e-13
            assert t[name] == pytest.approx(s[name], rel=tolerance, abs=rounding), name
        elif name not in ROUNDING:
            assert t[name] == s[name], name
    return max(v for k, v in worst.items() if k not in SOLVER_WORK)


def last_fields(place: Path) -> dict[str, np.ndarray]:
    """All fields of the last entry of fields.pvd, in an order that does not depend on the ranks."""
    import pyvista

    grid: Any = pyvista.read(place / read_index(place / "fields.pvd")[-1][1])

    def order(x: np.ndarray) -> np.ndarray:
        return np.unique(np.round(x / 1e-12).astype(np.int64), axis=0, return_index=True)[1]

    nodes, cells = order(grid.points), order(grid.cell_centers().points)
    return {name: grid.point_data[name][nodes] for name in grid.point_data} | {
        name: grid.cell_data[name][cells] for name in grid.cell_data if not name.startswith("vtk")
    }


def same_fields(place: Path, reference: Path, tolerance: float = 1e-8) -> None:
    one, two = last_fields(reference), last_fields(place)
    assert {"displacement", "concentration", "chemical_potential", "stress"} <= one.keys() == two.keys()
    worst = {name: float(np.abs(two[name] - one[name]).max() / np.abs(one[name]).max()) for name in one}
    print({k: f"{v:.1e}" for k, v in worst.items()})
    assert max(worst.values()) <= tolerance, worst


# ---- killed and continued ----------------------------------------------------------------------------


def killed_and_continued(whole: Path, place: Path, seed: int, kills: int) -> None:
    dice = random.Random(seed)
    source, survived = whole.parent / "small.toml", 0
    for k in range(kills):
        ranks = 1 + (seed + k) % 3
        target = rows(place) + dice.randint(1, 40 // kills + 3)
        process = start(ranks, "run", source, "--out", place, "--resume", "--quiet")
        alive = kill_when(process, lambda target=target: rows(place) >= target, dice)
        survived += not alive
    compute(1 + (seed + kills) % 3, source, "--out", place, "--resume", "--quiet")
    assert survived < kills, "no kill hit a running computation: nothing was tested"
    worst = close(place, whole)
    record(f"resume_{seed}", difference=worst, kills=kills - survived)
    same_fields(place, whole)
    assert not list(place.rglob(".*.part"))


def test_killed_again_and_again_on_other_ranks(whole: Path, tmp_path: Path) -> None:
    killed_and_continued(whole, tmp_path / "run", seed=1, kills=3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 6))
def test_killed_at_many_more_moments(whole: Path, tmp_path: Path, seed: int) -> None:
    killed_and_continued(whole, tmp_path / "run", seed=seed, kills=7)


def test_killed_before_the_first_checkpoint(whole: Path, tmp_path: Path) -> None:
    place = tmp_path / "run"
    process = start(1, "run", whole.parent / "small.toml", "--out", place, "--quiet")
    end = time.monotonic() + 60
    while not (place / "history.csv").exists() and time.monotonic() < end:
        time.sleep(0.0005)
    process.kill()
    process.communicate()
    assert not list(place.glob("checkpoint/step-*.json")), "killed too late"
    compute(1, place, "--resume", "--quiet")  # the folder says what the case is
    close(place, whole)


def copy(whole: Path, place: Path) -> Path:
    shutil.copytree(whole, place)
    (place / "summary.json").unlink()
    return place


def test_a_truncated_checkpoint_is_passed_over(whole: Path, tmp_path: Path) -> None:
    place = copy(whole, tmp_path / "run")
    newest = sorted(place.glob("checkpoint/step-*.h5"))
    assert len(newest) == 2
    newest[1].write_bytes(newest[1].read_bytes()[: newest[1].stat().st_size // 2])
    compute(2, place, "--resume", "--quiet")
    close(place, whole)
    same_fields(place, whole)
    for file in place.glob("checkpoint/step-*.h5"):
        file.write_bytes(b"")
    (place / "summary.json").unlink()
    process = start(2, "run", place, "--resume")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 5 and "--overwrite" in err and "Traceback" not in err


def test_a_finished_run_is_extended(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, place := tmp_path / "run")
    said = compute(1, place, "--resume")
    assert "is finished: t = 20 ms was reached after" in said and "--set time.end" in said
    before = history.read(place / "history.csv")
    compute(1, place, "--resume", "--quiet", "--set", "time.end=30 ms")
    after = history.read(place / "history.csv")
    assert after["time"][-1] == 0.03 and json.loads((place / "summary.json").read_text())["end_time_s"] == 0.03
    assert all(after[name][: len(before[name])] == before[name] for name in before)
    assert Case.load(place / "case.toml").time.end == 0.03


# ---- ranks -------------------------------------------------------------------------------------------

PROBE = """
import json, sys
from pathlib import Path
import numpy as np
from mpi4py import MPI
import chemomech as cm

changes = json.loads(sys.argv[3])
for name in changes:
    case = cm.Case.load(name, changes[name])
    result = cm.run(case)
    rng = np.random.default_rng(0)
    half = np.array(case.domain.size) / 2
    near = rng.normal(size=(100, 2)) * 2e-9
    points = np.clip(np.concatenate([rng.uniform(-1, 1, (100, 2)) * half, near]), -half, half)
    fields = {field: result.evaluate(field, points) for field in result._simulation.derived.names}
    if MPI.COMM_WORLD.rank == 0:
        np.savez(Path(sys.argv[1]) / f"{name}-{sys.argv[2]}.npz", **fields)
        (Path(sys.argv[1]) / f"{name}-{sys.argv[2]}.json").write_text(json.dumps(result.summary))
"""
COARSE = {
    "llzo-edge-dislocation": {"mesh.core_size": "0.5 nm", "output.times": [], "time.end": "0.1 ms"},
    "lmo-edge-dislocation": {"mesh.core_size": "0.4 nm"},
}


@pytest.mark.parametrize("solver", ["direct", pytest.param("block", marks=pytest.mark.slow)])
def test_ranks_give_the_same_fields(tmp_path: Path, solver: str) -> None:
    script = tmp_path / "probe.py"
    script.write_text(PROBE)
    cases = {name: changes | {"solver.linear": solver} for name, changes in COARSE.items()}
    for ranks in (1, 2, 3):
        finish(start(ranks, tmp_path, ranks, json.dumps(cases), program=(str(script),)))
    for name in cases:
        one = np.load(tmp_path / f"{name}-1.npz")
        summary = json.loads((tmp_path / f"{name}-1.json").read_text())
        assert "concentration" in one.files and "stress" in one.files
        for ranks in (2, 3):
            other = np.load(tmp_path / f"{name}-{ranks}.npz")
            worst = {f: float(np.abs(other[f] - one[f]).max() / (np.abs(one[f]).max() or 1.0)) for f in one.files}
            print(name, ranks, {f: f"{v:.1e}" for f, v in worst.items()})
            record(f"ranks_{name}_{solver}_{ranks}", difference=max(worst.values()))
            assert max(worst.values()) <= 1e-8, worst
            again = json.loads((tmp_path / f"{name}-{ranks}.json").read_text())
            assert again["ranks"] == ranks
            for key in summary.keys() - {"ranks", "wall_time_s", *SOLVER_WORK}:
                if key == "dislocations":
                    same_forces(again[key], summary[key])
                elif key == "warnings":
                    same_warnings(again[key], summary[key])
                elif not isinstance(summary[key], float):
                    assert again[key] == summary[key], key
                else:
                    # what is zero up to rounding is compared with the whole
                    assert again[key] == pytest.approx(summary[key], rel=1e-8, abs=1e-12 if key in ZERO else 0), key


ZERO = (
    "mass_relative_drift", "max_free_energy_increase_relative", "lithium_supplied_mol_per_m",
    "mean_concentration_change",
)  # fmt: skip
