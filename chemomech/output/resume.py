"""Where a run that was stopped goes on."""

from __future__ import annotations

from mpi4py import MPI

from chemomech.case import Case
from chemomech.case.compare import check_continues
from chemomech.output.checkpoint import Checkpoint, load_latest
from chemomech.output.folder import RunFolder, reopen
from chemomech.parallel import on_rank_zero


def take_up(case: Case, folder: RunFolder, comm: MPI.Comm) -> Checkpoint | None:
    """The checkpoint to go on from, if one was finished; the folder is made ready either way. Collective.

    Raises:
        CaseError: If the run was begun with another case.
        OutputError: If no checkpoint is whole, or the files can't be changed.
    """

    def compare() -> None:
        if folder.case.exists():
            check_continues(Case.load(folder.case), case, folder.path)

    on_rank_zero(comm, compare)
    saved = load_latest(folder.checkpoint, comm)
    text = None if saved is None else case.to_toml()
    on_rank_zero(comm, lambda: reopen(folder, text))
    return saved
