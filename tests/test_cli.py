"""The command as a user meets it: what it prints, what it leaves behind, how it ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mpi4py import MPI

from chemomech import cli
from chemomech.case import Case, builtin_names
from chemomech.meshing.generate import generate
from chemomech.meshing.quality import quality
from tests.tools import record

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts processes of its own")

# Nine steps on 72 triangles.
CASE = """\
title = "A small one"
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
[time]
end = "1 us"
fixed_step = "0.1 us"
[output]
checkpoint_every = 2
figures = false
"""


DRAW = ("--set", "output.figures=true")


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OMPI_COMM", "OMPI_MCA", "PMIX", "PRTE"))}
    return kept | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "80"}


def command(*words: object, cwd: Path, ranks: int = 0) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "chemomech", *map(str, words)]
    if ranks:
        line = ["mpirun", "--oversubscribe", "-n", str(ranks), *line]
    return subprocess.run(line, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=120)


def refused(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The error, after checking that it is one paragraph for people."""
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.strip().split("\n") if line]
    assert len(lines) == 1 and lines[0].startswith("chemomech: "), done.stderr
    return lines[0]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "small.toml").write_text(CASE)
    return tmp_path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished run, and what the command said; tests that change it work on a copy."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "small.toml").write_text(CASE)
    done = command("run", "small.toml", *DRAW, cwd=folder)
    assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr
    return folder / "small", done.stdout


# ---- run ---------------------------------------------------------------------------------------------


def test_a_run_leaves_its_files_and_says_where(run: tuple[Path, str]) -> None:
    folder, said = run
    for name in ("case.toml", "summary.json", "history.csv", "fields.pvd", "run.log", "figures/fields.png"):
        assert (folder / name).stat().st_size > 0, name
    for word in ("step 10, t = 1 µs: done", "lithium fraction", "hydrostatic stress", "drift", "wall time", "figures/"):
        assert word in said, said
    assert "\x1b" not in said  # no bar where nobody watches
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["converged"] and summary["steps"] == 10 and summary["ranks"] == 1
    assert abs(summary["mass_relative_drift"]) < 1e-12
    contract = (
        "newton_iterations linear_iterations dofs cells wall_time_s free_energy_J_per_m end_time_s versions "
        "max_free_energy_increase_relative concentration_min concentration_max "
        "hydrostatic_stress_min_Pa hydrostatic_stress_max_Pa"
    )
    assert set(contract.split()) <= summary.keys()


def test_case_file_in_the_folder_gives_the_same_run(run: tuple[Path, str], tmp_path: Path) -> None:
    done = command(
        "run", run[0] / "case.toml", "--out", "again", "--quiet", "--set", "output.figures=false", cwd=tmp_path
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "again" / "history.csv").read_text() == (run[0] / "history.csv").read_text()


def test_folder_in_use(run: tuple[Path, str]) -> None:
    where = run[0].parent
    before = (run[0] / "history.csv").stat().st_mtime_ns
    error = refused(command("run", "small.toml", cwd=where), 4)
    assert "small already holds a run" in error and "--resume" in error and "--overwrite" in error
    assert "case.toml" not in error and (run[0] / "history.csv").stat().st_mtime_ns == before
    error = refused(command("run", "small.toml", "--resume", "--set", "initial.concentration=0.4", cwd=where), 2)
    assert "initial.concentration: the run in small was begun with 0.5, here it is 0.4" in error
    done = command("run", "small", "--resume", cwd=where)
    assert done.returncode == 0 and "small is finished: t = 1 us" in done.stdout.replace("µ", "u")


def test_overwrite_leaves_other_files(run: tuple[Path, str], place: Path) -> None:
    shutil.copytree(run[0], place / "small")
    (place / "small" / "notes.txt").write_text("mine")
    done = command("run", "small.toml", "--overwrite", "--quiet", "--set", "time.end=0.2 us", cwd=place)
    assert done.returncode == 0, done.stderr
    assert json.loads((place / "small" / "summary.json").read_text())["steps"] == 2
    assert (place / "small" / "notes.txt").read_text() == "mine"


