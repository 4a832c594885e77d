"""Every test ends the same way on all ranks: garbage with collective destructors is collected together."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from mpi4py import MPI


@pytest.fixture(autouse=True)
def _collect_together() -> Iterator[None]:
    yield
    if MPI.COMM_WORLD.size > 1:
        gc.collect()
        MPI.COMM_WORLD.Barrier()
