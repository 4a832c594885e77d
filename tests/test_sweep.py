"""Sweeps: what they compute, what they keep, what happens when rows or the whole of it fail."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from mpi4py import MPI

from chemomech import cli
from chemomech.case import Case
from chemomech.case.variants import Sweep
from chemomech.errors import CaseError
from chemomech.sweep import run_row, run_sweep

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts processes of its own")

CASE = """\
mode = "equilibrium"
[domain]
size = ["12 nm", "12 nm"]
[mesh]
size = "2 nm"
structured = true
[materials.llzo]
library = "LLZO"
[[dislocations]]
position = ["0.1 nm", "0 nm"]
burgers = ["0.5 nm", "0 nm"]
core = "3 nm"
[boundaries.outer]
traction = "dislocations"
[initial]
concentration = 0.5
[output]
figures = false
"""


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(CASE)


def sweep(text: str, case: str = "small.toml") -> Path:
    Path("many.toml").write_text(f'case = "{case}"\n{text}')
    return Path("many.toml")


def table(place: str | Path) -> list[dict[str, str]]:
    with open(Path(place) / "results.csv", newline="") as file:
        return list(csv.DictReader(file))


GRID = """
outputs = ["concentration_max", "steps"]
[grid]
initial.concentration = [0.3, 0.5]
"dislocations.0.core" = ["3 nm", "4 nm"]
"""


# ---- what is computed --------------------------------------------------------------------------------


def test_grid() -> None:
    rows = Sweep.load(sweep(GRID)).rows()
    assert [tuple(row.values()) for row in rows] == [(0.3, "3 nm"), (0.3, "4 nm"), (0.5, "3 nm"), (0.5, "4 nm")]
    assert list(rows[0]) == ["initial.concentration", "dislocations.0.core"]


def test_list() -> None:
    text = "[[list]]\ninitial.concentration = 0.2\n[[list]]\nmaterials.llzo.interaction = 1.0\nplane = 'stress'\n"
    rows = Sweep.load(sweep(text)).rows()
    assert list(rows) == [{"initial.concentration": 0.2}, {"materials.llzo.interaction": 1.0, "plane": "stress"}]


def test_latin_hypercube() -> None:
    ranges = {"initial.concentration": (0.2, 0.8), "dislocations.0.core": ("3 nm", "5 nm")}
    data = {"ranges": ranges, "count": 10, "seed": 3}
    made = Sweep(case="small.toml", latin_hypercube=data)
    rows = made.rows()
    assert rows == Sweep(case="small.toml", latin_hypercube=data).rows()
    assert rows != Sweep(case="small.toml", latin_hypercube=data | {"seed": 4}).rows()
    c = sorted(row["initial.concentration"] for row in rows)
    assert all(0.2 + 0.06 * i <= x <= 0.26 + 0.06 * i for i, x in enumerate(c))  # one in each tenth
    assert all(re.fullmatch(r"[34]\.\d+ nm", row["dislocations.0.core"]) for row in rows)
    made.base().replace(rows[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "many.toml: grid: a sweep has one of grid, list and latin_hypercube"),
        (GRID + "[[list]]\nplane = 'stress'", "a sweep has one of"),
        ("[grid]\nplane = []", "grid.plane = .*there is no value"),
        ("[gird]\nplane = ['stress']", "gird.*did you mean 'grid'"),
        ("[latin_hypercube]\ncount = 0\nranges = {a = [0, 1]}", "latin_hypercube.count = 0: at least one point"),
        ("[latin_hypercube]\ncount = 2\nranges = {a = ['1 nm', '2 mm']}", "the same unit"),
        ("[latin_hypercube]\ncount = 2\nranges = {a = ['low', 'high']}", "ranges.a.*two numbers"),
        ("[grid]\ninitial.concentraton = [0.1, 0.2]", "initial.concentraton = 0.1: unknown key"),
    ],
)
def test_a_wrong_sweep_is_refused_before_anything_is_computed(
    text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["sweep", str(sweep(text))]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not Path("many").exists()


def test_the_case_may_be_anywhere(tmp_path: Path) -> None:
    one = "[grid]\ninitial.concentration = [0.3]"
    assert Sweep.load(sweep(one, case="llzo-edge-dislocation")).base() == Case.load("llzo-edge-dislocation")
    (tmp_path / "deep").mkdir()
    Path("deep/many.toml").write_text(f'case = "other.toml"\n{one}')
    Path("deep/other.toml").write_text(CASE)
    assert Sweep.load("deep/many.toml").base() == Case.load("small.toml")
    inline = {"domain": {"size": ["9 nm", "9 nm"]}, "materials": {"llzo": {"library": "LLZO"}}, "mode": "equilibrium"}
    assert Sweep(case=inline, grid={"initial.concentration": [0.3]}).base().domain.size == (9e-9, 9e-9)
    with pytest.raises(CaseError, match="no such file"):
        Sweep(case="nowhere.toml", grid={"plane": ["stress"]}).base()


# ---- computing ---------------------------------------------------------------------------------------


def test_rows_results_and_resume(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sweep", str(sweep(GRID)), "--workers", "2"]) == 0
    out = capsys.readouterr().out
    assert "4 of 4 rows done; many/results.csv" in out and out.count(": done") == 4
    rows = table("many")
    names = "row folder initial.concentration dislocations.0.core exit_code concentration_max steps error"
    assert list(rows[0]) == names.split()
    assert [row["row"] for row in rows] == ["0", "1", "2", "3"] and {row["exit_code"] for row in rows} == {"0"}
    first = Path("many") / rows[0]["folder"]
    assert first.name == "0000-concentration=0.3_core=3-nm"
    summary = json.loads((first / "summary.json").read_text())
    assert float(rows[0]["concentration_max"]) == summary["concentration_max"] > 0.3
    assert float(rows[0]["concentration_max"]) > float(rows[1]["concentration_max"])  # a narrower core attracts more

    # again: refused; with --resume nothing is computed but what is missing
    assert cli.main(["sweep", "many.toml"]) == 4
    assert "many already holds a sweep" in capsys.readouterr().err
    stamps = {f: f.stat().st_mtime_ns for f in Path("many").glob("*/summary.json")}
    (Path("many") / rows[2]["folder"] / "summary.json").unlink()
    assert cli.main(["sweep", "many.toml", "--resume"]) == 0
    changed = [f for f, t in stamps.items() if f.stat().st_mtime_ns != t]
    assert [f.parent.name for f in changed] == [rows[2]["folder"]]
    assert table("many") == rows


def test_failures_are_rows(capsys: pytest.CaptureFixture[str]) -> None:
    text = """
