"""The folder of a run: what belongs to it, and how files get there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mpi4py import MPI

from chemomech.errors import CaseError, OutputError, OutputExistsError
from chemomech.parallel import on_rank_zero

# Everything a run may leave behind. Only what matches is ever removed.
_OWNED = (
    "case.toml",
    "summary.json",
    "history.csv",
    "profile.csv",
    "run.log",
    "adapt.json",
    "fields.pvd",
    "fields/step-*.vtu",
    "fields/step-*.pvtu",
    "grain_boundaries.pvd",
    "grain_boundaries/step-*.vtu",
    "grain_boundaries/step-*.pvtu",
    "figures/*.png",
    "checkpoint/step-*.h5",
    "checkpoint/step-*.json",
    "checkpoint/mesh.npz",
    "checkpoint/mesh.json",
)
_SUBFOLDERS = ("fields", "grain_boundaries", "figures", "checkpoint")
_PART = ".part"


@dataclass(frozen=True)
class RunFolder:
    """Where the files of a run are.

    Attributes:
        path: The folder itself.
        resumed: The folder holds a run that is to be continued.
        made: Folders that were made for it, innermost first.
    """

    path: Path
    resumed: bool = False
    made: tuple[Path, ...] = ()

    @property
    def case(self) -> Path:
        """The resolved case, which can be run again."""
        return self.path / "case.toml"

    @property
    def summary(self) -> Path:
        """What came out, in numbers."""
        return self.path / "summary.json"

    @property
    def history(self) -> Path:
        """One row per accepted step."""
        return self.path / "history.csv"

    @property
    def profile(self) -> Path:
        """Means over the width of a layered body at the end, against height."""
        return self.path / "profile.csv"

    @property
    def grain_boundaries(self) -> Path:
        """The index of the fields on grain boundaries; its pieces are in the folder of the same name."""
        return self.path / "grain_boundaries.pvd"

    @property
    def fields(self) -> Path:
        """The index ParaView opens; its pieces are in the folder of the same name."""
        return self.path / "fields.pvd"

    @property
    def figures(self) -> Path:
        """Folder of the pictures."""
        return self.path / "figures"

    @property
    def checkpoint(self) -> Path:
        """Folder of the restart files."""
        return self.path / "checkpoint"

    @property
    def adapt(self) -> Path:
        """The meshes that came before the one of the run, and their errors."""
        return self.path / "adapt.json"

    @property
    def log(self) -> Path:
        """What happened, with times."""
        return self.path / "run.log"


def prepare(out: Path, *, resume: bool, overwrite: bool, comm: MPI.Comm) -> RunFolder:
    """Make the folder ``out`` ready, or say why that can't be, before anything is computed.

    Args:
        out: The folder; made if it isn't there.
        resume: Continue the run it holds, if it holds one.
        overwrite: Remove the files of the run it holds; files that no run writes stay.
        comm: All ranks call this; rank 0 does the work.

    Raises:
        OutputExistsError: The folder holds a run and neither flag is given.
        CaseError: Both flags are given, or the folder can't be made or written to.
    """

    def work() -> RunFolder:
        if resume and overwrite:
            raise CaseError("--resume", None, "it contradicts --overwrite", "one of the two")
        folder = RunFolder(Path(out))
        try:
            held = holds_run(folder)
            if held and not (resume or overwrite):
                raise OutputExistsError(
                    f"{out} already holds a run. Give --resume to continue it, --overwrite to replace it, "
                    "or another folder with --out."
                )
            made = _try_writing(folder.path)
            _remove_parts(folder.path)
            if held and overwrite:
                _remove_run(folder.path)
        except OSError as error:
            reason = error.strerror or str(error)
            place = f" ({error.filename})" if error.filename and str(error.filename) != str(out) else ""
            raise CaseError(
                "--out",
                str(out),
                f"can't be used as output folder: {reason}{place}",
                "a folder on a disk with free space in which you may create files",
            ) from error
        return RunFolder(folder.path, held and resume, made)

    return on_rank_zero(comm, work)


def reopen(folder: RunFolder, case: str | None) -> None:
    """Prepare the folder of a run that is continued. Not collective: rank 0 calls this.

    Args:
        folder: The folder.
        case: What ``case.toml`` shall say from now on; None if no checkpoint was ever finished, and the run
            therefore starts again.

    Raises:
        OutputError: The files can't be changed.
    """
    with writing(folder.path):
        if case is None:
            _remove_run(folder.path, keep=(folder.case,))
            return
        folder.summary.unlink(missing_ok=True)  # of an earlier end
    if not folder.case.exists() or folder.case.read_text() != case:
        write_atomic(folder.case, case)


def holds_run(folder: RunFolder) -> bool:
    """Whether a run has begun in this folder."""
    return folder.case.exists() or folder.summary.exists() or any(folder.checkpoint.glob("step-*.json"))


def withdraw(folder: RunFolder) -> None:
    """Remove the folders that ``prepare`` made, as far as they are empty. Not collective: rank 0 calls this."""
    with contextlib.suppress(OSError):
        for made in folder.made:
            made.rmdir()


def _try_writing(path: Path) -> tuple[Path, ...]:
    """Make ``path`` and write a byte into it; leaves nothing behind where that fails. Returns the folders made."""
    missing = [p for p in (path, *path.parents) if not p.exists()]
    probe = path / f".probe-{os.getpid()}{_PART}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        _write_through(probe, b"\n")
        probe.unlink()
    except OSError:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
        for made in missing:
            with contextlib.suppress(OSError):
                made.rmdir()
        raise
    return tuple(missing)


def _remove_run(path: Path, keep: tuple[Path, ...] = ()) -> None:
    for pattern in _OWNED:
        for file in path.glob(pattern):
            if file not in keep and (file.is_file() or file.is_symlink()):
                file.unlink()
    for name in _SUBFOLDERS:
        sub = path / name
        if sub.is_dir() and not sub.is_symlink() and not any(sub.iterdir()):
            sub.rmdir()


def _remove_parts(path: Path) -> None:
    """Remove what a killed run was in the middle of writing."""
    for place in (path, *(path / name for name in _SUBFOLDERS)):
        for file in place.glob(f".*{_PART}"):
            file.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes | bytearray | memoryview | str) -> None:
    """Write a whole file or nothing: whoever reads ``path`` finds the old content or the new one.

    Makes the parent folder if need be. Not collective: called by the rank that owns the file.

    Raises:
        OutputError: The disk is full or read-only, or permission is missing.
    """
    content = data.encode() if isinstance(data, str) else data
    part = path.with_name(f".{path.name}.{os.getpid()}{_PART}")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_through(part, content)
            os.replace(part, path)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def write_all(descriptor: int, data: bytes | bytearray | memoryview) -> None:
    """Hand every byte to the operating system, nothing kept in a buffer of this process."""
    rest = memoryview(data).cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest[: 1 << 30]) :]


def _write_through(path: Path, data: bytes | bytearray | memoryview) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    """Make a rename last through a power cut, on file systems that can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


_ADVICE = {
    errno.ENOSPC: "The disk is full: free some space, then continue with --resume",
    errno.EDQUOT: "Your disk quota is used up: free some space, then continue with --resume",
    errno.EFBIG: "The file is larger than the system allows: raise the limit (ulimit -f), then continue with --resume",
    errno.EROFS: "The disk is read-only: choose another folder with --out",
    errno.EACCES: "You may not write there: change the permissions and continue with --resume, or choose another --out",
    errno.EPERM: "You may not write there: change the permissions and continue with --resume, or choose another --out",
}


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write ``path`` into an OutputError that says what to do."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "Put that right, then continue with --resume")
        raise OutputError(f"Can't write {path}: {error.strerror or error}. {advice}.") from error
