"""Tests on several ranks end the same way on all, and tests shared by several processes (``-n 2``) get on together."""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mpi4py import MPI

from tests import networks
from tests.tools import record

BEGUN: pytest.StashKey[float] = pytest.StashKey()
SEVERAL = 2
"""On several ranks a test runs with at most so many of its parameters, the first and the last."""


def pytest_configure(config: pytest.Config) -> None:
    """For ``-n``: kernels that several want are compiled by one, the others wait for them; ranks give way when idle."""
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        place = Path(tempfile.mkdtemp(prefix="chemomech-tests-"))
        (place / "dolfinx").mkdir()
        (place / "dolfinx" / "dolfinx_jit_options.json").write_text(json.dumps({"timeout": 300}))
        config.add_cleanup(lambda: shutil.rmtree(place, ignore_errors=True))
        os.environ |= {"XDG_CONFIG_HOME": str(place), "OMPI_MCA_mpi_yield_when_idle": "1"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On several ranks a selection, if asked for."""
    if MPI.COMM_WORLD.size > 1 and os.environ.get("CHEMOMECH_FEW"):
        variants: dict[str, list[pytest.Item]] = {}
        for item in items:
            variants.setdefault(item.nodeid.partition("[")[0], []).append(item)
        kept = [
            item for found in variants.values() for item in (found if len(found) <= SEVERAL else (found[0], found[-1]))
        ]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


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
    whole = session.config.option.markexpr == "not container" and session.testscollected > 1000
    if whole and exitstatus == 0 and "PYTEST_XDIST_WORKER" not in os.environ:
        record("timing_tests", seconds=time.monotonic() - session.config.stash[BEGUN])


@pytest.fixture(autouse=True)
def _collect_together() -> Iterator[None]:
    yield
    while networks.begun_here:
        networks.begun_here.pop().destroy()
    if MPI.COMM_WORLD.size > 1:
        gc.collect()
        MPI.COMM_WORLD.Barrier()
