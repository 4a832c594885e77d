"""Checkpoints: any number of ranks, damaged files, killed writers, full disks."""

from __future__ import annotations

import errno
import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mpi4py import MPI

from chemomech.errors import OutputError
from chemomech.output import checkpoint, folder
from chemomech.output.checkpoint import Nodal

SELF = MPI.COMM_SELF
ROOT = Path(__file__).resolve().parent.parent
alone = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts processes of its own, or is about one rank")
pytestmark = alone


def mpirun(ranks: int, script: Path, *arguments: object) -> str:
    """Run a Python script on some ranks; returns what it printed."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMPI_MCA", "PMIX", "PRTE"))}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = ["mpirun", "--oversubscribe", "-n", str(ranks), sys.executable, str(script), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def whole(values: np.ndarray) -> Nodal:
    return Nodal(np.arange(len(values)), values, len(values))


def save(place: Path, step: int, n: int = 50, **kwargs: int) -> np.ndarray:
    values = np.random.default_rng(step).normal(size=(n, 2))
    checkpoint.write(place, SELF, step, {"u": whole(values), "c": whole(values[:, 0])}, {"time": step / 3}, **kwargs)
    return values


RANKS = """
import sys
from pathlib import Path
import numpy as np
from mpi4py import MPI
from dolfinx import fem, mesh
import basix.ufl
from chemomech.output import checkpoint, nodes
comm, place = MPI.COMM_WORLD, Path(sys.argv[2])
n = 13
x, y = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 2, n))
points = np.column_stack([x.ravel(), y.ravel()])
i = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
cells = np.vstack([np.column_stack([i, i + 1, i + n + 1]), np.column_stack([i, i + n + 1, i + n])]).astype(np.int64)
if sys.argv[1] == "read":
    arrays = checkpoint.read_mesh_arrays(place, comm)
    assert bool(arrays) == (comm.rank == 0)
    if comm.rank == 0:
        assert np.array_equal(arrays["points"], points) and np.array_equal(arrays["cells"], cells)
        assert list(arrays["names"]) == ["left", "right"]
some = slice(None) if comm.rank == 0 else slice(0)
element = basix.ufl.element("Lagrange", "triangle", 1, shape=(2,))
m = mesh.create_mesh(comm, cells[some], element, points[some])
u = fem.Function(fem.functionspace(m, ("P", 1, (2,))))
c = fem.Function(fem.functionspace(m, ("P", 1)))
s = fem.Function(fem.functionspace(m, ("DG", 0)))
def fill():
    u.interpolate(lambda x: np.vstack([np.sin(x[0] + 2 * x[1]), x[0] * x[1] / 3]))
    c.interpolate(lambda x: np.exp(x[0]) * x[1])
    s.interpolate(lambda x: x[0] ** 2 + 7 * x[1])
where = {"u": nodes.layout(u.function_space), "c": nodes.layout(c.function_space), "s": nodes.layout(s.function_space)}
both = {"u": u, "c": c, "s": s}
if sys.argv[1] == "write":
    checkpoint.write_mesh_arrays(place, comm, {"points": points, "cells": cells, "names": np.array(["left", "right"])}
                                 if comm.rank == 0 else None)
    fill()
    sizes = {"u": len(points), "c": len(points), "s": len(cells)}
    arrays = {k: checkpoint.Nodal.of(f, where[k], sizes[k]) for k, f in both.items()}
    checkpoint.write(place, comm, 12, arrays, {"time": 0.1 + 0.2, "steps": [1e-300, np.float64(1/3)]})
else:
    found = checkpoint.load_latest(place, comm)
    assert found.step == 12 and found.meta == {"time": 0.1 + 0.2, "steps": [1e-300, 1/3]}, found
    for k, f in both.items():
        found.restore(k, f, where[k])
    got = {k: f.x.array.copy() for k, f in both.items()}
    fill()
    for k, f in both.items():
        f.x.scatter_forward()
        assert np.abs(got[k] - f.x.array).max() < 1e-14, k
    index = np.arange(comm.rank, dtype=np.int64)  # none on rank 0
    assert found.values("u", index).shape == (comm.rank, 2)
    for wrong in (np.array([len(points)]), np.array([-1])):
        try:
            found.values("c", wrong if comm.rank == comm.size - 1 else index)
            raise SystemExit("no error")
        except checkpoint.OutputError as error:
            assert "another mesh" in str(error)
