"""Cases on meshes of grains: bounds of polycrystals, ranks, multigrid, restarts, forces, and the files they come in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

import chemomech as cm
from chemomech.errors import CaseError
from chemomech.materials.laws import Cubic
from chemomech.materials.orientation import average_moduli
from chemomech.meshing.arrays import MeshArrays, table_of
from chemomech.meshing.generate import generate
from chemomech.microstructure.orientations import random_orientations
from chemomech.physics import chemomechanics
from chemomech.simulation import Simulation
from chemomech.solvers import stack
from tests.test_crystals import (
    AG,
    LOAD,
    OMEGA,
    SIDES,
    SILVER,
    UM,
    body,
    file_of,
    middles,
    structured,
    tractions,
    with_grains,
)  # fmt: skip
from tests.tools import gathered, physics_of, record

# -- polycrystals ----------------------------------------------------------------------------------------------


def pulled(path: Path, mesh: Any, strain: np.ndarray, **more: Any) -> cm.Case:
    """Every side moved along its normal as a uniform strain would, free along itself."""
    points = mesh.points
    sides = {}
    for k, name in enumerate(list(SIDES)[: 2 * mesh.dimension]):
        axis = k // 2
        place = float((points[:, axis].max() if k % 2 else points[:, axis].min()) * strain[axis])
        sides[name] = {"displacement": {"xyz"[axis]: place}}
    return body(path, boundaries=sides, **more)


def energies_of(result: cm.Result) -> tuple[float, float, np.ndarray, np.ndarray]:
    """Elastic energy per volume, volume, and the means of stiffness and compliance over the volume."""
    physics = physics_of(result)
    owned = physics.body.mesh.topology.index_map(physics.body.dimension).size_local
    x = physics.body.cell_vertices()[:owned]
    edges = (x[:, 1:] - x[:, :1])[:, :, : physics.body.dimension]
    size = np.abs(np.linalg.det(edges)) / {2: 2.0, 3: 6.0}[physics.body.dimension]
    c = np.zeros((len(x), 6, 6))
    for phase, crystal in physics.crystals.items():
        own = crystal.cells < owned
        c[crystal.cells[own]] = physics.stiffness(phase)[crystal.row[own]] * physics.scales.stress
    strain, stress = (result.function(n).x.array.reshape(-1, 3, 3)[:owned] for n in ("strain", "stress"))
    sums = [
        0.5 * np.sum(size * np.sum(strain * stress, axis=(1, 2))), size.sum(),
        np.einsum("k,kij->ij", size, c), np.einsum("k,kij->ij", size, np.linalg.inv(c)),
    ]  # fmt: skip
    energy, volume, voigt, reuss = (MPI.COMM_WORLD.allreduce(s) for s in sums)
    return energy / volume, volume, voigt / volume, reuss / volume


def shared(make: Any, folder: Path) -> tuple[Path, Any]:
    """A grain mesh made and written on rank 0."""
    path = MPI.COMM_WORLD.bcast(folder / "grains.msh", root=0)
    mesh = make() if MPI.COMM_WORLD.rank == 0 else None
    if mesh is not None:
        mesh.save(path, by="class")
    return Path(path), MPI.COMM_WORLD.bcast(mesh, root=0)


def effective(path: Path, mesh: Any, strains: list[list[float]]) -> list[tuple[float, float, float]]:
    """Lower bound, energy and upper bound of 2 W/(e:e) for each strain, Pa: uniform stress and uniform strain.

    With nothing but normal displacements given, a uniform diagonal stress is admissible, so the bounds are rigorous for
    the very grains of the body, and a displacement method can only be above the lower one.
    """
    out = []
    for diagonal in strains:
        e = np.array(diagonal)
        result = cm.run(pulled(path, mesh, 1e-3 * e))
        energy, _, voigt, reuss = energies_of(result)
        upper = e @ voigt[:3, :3] @ e
        lower = e @ np.linalg.inv(reuss[:3, :3]) @ e
        out.append((float(lower / (e @ e)), 2e6 * energy / float(e @ e), float(upper / (e @ e))))
    return out


def test_bounds_of_a_columnar_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random orientations in 2D: between Reuss and Voigt, and softer than a body without u_z."""

    def film() -> Any:
        return cm.mesh_grains(
            cm.polycrystal(2, ["12 um", "12 um"], number=60, lloyd=2, seed=4, phase="silver"), 0.35 * UM
        )

    path, mesh = shared(film, tmp_path)
    strain = [1.0, -1.0, 0.0]
    ((lower, value, upper),) = effective(path, mesh, [strain])
    assert lower < value < upper
    monkeypatch.setattr(chemomechanics, "components", lambda *_: 2)
    ((_, flat, _),) = effective(path, mesh, [strain])
    assert 1.02 * value < flat < upper
    record("bounds_2d", lower=lower, found=value, upper=upper, without=flat, grains=60, cells=len(mesh.cells))


