"""The problem in FreeFEM: writes mesh and arrays, runs freefem.edp, reads what came out.

    PEERS/bin/python benchmarks/peers/freefem.py PROBLEM.npz RESULT.npz [--solver mumps|umfpack] [--whole]

freefem.edp is written as a user of FreeFEM would who cares for speed. `--solver direct` is
UMFPACK in 2D, where it was the faster one up to 161 604 unknowns, and MUMPS in 3D. The analysis is repeated with every
matrix: a block matrix that is put together again is a new one to FreeFEM. Times are without the
files, which a user of FreeFEM alone would not need.

Newton's method starts from the last step, stops when no node changes c by more than 1e-5 (with --whole 1e-4), and
keeps c inside (0, 1) by cutting what goes further than nine tenths of the way to a bound.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def program() -> str:
    """FreeFem++: the one that is named, that of the folder of peers, or that on the PATH."""
    ours = Path(sys.prefix).parent / "bin" / "FreeFem++"
    found = os.environ.get("CHEMOMECH_FREEFEM") or (str(ours) if ours.is_file() else shutil.which("FreeFem++"))
    if not found:
        raise SystemExit(
            "freefem: there is no FreeFem++; run benchmarks/peers/install freefem, or name it by CHEMOMECH_FREEFEM"
        )
    return found


def strain(u: str, d: int) -> list[str]:
    """(xx, yy, zz, 2 yz, 2 xz, 2 xy) as terms of FreeFEM's language; empty where a plane body has none."""
    x, y, z = (f"{u}#{axis}" for axis in "xyz")
    if d == 2:
        return [f"dx({x})", f"dy({y})", "", "", "", f"(dy({x})+dx({y}))"]
    mixed = [f"(dz({y})+dy({z}))", f"(dz({x})+dx({z}))", f"(dy({x})+dx({y}))"]
    return [f"dx({x})", f"dy({y})", f"dz({z})", *mixed]


def total(terms: Iterable[tuple[Any, str]]) -> str:
    """A sum without what vanishes."""
    return " + ".join(f"({factor})*{term}" for factor, term in terms if term and factor != 0.0) or "0"


def head(data: dict[str, Array], given: argparse.Namespace, solver: str) -> str:
    """What comes before freefem.edp."""
    d = int(data["dimension"])
    C, expansion = data["stiffness"][0], data["expansion"][0]
    stress = C @ expansion
    u, v = strain("u", d), strain("v", d)
    rows = [(1.0, f"({total(zip(C[i].tolist(), u, strict=True))})*{v[i]}") for i in range(6) if v[i]]
    numbers = {
        "sites": data["sites"][0],
        "chi": data["interaction"][0],
        "mu0": data["reference_potential"][0],
        "diffusivity": data["diffusivity"][0],
        "kappa": data["gradient_energy"][0],
        "clamped": stress @ expansion,
        "last": data["end"],
        "firststep": given.first_step or data["steps"][0],
        "growth": given.growth,
    }
    lines = [
        *(['load "MUMPS_seq"'] if solver == "mumps" else []),
        *(f"real {name} = {float(value)!r};" for name, value in numbers.items()),
        f"int pins = {len(data['pinned'])}, planned = {len(data['steps'])};",
        f"bool whole = {str(given.whole).lower()};",
        f"macro dimension(){d}// EOM",
        f"macro stiffness(u, v) ({total(rows)}) // EOM",
        f"macro coupling(c, v) (-({total(zip(stress.tolist(), v, strict=True))})*c) // EOM",
        f"macro knownu(v) ({total((f'h{i}', v[i]) for i in range(6))}) // EOM",
        "macro knownc(r) (-hc*r) // EOM",
    ]
    return "\n".join(lines) + "\n"


def write_mesh(data: dict[str, Array], folder: Path) -> None:
    """FreeFEM's own format in the plane, Medit's in space; cells of positive size."""
    d, points, cells = int(data["dimension"]), data["points"], data["cells"].copy()
    edges = points[cells[:, 1:]] - points[cells[:, :1]]
    turned = np.linalg.det(edges) < 0.0
    cells[turned, -2:] = cells[turned, :-3:-1]
    nodes = np.c_[points, np.zeros(len(points))]
    corners = np.c_[cells + 1, np.zeros(len(cells), dtype=np.int64)]
    how = " ".join(["%.17g"] * d) + " %d"
    path = folder / ("mesh.msh" if d == 2 else "mesh.mesh")
    with path.open("w") as file:
        if d == 2:
            file.write(f"{len(points)} {len(cells)} 0\n")
            np.savetxt(file, nodes, fmt=how)
            np.savetxt(file, corners, fmt="%d")
        else:
            file.write(f"MeshVersionFormatted 2\nDimension 3\nVertices\n{len(points)}\n")
            np.savetxt(file, nodes, fmt=how)
            file.write(f"Tetrahedra\n{len(cells)}\n")
            np.savetxt(file, corners, fmt="%d")
            outside = surface(cells) + 1  # without a surface FreeFEM 4.17 crashes on the first interpolation
            file.write(f"Triangles\n{len(outside)}\n")
            np.savetxt(file, np.c_[outside, np.ones(len(outside), dtype=np.int64)], fmt="%d")
            file.write("End\n")


