"""Dislocations: closed forms against numbers derived elsewhere, cell means, and the stress a body gets from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

import chemomech as cm
from chemomech.defects.analytic import EdgeField
from chemomech.defects.dislocations import Line, cell_eigenstrain, infinite_medium_displacement, infinite_medium_stress
from chemomech.defects.simplex import cell_averages
from chemomech.defects.spreading import line_density, slip_density
from tests.tools import LLZO, at_quadrature, gathered, l2, quadrature, rates, record

NM, GPA = 1e-9, 1e9
SHEAR, NU, BURGERS = 59.6e9, 0.257, 1.124e-9
FIELD = EdgeField(BURGERS, NM, SHEAR, NU)
MEDIUM = cm.Isotropic(youngs_modulus=2 * SHEAR * (1 + NU), poissons_ratio=NU)
POINTS = np.random.default_rng(5).uniform(-4e-9, 4e-9, (60, 3)) * [1, 1, 0]


# -- closed forms ------------------------------------------------------------------------------------------


def test_stress_at_listed_points() -> None:
    s = FIELD.stress(np.array([0.0, 1.0, 2.0, -3.0]) * NM, np.array([-1.0, 0.0, 2.0, -5.0]) * NM) / GPA
    mean = np.trace(s, axis1=1, axis2=2) / 3
    assert FIELD.prefactor == pytest.approx(14.3497, rel=1e-5, abs=0.0)
    assert s[0, 0, 0] == pytest.approx(14.350, abs=1e-3) and s[0, 1, 1] == pytest.approx(7.175, abs=1e-3)
    assert mean[0] == pytest.approx(9.0188, abs=1e-4)
    assert s[1, 0, 1] == pytest.approx(7.1749, abs=1e-4)
    assert [s[2, 0, 0], s[2, 1, 1], s[2, 0, 1]] == pytest.approx([-6.732, -0.354, 0.354], abs=1e-3)
    assert [s[3, 0, 0], s[3, 1, 1], s[3, 0, 1]] == pytest.approx([3.221, 0.996, 0.527], abs=1e-3)
    assert [mean[2], mean[3]] == pytest.approx([-2.969, 1.767], abs=1e-3)


@pytest.mark.parametrize(("core", "peak"), [(0.5, 18.93), (1.0, 9.466), (1.124, 8.422), (2.0, 4.733)])
def test_peak_and_side_of_tension(core: float, peak: float) -> None:
    """The extra half plane at y > 0 is under compression; lithium-friendly tension is below."""
    field = EdgeField(BURGERS, core * NM, SHEAR, NU)
    y = np.linspace(-3, 3, 6001) * core * NM
    mean = np.trace(field.stress(np.zeros_like(y), y), axis1=1, axis2=2) / 3 / GPA
    assert mean.max() == pytest.approx(peak, rel=2e-4, abs=0.0)
    assert y[mean.argmax()] == pytest.approx(-0.749368 * core * NM, abs=2e-3 * NM)


def test_spreading_functions() -> None:
    y = np.linspace(-400, 400, 400_001)
    assert np.trapezoid(slip_density(np.full_like(y, -1e6), y, 1.0), y) == pytest.approx(1.0, abs=1e-6)
    assert slip_density(np.array([-1e9]), np.array([0.0]), 2.0)[0] == pytest.approx(3 / 8, rel=1e-6, abs=0.0)
    r = np.linspace(0, 400, 400_001)
    assert np.trapezoid(2 * np.pi * r * line_density(r, 1.0), r) == pytest.approx(1.0, abs=1e-6)
    x, h = np.linspace(-3, 3, 13), 1e-5
    slope = (slip_density(x + h, 0 * x + 0.4, 1.0) - slip_density(x - h, 0 * x + 0.4, 1.0)) / (2 * h)
    assert slope == pytest.approx(-line_density(np.hypot(x, 0.4), 1.0), rel=1e-6, abs=0.0)


@pytest.mark.parametrize("plane", ["strain", "stress"])
@pytest.mark.parametrize("forward", [False, True])
@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0])
def test_displacement_belongs_to_stress(plane: str, forward: bool, angle: float) -> None:
    """sym grad u less the slip is the elastic strain of the closed-form stress."""
    line = line_at(angle, forward=forward)
    h = 1e-14

    def u(dx: float, dy: float) -> np.ndarray:
        return infinite_medium_displacement([line], MEDIUM, POINTS + np.array([dx, dy, 0.0]), plane)

    gradient = np.zeros((len(POINTS), 3, 3))
    gradient[:, :, 0] = (u(h, 0) - u(-h, 0)) / (2 * h)
    gradient[:, :, 1] = (u(0, h) - u(0, -h)) / (2 * h)
    e = 0.5 * (gradient + gradient.transpose(0, 2, 1)) - line.slip_density(POINTS)[:, None, None] * line.slip_tensor
    if plane == "stress":
        e[:, 2, 2] = -NU / (1 - NU) * (e[:, 0, 0] + e[:, 1, 1])
    lame = 2 * SHEAR * NU / (1 - 2 * NU)
    from_strain = 2 * SHEAR * e + lame * np.trace(e, axis1=1, axis2=2)[:, None, None] * np.eye(3)
    stress = infinite_medium_stress([line], MEDIUM, POINTS, plane)
    assert np.abs(from_strain - stress).max() < 1e-8 * np.abs(stress).max()


def line_at(angle: float, *, forward: bool = False, slip: bool = False, position: tuple[float, ...] = (0, 0)) -> Line:
    return Line.of(dislocation(angle, forward=forward, slip=slip, position=position, model=True))


def dislocation(
    angle: float,
    *,
    forward: bool = False,
    slip: bool = False,
    position: tuple[float, ...] = (0, 0),
    model: bool = False,
) -> Any:
    a = np.deg2rad(angle)
    data = {
        "position": [float(x) for x in position],
        "burgers": [float(BURGERS * np.cos(a)), float(BURGERS * np.sin(a))],
        "core": "1 nm",
        "cut": "forward" if forward else "backward",
        "eigenstrain": "slip" if slip else "elastic",
    }
    if not model:
        return data
    from chemomech.case import Dislocation

    return Dislocation(**data)


def test_cell_means_against_brute_force() -> None:
    line = line_at(0.0)
    corners = np.array(
        [[[-20.3, -3.0, 0.0], [-11.0, -4.0, 0.0], [-15.0, 6.0, 0.0]], [[-2, 3, 0], [2, 3, 0], [0, 9, 0]]]
    )
    corners = corners * NM
    n = 700
    i, j = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    up, down = (i + j < n), (i + j < n - 1)
    a = np.r_[(i[up] + 1 / 3), (i[down] + 2 / 3)] / n
    b = np.r_[(j[up] + 1 / 3), (j[down] + 2 / 3)] / n
    for cell, mean in zip(corners, cell_averages(line.slip_density, corners, 1e-6 / NM), strict=True):
        x = cell[0] + a[:, None] * (cell[1] - cell[0]) + b[:, None] * (cell[2] - cell[0])
        assert mean[0] == pytest.approx(line.slip_density(x).mean(), abs=2e-5 / NM)


def test_both_eigenstrains_have_the_same_incompatibility() -> None:
    """They differ by the strain of a displacement: its mean over a cell equals that from the cell's boundary."""
    cell = np.array([[[-1.3, -0.4, 0.0], [1.1, -0.7, 0.0], [0.2, 1.5, 0.0]]]) * NM
    slip, elastic = (cell_eigenstrain([line_at(20.0, slip=s)], cell, NU, tolerance=1e-8)[0] for s in (True, False))
    line, edges, boundary = line_at(20.0), [(0, 1), (1, 2), (2, 0)], np.zeros((3, 3))
    points, weights = np.polynomial.legendre.leggauss(60)
    for p, q in edges:
        t = cell[0, q] - cell[0, p]
        x = cell[0, p] + 0.5 * (points[:, None] + 1) * t
        u = infinite_medium_displacement([line], MEDIUM, x)
        normal = np.array([t[1], -t[0], 0.0])  # outward, times the length
        boundary += 0.5 * np.einsum("q,qi,j->ij", weights, u, normal)
    area = 0.5 * np.linalg.norm(np.cross(cell[0, 1] - cell[0, 0], cell[0, 2] - cell[0, 0]))
    mean = 0.5 * (boundary + boundary.T) / area
    assert np.abs(slip - elastic - mean).max() < 1e-6 * np.abs(slip).max()


