"""On several ranks a test ends the same way on all: garbage is collected together, a failure stops every rank."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest
from mpi4py import MPI


def pytest_exception_interact(report: pytest.TestReport | pytest.CollectReport) -> None:
    """The ranks that did not fail would wait for ever for the one that did."""
    if MPI.COMM_WORLD.size > 1:
        sys.__stderr__.write(f"rank {MPI.COMM_WORLD.rank}: {report.nodeid} failed\n{report.longreprtext}\n")
        sys.__stderr__.flush()
        MPI.COMM_WORLD.Abort(1)


@pytest.fixture(autouse=True)
def _collect_together() -> Iterator[None]:
    yield
    if MPI.COMM_WORLD.size > 1:
        gc.collect()
        MPI.COMM_WORLD.Barrier()
