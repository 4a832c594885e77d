"""chemomech-env, the lists of requirements, and the container image.

The script is tested with stand-ins for mmdebstrap, docker, mamba and the rest on an otherwise closed PATH, so these
tests are fast and the same everywhere. The image is built only by ``pytest -m container`` (about ten minutes); inside
a private root the host's docker or buildah cannot be seen, so start that one with the host's own pytest:
``python3 -m pytest --noconftest -m container tests/test_environment.py``.
"""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SCRIPT = REPOSITORY / "chemomech-env"
SET_UP_FILES = ["chemomech-env", "apt-packages.txt", "pip-packages.txt", "Dockerfile", "environment.yml", ".ci/run"]
# fmt: off
TOOLS = [
    "awk", "bash", "cat", "chmod", "cut", "df", "dirname", "echo", "env", "flock", "getent", "grep", "head", "id", "ls",
    "mkdir", "mv", "paste", "readlink", "rm", "sed", "sh", "sha256sum", "sleep", "sort", "tail", "tar", "touch", "true",
    "uname",
]
# fmt: on

# Stand-ins. Each appends what it was called with to $CALLS.
APT_GET = "exit 0"
MMDEBSTRAP = """
for a; do case $a in --format=*) format=${a#*=} ;; */building.*) target=$a ;; esac; done
[ "$format" = directory ] || { target=$(dirname "$CALLS")/tree; mkdir -p "$target"; }
echo half >"$target/half"
echo "this is the log" >&2
sleep "${SLOW:-0}"
[ -z "${FAIL:-}" ] || exit 1
mv "$target/half" "$target/whole"
[ "$format" = directory ] || tar -c -C "$target" .
"""
UNSHARE = """
while case $1 in --*) true ;; *) false ;; esac; do shift; done
[ "$1" != true ] || exit 0
shift 4; echo "entered $(ls "$1")"; shift 2; exec "$@"
"""
ROOT_PYTHON = """
case $* in
  *" -m pip "*) echo "pip: PIP_USER=$PIP_USER"; [ -z "${FAIL_PIP:-}" ] || { echo "no such wheel"; exit 1; } ;;
  *"from orix"*) [ -z "${FAIL_ORIX:-}" ] ;;
  *) exit 1 ;;
esac
"""
MAMBA = """
[ -z "${FAIL:-}" ] || exit 1
mkdir -p "$4/bin" "$4/etc/conda/activate.d"
echo 'export ACTIVATED="$NOT_SET"yes' >"$4/etc/conda/activate.d/compilers.sh"
printf '#!/bin/sh\\necho from conda $ACTIVATED $CONDA_PREFIX' >"$4/bin/hello"; chmod +x "$4/bin/hello"
"""
DOCKER = """
case $1 in image) [ -e "$CALLS.image" ] ;; build) touch "$CALLS.image" ;; run) for a; do echo "$a"; done ;; esac
"""


