"""The command line. Nothing here computes; libraries are imported by the commands that need them."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from chemomech.cli_maps import MAPS, add_map_options, mesh_of_a_map
from chemomech.errors import CaseError, ChemomechError, OutputError, OutputExistsError
from chemomech.versions import __version__

if TYPE_CHECKING:
    from mpi4py import MPI

    from chemomech.case import Case

_ABOUT = """\
How lithium, stress and crystal defects act on each other inside solid-state batteries.

  chemomech run llzo-edge-dislocation      compute a built-in case; pictures land in a folder of that name
  chemomech run case.toml                  compute your own
  mpirun -n 4 chemomech run case.toml      the same on four cores
  chemomech cases                          what there is to start from
"""

_RUN = """\
examples:
  chemomech run llzo-edge-dislocation
  chemomech run llzo-edge-dislocation --set initial.concentration=0.3 --out low
  chemomech run low --resume                   continue a run that was stopped
  chemomech run low --resume --set time.end="20 ms"
  mpirun -n 4 chemomech run case.toml -- -log_view      what follows -- goes to PETSc

files, in DIR:
  figures/*.png   pictures             history.csv    one row per accepted step
  summary.json    numbers              fields.pvd     opens in ParaView
  case.toml       the case, complete   checkpoint/    to continue from, on any number of cores

exit code:
  0 done          2 the input is wrong     4 DIR already holds a run
  3 no solution   5 results can't be written
"""

_PLOT = """\
examples:
  chemomech plot low                              the pictures of one run
  chemomech plot coherent misfit --out fig6.pdf   a row per run, in the same colours
"""

_SWEEP = """\
a sweep file:
  case = "llzo-edge-dislocation"               # built-in name, path, or a whole case as a table
  outputs = ["concentration_max"]              # from summary.json; all its numbers if left out
  [grid]                                       # every combination
  initial.concentration = [0.1, 0.5, 0.9]
  materials.llzo.interaction = [0.0, 1.5]
or, in place of [grid], [[list]] tables with one key = value line per entry, or
  [latin_hypercube]
  count = 20
  seed = 1
  ranges = { "initial.concentration" = [0.1, 0.9], "dislocations.0.core" = ["0.8 nm", "1.2 nm"] }

Each row gets a folder of its own; results.csv has one line per finished row. A row that fails is a
line with its exit code and error, and the others go on.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The arguments after ``chemomech``; those of the process if None.

    Returns:
        The exit code: 0 done, 2 wrong input, 3 no solution, 4 folder in use, 5 results can't be written.
    """
    try:
        arguments = list(sys.argv[1:] if argv is None else argv)
        cut = arguments.index("--") if "--" in arguments else len(arguments)
        parser = _parser()
        if not arguments:
            parser.print_help()
            return 0
        options = parser.parse_args(arguments[:cut])
        options.petsc = arguments[cut + 1 :]
        if options.petsc and options.command != "run":
            raise _Usage("only `chemomech run` passes what follows -- to PETSc")
        code: int = options.work(options)
        sys.stdout.flush()
        return code
    except ChemomechError as error:
        return _refuse(error)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("dolfinx", "petsc4py", "mpi4py", "basix", "ufl"):
            _abort()
            raise
        return _refuse(
            ChemomechError(f"FEniCSx is not here ({error.name} is missing). ./chemomech-env finds or makes it.")
        )
    except BrokenPipeError:  # `chemomech cases | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception:
        _abort()
        raise


# ---- the commands ------------------------------------------------------------------------------------


def _run(options: argparse.Namespace) -> int:
    from chemomech.case.reading import parse_override
    from chemomech.report import finished, run_table

    source, out = _source(options)
    _say_where_on_signals(out, options)
    comm = _world()
    changes = dict(parse_override(text) for text in options.set)
    case = _on_rank_zero(comm, lambda: _load(source, changes))
    if options.resume and not options.overwrite:
        done = _on_rank_zero(comm, lambda: finished(case, out))
        if done:
            if comm is None or comm.rank == 0:
                print(done)
            return 0
    import petsc4py

    petsc4py.init(["chemomech", *options.petsc])
    from mpi4py import MPI

    from chemomech.driver import run

    try:
        result = run(
            case,
            out,
            MPI.COMM_WORLD,
            resume=options.resume,
            overwrite=options.overwrite,
            progress=not options.quiet,
        )
    except OutputError as error:
        last = _last_checkpoint(out)
        kept = "No checkpoint was written yet" if last is None else f"The last checkpoint is {last}"
        raise OutputError(f"{error} {kept}.") from error
    if MPI.COMM_WORLD.rank == 0 and not options.quiet:
        print(run_table(result, out))
    return 0


def _cases(options: argparse.Namespace) -> int:
    import textwrap

    from chemomech.case import builtin_cases

    for name, case in builtin_cases().items():
        print(name)
        for text in (case.title, case.question, f"Figure: {case.figure}"):
            print(textwrap.fill(text, 96, initial_indent="    ", subsequent_indent="    "))
        print()
    print("chemomech run NAME computes one; `chemomech cases --show NAME` prints its file to start your own from.")
    return 0


def _show_or_list(options: argparse.Namespace) -> int:
    if options.show is None:
        return _cases(options)
    from chemomech.case.reading import builtin_names, read_source
    from chemomech.frozen import did_you_mean, listing

    names = builtin_names()
    if options.show not in names:
        guess = did_you_mean(options.show, names)
        raise CaseError("--show", options.show, f"there is no built-in case of this name{guess}", listing(names))
    print(read_source(options.show)[0], end="")
    return 0


def _materials(options: argparse.Namespace) -> int:
    from chemomech.materials import library

    if options.name is not None:
        library.print_table(options.name)
        return 0
    for name in library.names():
        print(f"{name:12} {library.entry(name)['title']}")
    print("\nchemomech materials NAME prints the numbers of one with their sources.")
    return 0


def _mesh(options: argparse.Namespace) -> int:
    if Path(options.case).suffix.lower() in MAPS:
        return mesh_of_a_map(options)
    for name in ("size", "boundary_size", "figure"):
        if getattr(options, name) is not None:
            flag = "--" + name.replace("_", "-")
            raise CaseError(flag, getattr(options, name), "belongs to maps", "--set mesh.size=... for a case")
    from chemomech.case.reading import parse_override
    from chemomech.meshing.arrays import table_of
    from chemomech.meshing.generate import generate
    from chemomech.output.meshfile import FORMATS, draw_mesh, write_mesh
    from chemomech.report import mesh_table

    options.resume, given, options.out = False, options.out, None
    source, folder = _source(options)
    case = _load(source, dict(parse_override(text) for text in options.set))
    path = Path(given) if given else Path(f"{folder.name}.msh")
    picture = path.with_suffix(".png")
    if path.suffix not in FORMATS:
        raise CaseError("--out", str(path), "this ending is not known", " or ".join(FORMATS))
    for file in (path, picture, table_of(path)):
        if file.exists() and not options.overwrite:
            raise OutputExistsError(f"{file} is there already. Give --overwrite to replace it, or another --out.")
    mesh = generate(case)
    write_mesh(mesh, path)
    draw_mesh(mesh, picture, case.title)
    print(mesh_table(mesh))
    print(f"{'written':<12}{path}, {picture}")
    return 0


def _plot(options: argparse.Namespace) -> int:
    from chemomech.output.redraw import compare, redraw

    places = [Path(place) for place in options.dir]
    if len(places) == 1 and options.out is None:
        drawn = redraw(places[0])
    else:
        drawn = [compare(places, Path(options.out or "comparison.png"))]
    for path in drawn:
        print(path)
    return 0


def _sweep(options: argparse.Namespace) -> int:
    from chemomech.sweep import Sweep, run_sweep

    if options.workers is not None and options.workers < 1:
        raise CaseError("--workers", options.workers, "somebody has to work", "a whole number of at least 1")
    if options.workers is not None and options.scheduler is not None:
        raise CaseError("--workers", options.workers, "the scheduler knows its workers", "--workers or --scheduler")
    sweep = Sweep.load(options.file)
    out = Path(options.out or Path(options.file).stem)
    if (out / "results.csv").exists() and not options.resume:
        raise OutputExistsError(f"{out} already holds a sweep. Give --resume to continue it, or another --out.")
    signal.signal(signal.SIGTERM, _interrupt)

    def tell(row: dict[str, Any]) -> None:
        end = "done" if not row["exit_code"] else f"failed with exit code {row['exit_code']}: {row['error']}"
        print(f"{row['folder']}: {end}", flush=True)

    try:
        if options.scheduler is not None:
            from distributed import Client

            with Client(options.scheduler) as client:
                rows = run_sweep(sweep, out, client.get_executor(), resume=options.resume, tell=tell)
        else:
            rows = run_sweep(sweep, out, workers=options.workers, resume=options.resume, tell=tell)
    except KeyboardInterrupt:
        print(f"chemomech: stopped; the finished rows are in {out}/results.csv. --resume goes on.", file=sys.stderr)
        return 130
    except OSError as error:  # of the network: files have errors of their own
        if options.scheduler is None:
            raise
        raise CaseError(
            "--scheduler", options.scheduler, f"can't be reached ({error})", "an address such as tcp://node1:8786"
        ) from error
    failed = [row for row in rows if row["exit_code"]]
    print(f"{len(rows) - len(failed)} of {len(rows)} rows done; {out}/results.csv")
    return failed[0]["exit_code"] if failed else 0


def _info(options: argparse.Namespace) -> int:
    from mpi4py import MPI

    from chemomech.versions import features, versions

    for name, value in {**versions(), **features(), "MPI ranks": str(MPI.COMM_WORLD.size)}.items():
        print(f"{name:<18}{value}")
    return 0


# ---- what they share ---------------------------------------------------------------------------------


def _source(options: argparse.Namespace) -> tuple[str | Path, Path]:
    """Where the case stands, and the output folder."""
    from chemomech.case.reading import builtin_names

    out = Path(options.out) if options.out is not None else None
    if options.case is None:
        if out is None or not options.resume:
            raise CaseError("CASE", None, "is missing", "a TOML file or a name that `chemomech cases` lists")
        return out / "case.toml", out
    if options.case in builtin_names():
        return options.case, out or Path(options.case)
    path = Path(options.case)
    if path.is_dir():
        if not (path / "case.toml").is_file():
            raise CaseError("CASE", str(path), "this folder holds no run", "a TOML file, or a folder with a run in it")
        return path / "case.toml", out or path
    return str(path), out or Path(path.stem)


def _load(source: str | Path, changes: dict[str, Any]) -> Case:
    from chemomech.case import Case

    return Case.load(source, changes)


# ---- ranks, errors, signals --------------------------------------------------------------------------

_RANK = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK")


def _world() -> MPI.Comm | None:
    """All ranks, if this process is one of several; starting MPI takes a second, which an error need not wait for."""
    if not any(name in os.environ for name in _RANK) and "mpi4py.MPI" not in sys.modules:
        return None
    from mpi4py import MPI

    return MPI.COMM_WORLD if MPI.Is_initialized() and not MPI.Is_finalized() else None


def _on_rank_zero(comm: MPI.Comm | None, work: Any) -> Any:
    if comm is None:
        return work()
    from chemomech.parallel import on_rank_zero

    return on_rank_zero(comm, work)


def _refuse(error: ChemomechError) -> int:
    """Rank 0 prints the error before any rank ends, as a rank that fails takes the others with it."""
    text = f"chemomech: {' '.join(str(error).split())}"
    comm = _world()
    if comm is None or comm.rank == 0:
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.flush()
        print(text, file=sys.stderr, flush=True)
    if comm is not None and comm.size > 1:
        everybody, patience = comm.Ibarrier(), time.monotonic() + 20.0
        while not everybody.Test():
            if time.monotonic() > patience:  # it was not everybody's error
                print(f"{text} (rank {comm.rank} only)", file=sys.stderr, flush=True)
                comm.Abort(error.exit_code)
            time.sleep(0.01)
    return error.exit_code


def _abort() -> None:
    """After a fault on any of several ranks: show it and end them all; they would wait for this one for ever."""
    comm = _world()
    if comm is None or comm.size == 1:
        return
    import traceback

    if comm.rank > 0:
        time.sleep(1.0)  # where all have failed alike, one traceback is enough
    print(f"chemomech: fault on rank {comm.rank} of {comm.size}", file=sys.stderr)
    traceback.print_exc()
    sys.stderr.flush()
    comm.Abort(1)


def _last_checkpoint(out: Path) -> Path | None:
    """The newest checkpoint that was finished."""
    found = [p.with_suffix(".h5") for p in out.glob("checkpoint/step-*.json")]
    return max(found, key=lambda p: int(p.stem.partition("-")[2]), default=None)


def _say_where_on_signals(out: Path, options: argparse.Namespace) -> None:
    """Ctrl-C and SIGTERM end the run at once: every file is whole at every moment, so nothing needs tidying."""

    def stop(number: int, frame: FrameType | None) -> None:
        mpi = sys.modules.get("mpi4py.MPI")
        rank = mpi.COMM_WORLD.rank if mpi else int(next((os.environ[n] for n in _RANK if n in os.environ), "0"))
        if rank == 0:
            last = _last_checkpoint(out)
            kept = "no checkpoint was written yet" if last is None else f"the last checkpoint is {last}"
            again = f"; `chemomech run {out} --resume` goes on from there" if last is not None else ""
            cursor = "\x1b[?25h" if sys.stderr.isatty() else ""
            os.write(2, f"{cursor}\nchemomech: stopped by {signal.Signals(number).name}; {kept}{again}.\n".encode())
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ValueError):  # not in the main thread of somebody's program
            signal.signal(number, stop)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class _Usage(ChemomechError):
    """The command line itself makes no sense."""

    exit_code = 2


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _Usage(f"{message}. `{self.prog} --help` shows what there is.")


def _parser() -> argparse.ArgumentParser:
    plain = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog="chemomech", description=_ABOUT, formatter_class=plain, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"chemomech {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, work: Any, text: str, more: str = "") -> argparse.ArgumentParser:
        about = text[0].upper() + text[1:] + "."
        command = commands.add_parser(
            name, help=text, description=about, epilog=more, formatter_class=plain, allow_abbrev=False
        )
        command.set_defaults(work=work)
        return command

    def takes_case(command: argparse.ArgumentParser, **more: Any) -> None:
        command.add_argument("case", metavar="CASE", help="a TOML file, or a name that `chemomech cases` lists", **more)
        command.add_argument(
            "--set", metavar="KEY=VALUE", action="append", default=[], help="change one entry; may be repeated"
        )

    run = add("run", _run, "compute a case", _RUN)
    takes_case(run, nargs="?")
    run.add_argument("--out", metavar="DIR", help="folder for the results; named after the case if not given")
    run.add_argument("--resume", action="store_true", help="continue the run in DIR (CASE may be DIR itself)")
    run.add_argument("--overwrite", action="store_true", help="replace the run in DIR")
    run.add_argument("--quiet", action="store_true", help="print errors only")

    cases = add("cases", _show_or_list, "list the built-in cases")
    cases.add_argument("--show", metavar="NAME", help="print the file of one of them")
    materials = add("materials", _materials, "list the materials, or print the numbers of one with their sources")
    materials.add_argument("name", metavar="NAME", nargs="?", help="such as LLZO")

    mesh = add("mesh", _mesh, "make the mesh of a case, without computing, and say how good it is")
    takes_case(mesh)
    mesh.add_argument("--out", metavar="FILE", help="a .msh (gmsh) or .vtu (ParaView) file; a picture lands beside it")
    mesh.add_argument("--overwrite", action="store_true", help="replace FILE")
    add_map_options(mesh)

    plot = add("plot", _plot, "draw the pictures of a run again, or several runs in one figure", _PLOT)
    plot.add_argument("dir", metavar="DIR", nargs="+", help="folder of a run, finished or not; several to compare")
    plot.add_argument("--out", metavar="FIGURE", help="a .png, .pdf or .svg file; comparison.png if not given")

    sweep = add("sweep", _sweep, "compute many variants of a case", _SWEEP)
    sweep.add_argument("file", metavar="SWEEP.toml", help="what to vary")
    sweep.add_argument("--workers", metavar="N", type=int, help="rows computed at once; as many as cores if not given")
    sweep.add_argument("--scheduler", metavar="ADDRESS", help="address of a Dask scheduler, such as tcp://node1:8786")
    sweep.add_argument("--resume", action="store_true", help="skip the rows that are done")
    sweep.add_argument("--out", metavar="DIR", help="folder for the rows; named after the file if not given")
    add("info", _info, "print versions and features")
    return parser