# -- a body with the exact tractions -----------------------------------------------------------------------


def body(h: float, dislocations: list[Any], *, side: str = "12 nm", **more: Any) -> cm.Case:
    return cm.Case.model_validate(
        {
            "domain": {"shape": "rectangle", "size": [side, side]},
            "mesh": {"size": h * NM, "structured": True},
            "materials": {"llzo": {**LLZO, "partial_molar_volume": 0.0}},
            "dislocations": dislocations,
            "boundaries": {"outer": {"traction": "dislocations"}},
            "mode": "equilibrium",
            **more,
        }
    )


def errors(result: cm.Result) -> tuple[float, float]:
    """Relative L2 errors of stress and of displacement up to a rigid motion."""
    x, w, _, _ = quadrature(result)
    flat, every = x.reshape(-1, 3), cm.lines(result.case)
    medium, plane = result.case.materials["llzo"].elasticity, result.case.plane
    exact = infinite_medium_stress(every, medium, flat, plane).reshape(*w.shape, 3, 3)
    stress = l2(at_quadrature(result, "stress") - exact, w) / l2(exact, w)
    d = result.mesh.geometry.dim
    u = infinite_medium_displacement(every, medium, flat, plane).reshape(*w.shape, 3)[..., :d]
    return stress, l2(less_rigid(at_quadrature(result, "displacement") - u, x, w), w) / l2(less_rigid(u, x, w), w)