@dataclass
class Machine:
    """A made-up machine: a PATH with basic tools and the stand-ins that a test adds, and a cache of its own."""

    folder: Path
    script: Path = SCRIPT
    env: dict[str, str] = field(default_factory=dict)

    @property
    def cache(self) -> Path:
        return self.folder / "cache" / "chemomech"

    @property
    def calls(self) -> list[str]:
        log = self.folder / "calls"
        return log.read_text().splitlines() if log.exists() else []

    def has(self, name: str, body: str) -> "Machine":
        program = self.folder / "bin" / name
        program.unlink(missing_ok=True)
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "{name} $*" >>"$CALLS"\n{body}\n')
        program.chmod(0o755)
        return self

    def start(self, *command: str, cwd: Path | None = None, **env: str) -> subprocess.Popen[str]:
        base = {
            "PATH": str(self.folder / "bin"),
            "HOME": str(self.folder),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "CALLS": str(self.folder / "calls"),
        }
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(
            [str(self.script), *command], env=base | self.env | env, cwd=cwd, start_new_session=True, **pipes
        )

    def run(self, *command: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*command, cwd=cwd, **env)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(command, process.returncode, out, err)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine without any way to FEniCSx."""
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        if path := shutil.which(tool):
            (tmp_path / "bin" / tool).symlink_to(path)
    return Machine(tmp_path).has("python3", "exit 1")


@pytest.fixture
def here(machine: Machine) -> Machine:
    """A machine whose Python has dolfinx."""
    return machine.has("python3", "exit 0")


@pytest.fixture
def debian(machine: Machine) -> Machine:
    """A machine where a private root can be made, in no time."""
    machine.env["CHEMOMECH_ENV"] = "root"
    machine.has("apt-get", APT_GET).has("mmdebstrap", MMDEBSTRAP).has("unshare", UNSHARE)
    return machine.has("python3", ROOT_PYTHON)


def wait_for(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


# ---- the command ---------------------------------------------------------------------------------------


def test_shell_syntax():
    for script in (SCRIPT, REPOSITORY / ".ci/run"):
        subprocess.run(["bash", "-n", str(script)], check=True)
        assert os.access(script, os.X_OK)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help(machine, arguments):
    done = machine.run(*arguments)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: chemomech-env")


@pytest.mark.parametrize("code", [0, 1, 7, 127])
def test_exit_code_is_the_commands(here, code):
    assert here.run("bash", "-c", f"exit {code}").returncode == code


def test_unknown_command(here):
    done = here.run("no-such-program")
    assert done.returncode == 127
    assert "no-such-program" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_reaches_the_command(here, number):
    process = here.start("sleep", "60")
    wait_for(lambda: Path(f"/proc/{process.pid}/comm").read_text().strip() == "sleep")
    assert Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text() == ""  # nothing to leave behind
    process.send_signal(number)
    process.communicate(timeout=2)
    assert process.returncode == -number


def test_arguments_survive(here):
    words = ["two words", "it's", '"quoted"', "$HOME", "*", "", "back\\slash", "line\nbreak", "--rebuild"]
    done = here.run(sys.executable, "-c", "import json, sys; print(json.dumps(sys.argv[1:]))", *words)
    assert json.loads(done.stdout) == words


def test_output_is_the_commands(here):
    done = here.run("bash", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


@pytest.mark.parametrize("folder", ["work", "work with spaces", "wörk 'quoted'"])
def test_works_from_any_folder(here, tmp_path, folder):
    (tmp_path / folder).mkdir()
    done = here.run("bash", "-c", 'pwd; echo "$PYTHONPATH"', cwd=tmp_path / folder)
    assert done.stdout.splitlines() == [str(tmp_path / folder), str(REPOSITORY)]


def test_runs_the_checkout_it_stands_in(here, tmp_path):
    copy = tmp_path / "a copy"
    copy.mkdir()
    for name in ["chemomech-env", "apt-packages.txt", "pyproject.toml"]:
        shutil.copy(REPOSITORY / name, copy)
    (tmp_path / "link").symlink_to(copy / "chemomech-env")
    here.script = tmp_path / "link"
    assert here.run("bash", "-c", 'echo "$PYTHONPATH"').stdout == f"{copy}\n"


def test_chemomech_is_a_command(here):
    here.run("chemomech", "run", "two words")
    assert here.calls[-1] == "python3 -m chemomech run two words"


def test_unwritable_home_is_no_obstacle_to_an_environment_that_is_there(here):
    assert here.run("true", XDG_CACHE_HOME="/proc/nowhere").returncode == 0


# ---- the choice ----------------------------------------------------------------------------------------


def test_here_is_chosen_inside_the_environment():
    """With nothing made up: these tests themselves run where dolfinx is."""
    pytest.importorskip("dolfinx")
    environment = {k: v for k, v in os.environ.items() if k != "CHEMOMECH_ENV"}
    code = "import chemomech, dolfinx; print(chemomech.__path__[0])"
    done = subprocess.run(
        [str(SCRIPT), sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{REPOSITORY / 'chemomech'}\n"


def test_a_python_that_lacks_something_is_passed_over(debian):
    debian.has("python3", f"case $* in *tomllib*) echo 'pydantic>=2.7, pint>=0.23'; exit ;; esac\n{ROOT_PYTHON}")
    done = debian.run("echo", "ran", CHEMOMECH_ENV="")
    assert done.stdout == "entered whole\nran\n"
    assert "the active python3 has dolfinx, but not pydantic>=2.7, pint>=0.23" in done.stderr


def test_unknown_choice(machine):
    done = machine.run("true", CHEMOMECH_ENV="cloud")
    assert done.returncode == 2
    assert done.stderr == "chemomech-env: CHEMOMECH_ENV=cloud is not known; use here, conda, container or root\n"


@pytest.mark.parametrize(
    ("choice", "reason"),
    [("here", "no dolfinx >= 0.10"), ("conda", "micromamba"), ("container", "podman"), ("root", "apt-get")],
)
def test_a_choice_that_is_not_there(machine, choice, reason):
    done = machine.run("true", CHEMOMECH_ENV=choice)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert f"CHEMOMECH_ENV={choice}, but" in done.stderr
    assert reason in done.stderr


def test_no_way_at_all(machine):
    done = machine.run("true")
    assert done.returncode == 2
    assert "found no way to FEniCSx" in done.stderr


def test_choice_ends_at_the_command(debian):
    assert debian.run("bash", "-c", "echo ${CHEMOMECH_ENV-unset}").stdout.splitlines()[-1] == "unset"


def test_next_way_is_tried_when_one_fails(debian):
    debian.has("mamba", "exit 1")
    done = debian.run("echo", "ran", CHEMOMECH_ENV="")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "ran"
    before = len(debian.calls)
    assert debian.run("true", CHEMOMECH_ENV="").returncode == 0
    assert not [call for call in debian.calls[before:] if call.startswith("mamba")], "what is made is taken first"


# ---- the private root ----------------------------------------------------------------------------------


def roots(machine: Machine) -> list[str]:
    return sorted(path.name.split(".")[0].split("-")[0] for path in machine.cache.glob("*") if path.is_dir())


def pip_calls(machine: Machine) -> list[str]:
    return [call for call in machine.calls if call.startswith("python3 -I -m pip ")]


def test_root_is_made_once(debian):
    first = debian.run("echo", "ran")
    assert first.returncode == 0, first.stderr
    assert first.stdout == "entered whole\nran\n"
    assert re.search(r"installing FEniCSx and its companions: done in \d+ s", first.stderr)
    second = debian.run("echo", "ran")
    assert (second.stdout, second.stderr) == (first.stdout, "")
    assert len([call for call in debian.calls if call.startswith("mmdebstrap")]) == 1
    assert roots(debian) == ["root"]


def test_root_gets_the_listed_packages(debian):
    debian.run("true")
    (call,) = [call for call in debian.calls if call.startswith("mmdebstrap")]
    (packages,) = re.findall(r"--include=(\S+)", call)
    assert packages.split(",") == requirements_of_apt()
    (call,) = pip_calls(debian)
    assert "--no-deps --only-binary :all:" in call
    assert [word for word in call.split() if re.search("[<>=]", word)] == list(requirements_of_pip())


def test_root_follows_both_lists(debian, tmp_path):
    for name in ["chemomech-env", "apt-packages.txt", "pip-packages.txt", "pyproject.toml"]:
        shutil.copy(REPOSITORY / name, tmp_path)
    debian.script = tmp_path / "chemomech-env"
    for number, name in enumerate(["apt-packages.txt", "pip-packages.txt"], start=1):
        debian.run("true")
        assert len(roots(debian)) == number
        with (tmp_path / name).open("a") as file:
            file.write("# a comment changes nothing\n")
        debian.run("true")
        assert len(roots(debian)) == number
        with (tmp_path / name).open("a") as file:
            file.write("more>=1\n")
    debian.run("true")
    assert len(roots(debian)) == 3
    assert pip_calls(debian)[-1].endswith(" more>=1")


def test_pip_takes_no_order_from_the_environment_that_would_mislead_it(debian):
    debian.run("true", PIP_USER="1", PIP_REQUIRE_VIRTUALENV="1", FAIL_PIP="1")
    assert "PIP_USER=0" in (debian.cache / "build.log").read_text()


def test_pip_that_fails_leaves_no_root(debian):
    failed = debian.run("true", FAIL_PIP="1")
    assert failed.returncode == 2
    assert "adding what Debian lacks (pip-packages.txt): failed after" in failed.stderr
    assert "no such wheel" in failed.stderr
    assert roots(debian) == []


def test_orix_that_cannot_be_imported_is_said(debian):
    done = debian.run("echo", "ran", FAIL_ORIX="1")
    assert done.stdout == "entered whole\nran\n"
    assert "what needs orix will not work" in done.stderr


def test_half_made_root_is_never_used(debian):
    left = debian.cache / "building.123"
    left.mkdir(parents=True)
    (left / "half").touch()
    failed = debian.run("true", FAIL="1")
    assert failed.returncode == 2
    assert "failed after" in failed.stderr
    assert "this is the log" in failed.stderr
    assert roots(debian) == []
    assert debian.run("echo", "ran").stdout == "entered whole\nran\n"


def test_two_at_once_build_once(debian):
    processes = [debian.start("echo", "ran", SLOW="1") for _ in range(2)]
    ends = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert {out for out, _ in ends} == {"entered whole\nran\n"}
    assert sum("waiting for it" in err for _, err in ends) == 1
    assert len([call for call in debian.calls if call.startswith("mmdebstrap")]) == 1


def test_a_killed_builder_leaves_no_lock(debian):
    process = debian.start("true", SLOW="30")
    wait_for(lambda: debian.calls and debian.calls[-1].startswith("mmdebstrap") and roots(debian) == ["building"])
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=5)
    assert debian.run("echo", "ran").stdout == "entered whole\nran\n"
    assert roots(debian) == ["root"]


def test_rebuild_replaces_only_when_the_new_one_is_ready(debian):
    debian.run("true")
    (root,) = debian.cache.glob("root-*")
    (root / "old").touch()
    assert debian.run("--rebuild", "true", FAIL="1").returncode == 2
    assert (root / "old").exists()
    assert debian.run("--rebuild").returncode == 0
    assert sorted(path.name for path in root.iterdir()) == ["whole"]
    assert roots(debian) == ["root"]


@pytest.mark.skipif(os.getuid() != 0, reason="only user 0, or a mapped one, may call chroot")
def test_rebuild_leaves_what_runs_in_the_old_root_alone(debian):
    debian.run("true")
    (root,) = debian.cache.glob("root-*")
    code = "import os, signal, sys; os.chroot(sys.argv[1]); print('in', flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", code, str(root)], stdout=subprocess.PIPE, text=True) as tenant:
        assert tenant.stdout.readline() == "in\n"
        assert debian.run("--rebuild").returncode == 0
        assert roots(debian) == ["replaced", "root"]
        tenant.kill()
    assert debian.run("--rebuild").returncode == 0
    assert roots(debian) == ["root"]


def test_mmdebstrap_that_cannot_be_installed(debian):
    (debian.folder / "bin" / "mmdebstrap").unlink()
    debian.has("apt-get", "echo no such package >&2; exit 100").has("sudo", "exit 1")
    done = debian.run("true")
    assert done.returncode == 2
    assert "install mmdebstrap, then run this again" in done.stderr


def test_too_small_a_disk_is_said_before_the_work(debian):
    debian.has("df", "echo head; echo disk 9 9 2100000 1% /")
    done = debian.run("true")
    assert done.returncode == 2
    assert "has 2 GB free and needs 5 GB" in done.stderr
    assert not [call for call in debian.calls if call.startswith("mmdebstrap")]


def test_cache_that_cannot_be_written(debian):
    done = debian.run("true", XDG_CACHE_HOME="/proc/nowhere")
    assert done.returncode == 2
    assert "cannot write to /proc/nowhere/chemomech; set XDG_CACHE_HOME" in done.stderr


# ---- conda and containers ------------------------------------------------------------------------------


@pytest.mark.parametrize("program", ["mamba", "conda", "micromamba"])
def test_conda(machine, program):
    machine.has(program, MAMBA)
    for _ in range(2):
        done = machine.run("hello")
        (prefix,) = machine.cache.glob("conda-*")
        assert done.stdout == f"from conda yes {prefix}\n", done.stderr
    (call,) = [call for call in machine.calls if call.startswith(program)]
    create = "create -y" if program == "micromamba" else "env create"
    assert call == f"{program} {create} -p {prefix} -f {REPOSITORY / 'environment.yml'}"


def test_conda_that_fails_leaves_nothing(machine):
    done = machine.has("mamba", MAMBA).run("hello", CHEMOMECH_ENV="conda", FAIL="1")
    assert done.returncode == 2
    assert "making a conda environment with mamba: failed" in done.stderr
    assert not list(machine.cache.glob("conda-*"))


def test_container(machine, tmp_path):
    folder = tmp_path / "two words"
    folder.mkdir()
    machine.has("docker", DOCKER)
    for _ in range(2):
        done = machine.run("chemomech", "run", "a case.toml", cwd=folder)
        assert done.returncode == 0, done.stderr
    (build,) = [call for call in machine.calls if call.startswith("docker build")]
    assert "--target environment" in build
    words = done.stdout.splitlines()
    assert words[0] == "run"
    assert words[-3:] == ["chemomech", "run", "a case.toml"]
    assert words[words.index("-u") + 1] == f"{os.getuid()}:{os.getgid()}"
    assert words[words.index("-w") + 1] == str(folder)
    mounts = [words[i + 1] for i, word in enumerate(words) if word == "-v"]
    assert mounts == [f"{d}:{d}" for d in (REPOSITORY, folder, machine.cache / "container")]


def test_container_mounts_the_checkout_once(machine):
    done = machine.has("docker", DOCKER).run("true", cwd=REPOSITORY)
    assert done.stdout.splitlines().count(f"{REPOSITORY}:{REPOSITORY}") == 1


def test_docker_without_an_engine_is_not_chosen(machine):
    done = machine.has("docker", "exit 1").run("true", CHEMOMECH_ENV="container")
    assert done.returncode == 2
    assert "no docker or podman engine answers" in done.stderr


# ---- the lists of requirements -------------------------------------------------------------------------

NAME_IN_APT = {
    "dolfinx-mpc": "python3-dolfinx-mpc",
    "fenics-dolfinx": "python3-dolfinx-real",
    "petsc4py": "python3-petsc4py-real",
    "mypy": "mypy",
    "ruff": "ruff",
}
NAME_IN_CONDA = {
    "gmsh": "python-gmsh",
    "matplotlib": "matplotlib-base",
    "dask": "dask-core",
    "dolfinx-mpc": "dolfinx_mpc",
}
# What only one of the lists needs to say: compilers, MPI, drivers, fonts, and what comes with something else.
ONLY_APT = {
    "openmpi-bin", "libopenblas0-pthread", "python3-h5py-mpi", "gcc", "libc6-dev", "python3-dev", "python3-cffi",
    "libegl1", "libegl-mesa0", "libgl1-mesa-dri", "fonts-dejavu-core", "git", "ca-certificates", "procps",
    "python3-pip", "python3-numba", "python3-lazy-loader", "python3-pooch", "python3-pycifrw", "python3-tqdm",
    "python3-skimage", "python3-peakutils",
}  # fmt: skip
ONLY_PIP = {"matplotlib-scalebar"}
ONLY_CONDA = {"python", "petsc", "openmpi", "c-compiler", "cffi", "pip", "git"}
COMES_WITH_SCIPY = {"python3-numpy"}
NOT_IN_CONDA = {"defdap"}


def requirements_of_apt() -> list[str]:
    lines = (REPOSITORY / "apt-packages.txt").read_text().splitlines()
    return [word for line in lines if (word := line.partition("#")[0].strip())]


def requirements_of_pip() -> dict[str, str]:
    """Names, with the bounds."""
    lines = (REPOSITORY / "pip-packages.txt").read_text().splitlines()
    entries = [word for line in lines if (word := line.partition("#")[0].strip())]
    return {entry: re.split(r"[\s=<>]", entry)[0] for entry in entries}


def requirements_of_conda() -> list[str]:
    text = (REPOSITORY / "environment.yml").read_text().partition("dependencies:")[2]
    return [re.split(r"[\s=<>]", entry)[0] for entry in re.findall(r"^\s*- (.+)$", text, re.MULTILINE)]


def requirements_of_pyproject() -> dict[str, str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    pairs = [re.fullmatch(r"([\w.-]+)\s*(.*)", entry).groups() for entries in lists for entry in entries]
    assert len(dict(pairs)) == len(pairs), "listed twice"
    return dict(pairs)


def test_requirements_agree():
    names = set(requirements_of_pyproject())
    pip = set(requirements_of_pip().values()) - ONLY_PIP
    assert pip <= names
    apt = {NAME_IN_APT.get(name, f"python3-{name}") for name in names - pip} - COMES_WITH_SCIPY
    conda = {NAME_IN_CONDA.get(name, name) for name in names - NOT_IN_CONDA}
    assert set(requirements_of_apt()) - ONLY_APT == apt
    assert set(requirements_of_conda()) - ONLY_CONDA == conda


def test_requirements_are_listed_once():
    for names in (requirements_of_apt(), list(requirements_of_pip().values()), requirements_of_conda()):
        assert len(set(names)) == len(names)


def test_requirements_are_met_here():
    """The environment these tests run in satisfies every bound of pyproject.toml."""
    pytest.importorskip("dolfinx")
    specifiers = pytest.importorskip("packaging.specifiers")
    wrong = {}
    for name, bound in requirements_of_pyproject().items():
        if name == "ruff" and shutil.which("ruff"):  # Debian's has no Python metadata
            version = subprocess.check_output(["ruff", "--version"], text=True).split()[1]
        elif name in NOT_IN_CONDA and not importlib.util.find_spec(name):
            continue
        else:
            version = metadata.version(name)
        if not specifiers.SpecifierSet(bound).contains(version.partition("+")[0], prereleases=True):
            wrong[name] = (version, bound)
    assert not wrong


def test_pip_adds_only_what_is_listed():
    """All that it needs is there, in the versions it wants; and nothing of Debian's is there a second time."""
    folder = Path("/usr/local/lib/chemomech")
    if not folder.is_dir():
        pytest.skip("this is neither a private root nor the image")
    requirement = pytest.importorskip("packaging.requirements").Requirement
    added = {dist.name.lower().replace("_", "-"): dist for dist in metadata.distributions(path=[str(folder)])}
    listed = {requirement(entry).name: requirement(entry).specifier for entry in requirements_of_pip()}
    assert {name: listed[name].contains(dist.version) for name, dist in added.items()} == dict.fromkeys(listed, True)
    for dist in added.values():
        for needed in map(requirement, dist.requires or []):
            if not needed.marker or needed.marker.evaluate({"extra": ""}):
                version = metadata.version(needed.name).partition("+")[0]
                assert needed.specifier.contains(version, prereleases=True), (dist.name, needed, version)
    places = [str(folder), "/usr/lib/python3/dist-packages"]
    assert sorted(places, key=sys.path.index) == places[::-1], "Debian's own come first"


