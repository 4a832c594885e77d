"""The errors a user can meet; each carries the exit code of the command line."""

from __future__ import annotations

from pathlib import Path


class ChemomechError(Exception):
    """Base of all errors raised on purpose; ``exit_code`` is what the command line returns."""

    exit_code = 1


class CaseError(ChemomechError):
    """The input is wrong.

    Args:
        key: Dotted key of the offending entry, for example ``materials.llzo.interaction``.
        value: What was given.
        problem: What is wrong with it, in words.
        allowed: What would be accepted, and what to do.
        file: The file it stands in, if any.
        line: Line in that file, counted from 1.
    """

    exit_code = 2

    def __init__(
        self,
        key: str,
        value: object,
        problem: str,
        allowed: str = "",
        *,
        file: str | Path | None = None,
        line: int | None = None,
    ) -> None:
        self.key, self.value, self.problem, self.allowed = key, value, problem, allowed
        self.file, self.line = file, line
        super().__init__(self._message())

    def _message(self) -> str:
        where = ""
        if self.file is not None:
            where = f"{self.file}{f', line {self.line}' if self.line else ''}: "
        shown = "" if self.value is None else f" = {self.value!r}"
        allowed = f" Allowed: {self.allowed.rstrip('.')}." if self.allowed else ""
        return f"{where}{self.key}{shown}: {self.problem.rstrip('.')}.{allowed}"

    def located(self, file: str | Path | None, line: int | None) -> CaseError:
        """The same error with the place where the entry was written."""
        return CaseError(self.key, self.value, self.problem, self.allowed, file=file, line=line)


class ConvergenceError(ChemomechError):
    """The solver gave up; no unconverged field is ever returned.

    Attributes:
        field: The unknown whose equation is furthest from being solved.
        history: Residual of each unknown per Newton iteration, relative to the size of its terms.
        worst_point: Coordinates in m of the node with the largest residual of ``field``.
        time, step_size: Time reached and step tried, in s.
        checkpoint: Last good checkpoint, if one was written.
    """

    exit_code = 3

    def __init__(
        self,
        reason: str,
        *,
        field: str,
        history: list[dict[str, float]],
        worst_point: tuple[float, ...],
        advice: str,
        time: float = 0.0,
        step_size: float = 0.0,
        checkpoint: Path | None = None,
    ) -> None:
        self.reason, self.field, self.history, self.worst_point = reason, field, history, worst_point
        self.advice, self.time, self.step_size, self.checkpoint = advice, time, step_size, checkpoint
        super().__init__(reason)

    def __str__(self) -> str:
        trail = ", ".join(f"{h[self.field]:.1e}" for h in self.history[-6:])
        point = ", ".join(f"{x:.4g}" for x in self.worst_point)
        kept = f" The last good checkpoint is {self.checkpoint}." if self.checkpoint else ""
        return (
            f"No solution at t = {self.time:.6g} s with a step of {self.step_size:.3g} s: {self.reason}. "
            f"The equation of {self.field} is the worst; its relative residual went {trail or 'nowhere'}, "
            f"largest at ({point}) m. {self.advice}{kept}"
        )


class OutputExistsError(ChemomechError):
    """The output folder already holds a run."""

    exit_code = 4


class OutputError(ChemomechError):
    """Results can't be written (read-only folder, full disk)."""

    exit_code = 5
