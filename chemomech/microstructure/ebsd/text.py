"""Maps as text: .ang of EDAX (TSL) and whoever writes the like, .ctf of Oxford Instruments (HKL)."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import numpy as np

from chemomech.errors import CaseError
from chemomech.microstructure.ebsd.raw import Phase, Raw
from chemomech.microstructure.ebsd.symmetry import LAUE_NUMBERS
from chemomech.typing import Array

_MOST_HEADER: Final = 100_000  # lines
_BAD: Final = 0.1  # share of lines that may be unreadable
_TSL: Final = ("phi1", "phi", "phi2", "x", "y", "iq", "ci", "phase", "signal", "fit")
_ASTAR: Final = ("phi1", "phi", "phi2", "x", "y", "index", "reliability", "phase", "reliability_100")
_EMSOFT: Final = ("phi1", "phi", "phi2", "x", "y", "iq", "dp", "phase")
_CTF: Final = ("phase", "x", "y", "bands", "error", "euler1", "euler2", "euler3", "mad", "bc", "bs")


def read_ang(path: Path) -> Raw:
    """An .ang file. CaseError if it is none, is cut off in its header or has no usable rows."""
    header, rest, line = _split(path, lambda text: not text.startswith("#"))
    said: list[str] = []
    text = "\n".join(header)
    names: tuple[str, ...] = _TSL
    unit, values = 1e-6, 0
    if "ACOM" in text:
        names, unit = _ASTAR, 1e-9
    elif "EMsoft" in text:
        names = _EMSOFT
    listed = re.search(r"^#\s*(?:Column names|COLUMN_HEADERS)\s*:\s*(.+)$", text, re.MULTILINE | re.IGNORECASE)
    if listed:
        words = tuple(_plain(word) for word in listed[1].split(","))
        if set(_TSL[:5]) <= set(words) or {"euler1", "x", "y"} <= set(words):
            names = words
            values = len(words)
    table = _table(rest, path, line, said)
    width = table.shape[1]
    if width < 7:
        raise CaseError(
            "columns", width, "an .ang file has phi1, Phi, phi2, x, y, quality, confidence, phase, ...", "at least 7",
            file=path,
        )  # fmt: skip
    if values and values != width:
        said.append(f"the header names {values} columns, the rows have {width}")
    columns = {name: table[:, k] for k, name in enumerate(names[:width])}
    for alias, name in (("euler1", "phi1"), ("euler2", "phi"), ("euler3", "phi2"), ("phase_index", "phase")):
        if alias in columns:
            columns.setdefault(name, columns.pop(alias))
    if "phase" not in columns:
        said.append("the rows have no phase: all points are of the first one")
    missing = [name for name in ("phi1", "phi", "phi2", "x", "y") if name not in columns]
    if missing:
        raise CaseError("columns", ", ".join(names), f"{', '.join(missing)} not among them", file=path)
    euler = np.stack([columns.pop(name) for name in ("phi1", "phi", "phi2")], axis=1)
    x, y = columns.pop("x") * unit, columns.pop("y") * unit
    claims = {}
    for key, word in (("step", "XSTEP"), ("row_step", "YSTEP"), ("columns", "NCOLS_ODD"), ("rows", "NROWS")):
        number = _number(rf"^#\s*{word}\s*[:=]?\s*(\S+)", text)
        if number is not None:
            claims[key] = number * unit if "step" in key else number
    if "columns" in claims and "hex" in text.lower():
        claims["columns"] = max(claims["columns"], _number(r"^#\s*NCOLS_EVEN\s*:?\s*(\S+)", text) or 0.0)
    numbers = columns.pop("phase", None)
    unindexed = (columns["ci"] <= -1.0) if "ci" in columns else np.zeros(len(x), bool)
    with np.errstate(invalid="ignore"):
        beyond = np.abs(euler).max(axis=1) > 4.0 * np.pi - 0.01  # what EDAX writes where it found nothing
        if beyond.mean() > 0.5 and euler[np.isfinite(euler)].max(initial=0.0) > 13.0:
            said.append("the angles are too large for radians: read as degrees")
            euler = np.radians(euler)
        else:
            unindexed |= beyond
    return Raw(
        x=x,
        y=y,
        euler=euler,
        numbers=numbers,
        unindexed=unindexed,
        phases=_ang_phases(header),
        quality=columns,
        claims=claims,
        axes="xy",
        oxford=False,
        from_one=False,
        warnings=said,
    )


def read_ctf(path: Path) -> Raw:
    """A .ctf file. CaseError if it is none, is cut off in its header or has no usable rows."""
    heading = re.compile(r"^\s*phase\s+x\s+y\b", re.IGNORECASE)
    header, rest, line = _split(path, lambda text: bool(heading.match(text)))
    first = rest.partition(b"\n")
    names = tuple(_plain(word) for word in first[0].decode("latin-1").split())
    if not header or not names or not heading.match(first[0].decode("latin-1")):
        raise CaseError("map", None, "no line 'Phase X Y ...' was found", "a complete .ctf file", file=path)
    said: list[str] = []
    body = first[2]
    if b"," in body[:4096] and b"." not in body[:4096]:
        body = body.replace(b",", b".")
    table = _table(body, path, line + 1, said)
    if table.shape[1] < len(names):
        said.append(f"the header names {len(names)} columns, the rows have {table.shape[1]}")
    elif table.shape[1] > len(names):
        said.append(f"the header names {len(names)} columns, the rows have {table.shape[1]}: the last are left out")
    columns = {name: table[:, k] for k, name in enumerate(names[: table.shape[1]])}
    missing = [name for name in ("phase", "x", "y", "euler1", "euler2", "euler3") if name not in columns]
    if missing:
        raise CaseError(
            "columns", ", ".join(columns), f"{', '.join(missing)} not among them", ", ".join(_CTF), file=path
        )
    euler = np.radians(np.stack([columns.pop(f"euler{k}") for k in (1, 2, 3)], axis=1))
    text = "\n".join(header)
    claims = {}
    for key, word in (("step", "XStep"), ("row_step", "YStep"), ("columns", "XCells"), ("rows", "YCells")):
        number = _number(rf"^{word}\s+(\S+)", text)
        if number is not None:
            claims[key] = number * 1e-6 if "step" in key else number
    if any(_number(rf"^AcqE{k}\s+(\S+)", text) for k in (1, 2, 3)):
        said.append("AcqE1 to AcqE3 are not zero: the orientations may be turned against the map")
    numbers = columns.pop("phase")
    x, y = columns.pop("x") * 1e-6, columns.pop("y") * 1e-6
    return Raw(
        x=x,
        y=y,
        euler=euler,
        numbers=numbers,
        unindexed=numbers == 0,
        phases=_ctf_phases(header, path),
        quality=columns,
        claims=claims,
        axes="x",
        oxford=True,
        from_one=True,
        warnings=said,
    )


# ---- headers -------------------------------------------------------------------------------------------
def _ang_phases(header: list[str]) -> list[Phase]:
    phases: list[Phase] = []
    number: int | None = None
    name, symmetry = "", ""
    for line in [*header, "# Phase 0"]:
        words = line.lstrip("# \t").split()
        key = words[0].rstrip(":").lower() if words else ""
        if key in ("phase", "materialname"):
            if (key == "phase" or name) and symmetry:
                phases.append(Phase(len(phases) + 1 if number is None else number, name, symmetry))
                number, name, symmetry = None, "", ""
            if key == "phase" and len(words) > 1 and words[1].isdigit():
                number = int(words[1])
            if key == "materialname":
                name = " ".join(words[1:])
        elif key == "symmetry" and len(words) > 1:
            symmetry = words[1]
    return phases


def _ctf_phases(header: list[str], path: Path) -> list[Phase]:
    found = [k for k, text in enumerate(header) if text.lower().startswith("phases")]
    if not found:
        return []
    line, text = found[0], header[found[0]]
    words = text.split()
    if len(words) < 2 or not words[1].isdigit() or int(words[1]) > len(header) - line - 1:
        raise CaseError("Phases", text.strip(), "the header has fewer phases than it says", file=path, line=line + 1)
    phases = []
    for number in range(1, int(words[1]) + 1):
        fields = [field.strip() for field in header[line + number].split("\t")]
        laue = fields[3] if len(fields) > 3 else ""
        if not laue.isdigit() or int(laue) not in LAUE_NUMBERS:
            raise CaseError(
                "Phases", header[line + number].strip()[:60], "no Laue group from 1 to 11 in the fourth column",
                file=path, line=line + number + 1,
            )  # fmt: skip
        phases.append(Phase(number, fields[2], LAUE_NUMBERS[int(laue)]))
    return phases


def _plain(word: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", word.strip().lower()).strip("_")


def _number(pattern: str, text: str) -> float | None:
    found = re.search(pattern, text, re.MULTILINE | re.IGNORECASE)
    try:
        return float(found[1].replace(",", ".")) if found else None
    except ValueError:
        return None


# ---- rows ----------------------------------------------------------------------------------------------
def _split(path: Path, ends: Callable[[str], bool]) -> tuple[list[str], bytes, int]:
    """Lines of the header, the bytes from the first line on that ends it, and the number of that line."""
    with path.open("rb") as stream:
        if b"\0" in stream.read(1 << 16):
            raise CaseError("map", None, "this is no text", "an .ang or .ctf file as its maker wrote it", file=path)
    data = path.read_bytes()
    if b"\n" not in data and b"\r" in data:
        data = data.replace(b"\r", b"\n")
    header: list[str] = []
    lines = io.BytesIO(data)
    for number in range(1, _MOST_HEADER):
        place = lines.tell()
        line = lines.readline(1 << 16)
        if not line:
            break
        text = line.decode("latin-1").rstrip("\r\n")
        if text.strip() and ends(text):
            return header, data[place:], number
        header.append(text)
    raise CaseError(
        "map", None, "it ends before the first point" if header else "it is empty", "a complete file", file=path
    )


def _table(body: bytes, path: Path, line: int, said: list[str]) -> Array:
    """The numbers, shape (n, columns). Lines that are not like the others are left out, with a word."""
    if not body.strip():
        raise CaseError("map", None, "there are no points in it", "a complete file", file=path)
    try:
        return np.loadtxt(io.BytesIO(body), comments="#", ndmin=2, encoding="latin-1")
    except ValueError:
        return _careful(body.decode("latin-1").splitlines(), path, line, said)


def _careful(lines: Iterable[str], path: Path, line: int, said: list[str]) -> Array:
    rows = [(k, text.split()) for k, text in enumerate(lines, line) if text.strip() and not text.startswith("#")]
    width = Counter(len(words) for _, words in rows).most_common(1)[0][0]
    kept, bad = [], []
    for k, words in rows:
        try:
            row = [float(word) for word in words]
        except ValueError:
            row = []
        if len(row) == width:
            kept.append(row)
        else:
            bad.append(k)
    if not kept or len(bad) > _BAD * len(rows):
        raise CaseError(
            "columns", None, f"{len(bad)} of {len(rows)} lines have not {width} numbers as the others",
            "a table of numbers", file=path, line=bad[0],
        )  # fmt: skip
    said.append(f"{len(bad)} lines without {width} numbers are left out, the first is line {bad[0]}")
    return np.array(kept)
