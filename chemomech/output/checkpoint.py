"""Checkpoints: nodal values by input number, so that a run continues on any number of ranks.

``checkpoint/step-000012.h5`` holds the arrays and, as JSON text, the numbers of the run; the small
``step-000012.json`` beside it, written last, holds the size and the SHA-256 of the former. A checkpoint
without it was never finished. ``mesh.npz`` and ``mesh.json`` hold the mesh in the same manner.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from chemomech.errors import OutputError
from chemomech.output.folder import write_atomic, writing
from chemomech.output.nodes import Layout
from chemomech.parallel import gather_rows, on_rank_zero, scatter_rows
from chemomech.typing import Array, Function, Longs

_LOG = logging.getLogger(__name__)
_FORMAT = 1


@dataclass(frozen=True)
class Nodal:
    """This rank's share of an array over the nodes (or cells) of a mesh.

    Attributes:
        index: Input number of each entry this rank answers for, shape (n,).
        values: Shape (n,) or (n, k), the same k on every rank.
        size: Number of entries of the whole array; those nobody owns are remembered as missing.
    """

    index: Longs
    values: Array
    size: int

    @classmethod
    def of(cls, function: Function, where: Layout, size: int) -> Nodal:
        """The values of a function of the space that ``where`` describes (see `nodes.layout`). Collective."""
        function.x.scatter_forward()
        return cls(*where.entries(function), size)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was found whole.

    Attributes:
        path: The HDF5 file.
        step: Number of accepted steps.
        meta: What the run stored beside the arrays; numbers come back exactly.
        names: Names of the arrays.
        comm: The ranks that read it.
    """

    path: Path
    step: int
    meta: dict[str, Any]
    names: tuple[str, ...]
    comm: MPI.Comm = field(repr=False)

    def values(self, name: str, index: Longs) -> Array:
        """Values of the array ``name`` at the input numbers ``index``, which each rank chooses. Collective.

        Returns:
            Shape (len(index), k).

        Raises:
            KeyError: There is no such array.
            OutputError: The file can't be read, or the array has no value at some of the numbers.
        """
        if name not in self.names:
            raise KeyError(f"no array {name!r} in {self.path}; there are {', '.join(self.names)}")
        wanted = np.ascontiguousarray(index, dtype=np.int64)
        everything = gather_rows(self.comm, wanted)
        counts = self.comm.gather(wanted.size, root=0)
        rows: Array | None = None

        def read() -> int:
            nonlocal rows
            try:
                with h5py.File(self.path, "r") as file:
                    whole, present = file["arrays"][name][...], file["present"][name][...]
            except (OSError, KeyError) as error:
                raise OutputError(f"Can't read {name} from {self.path}: {error}.") from error
            inside = (everything >= 0) & (everything < len(whole))
            if not (inside.all() and present[everything].all()):
                raise OutputError(f"{self.path} has no value of {name} at some nodes: it belongs to another mesh.")
            rows = whole[everything]
            return int(whole.shape[1])

        width = on_rank_zero(self.comm, read)
        mine = np.empty((wanted.size, width), np.float64)
        scatter_rows(self.comm, rows, counts, mine)
        return mine

    def restore(self, name: str, function: Function, where: Layout) -> None:
        """Set a function of the space that ``where`` describes, ghosts included. Collective; raises as `values`."""
        mine = self.values(name, where.numbers)
        function.x.array[: mine.size] = mine.ravel()
        function.x.scatter_forward()


def write(
    folder: Path,
    comm: MPI.Comm,
    step: int,
    arrays: Mapping[str, Nodal],
    meta: Mapping[str, Any],
    keep: int = 2,
) -> Path:
    """Write a checkpoint: at every moment the folder holds whole ones. Collective.

    Checkpoints of later steps, left by a run that was taken back to an earlier one, are removed, and so are
    all but the newest ``keep``. Rank 0 holds the whole of it in memory for a moment.

    Args:
        folder: The folder of the checkpoints; made if need be.
        comm: All ranks call this, with the same names in the same order.
        step: Number of accepted steps.
        arrays: Each rank's share of every array.
        meta: Numbers, texts, lists and dictionaries of them; rank 0's count.
        keep: How many to keep, at least 1.

    Returns:
        Path of the HDF5 file.

    Raises:
        OutputError: The files can't be written; the checkpoints before this one are still there.
        ValueError: An entry is given twice or lies outside its array, or ``keep`` is not positive.
    """
    if keep < 1:
        raise ValueError(f"at least one checkpoint must be kept, not {keep}")
    path = folder / f"step-{step:06d}.h5"
    image = io.BytesIO()
    file: h5py.File | None = None

    def begin() -> None:
        nonlocal file
        file = h5py.File(image, "w")
        file["meta"] = np.frombuffer(json.dumps(dict(meta), default=_plain).encode(), np.uint8)
        file.attrs["format"], file.attrs["step"] = _FORMAT, step

    try:
        on_rank_zero(comm, begin)
        for name, nodal in arrays.items():
            _add(comm, file, name, nodal)
    finally:
        if file is not None:
            file.close()

    def save() -> None:
        _save(path, image.getvalue(), {"step": step})
        _prune(folder, step, keep)

    on_rank_zero(comm, save)
    return path


