"""The options and the work of `chemomech mesh MAP`; importing this costs nothing."""

from __future__ import annotations

import argparse

from chemomech.errors import CaseError

MAPS = (".ang", ".ctf", ".h5", ".hdf5", ".oh5", ".h5oina", ".h5ebsd")


def add_map_options(mesh: argparse.ArgumentParser) -> None:
    """Add what `mesh` understands besides, when it is given a map."""
    maps = mesh.add_argument_group("of an EBSD map (CASE is an .ang, .ctf or HDF5 file)")
    maps.add_argument(
        "--size", metavar="LENGTH", help="edge length inside grains, such as 0.2um; the step if not given"
    )
    maps.add_argument("--boundary-size", metavar="LENGTH", help="edge length at grain boundaries")
    maps.add_argument("--figure", metavar="FILE", help="the picture: map, grains, boundaries, sizes, disorientations")
    maps.add_argument("--angle", type=float, default=10.0, help="degrees between points of two grains (10)")
    maps.add_argument("--minimum", type=int, default=5, help="points of the smallest grain (5)")
    maps.add_argument(
        "--least", metavar="QUALITY=VALUE", action="append", default=[], help="such as ci=0.1; may repeat"
    )
    maps.add_argument(
        "--largest-hole", type=int, metavar="POINTS", help="holes of more points stay open (all are filled)"
    )
    maps.add_argument("--pseudosymmetry", action="store_true", help="undo false 60 degrees <111> solutions (cubic)")
    maps.add_argument("--by", choices=("class", "phase", "grain"), default="class", help="how parts are named (class)")


def mesh_of_a_map(options: argparse.Namespace) -> int:
    """Mesh a map, with a progress bar, and print what was done."""
    from rich.console import Console
    from rich.progress import Progress

    from chemomech.case.reading import parse_override
    from chemomech.maps import mesh_of_map

    least = {}
    for text in options.least:
        key, value = parse_override(text)
        if not isinstance(value, (int, float)):
            raise CaseError("--least", text, "the value is no number", "such as --least ci=0.1")
        least[key] = float(value)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None)
        said = mesh_of_map(
            options.case, options.size, options.out, options.figure, boundary_size=options.boundary_size,
            angle=options.angle, minimum=options.minimum, quality=least,
            largest_hole=options.largest_hole, pseudosymmetry=options.pseudosymmetry,
            by=options.by, overwrite=options.overwrite,
            progress=lambda done, total, what: bar.update(task, completed=done, total=total, description=what),
        )  # fmt: skip
    print(said)
    return 0
