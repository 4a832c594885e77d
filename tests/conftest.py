"""On several ranks a test ends the same way on all: garbage is collected together, a failure stops every rank."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator

import pytest
from mpi4py import MPI

from tests import networks
from tests.tools import record

BEGUN: pytest.StashKey[float] = pytest.StashKey()


def pytest_exception_interact(report: pytest.TestReport | pytest.CollectReport) -> None:
    """The ranks that did not fail would wait for ever for the one that did."""
    if MPI.COMM_WORLD.size > 1:
        sys.__stderr__.write(f"rank {MPI.COMM_WORLD.rank}: {report.nodeid} failed\n{report.longreprtext}\n")
        sys.__stderr__.flush()
        MPI.COMM_WORLD.Abort(1)


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[BEGUN] = time.monotonic()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """How long the README's test command took, for docs/verification.md."""
    if session.config.option.markexpr == "not container" and exitstatus == 0 and session.testscollected > 1000:
        record("timing_tests", seconds=time.monotonic() - session.config.stash[BEGUN])


@pytest.fixture(autouse=True)
def _collect_together() -> Iterator[None]:
    yield
    while networks.begun_here:
        networks.begun_here.pop().destroy()
    if MPI.COMM_WORLD.size > 1:
        gc.collect()
        MPI.COMM_WORLD.Barrier()
