"""A case from its beginning to its files: outputs, checkpoints, restarts, failures."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
from pathlib import Path
from typing import Any

from mpi4py import MPI

from chemomech.adapt import adapted
from chemomech.case import Case
from chemomech.errors import CaseError, ChemomechError, ConvergenceError, OutputError
from chemomech.meshing.arrays import MeshArrays
from chemomech.output import checkpoint
from chemomech.output.fields import FieldSeries
from chemomech.output.figures import Figures
from chemomech.output.folder import RunFolder, prepare, withdraw, write_atomic
from chemomech.output.history import History
from chemomech.output.network import BoundarySeries
from chemomech.output.network_figures import BoundaryPictures
from chemomech.output.profile import ProfileTable
from chemomech.output.progress import Progress
from chemomech.output.protocol import Output
from chemomech.output.resume import take_up
from chemomech.parallel import on_rank_zero
from chemomech.result import Result
from chemomech.simulation import Simulation

_LOG = logging.getLogger(__name__)


def run(
    case: Case,
    out: str | Path | None = None,
    comm: MPI.Comm = MPI.COMM_WORLD,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Result:
    """Compute a case.

    Args:
        case: What to compute.
        out: Folder for the files; None writes nothing.
        comm: Ranks that compute together; all of them call this.
        resume: Continue the run in ``out`` from its last checkpoint.
        overwrite: Replace the run in ``out``.
        progress: Show how far it is (rank 0).

    Raises:
        CaseError: If the input is wrong.
        ConvergenceError: If the solver gave up; the last good checkpoint stays.
        OutputExistsError: If ``out`` holds a run and neither flag is given.
        OutputError: If results can't be written.
    """
    folder = None if out is None else prepare(Path(out), resume=resume, overwrite=overwrite, comm=comm)
    # Objects with collective destructors must not die at different moments on different ranks.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _run(case, folder, comm, progress)
    finally:
        gc.collect()
        if collecting:
            gc.enable()


def _run(case: Case, folder: RunFolder | None, comm: MPI.Comm, progress: bool) -> Result:
    saved = None if folder is None or not folder.resumed else take_up(case, folder, comm)
    meshes: dict[str, Any] = {}
    if saved is not None and folder is not None:
        stored = checkpoint.read_mesh_arrays(folder.checkpoint, comm)
        arrays = MeshArrays.from_dict(stored) if comm.rank == 0 else None
        simulation = Simulation(case, comm, arrays, given=True)
        meshes = on_rank_zero(comm, lambda: _meshes_before(folder))
    else:
        try:
            if case.mesh.adapt is None:
                simulation = Simulation(case, comm)
            else:
                with Progress(None, log=folder.log if folder else None, show=progress) as notes:
                    arrays, meshes = adapted(case, comm, notes.note)
                simulation = Simulation(case, comm, arrays, given=True)
        except CaseError:  # of a mesh file, for example
            if folder is not None:
                on_rank_zero(comm, lambda: withdraw(folder))
            raise
    try:
        return _compute(simulation, folder, saved, progress, meshes)
    except ChemomechError:  # raised by all ranks together
        simulation.destroy()
        raise


def _meshes_before(folder: RunFolder) -> dict[str, Any]:
    """What the run of a folder wrote about the meshes that led to its own; nothing if there was one only."""
    return dict(json.loads(folder.adapt.read_text())) if folder.adapt.exists() else {}


def _compute(
    simulation: Simulation,
    folder: RunFolder | None,
    saved: checkpoint.Checkpoint | None,
    progress: bool,
    meshes: dict[str, Any],
) -> Result:
    case, comm = simulation.case, simulation.comm
    transient = case.mode == "transient"
    control = simulation.control() if transient else None
    if saved is not None:
        simulation.restore(saved)
        if control is not None:
            control.wish = simulation.wish
    else:
        simulation.begin()
    history = History(folder.history if folder else None, resume=saved is not None)
    outputs: list[Output] = [history]
    bar = Progress(case.time.end if transient else None, log=folder.log if folder else None, show=progress)
    if folder is not None:
        if saved is None:
            text = case.to_toml()
            on_rank_zero(comm, lambda: write_atomic(folder.case, text))
            if meshes:
                about = json.dumps(meshes, indent=2) + "\n"
                on_rank_zero(comm, lambda: write_atomic(folder.adapt, about))
            held = simulation.arrays.to_dict() if simulation.arrays is not None else None
            checkpoint.write_mesh_arrays(folder.checkpoint, comm, held)
        outputs.append(
            FieldSeries(
                folder.fields, times=case.output.times, every=case.output.every,
                resume=saved is not None, equilibrium=not transient,
            )
        )  # fmt: skip
        if case.grain_boundaries:
            outputs.append(
                BoundarySeries(
                    folder.grain_boundaries, times=case.output.times, every=case.output.every, resume=saved is not None
                )
            )
            if case.output.figures:
                outputs.append(BoundaryPictures(folder.figures, history, case.title))
        levels = [y for y, *_ in case.interfaces]
        if levels:
            outputs.append(ProfileTable(folder.profile, levels))
        if case.output.figures:
            outputs.append(
                Figures(
                    folder.figures, history, title=case.title, dislocations=case.all_dislocations,
                    window=case.output.window, equilibrium=not transient,
                    interfaces=levels, periodic=case.domain.periodic,
                )
            )  # fmt: skip
    outputs.append(bar)
    last: Path | None = saved.path if saved is not None else None
    wish = 0.0
    with bar:
        for output in outputs:
            output.open(simulation)
        try:
            if control is None:
                simulation.equilibrate()
                for output in outputs:
                    output.update(simulation)
            else:
                while simulation.time < control.end * (1.0 - 1e-12) and not simulation.ended:
                    wish = control.wish
                    simulation.advance(control)
                    for output in outputs:
                        output.update(simulation)
                    due = simulation.step % case.output.checkpoint_every == 0
                    if folder is not None and due:
                        last = simulation.save(folder.checkpoint, control.wish)
        except ConvergenceError as error:
            error.checkpoint = last
            if folder is not None and control is not None and simulation.step > 0:
                with contextlib.suppress(OutputError):  # what failed first is what the user has to know
                    error.checkpoint = simulation.save(folder.checkpoint, wish)
            raise
        if simulation.ended and comm.rank == 0:
            _LOG.info("ended: %s", simulation.ended)
        for output in outputs:
            output.close(simulation)
    numbers = simulation.summary(converged=True) | meshes
    if folder is not None:
        if control is not None:
            simulation.save(folder.checkpoint, control.wish)
        text = json.dumps(numbers, indent=2) + "\n"
        on_rank_zero(comm, lambda: write_atomic(folder.summary, text))
    simulation.destroy()
    return Result(simulation, history.rows, numbers, folder.path if folder else None)
