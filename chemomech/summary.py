"""The numbers of a state: a row of the history, what an interface did, what acts on dislocations."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from chemomech.analysis.eshelby import ConfigurationalForces, forces
from chemomech.analysis.fronts import Fronts, grain_front
from chemomech.case import Box, Case, Rectangle
from chemomech.case.regions import bottom_and_top
from chemomech.materials.orientation import average_moduli
from chemomech.materials.strength import taylor_stress
from chemomech.output.plane import gather_body
from chemomech.output.profile import interface_width_10_90, lateral_profile
from chemomech.output.protocol import Snapshot
from chemomech.parallel import global_max, global_min, on_rank_zero
from chemomech.physics.chemomechanics import ChemoMechanics
from chemomech.physics.derived import Derived
from chemomech.state import State


def row(physics: ChemoMechanics, derived: Derived, state: State) -> dict[str, float]:
    """Global numbers of the present state, a row of ``history.csv``. Collective."""
    p, comm = physics, physics.body.mesh.comm
    per = "_per_m" if p.body.dimension == 2 else ""
    unit = p.scales.amount(p.body.dimension)
    values = [c.x.array for c in p.c.values()]
    amounts = p.amounts()
    amount = sum(amounts.values())
    sigma = derived.function("hydrostatic_stress").x.array
    supplied = state.supplied[0] if state.supplied else 0.0
    means = p.network.means() if p.network is not None else {}
    of_phases = {f"lithium_{q}_mol{per}": n * unit for q, n in amounts.items()} if len(amounts) > 1 else {}
    return {
        "concentration_min": global_min(comm, float(min(np.min(c, initial=np.inf) for c in values))),
        "concentration_max": global_max(comm, float(max(np.max(c, initial=-np.inf) for c in values))),
        "concentration_mean": amount / p.site_amount,
        f"lithium_mol{per}": amount * unit,
        **of_phases,
        **{f"boundary_mean_concentration_{name}": value for name, value in means.items()},
        f"lithium_supplied_mol{per}": supplied * unit,
        **p.constraints.contacts.row(p.body.dimension),
        "mass_relative_drift": (amount - supplied) / state.begun - 1.0,
        f"free_energy_J{per}": p.free_energy() * p.scales.energy(p.body.dimension),
        "hydrostatic_stress_min_Pa": global_min(comm, float(np.min(sigma, initial=np.inf))),
        "hydrostatic_stress_max_Pa": global_max(comm, float(np.max(sigma, initial=-np.inf))),
    }


def uptake(physics: ChemoMechanics, state: State, fronts: Fronts | None) -> dict[str, Any]:
    """What a body took up, how far it came, and what grain boundaries hold. Collective.

    ``mean_concentration_change`` counts all sites; ``front_distance_m`` is that of boundaries where there are any
    (fronts.py), else that of the grains.
    """
    gained = sum(physics.amounts().values()) - state.begun
    out: dict[str, Any] = {"mean_concentration_change": gained / physics.site_amount}
    if fronts is None or physics.network is None:
        front = grain_front(physics)
        return out if front is None else out | {"front_distance_m": front}
    return out | {"boundary_mean_concentration": physics.network.means()} | fronts.numbers(state.time)


def interface(snapshot: Snapshot, physics: ChemoMechanics, derived: Derived) -> dict[str, Any]:
    """What happened at the interface of a layered body; empty for others. Collective.

    ``lithium_transferred_mol_per_m2`` is the lithium the lowest layer's material gained since t = 0, per area of its
    interfaces; ``interface_width_10_90_m`` that of the laterally averaged fraction c across the first interface;
    ``far_field_stress_Pa`` the stress along x of the largest magnitude further than ``far_field_distance_m`` from
    every interface.
    """
    p = physics
    interfaces, domain = p.case.interfaces, p.case.domain
    if not isinstance(domain, Rectangle | Box) or not interfaces:
        return {}
    lowest = interfaces[0][1]
    own = [y for y, below, above in interfaces if lowest in (below, above)]
    gained = p.amounts()[lowest] - p.initial_amounts()[lowest]
    area = float(np.prod([domain.size[0], *domain.size[2:]])) * len(own)
    gathered = gather_body(snapshot)
    levels = [y for y, *_ in interfaces]

    def width() -> float | None:
        profile = lateral_profile(gathered, levels)
        found = interface_width_10_90(profile.y, profile.concentration, levels[0])
        return found if np.isfinite(found) else None

    reach = far_field_distance(p.case, domain)
    middle = p.body.cell_vertices().mean(axis=1)[:, 1]
    away = np.min([np.abs(middle - y) for y in levels], axis=0) > reach
    along = derived.function("stress").x.array.reshape(-1, 3, 3)[away, 0, 0]
    comm = p.body.mesh.comm
    high = global_max(comm, float(np.max(along, initial=-np.inf)))
    low = global_min(comm, float(np.min(along, initial=np.inf)))
    return {
        "lithium_transferred_mol_per_m2": gained * p.scales.amount(p.body.dimension) / area,
        "interface_width_10_90_m": on_rank_zero(comm, width),
        "far_field_stress_Pa": high if abs(high) > abs(low) else low,
        "far_field_distance_m": reach,
    }


def far_field_distance(case: Case, domain: Rectangle | Box) -> float:
    """Beyond this distance from an interface the field of its dislocations has died away, m.

    That is the spacing of the dislocations, or the spacing they would need to relax the misfit, but at most half the
    thinnest layer.
    """
    ends = sorted({level for level, *_ in case.interfaces} | set(bottom_and_top(domain)))
    half = 0.5 * min(b - a for a, b in pairwise(ends))
    spacings = []
    for misfit, array in zip(case.misfits, case.misfit_arrays, strict=True):
        lattice = case.materials[misfit.phase].lattice_constant
        b = misfit.array.burgers if misfit.array is not None and misfit.array.burgers else lattice
        strain = abs(misfit.elastic_strain(case.materials))
        if b is not None and strain > 0.0:
            spacings.append(b / strain / (array.relaxed or 1.0))
    return min([half, *spacings])


def defects(case: Case, at_work: ConfigurationalForces | None) -> dict[str, Any]:
    """Forces on the dislocations and the flow stress of random ones; empty without dislocations. Collective."""
    out: dict[str, Any] = {}
    if at_work is not None:
        out["dislocations"] = forces(at_work)
    flow = []
    for ensemble in case.ensembles:
        material = case.materials[ensemble.phase or next(iter(case.used_materials))]
        flow.append(taylor_stress(average_moduli(material.elasticity).shear, ensemble.burgers, ensemble.density))
    if flow:
        out["taylor_stress_Pa"] = flow
    return out