def less_rigid(u: np.ndarray, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    d = u.shape[-1]
    modes = []
    for i in range(d):
        mode = np.zeros_like(u)
        mode[..., i] = 1.0
        modes.append(mode)
        for j in range(i):
            mode = np.zeros_like(u)
            mode[..., i], mode[..., j] = x[..., j] / NM, -x[..., i] / NM
            modes.append(mode)
    basis = np.stack(modes, axis=-1)
    weighted = basis * w[..., None, None]
    gram, right = np.einsum("cqim,cqin->mn", weighted, basis), np.einsum("cqim,cqi->m", weighted, u)
    return np.asarray(u - basis @ np.linalg.solve(MPI.COMM_WORLD.allreduce(gram), MPI.COMM_WORLD.allreduce(right)))


@pytest.mark.parametrize("slip", [False, True], ids=["elastic", "slip"])
@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0])
def test_stress_and_displacement_converge(angle: float, slip: bool) -> None:
    sizes = [0.5, 0.25, 0.125]
    results = [cm.run(body(h, [dislocation(angle, slip=slip)])) for h in sizes]
    stress, displacement = zip(*[errors(r) for r in results], strict=True)
    peak = results[-1].summary["hydrostatic_stress_max_Pa"] / GPA
    name = "slip" if slip else "elastic"
    record(
        f"dislocation_{name}_{angle:.0f}", h_over_core=sizes, stress=stress, displacement=displacement,
        stress_rates=rates(sizes, list(stress)), displacement_rates=rates(sizes, list(displacement)), peak_GPa=peak,
        trough_GPa=results[-1].summary["hydrostatic_stress_min_Pa"] / GPA,
    )  # fmt: skip
    assert rates(sizes, list(stress))[-1] > 0.95
    assert rates(sizes, list(displacement))[-1] > 1.9
    if not slip:
        assert peak == pytest.approx(9.466, rel=0.01, abs=0.0)
        assert results[-1].summary["hydrostatic_stress_min_Pa"] / GPA == pytest.approx(-9.466, rel=0.01, abs=0.0)


def test_plane_stress() -> None:
    sizes = [0.5, 0.25]
    found = [errors(cm.run(body(h, [dislocation(0.0)], plane="stress"))) for h in sizes]
    assert rates(sizes, [e[0] for e in found])[-1] > 0.95
    assert rates(sizes, [e[1] for e in found])[-1] > 1.9


def test_two_dislocations_superpose() -> None:
    one, two = dislocation(0.0, position=(-2 * NM, 0.5 * NM)), dislocation(60.0, position=(2 * NM, -1 * NM))
    single = [gathered(cm.run(body(0.25, [d])), "stress") for d in (one, two)]
    both = cm.run(body(0.25, [one, two]))
    difference = np.abs(gathered(both, "stress") - sum(single)).max() / np.abs(single[0]).max()
    record("superposition", difference=difference, stress=errors(both)[0])
    assert np.abs(gathered(both, "stress") - sum(single)).max() < 1e-9 * np.abs(single[0]).max()
    assert errors(both)[0] < 0.08


def test_graded_mesh_and_eigenstrains_agree() -> None:
    """On a graded mesh far coarser than the core, both eigenstrains give the closed form near the core."""
    points = np.array([[0.0, -0.75], [1.5, 0.5], [-1.0, -2.0], [3.0, -3.0]]) * NM
    graded = {"mesh": {"size": "3 nm", "core_size": "0.125 nm"}, "side": "60 nm"}
    for slip in (False, True):
        result = cm.run(body(0.0, [dislocation(0.0, slip=slip)], **graded))
        exact = infinite_medium_stress(cm.lines(result.case), MEDIUM, points)
        found = result.evaluate("stress", points)
        assert np.abs(found - exact).max() < (0.08 if slip else 0.03) * np.abs(exact).max()


@pytest.mark.parametrize("axis", [[0, 0, 1], [1, 0, 0], [1, 1, 0]], ids=["z", "x", "xy"])
def test_line_along_any_axis_in_3d(axis: list[float]) -> None:
    line = np.array(axis, dtype=float) / np.linalg.norm(axis)
    slip = np.cross(line, [0.0, 0.0, 1.0]) if abs(line[2]) < 0.5 else np.array([1.0, 0.0, 0.0])
    burgers = (BURGERS * slip / np.linalg.norm(slip)).tolist()
    entry = {"position": [0.0, 0.0, 0.0], "burgers": burgers, "core": "1 nm", "line": line.tolist()}
    found = []
    for h in (0.5, 0.25):
        box = {"shape": "box", "size": ["4 nm", "4 nm", "4 nm"]}
        found.append(errors(cm.run(body(h, [entry], domain=box))))
    assert rates([0.5, 0.25], [e[0] for e in found])[-1] > 0.95
    assert rates([0.5, 0.25], [e[1] for e in found])[-1] > 1.85
