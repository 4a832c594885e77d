"""Misfit arrays in bodies of two phases: what they relax, periodic against mirrored bodies, boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

import chemomech as cm
from tests.tools import physics_of, record

NM = 1e-9
LATTICE = 0.351  # nm
SUBSTRATE, FILM = (149.8e9, 0.257), (7.82e9, 0.381)


def case(
    strain: float,
    *,
    relaxation: float | None = 1.0,
    swelling: bool = False,
    below: bool = False,
    spacings: float = 1.8,
    array: dict[str, Any] | None = None,
    **more: Any,
) -> cm.Case:
    """LLZO at c = 0.9 and lithium in equilibrium with it, one spacing wide, each layer ``spacings`` spacings thick.

    Without ``relaxation`` the film is coherent in the same body.
    """
    spacing = LATTICE / abs(strain) / (relaxation or 1.0)
    still = {} if swelling else {"partial_molar_volume": 0.0}
    materials = {
        "llzo": {"library": "LLZO", "reference_concentration": 0.9, **still},
        "lithium": {"library": "Li", "reference_potential": "-5944.279343 J/mol", **still},
    }
    layers = [{"material": "llzo", "thickness": spacings * spacing * NM}, {"material": "lithium"}]
    misfit: dict[str, Any] = {"phase": "lithium", "substrate": "llzo", "strain": strain, "out_of_plane": "coherent"}
    if relaxation is not None:
        misfit |= {"out_of_plane": "array", "array": {"relaxation": relaxation, "core": "1 nm", **(array or {})}}
    domain = {
        "size": [spacing * NM, 2 * spacings * spacing * NM],
        "layers": layers[::-1] if below else layers,
        "periodic": ["x"],
        **more.pop("domain", {}),
    }
    mesh = {"size": "1.5 nm", "interface_size": "0.5 nm"} | ({"core_size": "0.25 nm"} if relaxation else {})
    given = {"mode": "equilibrium", "mesh": mesh, "materials": materials, "misfits": [misfit], "domain": domain}
    return cm.Case.model_validate(given | more)


def layer(result: cm.Result, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Largest and mean stress components xx, yy, zz between two heights, nm; Pa."""
    p = physics_of(result)
    owned = p.body.mesh.topology.index_map(p.body.dimension).size_local
    middle = p.body.cell_vertices()[:owned].mean(axis=1)[:, 1] / NM
    stress = result.function("stress").x.array.reshape(-1, 3, 3)[:owned][(middle > low) & (middle < high)]
    diagonal = stress[:, [0, 1, 2], [0, 1, 2]]
    comm = MPI.COMM_WORLD
    most = np.zeros(3)
    comm.Allreduce(np.abs(diagonal).max(axis=0, initial=0.0), most, op=MPI.MAX)
    return most, comm.allreduce(diagonal.sum(axis=0)) / comm.allreduce(len(diagonal))


def coherent_stress(**given: Any) -> float:
    """Of the lithium film in the same body without dislocations, Pa."""
    result = cm.run(case(relaxation=None, **given))
    return float(np.abs(layer(result, 1.0, np.inf)[1][0]))


LITHIUM: dict[str, dict[str, Any]] = {
    "still": {},
    "open": {"swelling": True, "equilibrium": {"concentration": 0.9}},
    "closed": {"swelling": True},
}


@pytest.mark.parametrize("lithium", LITHIUM)
@pytest.mark.parametrize("strain", [-0.0138, 0.0138])
def test_array_takes_the_misfit_away(strain: float, lithium: str) -> None:
    """Lines two cores above the interface: beyond one spacing hardly anything is left on either side."""
    given = LITHIUM[lithium]
    spacing = LATTICE / abs(strain)
    coherent = coherent_stress(strain=strain, **given)
    result = cm.run(case(strain, array={"offset": "2 nm"}, **given))
    upper, lower = layer(result, spacing, np.inf)[0] / coherent, layer(result, -np.inf, -spacing)[0] / coherent
    at_interface = cm.run(case(strain, **given))
    parts = [layer(at_interface, spacing, np.inf)[0], layer(at_interface, -np.inf, -spacing)[0]]
    record(
        f"interface_array_{lithium}_{'film_stretched' if strain > 0 else 'film_squeezed'}", coherent_Pa=coherent,
        film=upper, substrate=lower,
        film_without_offset=parts[0] / coherent, substrate_without_offset=parts[1] / coherent,
    )  # fmt: skip
    if lithium == "still":
        assert coherent == pytest.approx(FILM[0] * abs(strain) / (1 - FILM[1]), rel=1e-6, abs=0.0)
    assert max(upper) < 0.02 and max(lower) < 0.02
    assert max(parts[0]) / coherent < 0.02


