"""Boundaries as surfaces against boundaries as layers of cells: three that meet, between congruent grains."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import cKDTree

import chemomech as cm
from chemomech.meshing.arrays import MeshArrays
from chemomech.meshing.grains import GrainMesh, mesh_grains
from chemomech.meshing.layers import Layers
from chemomech.microstructure.planar import PlanarMap
from chemomech.microstructure.structure import Microstructure
from chemomech.simulation import Simulation
from tests.networks import RT, TEMPERATURE, potential, run
from tests.tools import record

pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="measured on one rank")

WIDTH, REACH = 5e-9, 0.5e-6  # of the layers; from the junction to the sides of the hexagon, m
ARMS = ("a", "b", "c")  # at 90, 210 and 330 degrees
LAWS = {"a": (3e-14, -2.0), "b": (1e-14, -1.0), "c": (3e-14, -2.5)}  # D m^2/s, dG/RT
START, CONTACT, END = 0.01, 0.05, 100.0


def way(degrees: float) -> np.ndarray:
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])


def shift(grain: int, width: float) -> np.ndarray:
    """Grains move apart until a layer fits between them."""
    return width / np.sqrt(3.0) * way(150.0 + 120.0 * grain)


def hexagon(width: float) -> Microstructure:
    """Grains 0, 1, 2; with a width also the layers 3, 4, 5 between them, and 6 in the middle."""
    places: list[np.ndarray] = []

    def at(x: np.ndarray) -> int:
        near = [k for k, y in enumerate(places) if np.linalg.norm(x - y) < 1e-6 * REACH]
        if not near:
            places.append(x)
        return near[0] if near else len(places) - 1

    chains: list[tuple[list[int], int, int]] = []
    for k in range(3):
        own, other = shift(k, width), shift((k + 2) % 3, width)
        end = REACH * way(90.0 + 120.0 * k)
        corners = [REACH / np.cos(np.pi / 6.0) * way(a + 120.0 * k) for a in (120.0, 180.0)]
        last = REACH * way(210.0 + 120.0 * k)
        chains.append(([at(own + x) for x in (end, *corners, last)], k, -1))
        if width == 0.0:
            chains.append(([at(own), at(end)], k, (k + 2) % 3))
            continue
        chains.append(([at(own), at(end + own)], k, 3 + k))
        chains.append(([at(other), at(end + other)], 3 + k, (k + 2) % 3))
        chains.append(([at(own), at(other)], 3 + k, 6))
        chains.append(([at(end + other), at(end + own)], 3 + k, -1))
    plane = PlanarMap(
        np.array(places),
        tuple(np.array(chain) for chain, _, _ in chains),
        np.array([left for _, left, _ in chains]),
        np.array([right for _, _, right in chains]),
    )
    plane.check()
    count = 7 if width else 3
    same = np.tile([1.0, 0.0, 0.0, 0.0], (count, 1))
    return Microstructure.from_geometry(plane, ("ag",), np.zeros(count, dtype=int), same, ("m-3m",))


def meshed(width: float, along: float) -> GrainMesh:
    """Thin layers of cells on both sides of every boundary."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # inside a resolved boundary there is room for few
        return mesh_grains(
            hexagon(width), 30e-9, boundary_size=along, growth=0.2, layers=Layers(1.5e-9, growth=1.3, count=8)
        )


def named(mesh: GrainMesh) -> MeshArrays:
    """The contact on top, the sides; and the boundaries ``a``, ``b``, ``c`` by name, as facets or as phases."""
    resolved = len(mesh.structure) == 7
    sides = mesh.facet_boundary < 0
    top = -1 - mesh.facet_boundary == 3
    tags = np.where(top, 1, np.where(sides, 2, 0))
    phases = {"ag": 1}
    cell_tags = np.ones(len(mesh.cells), dtype=np.int32)
    if resolved:
        phases |= {name: k for k, name in enumerate(ARMS, 2)}
        cell_tags = np.array([1, 1, 1, 2, 3, 4, 2], dtype=np.int32)[mesh.cell_grain]
    else:
        of_pair = {(k, (k + 2) % 3): 3 + k for k in range(3)}
        for number, pair in enumerate(mesh.structure.pairs.tolist()):
            tags[mesh.facet_boundary == number] = of_pair.get(tuple(pair), of_pair.get((pair[1], pair[0])))
    return MeshArrays(
        points=mesh.points,
        cells=mesh.cells,
        cell_tags=cell_tags,
        facets=mesh.facets[tags > 0],
        facet_tags=tags[tags > 0].astype(np.int32),
        phases=phases,
        boundaries={"top": 1, "rim": 2} | ({} if resolved else {name: k for k, name in enumerate(ARMS, 3)}),
    )


def filled(c: float, gain: float) -> float:
    """Fraction of a boundary in equilibrium with a grain, both free of stress."""
    return c / (c + (1.0 - c) * float(np.exp(gain)))


def normal(k: int) -> np.ndarray:
    return np.append(way(120.0 * k), 0.0)


