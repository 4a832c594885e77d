"""How far the computation is: a bar on a terminal, plain lines elsewhere, and ``run.log``. Rank 0 only."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from chemomech.output.folder import writing
from chemomech.output.protocol import Snapshot
from chemomech.parallel import on_rank_zero

if TYPE_CHECKING:
    from mpi4py import MPI
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

_LOG = logging.getLogger(__name__)
_UNITS = ((86400.0 * 365.25, "a"), (86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
_SMALL = ((1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"), (1e-12, "ps"))


class Progress:
    """Tells how far the run is, and keeps ``run.log``.

    On a terminal a bar moves with every step and every Newton iteration; elsewhere a line is printed at most
    every ``interval`` seconds. Other ranks print nothing. May be used as ``with`` block, which
    restores the terminal and closes the log after a failure too.

    Args:
        end: Time at which the run ends, s; None in equilibrium mode, which has no time.
        log: Path of ``run.log``; None for no log. A log that is there is continued.
        show: Whether anything is shown; the log is kept all the same.
        stream: Where to show it; the standard output if None.
        interval: Least time between two plain lines, s.
    """

    def __init__(
        self,
        end: float | None,
        *,
        log: Path | None = None,
        show: bool = True,
        stream: TextIO | None = None,
        interval: float = 5.0,
    ) -> None:
        self.end, self.log, self.show, self.interval = end, log, show, interval
        self.stream = stream
        self._rank = -1
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._handler: _LogFile | None = None
        self._level = logging.NOTSET
        self._began = self._said = 0.0
        self._pace: deque[float] = deque(maxlen=20)
        self._warned = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self._rank == 0:
            _LOG.error("%s: %s", type(error).__name__, error)
        self.stop()

    def note(self, comm: MPI.Comm, text: str) -> None:
        """Tell a line before the run itself begins. Raises OutputError if the log can't be opened. Collective."""
        self._rank = comm.rank
        on_rank_zero(comm, self._open_log)
        if self._rank == 0:
            _LOG.info("%s", text)
            self._say(text, now=True)

    def open(self, snapshot: Snapshot) -> None:
        """Begin. Raises OutputError if the log can't be opened."""
        self._rank = snapshot.comm.rank
        on_rank_zero(snapshot.comm, self._open_log)
        if self._rank != 0:
            return
        self._began = time.monotonic()
        self._said = -float("inf")
        self._pace.append(self._began)
        stream = self.stream if self.stream is not None else sys.stdout
        if self.show and on_terminal(stream):
            self._bar, self._task = _bar(stream, self.end)
            self._bar.start()
        size = "rank" if snapshot.comm.size == 1 else "ranks"
        _LOG.info("began at %s on %d %s", self._where(snapshot), snapshot.comm.size, size)
        if snapshot.step > 0:  # continued: they have been told
            self._warned = len(snapshot.warnings)
        self._warn(snapshot)
        if self._bar is not None:
            self._move(snapshot, {})

    def update(self, snapshot: Snapshot) -> None:
        """A step was accepted."""
        row = snapshot.row()
        if self._rank != 0:
            return
        self._pace.append(time.monotonic())
        self._warn(snapshot)
        text = self._line(snapshot, row)
        _LOG.info("%s", text)
        if self._bar is not None:
            self._move(snapshot, row)
        else:
            self._say(text)

    def _warn(self, snapshot: Snapshot) -> None:
        """Tell what is new among the warnings."""
        for text in snapshot.warnings[self._warned :]:
            when = "" if self.end is None else f"t = {duration(snapshot.time)}: "
            _LOG.warning("%s%s", when, text)
            if self.show and self._bar is not None:
                self._bar.console.print(f"warning: {when}{text}", markup=False, highlight=False)
            else:
                self._say(f"warning: {when}{text}", now=True)
        self._warned = len(snapshot.warnings)

    def newton(self, iteration: int, residual: float) -> None:
        """A Newton iteration was done: its number, and the residual relative to the first. Not collective."""
        if self._rank != 0:
            return
        text = f"Newton iteration {iteration}, residual {residual:.1e}"
        _LOG.debug("%s", text)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, newton=f"Newton {iteration}, {residual:.0e}")
        elif self.end is None:
            self._say(text)

    def close(self, snapshot: Snapshot) -> None:
        """The run has come to its end."""
        if self._rank == 0:
            elapsed = clock(time.monotonic() - self._began)
            if self._bar is None:
                self._say(f"{self._where(snapshot)}: done in {elapsed}", now=True)
            _LOG.info("done at %s after %s", self._where(snapshot), elapsed)
        self.stop()

    def stop(self) -> None:
        """Give the terminal back and close the log. Not collective, may be called twice."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if self._handler is not None:
            logger = logging.getLogger("chemomech")
            logger.removeHandler(self._handler)
            logger.setLevel(self._level)
            with contextlib.suppress(OSError):
                self._handler.close()
            self._handler = None

    def _open_log(self) -> None:
        if self.log is None or self._handler is not None:
            return
        with writing(self.log):
            self._handler = _LogFile(self.log, "a", encoding="utf-8")
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
        logger = logging.getLogger("chemomech")
        logger.addHandler(self._handler)
        self._level = logger.level
        if logger.getEffectiveLevel() > logging.INFO:
            logger.setLevel(logging.INFO)

    def _where(self, snapshot: Snapshot) -> str:
        step = f"step {snapshot.step}"
        return step if self.end is None else f"{step}, t = {duration(snapshot.time)}"

    def _line(self, snapshot: Snapshot, row: dict[str, float]) -> str:
        newton = row.get("newton_iterations")
        words = [f"step {snapshot.step}"]
        if self.end is not None:
            part = f" ({100 * snapshot.time / self.end:.1f} %)" if self.end > 0 else ""
            words += [f"t = {duration(snapshot.time)} of {duration(self.end)}{part}"]
            words += [f"dt = {duration(snapshot.step_size)}"]
        if newton is not None:
            words.append(f"{newton:.0f} Newton iterations")
        words.append(f"{clock(time.monotonic() - self._began)} so far")
        left = self._left(snapshot)
        if left:
            words.append(f"at most about {clock(left)} to go")
        return ", ".join(words)

    def _left(self, snapshot: Snapshot) -> float:
        """Seconds to go if the steps neither grow nor slow down; 0 if that can't be told."""
        if self.end is None or snapshot.step_size <= 0 or len(self._pace) < 2:
            return 0.0
        if snapshot.time < 0.05 * self.end:
            return 0.0  # the first steps are tiny, and say nothing about the later ones
        per_step = (self._pace[-1] - self._pace[0]) / (len(self._pace) - 1)
        return per_step * max(self.end - snapshot.time, 0.0) / snapshot.step_size

    def _move(self, snapshot: Snapshot, row: dict[str, float]) -> None:
        if self._bar is None or self._task is None:
            return
        newton = row.get("newton_iterations")
        left = self._left(snapshot)
        self._bar.update(
            self._task,
            completed=None if self.end is None else snapshot.time,
            text=self._where(snapshot) + (f" of {duration(self.end)}" if self.end is not None else ""),
            newton="" if newton is None else f"Newton {newton:.0f}",
            size=f"dt {duration(snapshot.step_size)}" if self.end is not None and snapshot.step_size > 0 else "",
            left=f"< {clock(left)}" if left else "",
        )

    def _say(self, text: str, *, now: bool = False) -> None:
        moment = time.monotonic()
        if self.show and (now or moment - self._said >= self.interval):
            self._said = moment
            print(text, file=self.stream if self.stream is not None else sys.stdout, flush=True)