print("good", comm.rank)
"""


@pytest.mark.mpi
@pytest.mark.parametrize("written", [1, 2])
def test_written_on_some_ranks_and_read_on_others(tmp_path: Path, written: int) -> None:
    script = tmp_path / "ranks.py"
    script.write_text(RANKS)
    mpirun(written, script, "write", tmp_path / "checkpoint")
    for ranks in (1, 3):
        assert mpirun(ranks, script, "read", tmp_path / "checkpoint").count("good") == ranks


PERIODIC = """
import sys
from pathlib import Path
import numpy as np
from mpi4py import MPI
from dolfinx import fem, mesh
from scifem.periodic import create_periodic_mesh
from chemomech.output import checkpoint, nodes
from tests.test_output import grid, partitioner
import basix.ufl
comm, place, dim = MPI.COMM_WORLD, Path(sys.argv[2]), int(sys.argv[3])
n = 4
points, cells = grid(n, dim)
# Another order of nodes and cells: what is merged must not depend on which of two numbers is smaller.
rng = np.random.default_rng(4)
order = rng.permutation(len(points))
cells = np.argsort(order)[cells][rng.permutation(len(cells))]
points = points[order]
some = slice(None) if comm.rank == 0 else slice(0)
element = basix.ufl.element("Lagrange", ("triangle", "tetrahedron")[dim - 2], 1, shape=(dim,))
m = mesh.create_mesh(comm, cells[some], element, points[some], partitioner())
def shift(x):
    y = x.copy()
    y[0] -= 2
    return y
m = create_periodic_mesh(m, lambda x: np.isclose(x[0], 1), shift)[0]
assert m.geometry.index_map().size_global == len(points)
middle = m.geometry.x[m.geometry.dofmaps[0]].mean(axis=1)
below = np.flatnonzero(middle[:, 1] < 0).astype(np.int32)
above = np.flatnonzero(middle[:, 1] > 0).astype(np.int32)
spaces, numbers = {"u": fem.functionspace(m, ("P", 1, (dim,))), "d": fem.functionspace(m, ("DG", 1))}, {}
for name, part in (("below", below), ("above", above)):
    sub, _, _, of_parent = mesh.create_submesh(m, dim, part)
    spaces[name] = fem.functionspace(sub, ("P", 1))
    numbers[name] = m.geometry.input_global_indices[of_parent]
functions = {k: fem.Function(v) for k, v in spaces.items()}
where = {k: nodes.layout(v, numbers.get(k)) for k, v in spaces.items()}
where_own = {k: nodes.layout(v) for k, v in spaces.items()}  # a submesh knows them itself
assert all(np.array_equal(where[k].nodes, where_own[k].nodes) for k in spaces)
assert [where[k].place for k in spaces] == ["nodes", "corners", "nodes", "nodes"]
def value(x):  # of period 2 along x
    return np.cos(np.pi * x[0]) + np.sin(np.pi * x[0]) + x[1] ** 2 + (x[2] if dim == 3 else 0)
def fill():
    functions["u"].interpolate(lambda x: np.vstack([(k + 1) * value(x) for k in range(dim)]))
    functions["d"].interpolate(lambda x: value(x) + x[0])  # jumps where the sides meet
    functions["below"].interpolate(lambda x: value(x))
    functions["above"].interpolate(lambda x: 3 * value(x))
    for f in functions.values():
        f.x.scatter_forward()
if sys.argv[1] == "write":
    fill()
    sizes = dict.fromkeys(spaces, len(points)) | {"d": len(cells) * (dim + 1)}
    arrays = {}
    for k, f in functions.items():
        f.x.array[f.function_space.dofmap.index_map.size_local * f.function_space.dofmap.bs:] = np.nan  # stale ghosts
        arrays[k] = checkpoint.Nodal.of(f, where[k], sizes[k])
    everything = {k: np.concatenate(comm.allgather(a.index)) for k, a in arrays.items()}
    for k, index in everything.items():
        assert len(np.unique(index)) == len(index), k  # each number once
    half = set(np.flatnonzero(points[:, 1] < 1e-9)), set(np.flatnonzero(points[:, 1] > -1e-9))
    assert set(everything["u"]) == set(range(len(points))) and len(everything["d"]) == sizes["d"]
    assert set(everything["below"]) == half[0] and set(everything["above"]) == half[1]
    checkpoint.write(place, comm, 1, arrays, {})
