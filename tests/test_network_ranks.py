"""Networks of grain boundaries on any number of ranks, some of them empty, and continued on another number."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mpi4py import MPI

from tests.test_resume import ROOT, environment
from tests.tools import record

pytestmark = [
    pytest.mark.mpi,
    pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts processes of its own"),
]

PROBE = """
import sys
from pathlib import Path
import numpy as np
from mpi4py import MPI
from chemomech.output.checkpoint import load_latest
from tests.networks import case, cube, junction, potential, simulation, unknowns
from tests.test_grain_boundary import CLASSES, CUBIC, HELD, SILVER, coupled
from tests.test_exchange import with_rate
from tests.test_network_solutions import crystalline, grains

comm = MPI.COMM_WORLD
block = {"linear": "block", "tolerance": 1e-12}
# mu is read off what a grain has taken up: in the shortest steps, c = 0.01 + 1e-12, with few digits.
later = {"end": 0.1, "fixed_step": 1e-3}
out, body, first, last, kept = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5])
if body == "grains":
    given, arrays = crystalline(), grains
elif body.startswith("tiny"):
    given = coupled() if body == "tiny" else with_rate(2e-7, solver=block, time=later)
    arrays = lambda: junction(2)
elif body == "exchange":
    given, arrays = with_rate(2e-7, solver=block, time=later), lambda: junction(8)
else:
    classes = {name: CLASSES[name] for name in ("default", "a", "b")}
    contact = {"top": {"chemical_potential": potential(0.05, 0.3, 700.0)}, "back": {"roller": True}}
    given = case(classes, SILVER, boundaries=HELD | contact, initial={"concentration": 0.01}, time={"end": 0.01})
    if body == "exchange-cube":
        given = given.replace({"grain_boundaries.default.exchange_rate": 2e-7, "time.fixed_step": 1e-4})
    arrays = lambda: cube(4)
made = simulation(given, arrays() if comm.rank == 0 else None)
control = made.control()
if first:
    made.restore(load_latest(kept, comm))
    made.state.reset()
    control.wish = made.wish
while made.step < last:
    made.advance(control)
made.save(kept, control.wish)
cells = made.mesh.topology.index_map(made.mesh.topology.dim).size_local
facets = made.physics.network.tags
owned = made.mesh.topology.index_map(made.mesh.topology.dim - 1).size_local
touched = comm.gather((cells, int(np.sum(facets.indices < owned))))
values = unknowns(made)
row = made.row()
if comm.rank == 0:
    np.savez(out, time=made.time, touched=np.array(touched), drift=row["mass_relative_drift"], **values)
made.destroy()
"""


def computed(place: Path, ranks: int, body: str, first: int, last: int, kept: str) -> dict[str, np.ndarray]:
    """Unknowns by node after so many steps, from the beginning or from what was kept."""
    script, out = place / "probe.py", place / f"{body}-{ranks}-{first}-{last}.npz"
    script.write_text(PROBE)
    words = [sys.executable, str(script), str(out), body, str(first), str(last), str(place / kept)]
    launch = ["mpirun", "--oversubscribe", "-n", str(ranks)] if ranks > 1 else []
    done = subprocess.run(
        [*launch, *words], capture_output=True, text=True, check=False, timeout=240, stdin=subprocess.DEVNULL,
        env=environment() | {"OMPI_MCA_mpi_yield_when_idle": "1"}, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    with np.load(out) as data:
        return dict(data)


def apart(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """Largest difference of any unknown over its largest value."""
    assert one.keys() == other.keys()
    assert other["time"] == pytest.approx(one["time"], rel=1e-9, abs=0.0)
    worst = {}
    for name in one.keys() - {"touched", "time", "drift"}:
        assert one[name].shape == other[name].shape
        worst[name] = float(np.abs(other[name] - one[name]).max() / np.abs(one[name]).max())
    print({k: f"{v:.1e}" for k, v in worst.items()})
    return max(worst.values())


@pytest.mark.parametrize(
    "body",
    ["grains", "exchange", *(pytest.param(name, marks=pytest.mark.slow) for name in ("cube", "exchange-cube"))],
)
def test_ranks_give_the_same(body: str, tmp_path: Path) -> None:
    """Boundaries and junctions cross the borders of ranks; in 2D and 3D, with all couplings."""
    one = computed(tmp_path, 1, body, 0, 8, "one")
    for ranks in (2, 3):
        other = computed(tmp_path, ranks, body, 0, 8, f"on-{ranks}")
        assert np.all(other["touched"][:, 1] > 0)
        off = apart(one, other)
        record(f"network_ranks_{body}_{ranks}", difference=off)
        assert off < 1e-8
        assert abs(float(other["drift"])) < 1e-12


@pytest.mark.parametrize("body", ["tiny", "tiny-exchange"])
def test_ranks_without_boundaries_and_without_cells(body: str, tmp_path: Path) -> None:
    one = computed(tmp_path, 1, body, 0, 4, "one")
    for ranks in (3, 10):
        other = computed(tmp_path, ranks, body, 0, 4, f"on-{ranks}")
        assert ranks < 10 or np.any(other["touched"][:, 0] == 0)
        assert ranks < 10 or np.any(other["touched"][:, 1] == 0)
        off = apart(one, other)
        record(f"network_empty_ranks_{ranks}{body.removeprefix('tiny')}", difference=off)
        assert off < 1e-8


def test_continued_on_another_number_of_ranks(tmp_path: Path) -> None:
    """Columns and boundaries with their past: three ranks begin, two go on, one ends."""
    whole = computed(tmp_path, 1, "grains", 0, 9, "whole")
    computed(tmp_path, 3, "grains", 0, 4, "kept")
    computed(tmp_path, 2, "grains", 4, 7, "kept")
    again = computed(tmp_path, 1, "grains", 7, 9, "kept")
    off = apart(whole, again)
    record("network_resumed", difference=off)
    assert off < 1e-8
