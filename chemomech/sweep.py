"""Many variants of a case: each in a process and a folder of its own, one line in ``results.csv`` per finished row."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from chemomech.case import Case
from chemomech.case.reading import plain
from chemomech.case.variants import LatinHypercube, Row, Sweep
from chemomech.errors import CaseError
from chemomech.output.folder import write_atomic

__all__ = ["LatinHypercube", "Sweep", "run_row", "run_sweep"]


def run_sweep(
    sweep: Sweep,
    out: str | Path,
    executor: Executor | None = None,
    resume: bool = True,
    *,
    workers: int | None = None,
    tell: Callable[[Row], None] | None = None,
) -> list[Row]:
    """Compute all rows; a row that fails does not stop the others.

    Args:
        sweep: What to compute.
        out: Folder of ``results.csv`` and of the rows' folders; workers elsewhere must see it under this path.
        executor: Where rows are started, such as that of a Dask client; threads of this process if None.
            Each row is computed by a process of its own, so any kind will do.
        resume: Skip rows that are done and continue those that were stopped; otherwise compute all afresh.
        workers: Rows at once where ``executor`` is None; the number of cores if None.
        tell: Called with each finished row.

    Returns:
        One dictionary per row: ``row``, ``folder``, the changes, ``exit_code``, the outputs, ``error``.

    Raises:
        CaseError: If the base case, or every single row, is wrong.
        OutputError: If ``results.csv`` can't be written.
    """
    place = Path(out).absolute()
    rows, cases, errors = _prepared(sweep)
    width = max(4, len(str(len(rows))))
    folders = [f"{i:0{width}}-{_label(changes)}" for i, changes in enumerate(rows)]
    keys = list(dict.fromkeys(key for changes in rows for key in changes))
    results: dict[int, Row] = {}

    def finish(i: int, code: int, error: str) -> None:
        row = {"row": i, "folder": folders[i], **rows[i], "exit_code": code, "error": error}
        row |= _numbers(place / folders[i] / "summary.json", sweep.outputs) if code == 0 else {}
        results[i] = row
        write_atomic(place / "results.csv", _csv([results[k] for k in sorted(results)], keys))
        if tell is not None:
            tell(row)

    pool = executor if executor is not None else ThreadPoolExecutor(workers or len(os.sched_getaffinity(0)))
    futures: dict[Future[tuple[int, str]], int] = {}
    try:
        for i, (case, error) in enumerate(zip(cases, errors, strict=True)):
            if case is None:
                finish(i, CaseError.exit_code, error)
            else:
                futures[pool.submit(run_row, str(place / folders[i]), case.to_toml(), resume)] = i
        for future in as_completed(futures):
            try:
                code, error = future.result()
            except Exception as failure:  # the worker itself was lost
                code, error = 1, f"{type(failure).__name__}: {failure}"
            finish(futures[future], code, error)
    except BaseException:
        for future in futures:
            future.cancel()
        _stop_all()
        raise
    finally:
        if executor is None:
            pool.shutdown(cancel_futures=True)
    return [results[i] for i in range(len(rows))]


def _prepared(sweep: Sweep) -> tuple[list[Row], list[Case | None], list[str]]:
    base, rows = sweep.base(), list(sweep.rows())
    cases: list[Case | None] = []
    errors: list[str] = []
    first: CaseError | None = None
    for changes in rows:
        try:
            cases.append(base.replace(changes))
            errors.append("")
        except CaseError as error:
            first = first or error
            cases.append(None)
            errors.append(str(error))
    if first is not None and not any(cases):
        raise first
    return rows, cases, errors


_STARTED: set[subprocess.Popen[str]] = set()
_LOCK = threading.Lock()
_MPI = ("OMPI_COMM", "OMPI_MCA", "PMIX_", "PMI_", "PRTE_", "HYDI_")


def run_row(folder: str, case: str, resume: bool) -> tuple[int, str]:
    """Compute one row in a process of its own; exit code and error. Sent to workers, so it takes plain texts."""
    place = Path(folder)
    stored = place / "case.toml"
    same = stored.is_file() and stored.read_text() == case
    if same and resume and (place / "summary.json").is_file():
        return 0, ""
    write_atomic(stored, case)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(_MPI)} | {"OMP_NUM_THREADS": "1"}
    again = "--resume" if same and resume else "--overwrite"
    command = [sys.executable, "-m", "chemomech", "run", folder, again, "--quiet"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    with _LOCK:
        _STARTED.add(process)
    try:
        said = process.communicate()[1].strip().split("\n")
    finally:
        with _LOCK:
            _STARTED.discard(process)
    return process.returncode, "" if process.returncode == 0 else said[-1].removeprefix("chemomech: ")


def _stop_all() -> None:
    with _LOCK:
        for process in _STARTED:
            process.terminate()


def _label(changes: Mapping[str, Any]) -> str:
    """A name for a folder: the last word of each key and its value."""
    text = "_".join(f"{key.rpartition('.')[2]}={value}" for key, value in changes.items())
    return re.sub(r"[^A-Za-z0-9=._+-]+", "-", text)[:80].strip("-._") or "base"


def _numbers(path: Path, wanted: Sequence[str]) -> Row:
    summary = json.loads(path.read_text())
    if wanted:
        return {key: summary.get(key, "") for key in wanted}
    return {key: value for key, value in summary.items() if isinstance(value, (int, float))}


def _csv(rows: Sequence[Row], keys: Sequence[str]) -> str:
    fixed = ["row", "folder", *keys, "exit_code"]
    others = [key for key in dict.fromkeys(key for row in rows for key in row) if key not in (*fixed, "error")]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*fixed, *others, "error"], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: plain(value) for key, value in row.items()} for row in rows)
    return text.getvalue()