def sharp(y: np.ndarray, strain: float) -> tuple[np.ndarray, np.ndarray]:
    """Amplitudes of cos(2 pi x/d) in sigma_xx and sigma_yy, Pa, at y spacings above the interface of two half-spaces.

    Lines without width at x = n d fully relax ``strain`` of the upper one. Airy's function is
    (A + B k y) e^(k y) cos(k x)/k^2 below and (C + D k y) e^(-k y) cos(k x)/k^2 above; tractions: C = A, D = 2 A + B;
    u_y is continuous, and the first harmonic of the slip, -2 b/d, is the jump of the strain along x.
    """
    shear_1, shear_2 = (e / (2 * (1 + nu)) for e, nu in (SUBSTRATE, FILM))
    n1, n2 = SUBSTRATE[1], FILM[1]
    of_slip = [(1 - 4 * (1 - n2)) / (2 * shear_2) - 1 / (2 * shear_1), -(1 - n2) / shear_2 - (1 - n1) / shear_1]
    of_gap = [
        (1 + 2 * (1 - 2 * n2)) / (2 * shear_2) + 1 / (2 * shear_1),
        (1 - 2 * n2) / (2 * shear_2) - (1 - 2 * n1) / (2 * shear_1),
    ]
    a, b = np.linalg.solve([of_slip, of_gap], [-2 * strain, 0.0])
    d, ky = 2 * a + b, 2 * np.pi * y
    fall = np.exp(-np.abs(ky))
    xx = np.where(y < 0, a + 2 * b + b * ky, a - 2 * d + d * ky) * fall
    return xx, -np.where(y < 0, a + b * ky, a + d * ky) * fall


def test_sharp_lines() -> None:
    """The field that is left, 0.6 to 1.2 spacings away, against lines without width.

    Above, the film only knows the Burgers vector. Below, the half of a spread core that lies in the stiff phase has
    a field of its own, 19 times as strong, which goes away with the core width only.
    """
    spacing, strain, cores = LATTICE / 0.0138, 0.0138, [1.0, 0.25, 0.1]
    found: dict[str, list[list[float]]] = {"film": [], "substrate": []}
    for core in cores:
        mesh = {"size": "1 nm", "core_size": core / 4 * NM}
        result = cm.run(case(strain, array={"core": core * NM}, mesh=mesh))
        p = physics_of(result)
        corners = p.body.cell_vertices()[: p.body.mesh.topology.index_map(2).size_local]
        area = np.abs(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2])
        x, y, _ = (corners.mean(axis=1) / NM / spacing).T
        stress = result.function("stress").x.array.reshape(-1, 3, 3)[: len(corners)]
        for name, far in (("film", (y > 0.6) & (y < 1.2)), ("substrate", (y < -0.6) & (y > -1.2))):
            sizes = []
            for i, amplitude in enumerate(sharp(y, strain)):
                wave = (amplitude * np.cos(2 * np.pi * x))[far]
                sums = area[far] @ (wave * stress[far, i, i]), area[far] @ wave**2
                up, down = (MPI.COMM_WORLD.allreduce(v) for v in sums)
                sizes.append(float(up / down))
            found[name].append(sizes)
    coherent = FILM[0] * strain / (1 - FILM[1])
    at_one = {k: np.array(sharp(np.array(s), strain)) / coherent for k, s in (("film", 1.0), ("substrate", -1.0))}
    record("interface_array_sharp", core_nm=cores, spacing_nm=spacing, found_over_sharp=found, at_one_spacing=at_one)
    assert np.array(found["film"][1:]) == pytest.approx(1.0, rel=1e-6, abs=0.03)
    excess = np.array(found["substrate"]) - 1
    assert np.all(excess[-1] < 0.25) and np.all(excess[1] < 0.4 * excess[0]) and np.all(excess[2] < 0.6 * excess[1])


