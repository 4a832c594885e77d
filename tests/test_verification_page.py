"""The page of verification is made from what was measured, and from nothing."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from mpi4py import MPI

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="writes files on one rank")


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_verification", ROOT / "docs" / "make_verification.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MADE_UP: dict[str, dict[str, Any]] = {
    "dislocation_elastic_0": {
        "h_over_core": [0.5, 0.25], "stress": [0.1, 0.05], "displacement": [0.02, 0.005],
        "stress_rates": [1.0], "displacement_rates": [1.4], "peak_GPa": 9.47,
    },
    "atmosphere_c0.5_chi0.0": {
        "outside": 0.003, "inside": 0.03, "y": [-1, 0, 1], "c": [0.9, 0.5, 0.1], "exact": [0.9, 0.5, 0.1],
    },
    "lmo_93_c0.5": {"peak": 0.99, "expected_peak": 0.9979, "residual": 0.5, "expected_residual": 0.788},
    "manufactured_space": {
        "divisions": [8, 16], "errors": [[4e-2] * 3, [1e-2] * 3], "rates": {"u": [2.0], "c": [2.0], "mu": [2.0]},
    },
    "manufactured_time_bdf2": {
        "steps": [20, 40], "errors": [[4e-2] * 3, [1e-2] * 3], "rates": {"u": [2.0], "c": [2.0], "mu": [1.7]},
    },
    "closed_bdf2_block": {
        "drift": 0.0, "energy_rise": 1e-14, "energy_change": [-1.0, 1e-14], "mass_drift": [0.0, 1e-15, 0.0],
    },
    "ranks_direct": {"difference": 3e-12},
    "timing_case": {"seconds": 61.0},
    "of_no_item": {"number": 1.0},
}  # fmt: skip


def line(page: str, start: str) -> str:
    (found,) = [text for text in page.splitlines() if text.startswith(f"| {start}")]
    return found


def test_without_any_record(generator: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "docs" / "page.md"
    words = ["--records", tmp_path / "nothing", "--page", out, "--figures", tmp_path / "docs" / "figures"]
    assert generator.main([str(w) for w in words]) == 0
    assert capsys.readouterr().out.startswith("0 pass, 0 FAIL, ")
    page = out.read_text(encoding="utf-8")
    assert "Figure: not measured." in page and "| pass |\n" not in page and "FAIL**" not in page
    assert "not measured" in line(page, "largest relative difference of any field")
    assert not (tmp_path / "docs" / "figures").exists()


def test_with_a_few_records(generator: ModuleType, tmp_path: Path) -> None:
    for name, values in MADE_UP.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(values))
    for _ in range(2):
        generator.make(tmp_path, tmp_path / "page.md", tmp_path / "figures")
        figures = sorted(tmp_path.glob("figures/*.png"))
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert [f.stem for f in figures] == [
        f"verification-{n}" for n in ("atmosphere", "closed", "convergence", "lmo", "manufactured")
    ]
    assert all(f"(figures/{f.name})" in page and f.stat().st_size < 120_000 for f in figures)
    assert "2.00 / 2.00 / 2.00" in line(page, "order in $h$") and line(page, "order in $h$").endswith("| pass |")
    assert line(page, "order in Δt of $u$ / $c$ / $\\mu$, BDF2").endswith("| **FAIL** |")
    assert line(page, "order in Δt of $u$ / $c$ / $\\mu$, backward").endswith("| not measured |")
    some = line(page, "order of the L2 error of stress, `elastic`")  # one angle of three
    assert "1.00 / not measured / not measured" in some and some.endswith("| not measured |")
    assert line(page, "order of the L2 error of displacement, `elastic`").endswith("| **FAIL** |")
    assert "3.0 · 10⁻¹²" in line(page, "largest relative difference of any") and "61.0" in line(page, "`chemomech run")
    assert line(page, "`chemomech run").endswith("| **FAIL** |")


def test_every_test_that_is_named_exists(generator: ModuleType) -> None:
    names = {row.test for item in generator.ITEMS for row in item({}).rows if "::" in row.test}
    assert len(names) > 15
    for name in names:
        file, function = name.split("::")
        assert f"\ndef {function}(" in (ROOT / file).read_text(), name


def test_every_section_that_is_named_exists(generator: ModuleType) -> None:
    titles = re.findall(r"^#+ (.*)$", (ROOT / "docs" / "theory.md").read_text(encoding="utf-8"), re.MULTILINE)
    slugs = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    text = "".join(item({}).statement + item({}).caption for item in generator.ITEMS)
    links = re.findall(r"\(theory\.md#([^)]*)\)", text)
    assert links and set(links) <= slugs