def load_latest(folder: Path, comm: MPI.Comm) -> Checkpoint | None:
    """The newest checkpoint that is whole; a warning is logged for each one that is not. Collective.

    Returns:
        None if no checkpoint was ever finished.

    Raises:
        OutputError: There are checkpoints, and all of them are damaged.
    """

    def find() -> tuple[Path, int, dict[str, Any], tuple[str, ...]] | None:
        damage: list[str] = []
        for side in sorted(folder.glob("step-*.json"), key=_step_of, reverse=True):
            path = side.with_suffix(".h5")
            try:
                file = h5py.File(io.BytesIO(_load(path)), "r")
                meta, names = json.loads(file["meta"][...].tobytes()), tuple(file["arrays"])
                step = int(file.attrs["step"])
                if int(file.attrs["format"]) != _FORMAT:
                    raise ValueError(f"it has format {file.attrs['format']}, this version reads {_FORMAT}")
                return path, step, meta, names
            except (OSError, ValueError, KeyError) as error:
                damage.append(f"{path.name}: {error}")
                _LOG.warning("the checkpoint %s can't be used (%s); trying the one before it", path, error)
        if damage:
            raise OutputError(
                f"No checkpoint in {folder} can be used ({'; '.join(damage)}). Start again with --overwrite."
            )
        return None

    found = on_rank_zero(comm, find)
    return None if found is None else Checkpoint(*found, comm)


def write_mesh_arrays(folder: Path, comm: MPI.Comm, arrays: Mapping[str, NDArray[Any]] | None) -> None:
    """Store the arrays the mesh is made from, as rank 0 holds them (the others may pass None). Collective.

    Raises:
        OutputError: The file can't be written.
        ValueError: An array holds Python objects.
    """

    def save() -> None:
        held = {name: np.asarray(a) for name, a in (arrays or {}).items()}
        if odd := [name for name, a in held.items() if a.dtype.hasobject]:
            raise ValueError(f"mesh arrays of plain numbers or texts only, not {', '.join(odd)}")
        image = io.BytesIO()
        np.savez(image, **held)  # type: ignore[arg-type]
        _save(folder / "mesh.npz", image.getvalue(), {})

    on_rank_zero(comm, save)


def read_mesh_arrays(folder: Path, comm: MPI.Comm) -> dict[str, NDArray[Any]]:
    """The arrays `write_mesh_arrays` stored, on rank 0; an empty dictionary on the others. Collective.

    Raises:
        OutputError: They are missing or damaged.
    """
    arrays: dict[str, NDArray[Any]] = {}

    def load() -> None:
        path = folder / "mesh.npz"
        try:
            with np.load(io.BytesIO(_load(path)), allow_pickle=False) as stored:
                arrays.update({name: stored[name] for name in stored.files})
        except (OSError, ValueError, KeyError) as error:
            raise OutputError(f"The mesh in {path} can't be used: {error}. Start again with --overwrite.") from error

    on_rank_zero(comm, load)
    return arrays


def _add(comm: MPI.Comm, file: h5py.File | None, name: str, nodal: Nodal) -> None:
    """Gather one array and store it in the order of the input numbers; rank 0 has the file."""
    index = gather_rows(comm, np.asarray(nodal.index, np.int64))
    values = np.asarray(nodal.values, np.float64)
    rows = gather_rows(comm, values[:, None] if values.ndim == 1 else values)

    def store() -> None:
        if len(index) != len(rows) or np.any((index < 0) | (index >= nodal.size)):
            raise ValueError(f"{name}: each value needs one number in 0 ... {nodal.size - 1}")
        times = np.bincount(index, minlength=nodal.size)
        if times.max(initial=0) > 1:
            raise ValueError(f"{name}: entry {int(times.argmax())} is given {int(times.max())} times")
        dense = np.full((nodal.size, rows.shape[1]), np.nan)
        dense[index] = rows
        if file is not None:
            file[f"arrays/{name}"], file[f"present/{name}"] = dense, times.astype(bool)

    on_rank_zero(comm, store)


def _prune(folder: Path, step: int, keep: int) -> None:
    """Remove later checkpoints, all but the newest ``keep``, and what was never finished. Rank 0 only."""
    with writing(folder):
        finished = sorted(folder.glob("step-*.json"), key=_step_of, reverse=True)
        stay = [side for side in finished if _step_of(side) <= step][:keep]
        for side in finished:
            if side not in stay:
                side.unlink()
        for path in folder.glob("step-*.h5"):
            if path.with_suffix(".json") not in stay:
                path.unlink()


def _save(path: Path, data: bytes, extra: dict[str, Any]) -> None:
    """Write the content, then the side file that vouches for it."""
    write_atomic(path, data)
    side = {"format": _FORMAT, **extra, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    write_atomic(path.with_suffix(".json"), json.dumps(side, indent=1) + "\n")


def _load(path: Path) -> bytes:
    """The content, checked against its side file; raises OSError, ValueError or KeyError."""
    side = json.loads(path.with_suffix(".json").read_text())
    data = path.read_bytes()
    if len(data) != side["size"]:
        raise ValueError(f"it has {len(data)} bytes instead of {side['size']}")
    if hashlib.sha256(data).hexdigest() != side["sha256"]:
        raise ValueError("its content has changed since it was written")
    return data


def _step_of(path: Path) -> int:
    match = re.fullmatch(r"step-(\d+)", path.stem)
    return int(match[1]) if match else -1


def _plain(value: object) -> object:
    """NumPy numbers and arrays as JSON knows them."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} can't be stored in a checkpoint")
