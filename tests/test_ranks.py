"""The same tests on two and three ranks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mpi4py import MPI

FILES = (
    "test_balances", "test_crystals", "test_dislocation", "test_equilibrium", "test_exchange", "test_forces",
    "test_free_surface", "test_grain_boundary", "test_grain_cases", "test_homologous", "test_interface",
    "test_jacobian", "test_manufactured", "test_misfits", "test_network_solutions", "test_phases", "test_sources",
    "test_substructures",
)  # fmt: skip

pytestmark = [pytest.mark.slow, pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts ranks itself")]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("ranks", [2, 3])
def test_on_several_ranks(ranks: int, name: str, tmp_path: Path) -> None:
    launch = ["mpirun", "--oversubscribe", "-n", str(ranks), sys.executable, "-m", "pytest"]
    environment = {k: v for k, v in os.environ.items() if k != "CHEMOMECH_RECORD"}
    # A place of their own: ranks that clean up old folders together get in each other's way.
    environment |= {"OMP_NUM_THREADS": "1", "PYTEST_DEBUG_TEMPROOT": str(tmp_path), "CHEMOMECH_FEW": "1"}
    # What a single rank measures well enough, or takes long, need not run again.
    leave = "not 93 and not 0.1-1.5 and not 0.9-1.5 and not order_in_time and not sphere and not sharp_lines"
    done = subprocess.run(
        [*launch, "-x", "-q", "--color=no", "-p", "no:cacheprovider", "-k", leave, f"tests/{name}.py"],
        capture_output=True, text=True, check=False, timeout=850, stdin=subprocess.DEVNULL,
        env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    assert done.stdout.count(" passed") == ranks