@pytest.mark.slow
def test_bounds_of_a_polycrystal(tmp_path: Path) -> None:
    """100 grains in a box: shear moduli between the bounds of its grains and near those of random silver; K exact."""

    def box() -> Any:
        return cm.mesh_grains(cm.polycrystal(3, ["10 um"] * 3, number=100, lloyd=3, seed=2, phase="silver"), 1.1 * UM)

    path, mesh = shared(box, tmp_path)
    strains = [[1.0, -1.0, 0.0], [0.0, 1.0, -1.0], [1.0, 1.0, 1.0]]
    found = effective(path, mesh, strains)
    for lower, value, upper in found[:2]:
        assert lower < value < upper
    shear = 0.5 * float(np.mean([value for _, value, _ in found[:2]]))
    elasticity = Cubic(**AG)
    assert average_moduli(elasticity, "reuss").shear < shear < average_moduli(elasticity, "voigt").shear
    # A body under uniform dilatation: every cubic crystal is isotropic to that.
    assert found[2][1] == pytest.approx(3.0 * average_moduli(elasticity).bulk, rel=1e-9, abs=0.0)
    bulk = found[2][1] / (3.0 * average_moduli(elasticity).bulk) - 1.0
    record("bounds_3d", found=found, shear=shear, bulk=bulk, cells=len(mesh.cells))


def test_any_number_of_ranks(tmp_path: Path) -> None:
    """A polycrystal with swelling by a tensor: the same on all ranks together as on each alone."""

    def film() -> Any:
        return cm.mesh_grains(cm.polycrystal(2, ["6 um", "6 um"], number=12, seed=1, phase="silver"), 0.5 * UM)

    path, mesh = shared(film, tmp_path)
    material = {"partial_molar_volume": OMEGA.tolist(), "diffusivity": "1e-14 m^2/s"}
    case = pulled(path, mesh, np.zeros(3), material=material, mode="transient", time={"end": "20 s", "fixed_step": 5})
    case = case.replace({"initial.concentration": "0.5 + 0.2*sin(x/1e-6)"})
    together, alone = cm.run(case), cm.run(case, comm=MPI.COMM_SELF)
    points = 6 * UM * np.random.default_rng(0).random((60, 2)) + mesh.points.min(axis=0)[:2]
    for name in ("displacement", "stress", "concentration", "chemical_potential", "grain"):
        one, two = together.evaluate(name, points), alone.evaluate(name, points)
        assert np.abs(one - two).max() <= 1e-8 * np.abs(two).max()
    assert len(np.unique(together.evaluate("grain", points))) > 6


