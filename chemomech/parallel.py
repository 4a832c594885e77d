"""Small collective operations: every rank of ``comm`` calls them, and every rank leaves them the same way."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, overload

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray


@overload
def global_sum(comm: MPI.Comm, value: float) -> float: ...
@overload
def global_sum(comm: MPI.Comm, value: NDArray[Any]) -> NDArray[Any]: ...
def global_sum(comm: MPI.Comm, value: float | NDArray[Any]) -> float | NDArray[Any]:
    """Sum over the ranks of a number, or entry by entry of an array of one shape on all ranks."""
    return _reduce(comm, value, MPI.SUM)


@overload
def global_min(comm: MPI.Comm, value: float) -> float: ...
@overload
def global_min(comm: MPI.Comm, value: NDArray[Any]) -> NDArray[Any]: ...
def global_min(comm: MPI.Comm, value: float | NDArray[Any]) -> float | NDArray[Any]:
    """Smallest value over the ranks; a rank with nothing to say passes ``math.inf``."""
    return _reduce(comm, value, MPI.MIN)


@overload
def global_max(comm: MPI.Comm, value: float) -> float: ...
@overload
def global_max(comm: MPI.Comm, value: NDArray[Any]) -> NDArray[Any]: ...
def global_max(comm: MPI.Comm, value: float | NDArray[Any]) -> float | NDArray[Any]:
    """Largest value over the ranks; a rank with nothing to say passes ``-math.inf``."""
    return _reduce(comm, value, MPI.MAX)


def _reduce(comm: MPI.Comm, value: float | NDArray[Any], op: MPI.Op) -> float | NDArray[Any]:
    if isinstance(value, np.ndarray):
        result = np.empty_like(value, order="C")
        comm.Allreduce(np.ascontiguousarray(value), result, op=op)
        return result
    return float(comm.allreduce(float(value), op=op))


def gather_rows(comm: MPI.Comm, rows: NDArray[Any]) -> NDArray[Any]:
    """Rows of all ranks one below the other, in rank order, on rank 0; no rows on the others.

    Args:
        comm: The ranks that take part.
        rows: Array of shape (n, ...) whose n may differ between ranks; the rest of the shape and the
            type may not.
    """
    rows = np.ascontiguousarray(rows)
    counts = comm.gather(rows.size, root=0)
    if counts is None:
        comm.Gatherv(rows, None, root=0)
        return np.empty((0, *rows.shape[1:]), rows.dtype)
    flat = np.empty(sum(counts), rows.dtype)
    comm.Gatherv(rows, [flat, counts], root=0)
    width = int(np.prod(rows.shape[1:], dtype=int))
    return flat.reshape(flat.size // width if width else 0, *rows.shape[1:])


def scatter_rows(comm: MPI.Comm, rows: NDArray[Any] | None, counts: list[int] | None, like: NDArray[Any]) -> None:
    """The reverse of `gather_rows`: deal out consecutive rows of rank 0 in rank order.

    Args:
        comm: The ranks that take part.
        rows: All rows, on rank 0; ignored elsewhere.
        counts: Number of rows of each rank, on rank 0; ignored elsewhere.
        like: Receives the rows of this rank; of the type and row shape of ``rows``, C-contiguous.
    """
    if rows is None or counts is None:
        comm.Scatterv(None, like, root=0)
        return
    width = int(np.prod(rows.shape[1:], dtype=int))
    comm.Scatterv([np.ascontiguousarray(rows), [n * width for n in counts]], like, root=0)


def on_rank_zero[T](comm: MPI.Comm, f: Callable[[], T]) -> T:
    """Run ``f`` on rank 0 and return its result on every rank.

    Args:
        comm: The ranks that take part.
        f: Called on rank 0 only, so nothing in it may be collective. What it returns is pickled: keep it
            small, or return None.

    Raises:
        BaseException: What ``f`` raised, on every rank, so that nobody waits for the others.
    """
    result: list[T] = []
    error: BaseException | None = None
    if comm.rank == 0:
        try:
            result.append(f())
        except BaseException as caught:
            error = caught
    message = comm.bcast((result, None if error is None else _pack(error)) if comm.rank == 0 else None, root=0)
    if error is not None:
        raise error
    if message[1] is not None:
        raise _unpack(message[1])
    return result[0] if comm.rank == 0 else message[0][0]


def together[T](comm: MPI.Comm, f: Callable[[], T]) -> T:
    """Run ``f``, which may not be collective, on every rank, and return each rank's own result.

    Raises:
        BaseException: The error of the lowest rank on which ``f`` failed, on every rank.
    """
    result: list[T] = []
    error: BaseException | None = None
    try:
        result.append(f())
    except BaseException as caught:
        error = caught
    errors = comm.allgather(None if error is None else _pack(error))
    first = next((rank for rank, packed in enumerate(errors) if packed is not None), None)
    if first is not None:
        if first == comm.rank and error is not None:
            raise error
        raise _unpack(errors[first]) from error
    return result[0]


def _pack(error: BaseException) -> bytes:
    """An exception as bytes; exceptions whose constructor wants more than ``args`` are taken apart."""
    try:
        data = pickle.dumps(error)
        if type(pickle.loads(data)) is type(error):
            return data
    except Exception:
        pass
    try:
        return pickle.dumps((type(error), error.args, error.__dict__))
    except Exception:
        return pickle.dumps(RuntimeError(f"{type(error).__name__} on another rank: {error}"))


def _unpack(data: bytes) -> BaseException:
    content = pickle.loads(data)
    if isinstance(content, BaseException):
        return content
    kind, args, attributes = content
    error: BaseException = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error