@pytest.mark.parametrize("strain", [-0.0138, 0.0138])
def test_half_an_array_leaves_half(strain: float) -> None:
    coherent = FILM[0] * strain / (1 - FILM[1])
    result = cm.run(case(strain, relaxation=0.5))
    spacing = 2 * LATTICE / abs(strain)
    most, mean = layer(result, spacing, np.inf)
    substrate = layer(result, -np.inf, -spacing)[0] / abs(coherent)
    record(f"interface_half_array_{strain:+.4f}", film=mean / coherent, most=most / abs(coherent), substrate=substrate)
    assert mean / coherent == pytest.approx([0.5, 0.0, 0.5], rel=1e-6, abs=0.01)
    assert most / abs(coherent) == pytest.approx([0.5, 0.0, 0.5], rel=1e-6, abs=0.01)
    assert max(substrate) < 0.02


@pytest.mark.parametrize("relaxation", [1.0, 0.5])
@pytest.mark.parametrize("strain", [-0.0138, 0.0138])
def test_film_below(strain: float, relaxation: float) -> None:
    """The substrate keeps its size, on whichever side it is."""
    spacing, coherent = LATTICE / abs(strain) / relaxation, FILM[0] * strain / (1 - FILM[1])
    result = cm.run(case(strain, relaxation=relaxation, below=True, array={"offset": "2 nm"}))
    (film, mean), (substrate, _) = layer(result, -np.inf, -spacing), layer(result, spacing, np.inf)
    left = 1 - relaxation
    record(
        f"interface_film_below_{strain:+.4f}_{relaxation}", film=mean / coherent, most=film / abs(coherent),
        substrate=substrate / abs(coherent),
    )  # fmt: skip
    assert mean / coherent == pytest.approx([left, 0.0, left], rel=1e-6, abs=0.01)
    assert film / abs(coherent) == pytest.approx([left, 0.0, left], rel=1e-6, abs=0.02 if left == 0 else 0.01)
    assert max(substrate) < 0.02 * abs(coherent)


def free(strain: float, *, below: bool = False, array: bool = True) -> cm.Case:
    """Six spacings of 6 nm, free all around, cells that are the same upside down."""
    width, cell = 6 * 6.0, 0.5
    b = abs(strain) * 6.0
    layers = [{"material": "llzo", "thickness": 12 * NM}, {"material": "lithium"}]
    misfit: dict[str, Any] = {"phase": "lithium", "substrate": "llzo", "strain": strain}
    if array:
        misfit["array"] = {"relaxation": 1.0, "burgers": b * NM, "core": "0.5 nm"}
    return case(0.01).replace(
        {
            "domain.size": [width * NM, 24 * NM], "domain.periodic": [],
            "domain.layers": layers[::-1] if below else layers, "misfits": [misfit],
            "mesh": {"size": cell * NM, "structured": True},
            # The known distortion is that of the lowest phase's Poisson's ratio, and differs inside cells by that.
            "materials.lithium.elasticity": {"youngs_modulus": FILM[0], "poissons_ratio": SUBSTRATE[1]},
        }
    )  # fmt: skip


@pytest.mark.parametrize("strain", [-0.02, 0.02])
def test_free_body_upside_down(strain: float) -> None:
    """With free sides, a film below is a film above seen upside down."""
    above, below = cm.run(free(strain)), cm.run(free(strain, below=True))
    x = np.random.default_rng(2).uniform(-1, 1, (200, 2)) * [17.9, 11.9] * NM
    flip = np.diag([1.0, -1.0, 1.0])
    one, two = above.evaluate("stress", x), below.evaluate("stress", x * [1, -1])
    error = float(np.abs(flip @ two @ flip - one).max() / np.abs(one).max())
    coherent, relaxed = cm.run(free(strain, array=False)), above
    left = [float(np.abs(layer(r, 6.0, 11.0)[1]).max()) for r in (coherent, relaxed)]
    record(f"interface_upside_down_{strain:+.2f}", error=error, mean_stress_coherent_and_with_array=left)
    assert error < 1e-8
    assert left[1] < 0.02 * left[0]