def test_set_up_files_name_no_host():
    for name in SET_UP_FILES:
        assert not re.search(r"https?://|\b[\w-]+\.(org|com|net|io)\b", (REPOSITORY / name).read_text()), name


def test_wheel_holds_the_whole_package(tmp_path):
    """Also the data files and the folders without Python in them; and the command is registered."""
    pytest.importorskip("setuptools", minversion="77")
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(REPOSITORY / name, tmp_path)
    (tmp_path / "README.md").write_text("# chemomech\n")
    shutil.copytree(REPOSITORY / "chemomech", tmp_path / "chemomech", ignore=shutil.ignore_patterns("__pycache__"))
    code = "from setuptools.build_meta import build_wheel; build_wheel('.')"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("chemomech-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (entry_points,) = [archive.read(name).decode() for name in names if name.endswith("entry_points.txt")]
    files = [p for p in (tmp_path / "chemomech").rglob("*") if p.suffix in {".py", ".toml", ".typed"}]
    assert {str(p.relative_to(tmp_path)) for p in files} <= names
    assert "chemomech = chemomech.cli:main" in entry_points


# ---- from outside --------------------------------------------------------------------------------------


@pytest.mark.container
def test_private_root(tmp_path):
    """The real one, made if need be; from folders that it must and must not show in place of its own."""
    if not shutil.which("apt-get") or importlib.util.find_spec("dolfinx"):
        pytest.skip("needs Debian or Ubuntu, and to be started outside the environment")
    (tmp_path / "two words").mkdir()
    for folder in (tmp_path / "two words", Path.home(), Path("/"), Path("/usr"), Path("/var/tmp")):
        script = 'pwd; python3 -c "import dolfinx; print(dolfinx.__name__)"; ls -A | wc -l; exit 7'
        done = subprocess.run(
            [str(SCRIPT), "bash", "-c", script], cwd=folder, env=os.environ | {"CHEMOMECH_ENV": "root"}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        )  # fmt: skip
        where, dolfinx, files = done.stdout.split("\n")[:3]
        assert (done.returncode, where, dolfinx) == (7, str(folder), "dolfinx")
        assert folder in {Path("/"), Path("/usr")} or int(files) == len(list(folder.iterdir()))
    process = subprocess.Popen([str(SCRIPT), "sleep", "60"], env=os.environ | {"CHEMOMECH_ENV": "root"})
    wait_for(lambda: Path(f"/proc/{process.pid}/comm").read_text().strip() == "sleep")
    process.terminate()
    assert process.wait(2) == -signal.SIGTERM


# ---- the image -----------------------------------------------------------------------------------------


class Image:
    """Builds the Dockerfile and runs commands in it, with docker or, where no engine runs, with buildah."""

    tag = "chemomech-test"

    def __init__(self, engine: str, folder: Path) -> None:
        self.engine, self.folder = engine, folder

    def call(self, *words: object) -> str:
        return subprocess.run([*map(str, words)], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def build(self) -> None:
        if self.engine == "docker":
            self.call("docker", "build", "-t", self.tag, REPOSITORY)
            return
        base = self.buildah_base() if shutil.which("mmdebstrap") else []
        self.call("buildah", "build", "--isolation=chroot", "--layers", *base, "-t", self.tag, REPOSITORY)

    def buildah_base(self) -> list[str]:
        """Makes, once, a stand-in for the Dockerfile's base image from this machine's own mirror and certificates."""
        name = f"{self.tag}-base-with-certificates"
        if name not in self.call("buildah", "images", "--format", "{{.Name}}"):
            tar = self.folder / "base.tar"
            filters = ("Created-By: Packages", "Origin: Debian")
            mirrors = self.call("apt-get", "indextargets", "--format", "$(REPO_URI)", *filters).split()
            mirror = next(uri for uri in sorted(mirrors) if "security" not in uri)
            valid = '--aptopt=Acquire::Check-Valid-Until "false"'
            self.call("mmdebstrap", "--variant=minbase", valid, "testing", tar, f"deb {mirror} testing main")
            container = self.call("buildah", "from", "scratch")
            self.call("buildah", "add", "-q", container, tar, "/")
            bundle = Path("/etc/ssl/certs/ca-certificates.crt")
            found = re.findall("-----BEGIN.*?END CERTIFICATE-----", bundle.read_text() if bundle.exists() else "", re.S)
            certificates = self.folder / "certificates"
            certificates.mkdir()
            for number, certificate in enumerate(found):
                (certificates / f"{number}.crt").write_text(f"{certificate}\n")
            self.call("buildah", "add", "-q", container, certificates, "/usr/local/share/ca-certificates")
            self.call("buildah", "commit", "-q", "--rm", container, name)
        return ["--build-arg", f"BASE=localhost/{name}"]

    def run(self, *command: str, user: str | None = None, data: Path, entrypoint: str = "chemomech-entry") -> str:
        who = ["--user", user] if user else []
        volume = ["-v", f"{data}:/data"]
        if self.engine == "docker":
            return self.call("docker", "run", "--rm", *who, *volume, "--entrypoint", entrypoint, self.tag, *command)
        container = self.call("buildah", "from", self.tag)
        try:
            run = ("buildah", "run", "--isolation=chroot")
            return self.call(*run, *who, *volume, container, "--", entrypoint, *command)
        finally:
            self.call("buildah", "rm", container)


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Image:
    def answers(*command: str) -> bool:
        return bool(shutil.which(command[0])) and subprocess.run(command, capture_output=True).returncode == 0

    engine = "docker" if answers("docker", "info") else "buildah" if answers("buildah", "info") else None
    if engine is None:
        pytest.skip("neither docker (with an engine that answers) nor buildah is here; a private root hides the host's")
    image = Image(engine, tmp_path_factory.mktemp("image"))
    image.build()
    return image


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of somebody else's: uid 4242 where that can be arranged, open to all where it cannot."""
    folder = tmp_path / "data"
    folder.mkdir()
    if os.getuid() == 0:
        os.chown(folder, 4242, 4242)
    else:
        folder.chmod(0o777)
    return folder


KERNELS = 'find "$XDG_CACHE_HOME/fenics" -name "*.so" | sort'


@pytest.mark.container
def test_image_user_and_package(image, data):
    assert image.run("-u", data=data, entrypoint="id") == "1000"
    code = "import chemomech, dolfinx; from importlib.metadata import version; print(version('chemomech'))"
    assert image.run("-c", code, data=data, entrypoint="python3") == "0.1.0"
    assert "0.11" in image.run("info", data=data) or "dolfinx" in image.run("info", data=data)


@pytest.mark.container
def test_image_runs_the_main_case_as_any_user(image, data):
    warm = image.run("-c", KERNELS, data=data, entrypoint="bash")
    assert warm, "the image holds compiled kernels"
    short = 'chemomech run llzo-edge-dislocation --set time.end="1 us" --set "output.times=[]" >&2'
    cold = image.run("-c", f"{short}; {KERNELS}", user="4242:4242", data=data, entrypoint="bash")
    assert cold == warm, "nothing was compiled"
    (summary,) = data.rglob("summary.json")
    assert os.getuid() != 0 or summary.stat().st_uid == 4242
    assert json.loads(summary.read_text())["converged"] is True


@pytest.mark.container
def test_image_runs_on_several_ranks(image, data):
    words = ["-n", "2", "python3", "-c"]
    code = "from mpi4py import MPI; import dolfinx; print('ranks', MPI.COMM_WORLD.size)"
    assert image.run(*words, code, user="4242:4242", data=data, entrypoint="mpirun").count("ranks 2") == 2