def computed(width: float, *, coupled: bool) -> tuple[Simulation, GrainMesh]:
    """The run with layers of cells, or with surfaces if the width is zero."""
    mesh = meshed(width, 20e-9)
    swelling, opening = (1e-6, 4e-6) if coupled else (0.0, 0.0)
    grain: dict[str, Any] = {
        "elasticity": {"youngs_modulus": "80 GPa", "poissons_ratio": 0.3},
        "partial_molar_volume": swelling,
        "reference_concentration": START,
        "maximum_concentration": "1e5 mol/m^3",
        "diffusivity": "1e-16 m^2/s",
    }
    fixed = {"displacement": {"x": 0.0, "y": 0.0}}
    data: dict[str, Any] = {
        "domain": {"shape": "file", "path": "given.msh"},
        "temperature": TEMPERATURE,
        "materials": {"ag": grain},
        "boundaries": {"top": fixed | {"chemical_potential": potential(CONTACT)}, "rim": fixed},
        "initial": {"concentration": START},
        "time": {"end": END, "tolerance": 1e-4, "initial_step": 1e-4},
        "solver": {"linear": "block"},
    }
    if width:
        start = {"ag": START}
        for k, (name, (speed, gain)) in enumerate(LAWS.items()):
            start[name] = filled(START, gain)
            data["materials"][name] = grain | {
                "diffusivity": speed,
                "reference_potential": gain * RT,
                "reference_concentration": start[name],
                "partial_molar_volume": (3.0 * opening * np.outer(normal(k), normal(k))).tolist(),
            }
        data["initial"] = {"concentration": start}
    else:
        data["grain_boundaries"] = {
            name: {
                "width": WIDTH, "diffusivity": speed, "segregation_energy": gain * RT, "partial_molar_volume": opening
            }
            for name, (speed, gain) in LAWS.items()
        }  # fmt: skip
    made = Simulation(cm.Case.model_validate(data), MPI.COMM_WORLD, named(mesh), given=True)
    made.begin()
    return run(made), mesh


def nodal(made: Simulation, function: Any) -> tuple[np.ndarray, np.ndarray]:
    """Places of the nodes of a function, m, and its values there."""
    space = function.function_space
    values = function.x.array.reshape(-1, space.dofmap.bs)
    return space.tabulate_dof_coordinates()[:, :2] * made.length, values


@pytest.mark.slow
@pytest.mark.parametrize("coupled", [False, True])
def test_layers_of_cells_and_surfaces(coupled: bool) -> None:
    """Within 2 % of what changes.

    Under stress five widths around where boundaries end and meet are left out: clamped, a layer cannot open there, and
    a surface knows the mean of its sides only. Grains move differently around such a place, by what a dipole does.
    """
    thin, mesh = computed(0.0, coupled=coupled)
    thick, _ = computed(WIDTH, coupled=coupled)
    network = thin.physics.network
    assert network is not None
    off: dict[str, float] = {}
    for field, function in (("mu", "mu"), *([("displacement", "u")] if coupled else [])):
        x, values = nodal(thin, getattr(thin.physics, function))
        places, there = nodal(thick, getattr(thick.physics, function))
        seen = LinearNDInterpolator(places, there)
        size = potential(CONTACT) / RT - potential(START) / RT if field == "mu" else np.abs(there).max()
        number = cKDTree(x).query(mesh.points[:, :2])[1]
        off[field] = 0.0
        for k in range(3):
            nodes = np.unique(mesh.cells[mesh.cell_grain == k])
            if field == "displacement":
                nodes = np.setdiff1d(nodes[amid(mesh.points[nodes, :2], 200e-9)], mesh.facets[mesh.facet_boundary >= 0])
            wanted = seen(mesh.points[nodes, :2] * (1.0 - 1e-9) + shift(k, WIDTH))
            error = np.abs(wanted - values[number[nodes]]).max() / size
            off[field] = max(off[field], float(error))
    for k, (name, (_, gain)) in enumerate(LAWS.items()):
        x, c = nodal(thin, network.c[name])
        places, there = nodal(thick, thick.physics.c[name])
        middle = 0.5 * (shift(k, WIDTH) + shift((k + 2) % 3, WIDTH))
        wanted = LinearNDInterpolator(places, there)(x * (1.0 - 1e-9) + middle)
        kept = amid(x, 5.0 * WIDTH) if coupled else np.ones(len(x), dtype=bool)
        off[name] = float(np.abs(wanted - c)[kept].max() / (filled(CONTACT, gain) - filled(START, gain)))
    gained = [sum(made.physics.amounts().values()) / made.state.begun - 1.0 for made in (thin, thick)]
    off["amount"] = abs(gained[0] / gained[1] - 1.0)
    more = {"cells": [len(m.physics.mu.x.array) for m in (thin, thick)], "shift": stress_shift(thin)}
    record(f"resolved_layer_{'coupled' if coupled else 'diffusion'}", **off, **more)
    assert max(off.values()) < 2e-2
    if coupled:
        assert more["shift"] > 0.1  # stress does matter
    thin.destroy()
    thick.destroy()


def amid(x: np.ndarray, far: float) -> np.ndarray:
    """Neither near the junction nor near an end."""
    ends = [np.zeros(2), *(REACH * way(90.0 + 120.0 * k) for k in range(3))]
    return np.min([np.linalg.norm(x - end, axis=1) for end in ends], axis=0) > far


def stress_shift(made: Simulation) -> float:
    """Largest |Omega sigma_nn| / RT on the boundaries: how far their isotherm is from that without stress."""
    network, mu = made.physics.network, made.physics.mu.x.array
    assert network is not None
    out = 0.0
    for name, (_, gain) in LAWS.items():
        c = network.c[name].x.array
        out = max(out, float(np.abs(np.log(c / (1.0 - c)) + gain - mu[network.nodes[name]]).max()))
    return out
