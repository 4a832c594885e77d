"""The problems of the benchmarks: their cases, the files other codes read, and chemomech's own solution of them.

    ./chemomech-env python benchmarks/problem.py edge2d --unknowns 161604 --write problem.npz
    ./chemomech-env python benchmarks/problem.py edge2d --unknowns 161604 --solve result.npz [--whole]

benchmarks/tune.py finds the numbers of ``KINDS`` that make whole solutions comparable.

A problem file holds the discrete problem in internal units (chemomech/physics/scales.py), so that another code needs
no materials, no dislocations and no units of ours; benchmarks/README.md describes its arrays and the equations.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import chemomech as cm
    from chemomech.simulation import Simulation

Array = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]

OUTPUTS = (1 / 64, 1 / 16, 1 / 4, 1.0)
"""Parts of the end time at which a whole solution is looked at; every code hits them exactly."""

SPACING = 0.351 / abs(4 * 1.298 / (15 * 0.351) - 1.0)
"""Of the misfit array, nm: b/|eps|, with 4 cells of LLZO on 15 of lithium."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One family of problems.

    Attributes:
        case: The case with n cells along each edge, without its [time].
        unknowns: Their number with n cells along each edge.
        step: Of backward Euler with equal work, s.
        steps: How many.
        end: End time of the whole solution, s: about a fifth of L^2/D, where most has happened and all still moves.
        first, growth, largest: First step (s), growth and longest step (s) of backward Euler in the whole solution
            by another code, found by benchmarks/tune.py.
        tuned: Unknowns of the mesh on which they were.
        error_ours, error_theirs: Of the whole solutions there: the largest error of c at any node at ``OUTPUTS``,
            against steps eight times smaller.
    """

    case: Callable[[int], dict[str, Any]]
    unknowns: Callable[[int], int]
    step: float
    steps: int
    end: float
    first: float
    growth: float
    largest: float
    tuned: int
    error_ours: float
    error_theirs: float

    @property
    def outputs(self) -> tuple[float, ...]:
        """Times at which a whole solution is compared, s."""
        return tuple(part * self.end for part in OUTPUTS)

    def divisions(self, wished: int) -> int:
        """Cells along an edge that come closest to a number of unknowns; even, so that layers divide alike."""
        return min(range(4, 2000, 2), key=lambda n: abs(self.unknowns(n) - wished))


def _edge(dimension: int, side: float) -> Callable[[int], dict[str, Any]]:
    def case(n: int) -> dict[str, Any]:
        return {
            "domain": {"shape": "rectangle" if dimension == 2 else "box", "size": [f"{side} nm"] * dimension},
            "mesh": {"size": f"{side / n!r} nm", "structured": True},
            "materials": {"llzo": {"library": "LLZO"}},
            "dislocations": [
                {
                    "position": ["0 nm"] * dimension,
                    "burgers": ["1.124 nm", *["0 nm"] * (dimension - 1)],
                    "core": "2.5 nm",
                }
            ],
            "boundaries": {"outer": {"traction": "dislocations"}},
        }

    return case


def _interface(n: int) -> dict[str, Any]:
    """Two spacings of the array of the built-in case llzo-li-interface-misfit, free to bend."""
    width = 2.0 * SPACING
    return {
        "domain": {
            "size": [f"{width!r} nm", f"{width!r} nm"],
            "layers": [{"material": "llzo", "thickness": f"{0.5 * width!r} nm"}, {"material": "lithium"}],
        },
        "mesh": {"size": f"{width / n!r} nm", "structured": True},
        "materials": {
            "llzo": {"library": "LLZO", "reference_concentration": 0.9},
            "lithium": {"library": "Li", "reference_potential": "-5944.279343 J/mol"},
        },
        "misfits": [
            {
                "phase": "lithium",
                "substrate": "llzo",
                "coincidence": "4:15",
                "array": {"relaxation": 1.0, "core": "1 nm"},
            }
        ],
    }


def _network(n: int) -> dict[str, Any]:
    """Silver grains of 2 um on a contact.

    Grains take up lithium over more than a cell in a step: a plain script knows no other.
    """
    side = 10.0
    boundary = {"width": "0.5 nm", "diffusivity": "1.7e-14 m^2/s"}
    return {
        "temperature": "30 degC",
        "domain": {
            "shape": "polycrystal",
            "size": [f"{side} um", f"{side} um"],
            "grains": 25,
            "low_angle": 0.2,
            "seed": 3,
        },
        "mesh": {"size": f"{side / n!r} um"},
        "materials": {
            "silver": {
                "library": "Ag",
                "elasticity": {"youngs_modulus": "81.2 GPa", "poissons_ratio": 0.369},
                "diffusivity": "1e-15 m^2/s",
                "reference_concentration": 0.001,
            }
        },
        "grain_boundaries": {
            "HAGB": {**boundary, "segregation_energy": "-12 kJ/mol"},
            "LAGB": {**boundary, "diffusivity": "1e-16 m^2/s", "segregation_energy": "-6 kJ/mol"},
        },
        "initial": {"concentration": 0.001},
        "boundaries": {"bottom": {"chemical_potential": "-12 kJ/mol", "roller": True}},
    }


KINDS = {
    "edge2d": Kind(
        _edge(2, 40.0), lambda n: 4 * (n + 1) ** 2, 2e-6, 5, 1e-3, 3.55e-8, 1.033, 1e-3, 10_404, 7.64e-4, 8.77e-4
    ),
    "edge3d": Kind(
        _edge(3, 16.0), lambda n: 5 * (n + 1) ** 3, 2e-6, 5, 1.6e-4, 3.64e-8, 1.035, 2.05e-6, 6_655, 1.494e-3, 1.718e-3
    ),
    "interface": Kind(
        _interface, lambda n: 4 * (n + 1) ** 2 + n + 1, 2e-6, 5, 4e-4, 7.99e-8, 1.07, 4e-4, 15_939, 2.49e-4, 2.84e-4
    ),
    "network": Kind(
        _network, lambda n: int(4.9 * n**2), 60.0, 5, 2400.0, 0.186, 1.03, 2400.0, 10_404, 1.83e-5, 2.09e-5
    ),
}
ONLY = {"network": ("plain", "none")}
"""Kinds that not every other code has a script for."""


def case_of(name: str, unknowns: int, *, whole: bool = False, finer: int = 1, linear: str = "auto") -> cm.Case:
    """A case with about a number of unknowns.

    Args:
        name: Of ``KINDS``.
        unknowns: How many are wished for.
        whole: To the end past ``OUTPUTS``, with steps chemomech chooses; otherwise a few equal steps of backward
            Euler.
        finer: By how much smaller those steps shall be than they are by default. The error of one step of BDF2 goes
            with its third power.
        linear: Linear solver of chemomech.
    """
    import chemomech as cm
    from chemomech.case import Time

    kind = KINDS[name]
    case = {**kind.case(kind.divisions(unknowns)), "solver": {"linear": linear}}
    if whole:
        default = Time.model_fields["tolerance"].default
        case["time"] = {"end": f"{kind.end!r} s", "tolerance": default / finer**3}
        case["output"] = {"times": [f"{t!r} s" for t in kind.outputs]}
    else:
        end, step = f"{kind.steps * kind.step!r} s", f"{kind.step!r} s"
        case["time"] = {"end": end, "fixed_step": step, "scheme": "backward-euler"}
    return cm.Case.model_validate(case)


# -- the file of a problem -----------------------------------------------------------------------------------------


def write(name: str, unknowns: int, path: Path) -> None:
    """Make the file of a problem with about a number of unknowns."""
    from mpi4py import MPI

    from chemomech.simulation import Simulation

    simulation = Simulation(case_of(name, unknowns), MPI.COMM_WORLD)
    export(simulation, path, name)
    simulation.destroy()


def export(simulation: Simulation, path: Path, name: str) -> None:
    """Write what another code needs to solve the same discrete problem.

    Raises:
        ValueError: The case has something the file can't say.
    """
    from chemomech.materials.orientation import molar_volume_tensor, stiffness
    from chemomech.physics.chemomechanics import plane_stiffness

    physics, body, arrays, case = simulation.physics, simulation.body, simulation.arrays, simulation.case
    constraints, d, scales, kind = physics.constraints, body.dimension, physics.scales, KINDS[name]
    laws = [physics.laws[p] for p in physics.phases]
    materials = [physics.materials[p] for p in physics.phases]
    unsaid = {
        "several ranks": simulation.comm.size > 1,
        "periodic sides": bool(body.seams),
        "given concentrations and fluxes": bool(constraints.replacements or constraints.influx),
        "crystals of different orientation": any(crystal.grains for crystal in physics.crystals.values()),
        "another mobility than darken": any(law.mobility != "darken" for law in laws),
    }
    if any(unsaid.values()) or arrays is None:
        raise ValueError(f"a problem file can't hold {', '.join(what for what, there in unsaid.items() if there)}")

    def numbers(key: str) -> Array:
        return np.array([float(getattr(law, key).value) for law in laws])

    tags = np.array([body.phases[p] for p in physics.phases])
    phase = np.searchsorted(tags, arrays.cell_tags)
    original = np.asarray(body.mesh.topology.original_cell_index)
    distortion = np.empty((len(arrays.cells), 3, 3))
    distortion[original] = physics.distortion.x.array.reshape(-1, 3, 3)
    load = np.zeros(physics.u.x.array.shape)
    if constraints.load is not None:
        load[:] = constraints.load
    np.savez(
        path,
        case=name,
        unknowns=simulation.solver.system.dofs(),
        dimension=d,
        points=arrays.points[:, :d] / body.length,
        cells=arrays.cells,
        phase=phase,
        stiffness=[plane_stiffness(stiffness(m.elasticity), case.plane, d) / scales.stress for m in materials],
        sites=numbers("sites"),
        interaction=numbers("interaction"),
        reference_potential=numbers("reference_potential"),
        reference_concentration=numbers("reference_concentration"),
        expansion=_six(np.array([m.maximum_concentration * molar_volume_tensor(m) / 3.0 for m in materials])),
        diffusivity=numbers("diffusivity"),
        gradient_energy=numbers("gradient_energy"),
        eigenstrain=_six(np.array([law.eigenstrain.value for law in laws])[phase] - distortion),
        load=_by_node(simulation, physics.space_u, load.reshape(-1, d)),
        pinned=_pinned(simulation),
        c0=concentration(simulation, physics.initial_concentration()),
        steps=np.full(kind.steps, kind.step) / scales.time,
        tolerance=case.solver.tolerance,
        end=kind.end / scales.time,
        outputs=np.array(kind.outputs) / scales.time,
        whole_first_step=kind.first / scales.time,
        whole_growth=kind.growth,
        whole_largest_step=kind.largest / scales.time,
        whole_error_ours=kind.error_ours,
        whole_error_theirs=kind.error_theirs,
        **_held(simulation),
        **_network(simulation),
    )


def _held(simulation: Simulation) -> dict[str, Any]:
    """Nodes with a given chemical potential, and that potential."""
    from chemomech.physics.constraints import node_map

    physics, body = simulation.physics, simulation.body
    conditions = physics.constraints.potential
    if not conditions:
        return {}
    node_of_dof = np.empty(len(body.mesh.geometry.x), dtype=np.int64)
    node_of_dof[node_map(physics.space_mu)] = body.mesh.geometry.input_global_indices
    values = np.full(len(node_of_dof), np.nan)
    for condition in conditions:
        condition.set(values)
    held = np.flatnonzero(np.isfinite(values))
    if np.ptp(values[held]) > 0.0:
        raise ValueError("a problem file holds one potential for all contacts")
    return {"held": node_of_dof[held], "held_potential": values[held[0]]}


def _network(simulation: Simulation) -> dict[str, Any]:
    """Facets of grain boundaries with the numbers of their classes."""
    network, arrays = simulation.physics.network, simulation.arrays
    if network is None or arrays is None:
        return {}
    if network.openings() or any(law.interaction for law in network.laws.values()):
        raise ValueError("a problem file can't hold boundaries that open, or an interaction in them")
    number = {arrays.boundaries[m]: k for k, members in enumerate(network.members.values()) for m in members}
    kind = np.array([number.get(int(tag), -1) for tag in arrays.facet_tags])
    scales, laws = simulation.physics.scales, list(network.laws.values())
    return {
        "facets": arrays.facets[kind >= 0],
        "facet_class": kind[kind >= 0],
        "class_sites": [network.sites[name] for name in network.laws],
        "class_gain": [network.reference + (law.segregation_energy or 0.0) / scales.potential for law in laws],
        "class_diffusivity": [(law.diffusivity or 0.0) / scales.diffusivity for law in laws],
    }


def _six(tensors: Array) -> Array:
    """(xx, yy, zz, 2 yz, 2 xz, 2 xy) of the symmetric parts of (n, 3, 3)."""
    t = tensors + tensors.transpose(0, 2, 1)
    return np.stack([0.5 * t[:, 0, 0], 0.5 * t[:, 1, 1], 0.5 * t[:, 2, 2], t[:, 1, 2], t[:, 0, 2], t[:, 0, 1]], axis=1)


def _pinned(simulation: Simulation) -> Longs:
    """Nodes and components of the displacement that are zero, (k, 2)."""
    from chemomech.physics.constraints import node_map

    physics, body = simulation.physics, simulation.body
    node_of_dof = np.empty(len(body.mesh.geometry.x), dtype=np.int64)
    node_of_dof[node_map(physics.space_u)] = body.mesh.geometry.input_global_indices
    held = np.zeros((0, 2), dtype=np.int64)
    for condition in physics.constraints.displacement:
        values = np.zeros(physics.u.x.array.shape)
        condition.set(values)
        if np.any(values):
            raise ValueError("a problem file can't hold displacements that are prescribed and not zero")
        node, component = np.divmod(condition.dof_indices()[0], body.dimension)
        held = np.concatenate([held, np.c_[node_of_dof[node], component]])
    return held


def _by_node(simulation: Simulation, space: Any, values: Array) -> Array:
    """Values of the degrees of freedom of a space on the whole body, by input node number."""
    from chemomech.physics.constraints import node_map

    numbers = simulation.body.mesh.geometry.input_global_indices
    out = np.empty((len(numbers), *values.shape[1:]))
    out[numbers] = values[node_map(space)]
    return out


def concentration(simulation: Simulation, values: dict[str, Array]) -> Array:
    """Values of c by input node number: (n,), or (P, n) with nan where a phase is not."""
    from chemomech.physics.constraints import node_map

    physics, numbers = simulation.physics, simulation.body.mesh.geometry.input_global_indices
    out = np.full((len(physics.phases), len(numbers)), np.nan)
    for k, phase in enumerate(physics.phases):
        out[k, numbers[physics.vertices[phase]]] = values[phase][node_map(physics.c[phase].function_space)]
    return out if len(out) > 1 else out[0]


# -- chemomech's own solution --------------------------------------------------------------------------------------


def peak_memory() -> int:
    """Of this process so far, bytes; where the system says it, without that of the process which started it."""
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage begins with what the parent had
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def solve(name: str, unknowns: int, path: Path, *, whole: bool = False, finer: int = 1) -> None:
    """Compute and write fields, counters, times and memory."""
    from mpi4py import MPI

    from chemomech.simulation import Simulation

    imported = peak_memory()
    start = time.perf_counter()
    simulation = Simulation(case_of(name, unknowns, whole=whole, finer=finer), MPI.COMM_WORLD)
    simulation.begin()
    control = simulation.control()
    ready = time.perf_counter()
    physics, system = simulation.physics, simulation.solver.system
    elimination = simulation.solver._elimination
    made = 0 if elimination is None else elimination.setups
    newton, linear, passed = [], [], []
    stops = set(KINDS[name].outputs) if whole else set()
    while simulation.time < control.end * (1.0 - 1e-12):
        before = simulation.newton_iterations, simulation.linear_iterations
        simulation.advance(control)
        newton.append(simulation.newton_iterations - before[0])
        linear.append(simulation.linear_iterations - before[1])
        if simulation.time in stops:
            passed.append({p: c.x.array.copy() for p, c in physics.c.items()})
    march = time.perf_counter() - ready
    more: dict[str, Any] = {"c_outputs": np.array([concentration(simulation, c) for c in passed])} if whole else {}
    np.savez(
        path,
        u=_by_node(simulation, physics.space_u, physics.u.x.array.reshape(-1, simulation.body.dimension)),
        c=concentration(simulation, {p: c.x.array for p, c in physics.c.items()}),
        mu=_by_node(simulation, physics.space_mu, physics.mu.x.array),
        newton=newton,
        linear=linear,
        time_setup_s=ready - start,
        time_march_s=march,
        time_per_newton_s=march / sum(newton),
        peak_memory_bytes=peak_memory(),
        import_memory_bytes=imported,
        assembled_blocks=system.assemblies["block"],
        schur_setups=0 if elimination is None else elimination.setups - made,
        rejected_steps=simulation.rejected,
        unknowns=system.dofs(),
        **more,
    )
    simulation.destroy()


def count(name: str, unknowns: int, path: Path, linear: str, multigrid: bool = False) -> None:
    """Take the equal steps on any number of ranks, and write what was done as JSON: no fields, no times.

    Args:
        name, unknowns: As for ``case_of``.
        path: The file.
        linear: Linear solver.
        multigrid: The displacement's is multigrid for any number of unknowns, so that sizes can be compared.
    """
    from mpi4py import MPI

    from chemomech.simulation import Simulation
    from chemomech.solvers import stack

    imported = peak_memory()
    if multigrid:
        stack.EXACT_LIMIT = dict.fromkeys(stack.EXACT_LIMIT, 0)
    simulation = Simulation(case_of(name, unknowns, linear=linear), MPI.COMM_WORLD)
    simulation.begin()
    control, system = simulation.control(), simulation.solver.system
    elimination, before = simulation.solver._elimination, system.assemblies["block"]
    while simulation.time < control.end * (1.0 - 1e-12):
        simulation.advance(control)
    row = {
        "unknowns": system.dofs(),
        "ranks": simulation.comm.size,
        "linear_solver": simulation.solver.kind,
        "steps": simulation.step,
        "newton_iterations": simulation.newton_iterations,
        "linear_iterations": simulation.linear_iterations,
        "residuals": system.assemblies["residual"],
        "blocks_of_set_up": before,
        "blocks_of_steps": system.assemblies["block"] - before,
        "schur_setups": 0 if elimination is None else elimination.setups,
        "peak_memory_bytes": simulation.comm.allreduce(peak_memory()),
        "import_memory_bytes": simulation.comm.allreduce(imported),
    }
    if simulation.comm.rank == 0:
        path.write_text(json.dumps(row, indent=1) + "\n")
    simulation.destroy()


def main() -> None:
    """Write a problem, solve it, or count what solving it takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=[*KINDS])
    parser.add_argument("--unknowns", type=int, default=40_804)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--solve", type=Path)
    parser.add_argument("--count", type=Path, help="counters of the equal steps as JSON; also under mpirun")
    parser.add_argument("--linear", choices=["auto", "direct", "block"], default="auto", help="with --count")
    parser.add_argument("--multigrid", action="store_true", help="with --count: displacement never factorised")
    parser.add_argument("--whole", action="store_true", help="solve to the end with steps of our own choice")
    parser.add_argument("--finer", type=int, default=1, help="with --whole: steps so many times smaller")
    given = parser.parse_args()
    from chemomech.errors import ChemomechError

    try:
        if given.write:
            write(given.kind, given.unknowns, given.write)
        if given.solve:
            solve(given.kind, given.unknowns, given.solve, whole=given.whole, finer=given.finer)
        if given.count:
            count(given.kind, given.unknowns, given.count, given.linear, given.multigrid)
    except ChemomechError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
