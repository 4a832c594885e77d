"""``history.csv``: one row of global numbers per accepted step."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from chemomech.errors import OutputError
from chemomech.output.folder import write_all, write_atomic, writing
from chemomech.output.protocol import Snapshot
from chemomech.parallel import on_rank_zero

_LOG = logging.getLogger(__name__)


class History:
    """Writes one row per accepted step, each at once, and keeps them in memory.

    The columns ``step``, ``time`` and ``step_size`` (s) come first, then those of the row the snapshot
    gives when the history is opened. Numbers are written so that reading gives them back exactly.

    Args:
        path: The CSV file; None keeps the history in memory only.
        resume: Continue the file that is there, without the rows of steps beyond the restart.

    Attributes:
        rows: Column name to values, one per step, the same on every rank.
    """

    def __init__(self, path: Path | None, *, resume: bool = False) -> None:
        self.path, self.resume = path, resume
        self.rows: dict[str, list[float]] = {}
        self._file: int | None = None

    def open(self, snapshot: Snapshot) -> None:
        """Fix the columns and write the initial state.

        Raises:
            OutputError: The file can't be written, or the one to continue can't be read.
        """
        row, step = _row(snapshot), snapshot.step
        self.rows = {name: [] for name in row}
        path = self.path
        if path is not None:
            kept = on_rank_zero(snapshot.comm, lambda: self._begin(path, list(row), step))
            self.rows = kept
        if not self.rows["step"] or self.rows["step"][-1] < step:
            if step > 0 and path is not None and snapshot.comm.rank == 0:
                _LOG.warning("history.csv lacks the steps just before the restart at step %d", step)
            self._append(snapshot, row)

    def update(self, snapshot: Snapshot) -> None:
        """Append the row of an accepted step.

        Raises:
            OutputError: The file can't be written.
            ValueError: The snapshot gives other columns than it gave at first.
        """
        row = _row(snapshot)
        if row.keys() != self.rows.keys():
            odd = ", ".join(sorted(row.keys() ^ self.rows.keys()))
            raise ValueError(f"the columns of the history are fixed at the start, but {odd} came or went")
        self._append(snapshot, row)

    def close(self, snapshot: Snapshot) -> None:
        """Close the file; the rows stay in memory."""
        self.stop()

    def stop(self) -> None:
        """Close the file, after a failure too. Not collective, may be called twice."""
        if self._file is not None:
            descriptor, self._file = self._file, None
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def _begin(self, path: Path, names: list[str], step: int) -> dict[str, list[float]]:
        rows: dict[str, list[float]] = {name: [] for name in names}
        if self.resume and path.exists():
            old = read(path)
            if list(old) != names:
                odd = ", ".join(sorted(set(old) ^ set(names))) or "their order"
                raise OutputError(
                    f"{path} can't be continued: its columns differ from those of this run ({odd}). "
                    "Start again with --overwrite or in another folder."
                )
            keep = [i for i, s in enumerate(old["step"]) if s <= step]
            rows = {name: [old[name][i] for i in keep] for name in names}
        lines = [",".join(names), *(_line(dict(zip(names, v, strict=True))) for v in zip(*rows.values(), strict=True))]
        write_atomic(path, "\n".join(lines) + "\n")
        with writing(path):
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND)
        return rows

    def _append(self, snapshot: Snapshot, row: dict[str, float]) -> None:
        for name, value in row.items():
            self.rows[name].append(value)
        path = self.path
        if path is not None:
            on_rank_zero(snapshot.comm, lambda: self._write(path, row))

    def _write(self, path: Path, row: dict[str, float]) -> None:
        if self._file is None:
            raise OutputError(f"{path} is closed.")
        with writing(path):
            write_all(self._file, (_line({name: row[name] for name in self.rows}) + "\n").encode())


def read(path: Path) -> dict[str, list[float]]:
    """Read a history; a last line that was cut off in the middle is left out. Not collective.

    Returns:
        Column name to values, one per step.

    Raises:
        OutputError: The file can't be read, or a line of it makes no sense.
    """
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"Can't read {path}: {error}.") from error
    lines = text.split("\n")[:-1]
    names = lines[0].split(",") if lines else []
    if "step" not in names:
        raise OutputError(f"{path} is not a history: it has no column 'step'. Start again with --overwrite.")
    rows: dict[str, list[float]] = {name: [] for name in names}
    for number, line in enumerate(lines[1:], start=2):
        try:
            for name, value in zip(names, [float(v) for v in line.split(",")], strict=True):
                rows[name].append(value)
        except ValueError as error:
            raise OutputError(f"{path}, line {number}: expected {len(names)} numbers, found {line!r}.") from error
    return rows


def _row(snapshot: Snapshot) -> dict[str, float]:
    row = {"step": float(snapshot.step), "time": float(snapshot.time), "step_size": float(snapshot.step_size)}
    return row | {name: float(value) for name, value in snapshot.row().items() if name not in row}


def _line(row: dict[str, float]) -> str:
    return ",".join(repr(int(v)) if name == "step" else repr(v) for name, v in row.items())