[[list]]
initial.concentration = 1.5
[[list]]
solver.max_iterations = 1
solver.tolerance = 1e-16
[[list]]
initial.concentration = 0.4
"""
    assert cli.main(["sweep", str(sweep(text)), "--out", "out"]) == 2
    assert "1 of 3 rows done" in capsys.readouterr().out
    wrong, stuck, good = table("out")
    assert wrong["exit_code"] == "2" and "initial.concentration = 1.5" in wrong["error"]
    assert stuck["exit_code"] == "3" and "No solution" in stuck["error"] and stuck["concentration_max"] == ""
    assert good["exit_code"] == "0" and good["error"] == "" and float(good["concentration_max"]) > 0.4
    assert good["initial.concentration"] == "0.4" and stuck["initial.concentration"] == ""
    assert not list(Path("out").glob("0000*"))


def test_changed_rows_are_computed_again_and_any_executor_will_do() -> None:
    told: list[dict[str, Any]] = []
    base = {"case": "small.toml", "outputs": ("concentration_max",)}
    with ProcessPoolExecutor(1) as pool:
        first = run_sweep(Sweep(**base, grid={"initial.concentration": [0.4]}), "out", pool, tell=told.append)
    assert told == first and first[0]["exit_code"] == 0, first
    folder = Path("out") / first[0]["folder"]
    case = Case.load(folder / "case.toml").replace({"initial.concentration": 0.45})
    assert run_row(str(folder), case.to_toml(), True) == (0, "")
    assert Case.load(folder / "case.toml") == case
    assert json.loads((folder / "summary.json").read_text())["concentration_mean"] == pytest.approx(
        0.45, rel=1e-6, abs=0.0
    )


def test_a_lost_worker_is_a_row() -> None:
    class Lost:
        def submit(self, *_: object) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_exception(RuntimeError("the node is gone"))
            return future

    rows = run_sweep(Sweep(case="small.toml", grid={"plane": ["strain"]}), "out", Lost())  # type: ignore[arg-type]
    assert rows[0]["exit_code"] == 1 and rows[0]["error"] == "RuntimeError: the node is gone"
    assert table("out")[0]["error"] == "RuntimeError: the node is gone"


def test_stopping_a_sweep_stops_its_rows(tmp_path: Path) -> None:
    Path("long.toml").write_text(
        CASE.replace('"equilibrium"', '"transient"') + '[time]\nend = "1 s"\nfixed_step = "1 ns"\n'
    )
    sweep("[grid]\ninitial.concentration = [0.3, 0.4]", case="long.toml")
    process = subprocess.Popen(
        [sys.executable, "-m", "chemomech", "sweep", "many.toml", "--workers", "1"],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    end = time.monotonic() + 60
    while not list(tmp_path.glob("many/*/checkpoint/step-*.json")) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "--resume goes on" in err and "Traceback" not in err
    (row,) = tmp_path.glob("many/*/history.csv")
    length = row.stat().st_size
    time.sleep(0.5)
    assert row.stat().st_size == length  # nobody computes any more


@pytest.mark.slow
def test_dask() -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster:
        words = ["sweep", str(sweep(GRID)), "--scheduler", cluster.scheduler_address]
        done = subprocess.run([sys.executable, "-m", "chemomech", *words], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert {row["exit_code"] for row in table("many")} == {"0"} and len(table("many")) == 4