else:
    found = checkpoint.load_latest(place, comm)
    for k, f in functions.items():
        f.x.array[:] = np.nan
        found.restore(k, f, where[k])
    got = {k: f.x.array.copy() for k, f in functions.items()}
    fill()
    for k, f in functions.items():
        assert np.abs(got[k] - f.x.array).max() < 1e-13, k
    # All copies of a node are there: in the order of the input, the file is the function at the points.
    every = np.arange(len(points))
    assert np.allclose(found.values("u", every)[:, 0], value(np.pad(points, ((0, 0), (0, 3 - dim))).T), atol=1e-13)
    corners = found.values("d", np.arange(len(cells) * (dim + 1)))[:, 0].reshape(cells.shape)
    x = np.pad(points, ((0, 0), (0, 3 - dim)))[cells]
    assert np.allclose(corners, value(np.moveaxis(x, -1, 0)) + x[:, :, 0], atol=1e-13)
print("good", comm.rank)
"""


@pytest.mark.mpi
@pytest.mark.parametrize(("dim", "written", "read"), [(2, 1, 3), (2, 2, 1), (2, 3, 2), (3, 2, 3), (3, 3, 2)])
def test_periodic_bodies_continue_on_other_ranks(tmp_path: Path, dim: int, written: int, read: int) -> None:
    script = tmp_path / "periodic.py"
    script.write_text(PERIODIC)
    assert mpirun(written, script, "write", tmp_path / "checkpoint", dim).count("good") == written
    assert mpirun(read, script, "read", tmp_path / "checkpoint", dim).count("good") == read


def test_exact_and_pruned(tmp_path: Path) -> None:
    assert checkpoint.load_latest(tmp_path / "none", SELF) is None
    for step in (0, 5, 10, 999_999, 1_000_000):
        values = save(tmp_path, step)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == [f"step-{s}.{e}" for s in ("1000000", "999999") for e in ("h5", "json")]
    found = checkpoint.load_latest(tmp_path, SELF)
    assert found is not None and found.step == 1_000_000 and found.meta == {"time": 1_000_000 / 3}
    backward = np.arange(50)[::-1].copy()
    assert np.array_equal(found.values("u", backward), values[::-1])
    assert np.array_equal(found.values("c", backward)[:, 0], values[::-1, 0])
    with pytest.raises(KeyError, match="no array 'mu'"):
        found.values("mu", backward)


def test_steps_after_the_restart_go(tmp_path: Path) -> None:
    for step in (10, 20):
        save(tmp_path, step)
    (tmp_path / "step-000030.h5").write_bytes(b"never finished")
    save(tmp_path, 15)
    assert sorted(p.stem for p in tmp_path.glob("*.h5")) == ["step-000010", "step-000015"]


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def no_side(path: Path) -> None:
    path.with_suffix(".json").write_text("{")


DAMAGE = {"truncated": truncate, "flipped": flip, "empty": empty, "gone": Path.unlink, "side": no_side}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_the_one_before_a_damaged_one_is_used(tmp_path: Path, damage, caplog: pytest.LogCaptureFixture) -> None:
    values = save(tmp_path, 10)
    save(tmp_path, 20)
    damage(tmp_path / "step-000020.h5")
    with caplog.at_level(logging.WARNING):
        found = checkpoint.load_latest(tmp_path, SELF)
    assert found is not None and found.step == 10 and "step-000020.h5 can't be used" in caplog.text
    assert np.array_equal(found.values("u", np.arange(50)), values)
    damage(tmp_path / "step-000010.h5")
    with pytest.raises(OutputError, match=r"No checkpoint in .* can be used .*--overwrite"):
        checkpoint.load_latest(tmp_path, SELF)


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    save(tmp_path, 1, n=3)
    path = tmp_path / "step-000001.h5"
    good = path.read_bytes()
    for place in range(0, len(good), 97):
        path.write_bytes(good[:place] + bytes([good[place] ^ 0x10]) + good[place + 1 :])
        with pytest.raises(OutputError, match="content has changed"):
            checkpoint.load_latest(tmp_path, SELF)


def test_missing_values_are_an_error(tmp_path: Path) -> None:
    part = Nodal(np.array([1, 3]), np.array([7.0, np.nan]), 5)
    checkpoint.write(tmp_path, SELF, 0, {"g": part}, {})
    found = checkpoint.load_latest(tmp_path, SELF)
    assert found is not None
    assert np.array_equal(found.values("g", np.array([3, 1])), [[np.nan], [7.0]], equal_nan=True)
    with pytest.raises(OutputError, match="no value of g at some nodes"):
        found.values("g", np.array([1, 2]))


@pytest.mark.parametrize("index", [[0, 0], [0, 2], [-1, 0], [0]])
def test_wrong_numbers_are_refused(tmp_path: Path, index: list[int]) -> None:
    with pytest.raises(ValueError, match="c: "):
        checkpoint.write(tmp_path, SELF, 0, {"c": Nodal(np.array(index), np.zeros(2), 2)}, {})
    with pytest.raises(ValueError, match="at least one"):
        checkpoint.write(tmp_path, SELF, 0, {}, {}, keep=0)
    with pytest.raises(TypeError, match="object can't be stored"):
        checkpoint.write(tmp_path, SELF, 0, {}, {"x": object()})
    assert not list(tmp_path.iterdir())


def test_mesh_damage_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="can't be used"):
        checkpoint.read_mesh_arrays(tmp_path, SELF)
    with pytest.raises(ValueError, match="not tags"):
        checkpoint.write_mesh_arrays(tmp_path, SELF, {"tags": np.array([{}])})
    checkpoint.write_mesh_arrays(tmp_path, SELF, {"points": np.eye(3)})
    assert np.array_equal(checkpoint.read_mesh_arrays(tmp_path, SELF)["points"], np.eye(3))
    flip(tmp_path / "mesh.npz")
    with pytest.raises(OutputError, match="content has changed"):
        checkpoint.read_mesh_arrays(tmp_path, SELF)


@pytest.mark.parametrize("when", ["os.write", "os.fsync", "os.replace"])
def test_a_full_disk_keeps_what_was_there(tmp_path: Path, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = save(tmp_path, 10)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(folder.os, when.removeprefix("os."), refuse)
        with pytest.raises(OutputError, match=r"Can't write .*step-000020.h5: No space left .* --resume") as caught:
            save(tmp_path, 20)
    assert caught.value.exit_code == 5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-000010.h5", "step-000010.json"]
    found = checkpoint.load_latest(tmp_path, SELF)
    assert found is not None and np.array_equal(found.values("u", np.arange(50)), values)


WRITER = """
import sys
from pathlib import Path
import numpy as np
from mpi4py import MPI
from chemomech.output import checkpoint
place, step, comm = Path(sys.argv[1]), int(sys.argv[2]), MPI.COMM_SELF
index = np.arange(20000)
while True:
    step += 1
    values = np.full((index.size, 3), float(step))
    checkpoint.write(place, comm, step, {"u": checkpoint.Nodal(index, values, index.size)}, {"step": step})
    print(step, flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    script, place, dice = tmp_path / "writer.py", tmp_path / "checkpoint", random.Random(1)
    script.write_text(WRITER)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = 0
    for _ in range(8):
        with subprocess.Popen(
            [sys.executable, str(script), str(place), str(done)], stdout=subprocess.PIPE, text=True, env=environment
        ) as writer:
            assert writer.stdout is not None
            first = int(writer.stdout.readline())
            time.sleep(0.15 * dice.random())
            writer.send_signal(signal.SIGKILL)
            reported = [first, *(int(line) for line in writer.stdout.read().splitlines())]
        found = checkpoint.load_latest(place, SELF)
        assert found is not None and found.step >= reported[-1] > done and found.meta["step"] == found.step
        assert np.all(found.values("u", np.arange(20000)) == found.step)
        assert len(list(place.glob("*.h5"))) <= 4
        done = found.step
        json.loads(found.path.with_suffix(".json").read_text())