def surface(cells: Array) -> Array:
    """Faces of tetrahedra that belong to one of them only."""
    faces = cells[:, [[1, 2, 3], [0, 3, 2], [0, 1, 3], [0, 2, 1]]].reshape(-1, 3)
    _, first, count = np.unique(np.sort(faces, axis=1), axis=0, return_index=True, return_counts=True)
    return np.asarray(faces[first[count == 1]])


def write_arrays(data: dict[str, Array], folder: Path) -> None:
    """What freefem.edp reads, each with its length before it; degrees of freedom of u go node by node."""
    d, expansion = int(data["dimension"]), data["expansion"][0]
    held = (data["eigenstrain"] - expansion * data["reference_concentration"][0]) @ data["stiffness"][0].T
    pinned = data["pinned"][:, 0] * d + data["pinned"][:, 1]
    arrays = [*held.T, held @ expansion, data["load"].ravel(), data["c0"], pinned, data["steps"]]
    with (folder / "arrays.txt").open("w") as file:
        for array in arrays:
            file.write(f"{len(array)}\n")
            np.savetxt(file, array, fmt="%.17g" if array.dtype.kind == "f" else "%d")


def main() -> None:
    """Write, run, read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem")
    parser.add_argument("result")
    parser.add_argument("--solver", choices=["direct", "mumps", "umfpack"], default="direct")
    parser.add_argument("--whole", action="store_true", help="march to the end with steps of our own choice")
    parser.add_argument("--first-step", type=float, help="with --whole; default: the first of the file")
    parser.add_argument("--growth", type=float, default=1.25, help="with --whole, of a step after an easy one")
    given = parser.parse_args()
    data = dict(np.load(given.problem))
    if len(data["sites"]) > 1:
        raise SystemExit("freefem: several phases, with a concentration that jumps between them, are not written here")
    direct = "umfpack" if int(data["dimension"]) == 2 else "mumps"
    solver = direct if given.solver == "direct" else given.solver
    script = (Path(__file__).resolve().parent / "freefem.edp").read_text()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_mesh(data, folder)
        write_arrays(data, folder)
        (folder / "empty.edp").write_text("int nothing = 0;\n")
        (folder / "run.edp").write_text(head(data, given, solver) + script)
        stages: dict[str, float] = {}
        imported = run(folder, "empty.edp")[1]
        said, memory = run(folder, "run.edp", stages)
        numbers = np.fromfile(folder / "result.txt", sep=" ")
    version = next((word for word in said.split() if word.startswith("v4")), "v?")
    cpu, reached, wasted, count = numbers[:4]
    marched = stages["done"] - stages["ready"]
    d, n, k = int(data["dimension"]), len(data["points"]), 4 + int(count)
    newton = numbers[4:k].astype(np.int64)
    np.savez(
        given.result,
        u=numbers[k : k + d * n].reshape(n, d),
        c=numbers[k + d * n : k + (d + 1) * n],
        mu=numbers[k + (d + 1) * n :],
        newton=newton,
        linear=newton,
        wasted=int(wasted),
        end=reached,
        time_setup_s=stages["ready"] - stages["start"],
        time_march_s=marched,
        cpu_march_s=cpu,
        time_per_newton_s=marched / (newton.sum() + wasted),
        peak_memory_bytes=memory,
        import_memory_bytes=imported,
        solver=solver,
        versions=f"FreeFEM {version[1:]}, {solver}",
    )


def run(folder: Path, script: str, stages: dict[str, float] | None = None) -> tuple[str, int]:
    """What FreeFEM says, and the largest memory of any child so far, bytes; stages gets the times of STAGE lines."""
    command = [program(), "-nw", "-v", "1", script]
    said = []
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if stages is not None and line.startswith("STAGE"):
                stages[line.split()[1]] = time.perf_counter()
    if process.returncode:
        raise SystemExit(f"freefem failed with exit code {process.returncode}:\n" + "".join(said[-20:]))
    return "".join(said), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


if __name__ == "__main__":
    main()