# -- periodic and mirrored ---------------------------------------------------------------------------------


def symmetric(kind: str, size: float = 16.0) -> cm.Case:
    """One array of spacing S in four bodies; cells of S/size that are the same in all of them."""
    s = 4.8
    bodies: dict[str, tuple[float, float, dict[str, Any]]] = {
        "periodic": (s, 0.0, {"periodic": ["x"]}),
        "half, line on the plane": (s / 2, s / 4, {"periodic": [], "mirror": ["x"]}),
        "lines on both planes": (s, s / 2, {"periodic": [], "mirror": ["x"]}),
        "line in the middle": (s, 0.0, {"periodic": [], "mirror": ["x"]}),
    }
    width, center, closed = bodies[kind]
    strain, height = 0.05, 2 * 8.4
    array = {"burgers": strain * s * NM, "core": "0.6 nm"}
    array |= {"positions": ["0 nm"]} if "middle" in kind else {"relaxation": 1.0}
    domain = {"size": [width * NM, height * NM], "center": [center * NM, 0.0], **closed}
    domain["layers"] = [{"material": "llzo", "thickness": 8.4 * NM}, {"material": "lithium"}]
    misfit = {"phase": "lithium", "substrate": "llzo", "strain": strain, "array": array}
    mesh = {"size": s / size * NM, "structured": True}
    return case(strain, swelling=True, domain=domain, misfits=[misfit], mesh=mesh)


@pytest.mark.parametrize("kind", ["half, line on the plane", "lines on both planes", "line in the middle"])
def test_periodic_is_mirrored(kind: str) -> None:
    one, two = cm.run(symmetric("periodic")), cm.run(symmetric(kind))
    x = np.random.default_rng(4).uniform(0, 1, (300, 2)) * [2.39, 16.7] * NM + [0.005 * NM, -8.35 * NM]
    errors = {}
    for name in ("concentration", "chemical_potential", "stress"):
        a, b = one.evaluate(name, x), two.evaluate(name, x)
        errors[name] = float(np.abs(a - b).max() / np.abs(a).max())
    moved = [r.summary["lithium_transferred_mol_per_m2"] for r in (one, two)]
    errors["transferred"] = abs(moved[1] / moved[0] - 1)
    record(f"interface_mirror_{kind.replace(',', '').replace(' ', '_')}", transferred_mol_per_m2=moved, **errors)
    assert max(errors.values()) < 1e-8


# -- boxes -------------------------------------------------------------------------------------------------


def box(strain: float, cell: float, spacings: float, core: str = "1 nm", **more: Any) -> cm.Case:
    """One spacing of 6 nm along x and z."""
    s = 6.0
    domain = {"shape": "box", "size": [s * NM, 2 * spacings * s * NM, s * NM], "periodic": ["x", "z"]}
    domain["layers"] = [{"material": "llzo", "thickness": spacings * s * NM}, {"material": "lithium"}]
    misfit: dict[str, Any] = {"phase": "lithium", "substrate": "llzo", "strain": strain}
    misfit["array"] = {
        "relaxation": 1.0,
        "burgers": abs(strain) * s * NM,
        "core": core,
        "offset": more.pop("offset", 0.0),
    }
    return case(strain, domain=domain, misfits=[misfit], mesh={"size": cell * NM, "structured": True}, **more)


@pytest.mark.parametrize("strain", [-0.02, 0.02])
def test_both_families_of_a_box(strain: float) -> None:
    """Beyond one spacing from the lines, which lie two cores above the interface.

    Across the interface the fields of both families add up: one spacing away, lines without width would leave
    1.3 % of the coherent stress in the film and 2.0 % in the substrate (``sharp``).
    """
    coherent, offset = FILM[0] * abs(strain) / (1 - FILM[1]), 1.5
    result = cm.run(box(strain, 0.5, 1.75, "0.75 nm", offset=offset * NM))
    upper, lower = layer(result, 6.0 + offset, np.inf), layer(result, -np.inf, -6.0)
    record(f"interface_array_box_{strain:+.2f}", film=upper[0] / coherent, substrate=lower[0] / coherent)
    assert max(upper[0]) < 0.02 * coherent and max(lower[0]) < 0.02 * coherent