class _LogFile(logging.FileHandler):
    """A log that never stops the run: a full disk is reported by the files that matter."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop the line."""


def on_terminal(stream: TextIO) -> bool:
    """Whether somebody watches: mpirun gives its ranks a terminal even where its own output goes to a file."""
    if not stream.isatty():
        return False
    if not any(name in os.environ for name in ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK")):
        return True
    try:
        return os.readlink(f"/proc/{os.getppid()}/fd/1").startswith(("/dev/pts/", "/dev/tty"))
    except OSError:  # the launcher is elsewhere
        return False


def _bar(stream: TextIO, end: float | None) -> tuple[Bar, TaskID]:
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    numbers = [TextColumn("{task.fields[" + name + "]}") for name in ("text", "size", "newton")]
    last = [TimeElapsedColumn(), TextColumn("{task.fields[left]}")]
    first = [SpinnerColumn()] if end is None else [BarColumn(bar_width=24), TextColumn("{task.percentage:>4.0f}%")]
    bar = Bar(*first, *numbers, *last, console=Console(file=stream), refresh_per_second=4)
    return bar, bar.add_task("", total=end, text="", size="", newton="", left="")


def duration(seconds: float) -> str:
    """A physical time with three digits and a unit that suits it: ``2.5 h``, ``30 µs``."""
    for size, unit in (*_UNITS, *_SMALL):
        if seconds >= size * (1 - 1e-12):
            number = seconds / size
            return f"{number:.3g} {unit}" if number < 1e4 else f"{number:.2e} {unit}"
    return f"{seconds:.2e} s" if seconds else "0 s"


def clock(seconds: float) -> str:
    """A waiting time: ``0:07``, ``12:34``, ``5:01:00``."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