def test_multigrid_with_three_components(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block solver with multigrid for the displacement gives the direct solver's answer."""

    def film() -> Any:
        return cm.mesh_grains(cm.polycrystal(2, ["6 um", "6 um"], number=12, seed=1, phase="silver"), 0.3 * UM)

    path, _ = shared(film, tmp_path)
    material = {"partial_molar_volume": OMEGA.tolist()}
    case = body(path, material=material, boundaries=tractions(LOAD, 2), initial={"concentration": 0.6})
    exact = cm.run(case.replace({"solver.linear": "direct"}))
    monkeypatch.setitem(stack.EXACT_LIMIT, 2, 0)
    found = cm.run(case.replace({"solver.linear": "block"}))
    assert found.summary["linear_solver"] == "block"
    one, two = gathered(exact, "stress"), gathered(found, "stress")
    assert np.abs(one - two).max() < 1e-6 * np.abs(one).max()
    assert found.summary["linear_iterations"] < 25 * found.summary["newton_iterations"]


def test_a_run_taken_up_again(tmp_path: Path) -> None:
    """Grains and u_z are in the checkpoint."""

    def film() -> Any:
        return cm.mesh_grains(cm.polycrystal(2, ["6 um", "6 um"], number=8, seed=1, phase="silver"), 0.8 * UM)

    path, mesh = shared(film, tmp_path)
    time = {"end": "20 s", "fixed_step": 5}
    material = {"partial_molar_volume": OMEGA.tolist(), "diffusivity": "1e-14 m^2/s"}
    case = pulled(path, mesh, 1e-3 * np.array([1.0, -1.0, 0.0]), material=material, mode="transient", time=time)
    case = case.replace({"output.figures": False})
    whole = cm.run(case)
    out = MPI.COMM_WORLD.bcast(tmp_path / "run", root=0)
    cm.run(case.replace({"time.end": 10.0}), out)
    if MPI.COMM_WORLD.rank == 0:
        table_of(path).unlink()
        path.unlink()
    MPI.COMM_WORLD.Barrier()
    taken = cm.run(case, out, resume=True)
    for name in ("stress", "displacement", "grain"):
        one, two = gathered(whole, name), gathered(taken, name)
        assert np.abs(one - two).max() <= 1e-9 * np.abs(one).max()
    assert gathered(taken, "displacement").shape[1] == 3


def test_forces_on_a_dislocation_with_u_z() -> None:
    """A crystal tilted by a hair has a third displacement; the forces are those of the straight one."""
    case = {
        "mode": "equilibrium",
        "domain": {"size": ["60 nm", "60 nm"]},
        "mesh": {"size": "4 nm", "core_size": "0.5 nm"},
        "materials": {"silver": {**SILVER, "partial_molar_volume": 2e-6}},
        "dislocations": [{"position": ["4 nm", "6 nm"], "burgers": ["0.3 nm", 0.0], "core": "1 nm"}],
        "initial": {"concentration": 0.5},
    }
    results = []
    for tilt in (0.0, 1e-4):
        elasticity = {**AG, "orientation": [0.0, tilt, 0.0]}
        results.append(cm.run(cm.Case.model_validate(case).replace({"materials.silver.elasticity": elasticity})))
    assert [physics_of(r).u.function_space.dofmap.bs for r in results] == [2, 3]
    one, two = (r.summary["dislocations"][0] for r in results)
    for key in ("configurational_force_N_per_m", "peach_koehler_N_per_m"):
        assert np.abs(one[key]).max() > 1e-4
        assert two[key] == pytest.approx(one[key], rel=1e-4, abs=1e-6 * float(np.abs(one[key]).max()))
    assert results[1].function("configurational_force").function_space.dofmap.bs == 2


# -- files -----------------------------------------------------------------------------------------------------


def two_grains(folder: Path) -> Path:
    mesh = structured((2.0, 2.0), 0.5)
    grain = (middles(mesh)[:, 0] > 0.3 * UM).astype(int)
    return file_of(with_grains(mesh, grain, random_orientations(2, 3)), folder)


def test_there_and_back(tmp_path: Path) -> None:
    """Numbers and orientations of grains survive files of either writer, a checkpoint and the shares of ranks."""
    path = two_grains(tmp_path)
    read = generate(body(path))
    assert np.abs(read.orientations - random_orientations(2, 3)).max() < 1e-15
    assert (read.cell_grain == (middles(read)[:, 0] > 0.3 * UM)).all()
    kept = MeshArrays.from_dict(read.to_dict())
    assert (kept.cell_grain == read.cell_grain).all() and (kept.orientations == read.orientations).all()
    old = {k: v for k, v in read.to_dict().items() if k not in ("cell_grain", "orientations")}
    assert MeshArrays.from_dict(old).grains == 0

    def film() -> Any:
        return cm.mesh_grains(cm.polycrystal(2, ["6 um", "6 um"], number=8, seed=1, phase="silver"), 0.8 * UM)

    for by in ("class", "grain", "phase"):
        made = film()
        if MPI.COMM_WORLD.rank == 0:
            made.save(path, by=by)
        MPI.COMM_WORLD.Barrier()
        simulation = Simulation(body(path), MPI.COMM_WORLD)
        own = simulation.body
        places = own.cell_vertices().mean(axis=1)
        nearest = np.array([np.argmin(np.abs(made.points[made.cells].mean(axis=1) - p).sum(axis=1)) for p in places])
        assert (own.cell_grain == made.cell_grain[nearest]).all()
        assert np.abs(own.orientations - made.structure.orientations).max() < 1e-15
        simulation.destroy()
        MPI.COMM_WORLD.Barrier()
    if MPI.COMM_WORLD.rank == 0:
        table_of(path).unlink()
    MPI.COMM_WORLD.Barrier()
    with pytest.raises(CaseError, match="the mesh has 8 grains"):
        generate(body(path))


def test_the_ready_film_is_a_case() -> None:
    """The mesh in meshes/ has its table beside it."""
    mesh = generate(body(Path(__file__).parent.parent / "meshes" / "silver-film.msh"))
    assert mesh.grains == 23 and len(mesh.cell_grain) == len(mesh.cells) == 2177


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: None, ("the mesh has 2 grains", "is not there", "beside the mesh")),
        (lambda t: t.replace("q2", "q9"), ("has no column 'q2'", "did you mean 'q9'")),
        (lambda t: "", ("has no column 'grain'",)),
        (lambda t: t.rsplit("\n1,", 1)[0] + "\n", ("the table has 1 grains, the mesh 2",)),
        (lambda t: t.replace("\n1,", "\n2,"), ("not numbered 0, 1, 2",)),
        (lambda t: t.replace("\n1,", "\n1.5,"), ("line 3 can't be read",)),
        (lambda t: ",".join(t.split(",")[:-2]) + ",,\n", ("grain 1 has no orientation", "silver needs one")),
        (lambda t: t.replace("\n1,silver,", "\n1,silver,9"), ("do not belong together", "by the table grain")),
    ],
)
def test_tables_that_do_not_fit(change: Any, words: tuple[str, ...], tmp_path: Path) -> None:
    path = two_grains(tmp_path)
    table = table_of(path)
    if MPI.COMM_WORLD.rank == 0:
        text = change(table.read_text())
        table.unlink() if text is None else table.write_text(text)
    MPI.COMM_WORLD.Barrier()
    with pytest.raises(CaseError) as caught:
        cm.run(body(path))
    assert "domain.grains" in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_where_the_table_may_be(tmp_path: Path) -> None:
    """Beside the mesh, elsewhere by name, or nowhere if no crystal has directions."""
    path = two_grains(tmp_path)
    other = path.with_name("orientations.csv")
    if MPI.COMM_WORLD.rank == 0:
        table_of(path).rename(other)
    MPI.COMM_WORLD.Barrier()
    toml = (f'mode = "equilibrium"\n[domain]\npath = "{path.name}"\ngrains = "orientations.csv"\n[initial]\n'
            'concentration = 0.05\n[materials.silver]\nlibrary = "Ag"\nelasticity.kind = "cubic"\n')  # fmt: skip
    case = cm.Case.loads(toml, path.with_name("case.toml"))
    assert case.domain.grains == str(other)
    assert generate(case).grains == 2
    assert cm.Case.loads(case.to_toml()) == case
    with pytest.raises(CaseError, match="there is no such table of grains"):
        generate(case.replace({"domain.grains": "nowhere.csv"}))
    isotropic = case.replace({"domain.grains": "", "materials.silver.elasticity": {"kind": "isotropic"}})
    assert generate(isotropic.replace({"materials.silver.library": "Ag"})).grains == 0