BAD_INPUT = {
    "no such case": (["run", "llzo-edge-dislocatoin"], "no such file and no built-in case.*did you mean"),
    "nothing given": (["run"], "CASE: is missing"),
    "not TOML": (["run", "not.toml"], r"not\.toml, line 2: syntax: this is not TOML"),
    "unknown key in the file": (["run", "typo.toml"], r"typo\.toml, line 18: time\.endd.*did you mean 'end'"),
    "unknown key": (
        ["run", "small.toml", "--set", "initial.concentraton=0.3"],
        "concentraton = 0.3: unknown key.*'conc",
    ),
    "unknown material": (["run", "small.toml", "--set", "materials.llzo.library=LLZP"], "did you mean"),
    "no equals sign": (["run", "small.toml", "--set", "initial.concentration"], "--set = .*the form KEY=VALUE"),
    "wrong unit": (["run", "small.toml", "--set", "time.end=1 nm"], "time.end"),
    "out of range": (["run", "small.toml", "--set", "initial.concentration=1.5"], "between 0 and 1"),
    "not an entry": (["run", "small.toml", "--set", "dislocations.3.core=1 nm"], "dislocations.3.core.*no entry '3'"),
    "both flags": (["run", "small.toml", "--resume", "--overwrite"], "contradicts --overwrite"),
    "folder without a run": (["run", "empty"], "empty.*holds no run"),
    "out is a file": (["run", "small.toml", "--out", "not.toml"], "--out = 'not.toml': can't be used.*File exists"),
    "out below a file": (["run", "small.toml", "--out", "not.toml/a/b"], "--out = .*Not a directory"),
    "out where nobody writes": (["run", "small.toml", "--out", "/proc/chemomech"], "--out = '/proc/chemomech'"),
    "unreadable mesh": (["run", "file.toml"], "domain.path"),
    "unknown command": (["rnu"], "'rnu'.*'run'"),
    "unknown option": (["run", "small.toml", "--owerwrite"], "--owerwrite"),
    "PETSc options elsewhere": (["cases", "--", "-log_view"], "only `chemomech run`"),
    "unknown material to print": (["materials", "LLZP"], "did you mean 'LLZ"),
    "unknown case to show": (["cases", "--show", "lzo-edge-dislocation"], "did you mean 'llzo-edge-dislocation'"),
    "no run to plot": (["plot", "empty"], "holds no run"),
    "mesh of an unknown kind": (["mesh", "small.toml", "--out", "a.stl"], "--out = 'a.stl'.*\\.msh or \\.vtu"),
    "no sweep": (["sweep", "nothing.toml"], "nothing.toml"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_wrong_input(
    name: str, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "not.toml").write_text("a = 1\nb = = 2\n")
    (place / "typo.toml").write_text(CASE.replace('end = "1 us"', 'endd = "1 us"'))
    (place / "file.toml").write_text(re.sub(r"\[domain\].*\[mat", '[domain]\npath = "no.msh"\n[mat', CASE, flags=re.S))
    (place / "empty").mkdir()
    before = sorted(place.rglob("*"))
    words, message = BAD_INPUT[name]
    monkeypatch.chdir(place)
    handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        code = cli.main(words)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    out, err = capsys.readouterr()
    assert code == 2 and out == "", (code, out, err)
    assert err.startswith("chemomech: ") and err.count("\n") == 1
    assert re.search(message, err), err
    assert sorted(place.rglob("*")) == before  # nothing written


@pytest.mark.mpi
def test_wrong_input_is_said_once_by_several_ranks(place: Path) -> None:
    for words in (["run", "small.toml", "--set", "initial.concentration=2"], ["run", "--nonsense"]):
        done = command(*words, cwd=place, ranks=3)
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
        assert done.stderr.count("chemomech: ") == 1 and done.stdout.count("chemomech: ") == 0, done.stderr


def test_the_real_command_ends_with_2_at_once(place: Path) -> None:
    start = time.monotonic()
    refused(command("run", "small.toml", "--set", "initial.concentraton=0.3", cwd=place), 2)
    assert time.monotonic() - start < 3.0
    assert [p.name for p in place.iterdir()] == ["small.toml"]


def test_no_solution(place: Path) -> None:
    words = ["run", "small.toml", "--set", "solver.max_iterations=1", "--set", "solver.tolerance=1e-15"]
    error = refused(command(*words, "--quiet", cwd=place), 3)
    assert "No solution at t = 0 s with a step of" in error and "residual" in error
    history = (place / "small" / "history.csv").read_text()
    assert history.count("\n") == 2 and not (place / "small" / "summary.json").exists()


FULL = """
import resource, signal, sys
from mpi4py import MPI  # needs large files of its own
from chemomech.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.exit(main(sys.argv[2:]))
"""


def on_a_full_disk(size: int, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A limit on the size of a file stands in for a full disk."""
    line = [sys.executable, "-c", FULL, str(size), *words]
    return subprocess.run(line, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=100)


def test_disk_full_during_a_run(place: Path) -> None:
    words = ["run", "small.toml", "--quiet", "--set", "time.fixed_step=5 ns"]
    error = refused(on_a_full_disk(26_000, *words, cwd=place), 5)
    assert "Can't write small/history.csv: File too large" in error  # it grows until it does not fit
    last = re.search(r"The last checkpoint is (small/checkpoint/step-\d+\.h5)", error)
    assert last and (place / last[1]).is_file()
    done = command("run", "small", "--resume", "--quiet", "--set", "time.end=0.8 us", cwd=place)
    assert done.returncode == 0, done.stderr
    assert json.loads((place / "small" / "summary.json").read_text())["steps"] == 160


def test_disk_full_before_the_first_checkpoint(place: Path) -> None:
    error = refused(on_a_full_disk(1_000, "run", "small.toml", "--quiet", cwd=place), 5)
    assert "Can't write small/" in error and "No checkpoint was written yet" in error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal(place: Path, number: signal.Signals) -> None:
    words = [sys.executable, "-m", "chemomech", "run", "small.toml", "--set", "time.fixed_step=1 ns"]
    process = subprocess.Popen(
        words, cwd=place, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 60
    while not list(place.glob("small/checkpoint/step-*.json")) and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number and "Traceback" not in err
    last = re.search(rf"stopped by {number.name}; the last checkpoint is (\S+\.h5)", err)
    assert last and (place / last[1]).is_file() and "`chemomech run small --resume`" in err


FAULT = """
import sys
from mpi4py import MPI
import chemomech.driver as driver
from chemomech.cli import main
def run(*args, **kwargs):
    if MPI.COMM_WORLD.rank == MPI.COMM_WORLD.size - 1:
        raise ZeroDivisionError("a fault")
    MPI.COMM_WORLD.Barrier()
driver.run = run
sys.exit(main(["run", "small.toml"]))
"""


@pytest.mark.mpi
def test_a_fault_on_one_rank_ends_all(place: Path) -> None:
    (place / "fault.py").write_text(FAULT)
    words = ["mpirun", "--oversubscribe", "-n", "2", sys.executable, "fault.py"]
    done = subprocess.run(words, cwd=place, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "fault on rank 1 of 2" in done.stderr
    assert "ZeroDivisionError: a fault" in done.stderr


@pytest.mark.mpi
def test_on_two_ranks_with_options_for_petsc(place: Path) -> None:
    done = command("run", "small.toml", *DRAW, "--", "-log_view", cwd=place, ranks=2)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout  # mpirun makes a terminal for rank 0, but nobody watches it
    assert done.stdout.count("lithium fraction") == 1
    assert "PETSc Performance Summary" in done.stdout and "with 2 process" in done.stdout
    assert json.loads((place / "small" / "summary.json").read_text())["ranks"] == 2
    drawn = (place / "small" / "figures" / "fields.png").read_bytes()
    (place / "small" / "figures" / "fields.png").unlink()
    plotted = command("plot", "small", cwd=place)  # from the pieces of both ranks
    assert plotted.returncode == 0 and plotted.stdout.split() == [
        "small/figures/fields.png",
        "small/figures/history.png",
    ]
    again = (place / "small" / "figures" / "fields.png").read_bytes()
    assert again.startswith(b"\x89PNG") and abs(len(again) - len(drawn)) < 0.1 * len(drawn)


# ---- the other commands ------------------------------------------------------------------------------


def test_plot_draws_the_same_picture(run: tuple[Path, str], tmp_path: Path) -> None:
    from matplotlib.image import imread

    shutil.copytree(run[0], tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "figures")
    done = command("plot", "copy", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.split()[0] == "copy/figures/fields.png", done.stderr
    for name in ("fields.png", "history.png"):
        one, two = (imread(place / "figures" / name) for place in (run[0], tmp_path / "copy"))
        assert one.shape == two.shape and np.abs(one - two).mean() < 1e-3, name
    last = max((tmp_path / "copy" / "fields").glob("*.vtu"))
    last.write_bytes(last.read_bytes()[:300])
    done = command("plot", "copy", cwd=tmp_path)
    assert done.returncode == 5 and "copy/fields/step-000010.vtu" in done.stderr and "Traceback" not in done.stderr


def test_cases(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["cases"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in builtin_names()) and "Figure: " in out and "How much lithium" in out
    assert cli.main(["cases", "--show", "llzo-edge-dislocation"]) == 0
    assert Case.loads(capsys.readouterr().out) == Case.load("llzo-edge-dislocation")


def test_materials(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["materials", "LLZO"]) == 0
    out = capsys.readouterr().out
    for word in ("149.8", "GPa", "partial molar volume", "verified", "source"):
        assert word in out, out
    assert cli.main(["materials"]) == 0
    assert {"LLZO", "LLZTO", "Li", "Ag", "LiMn2O4"} <= {
        line.split(" ")[0] for line in capsys.readouterr().out.split("\n")
    }


def test_info(place: Path) -> None:
    done = command("info", cwd=place)
    assert done.returncode == 0 and done.stderr == ""
    for name in ("chemomech", "dolfinx", "petsc", "MUMPS", "hypre", "MPI ranks", "kernel cache"):
        assert re.search(rf"^{name}\s+\S", done.stdout, re.M), name


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    out = capsys.readouterr().out
    for name in ("run", "cases", "materials", "mesh", "plot", "sweep", "info"):
        assert re.search(rf"^    {name} ", out, re.M)
        with pytest.raises(SystemExit) as ended:
            cli.main([name, "--help"])
        assert ended.value.code == 0
    assert "chemomech run llzo-edge-dislocation" in out
    with pytest.raises(SystemExit):
        cli.main(["run", "--help"])
    assert all(len(line) <= 105 for line in capsys.readouterr().out.split("\n"))


def test_mesh(place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    assert cli.main(["mesh", "small.toml"]) == 0
    out = capsys.readouterr().out
    assert "72 triangles: llzo 72" in out and "left 6, right 6, bottom 6, top 6" in out and "2 nm to 2.8" in out
    assert (place / "small.png").read_bytes().startswith(b"\x89PNG")
    assert cli.main(["mesh", "small.toml"]) == 4
    assert "small.msh is there already" in capsys.readouterr().err
    assert cli.main(["mesh", "small.toml", "--overwrite", "--set", "mesh.size=1 nm"]) == 0
    # what was written can be computed on
    domain = {"shape": "file", "path": "small.msh"}
    data = Case.load("small.toml").replace({"mesh.size": "1 nm"})
    again = generate(Case(**{**data.model_dump(), "domain": domain}))
    first = generate(data)
    assert again.phases.keys() == first.phases.keys() and again.boundaries == first.boundaries
    assert np.array_equal(np.sort(again.points, axis=0), np.sort(first.points, axis=0))
    assert quality(again).facets_of == quality(first).facets_of
    assert quality(again).volume == pytest.approx(144e-18, rel=1e-12, abs=0.0)


def test_mesh_in_three_dimensions_for_paraview(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import meshio

    text = CASE.replace('["12 nm", "12 nm"]', '["6 nm", "6 nm", "4 nm"]').replace('"0 nm"]', '"0 nm", "0 nm"]')
    (place / "box.toml").write_text(text)
    monkeypatch.chdir(place)
    assert cli.main(["mesh", "box.toml", "--out", "sub/box.vtu"]) == 0
    mesh = meshio.read("sub/box.vtu")
    assert len(mesh.cells_dict["tetra"]) == 6 * 3 * 3 * 2 and set(mesh.cell_data["phase"][0]) == {1}
    assert (place / "sub" / "box.png").is_file() and not list(place.rglob("*.part"))


def test_quality_numbers() -> None:
    from chemomech.meshing.arrays import MeshArrays
    from chemomech.meshing.quality import shape

    def one(points: list[list[float]]) -> MeshArrays:
        n = len(points)
        none = np.zeros((0, n - 1), np.int64)
        cells = np.arange(n)[None, :]
        return MeshArrays(np.array(points), cells, np.ones(1, np.int32), none, np.zeros(0, np.int32), {"a": 1}, {})

    s = np.sqrt
    assert shape(one([[0, 0, 0], [1, 0, 0], [0.5, s(3) / 2, 0]]))[0] == pytest.approx(1.0, rel=1e-6, abs=0.0)
    assert shape(one([[0, 0, 0], [1, 0, 0], [0, 1, 0]]))[0] == pytest.approx(s(3) / 2, rel=1e-6, abs=0.0)
    regular = [[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]
    assert shape(one(regular))[0] == pytest.approx(1.0, rel=1e-6, abs=0.0)
    q = quality(one(regular))
    assert (
        q.shortest == pytest.approx(s(8), rel=1e-6, abs=0.0)
        and q.volume == pytest.approx(8 / 3, rel=1e-6, abs=0.0)
        and q.cells_of == {"a": 1}
    )


# ---- how fast it answers -----------------------------------------------------------------------------


def seconds(code: str) -> float:
    def once() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], env=environment(), check=True)
        return time.perf_counter() - start

    return min(once() for _ in range(3))


def test_import_takes_less_than_a_second() -> None:
    bare = seconds("pass")
    assert seconds("import chemomech") - bare < 1.0
    assert seconds("import chemomech; chemomech.Case.load('llzo-edge-dislocation')") - bare < 2.5


@pytest.mark.parametrize("words", [["cases"], ["materials"], ["materials", "LLZO"], ["--version"], []])
def test_commands_that_need_no_solver_load_none(words: list[str], tmp_path: Path) -> None:
    code = (
        "import sys, contextlib\n"
        "from chemomech.cli import main\n"
        f"with contextlib.suppress(SystemExit): main({words!r})\n"
        "heavy = {'dolfinx', 'petsc4py', 'mpi4py.MPI', 'matplotlib', 'pyvista', 'gmsh'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_closed_pipe_is_no_fault(place: Path) -> None:
    line = f"{sys.executable} -m chemomech cases | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], cwd=place, env=environment(), capture_output=True, text=True)
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr, done.stderr


def test_the_main_case_takes_at_most_a_minute(tmp_path: Path) -> None:
    """All of it, figures included, and what it says."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "chemomech", "run", "llzo-edge-dislocation", "--out", str(tmp_path / "run"), "--quiet"],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    seconds = time.monotonic() - begun
    assert done.returncode == 0, done.stderr
    record("timing_case", seconds=seconds)
    assert seconds <= 60.0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["converged"] and summary["end_time_s"] == 0.01
    assert abs(summary["mass_relative_drift"]) < 1e-12
    assert summary["max_free_energy_increase_relative"] < 1e-10
    for figure in ("fields.png", "history.png"):
        assert (tmp_path / "run" / "figures" / figure).stat().st_size > 20_000
