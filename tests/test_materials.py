"""The material library, crystal orientation and stiffness."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest

from chemomech.errors import CaseError
from chemomech.materials import GAS_CONSTANT, Cubic, Isotropic, Material, entry, load_library, print_table, table
from chemomech.materials import library as lib
from chemomech.materials.orientation import (
    average_moduli,
    chemical_stiffness,
    lame,
    molar_volume_tensor,
    rotation_matrix,
    stiffness,
    youngs_modulus,
    zener_ratio,
)
from chemomech.units import to_si

NAMES = ("LLZO", "LLZTO", "Li", "Ag", "LiMn2O4")


def value(material: str, key: str, si: str) -> float:
    return to_si(entry(material)[key]["value"], si)


# ---- library ----------------------------------------------------------------------------------------


def test_names() -> None:
    assert lib.names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_number_has_symbol_source_and_status(name: str) -> None:
    for key, data in load_library()[name].items():
        if key == "title":
            continue
        assert set(data) <= {"name", "symbol", "value", "status", "source"}, key
        assert data["symbol"], key
        assert data["status"] in lib.STATUSES, key
        assert len(data["source"]) >= 1, key
        if data["status"] in ("verified", "recalled"):
            assert len(data["source"].split()) >= 3, key
    assert "lattice_constant" in entry(name)
    assert any(key.startswith("burgers_") for key in entry(name))


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_is_a_material(name: str) -> None:
    material = Material.from_library(name)
    assert material.library == name
    assert material.partial_molar_volume == value(name, "partial_molar_volume", "m^3/mol")
    assert isinstance(material.elasticity, Isotropic)
    for key in ("reference_concentration", "interaction"):
        assert getattr(material, key) == entry(name)[key]["value"]


def test_llzo_numbers() -> None:
    material = Material.from_library("LLZO")
    assert material.elasticity == Isotropic(youngs_modulus=149.8e9, poissons_ratio=0.257)
    assert (material.maximum_concentration, material.diffusivity) == (42522.0, 3.0e-13)
    assert (material.partial_molar_volume, material.reference_concentration) == (3e-6, 0.5)
    for key in ("partial_molar_volume", "reference_concentration"):
        assert entry("LLZO")[key]["status"] == "assumed"


def test_lmo_numbers() -> None:
    material = Material.from_library("LiMn2O4")
    assert material.elasticity == Isotropic(youngs_modulus=10e9, poissons_ratio=0.3)
    assert (material.partial_molar_volume, material.diffusivity) == (3.497e-6, 7.08e-15)
    assert material.maximum_concentration == 2.29e4


def test_computed_numbers_are_what_they_are_computed_from() -> None:
    avogadro = 6.02214076e23
    faraday = 96485.33212
    for name, sites in (("LLZO", 56), ("LLZTO", 51.2), ("Li", 2), ("Ag", 4)):
        a = value(name, "lattice_constant", "m")
        assert value(name, "maximum_concentration", "mol/m^3") == pytest.approx(
            sites / (avogadro * a**3), rel=1e-4, abs=0.0
        )
    for name, key, factor in (
        ("LLZO", "burgers_100", 1.0),
        ("LLZO", "burgers_111", np.sqrt(3) / 2),
        ("LLZTO", "burgers_111", np.sqrt(3) / 2),
        ("Li", "burgers_111", np.sqrt(3) / 2),
        ("Ag", "burgers_110", np.sqrt(0.5)),
        ("LiMn2O4", "burgers_110", np.sqrt(0.5)),
    ):
        assert value(name, key, "m") == pytest.approx(factor * value(name, "lattice_constant", "m"), rel=1e-3, abs=0.0)
    for name, c in (("LLZO", 40092.0), ("LLZTO", 38877.0)):
        diffusivity = 4.54e-2 * GAS_CONSTANT * 298.15 / (faraday**2 * c)
        assert value(name, "diffusivity", "m^2/s") == pytest.approx(diffusivity, rel=0.02, abs=0.0)
    alloy = avogadro * 0.3168e-9**3 - avogadro * value("Ag", "lattice_constant", "m") ** 3 / 4
    assert value("Ag", "partial_molar_volume", "m^3/mol") == pytest.approx(alloy, rel=0.01, abs=0.0)
    assert value("Li", "partial_molar_volume", "m^3/mol") == pytest.approx(1 / 76799, rel=1e-3, abs=0.0)
    silver = Material.from_library("Ag", elasticity={"kind": "cubic"})
    bulk, shear = average_moduli(silver.elasticity)
    assert value("Ag", "youngs_modulus", "Pa") == pytest.approx(
        9 * bulk * shear / (3 * bulk + shear), rel=1e-3, abs=0.0
    )
    assert entry("Ag")["poissons_ratio"]["value"] == pytest.approx(
        (3 * bulk - 2 * shear) / (6 * bulk + 2 * shear), rel=1e-3, abs=0.0
    )


def test_unknown_material() -> None:
    for function in (entry, table, print_table, lib.material_fields):
        with pytest.raises(CaseError, match=r"did you mean 'LLZO'\?") as caught:
            function("LZO")
        assert "LLZO, LLZTO, Li, Ag or LiMn2O4" in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_table(name: str) -> None:
    rows = table(name)
    assert len(rows) == len(entry(name)) - 1
    by_symbol = {row.symbol: row for row in rows}
    assert by_symbol["E"].unit == "GPa"
    assert by_symbol["nu"].unit == "-"
    out = io.StringIO()
    print_table(name, out)
    text = out.getvalue()
    for row in rows:
        assert row.property in text
        assert row.status in text
    squeezed = "".join(char for char in text if char.isalnum())
    for row in rows:
        assert "".join(char for char in row.source.split(".")[0].split(",")[0] if char.isalnum())[:10] in squeezed


def test_printed_llzo() -> None:
    out = io.StringIO()
    print_table("LLZO", out)
    lines = out.getvalue().splitlines()
    modulus = next(line for line in lines if "Young" in line)
    for word in ("149.8", "GPa", "verified", "Ni et al."):
        assert word in modulus


# ---- orientation ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("angles", "axes"),
    [
        ((0, 0, 0), ((1, 0, 0), (0, 1, 0), (0, 0, 1))),
        ((90, 0, 0), ((0, 1, 0), (-1, 0, 0), (0, 0, 1))),
        ((0, 90, 0), ((1, 0, 0), (0, 0, 1), (0, -1, 0))),
        ((0, 0, 90), ((0, 1, 0), (-1, 0, 0), (0, 0, 1))),
        ((90, 90, 0), ((0, 1, 0), (0, 0, 1), (1, 0, 0))),
        ((0, 90, 90), ((0, 0, 1), (-1, 0, 0), (0, -1, 0))),
        ((30, 0, 0), ((np.sqrt(3) / 2, 0.5, 0), (-0.5, np.sqrt(3) / 2, 0), (0, 0, 1))),
    ],
)
def test_crystal_axes(angles: tuple[float, float, float], axes: tuple[tuple[float, ...], ...]) -> None:
    """``axes``: where [100], [010] and [001] of the crystal point, in sample components."""
    np.testing.assert_allclose(rotation_matrix(*angles).T, axes, atol=1e-15)


def test_bunge_matrix() -> None:
    """The transpose is Bunge's g, written out element by element in the textbooks of texture analysis."""
    angles = np.deg2rad((35.0, 48.0, 71.0))
    (c1, c, c2), (s1, s, s2) = np.cos(angles), np.sin(angles)
    g = [
        [c1 * c2 - s1 * s2 * c, s1 * c2 + c1 * s2 * c, s2 * s],
        [-c1 * s2 - s1 * c2 * c, -s1 * s2 + c1 * c2 * c, c2 * s],
        [s1 * s, -c1 * s, c],
    ]
    axes = rotation_matrix(35, 48, 71)
    np.testing.assert_allclose(axes.T, g, atol=1e-15)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-15)
    assert np.linalg.det(axes) == pytest.approx(1.0, rel=1e-6, abs=0.0)


# ---- stiffness --------------------------------------------------------------------------------------

LLZO = Cubic(c11=187e9, c12=75.1e9, c44=71e9)
LI = Cubic(c11=13.5e9, c12=11.44e9, c44=8.78e9)
AG = Cubic(c11=124e9, c12=93.4e9, c44=46.1e9)


def turned(matrix: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """A Voigt stiffness rotated as a fourth-order tensor, index by index."""
    index = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])
    tensor = matrix[index[:, :, None, None], index[None, None]]
    tensor = np.einsum("ia,jb,kc,ld,abcd->ijkl", rotation, rotation, rotation, rotation, tensor)
    pairs = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]
    return np.array([[tensor[p + q] for q in pairs] for p in pairs])


def test_isotropic_stiffness() -> None:
    solid = Isotropic(youngs_modulus=149.8e9, poissons_ratio=0.257)
    lam, shear = lame(solid)
    assert shear == pytest.approx(59.59e9, rel=1e-4, abs=0.0)
    assert lam + 2 * shear / 3 == pytest.approx(102.74e9, rel=1e-4, abs=0.0)
    expected = np.diag([2 * shear] * 3 + [shear] * 3)
    expected[:3, :3] += lam
    np.testing.assert_allclose(stiffness(solid), expected, rtol=1e-14)
    assert youngs_modulus(solid, (1, 2, 3)) == pytest.approx(149.8e9, rel=1e-6, abs=0.0)
    for average in ("voigt", "reuss", "hill"):
        assert average_moduli(solid, average) == pytest.approx((lam + 2 * shear / 3, shear), rel=1e-6, abs=0.0)


def test_cubic_stiffness_in_crystal_axes() -> None:
    expected = np.diag([187.0 - 75.1] * 3 + [71.0] * 3)
    expected[:3, :3] += 75.1
    np.testing.assert_allclose(stiffness(LLZO), expected * 1e9, rtol=1e-14)


def test_a_cubic_crystal_turned_by_45_degrees_about_z() -> None:
    matrix = stiffness(Cubic(c11=187e9, c12=75.1e9, c44=71e9, orientation=("45 deg", 0, 0)))
    assert matrix[0, 0] == pytest.approx((187 + 75.1) / 2 * 1e9 + 71e9, rel=1e-6, abs=0.0)
    assert matrix[0, 1] == pytest.approx((187 + 75.1) / 2 * 1e9 - 71e9, rel=1e-6, abs=0.0)
    assert matrix[5, 5] == pytest.approx((187 - 75.1) / 2 * 1e9, rel=1e-6, abs=0.0)
    assert matrix[2, 2] == pytest.approx(187e9, rel=1e-6, abs=0.0)


@pytest.mark.parametrize("angles", [(35.0, 48.0, 71.0), (0.0, 20.0, 0.0), (10.0, 90.0, 5.0)])
def test_the_stiffness_turns_as_a_tensor(angles: tuple[float, float, float]) -> None:
    matrix = stiffness(AG.model_copy(update={"orientation": angles}))
    np.testing.assert_allclose(matrix, turned(stiffness(AG), rotation_matrix(*angles)), rtol=1e-12, atol=1e-3)
    np.testing.assert_array_equal(matrix, matrix.T)
    np.testing.assert_allclose(np.linalg.eigvalsh(matrix).sum() > 0, True)


def test_sense_of_rotation() -> None:
    """The softest direction of silver, <100>, follows the crystal."""
    crystal = AG.model_copy(update={"orientation": (30.0, 0.0, 0.0)})
    assert youngs_modulus(crystal, (np.sqrt(3) / 2, 0.5, 0)) == pytest.approx(43.8e9, rel=2e-3, abs=0.0)
    assert youngs_modulus(crystal, (np.sqrt(3) / 2, -0.5, 0)) > 65e9


@pytest.mark.parametrize(
    ("crystal", "bulk", "zener", "e100", "e110", "e111"),
    [(LI, 12.1, 8.52, 3.00, 8.44, 21.2), (AG, 103.6, 3.01, 43.8, 83.7, 120.4)],
)
def test_anisotropy(crystal: Cubic, bulk: float, zener: float, e100: float, e110: float, e111: float) -> None:
    assert average_moduli(crystal).bulk == pytest.approx(bulk * 1e9, rel=5e-3, abs=0.0)
    assert zener_ratio(crystal) == pytest.approx(zener, rel=2e-3, abs=0.0)
    for direction, modulus in (((1, 0, 0), e100), ((1, 1, 0), e110), ((1, 1, 1), e111)):
        assert youngs_modulus(crystal, direction) == pytest.approx(modulus * 1e9, rel=5e-3, abs=0.0)


@pytest.mark.parametrize(
    ("crystal", "young", "shear"), [(LLZO, 162.5, 64.5), (LI, 10.7, 3.9), (AG, 81.2, 29.7)]
)  # fmt: skip
def test_hill_average(crystal: Cubic, young: float, shear: float) -> None:
    k, g = average_moduli(crystal)
    assert g == pytest.approx(shear * 1e9, rel=1e-2, abs=0.0)
    assert 9 * k * g / (3 * k + g) == pytest.approx(young * 1e9, rel=1e-2, abs=0.0)
    assert average_moduli(crystal, "reuss").shear < g < average_moduli(crystal, "voigt").shear


def test_llzo_is_nearly_isotropic() -> None:
    assert zener_ratio(LLZO) == pytest.approx(1.27, rel=2e-3, abs=0.0)
    assert average_moduli(LLZO).bulk == pytest.approx(112.4e9, rel=1e-3, abs=0.0)


def test_averages_are_averages_of_the_turned_stiffness() -> None:
    """Voigt's and Reuss's moduli by brute force over orientations."""
    grid = itertools.product(np.arange(0, 360, 30), np.arccos(np.linspace(-0.975, 0.975, 40)), np.arange(0, 360, 30))
    crystals = [AG.model_copy(update={"orientation": (a, float(np.rad2deg(b)), c)}) for a, b, c in grid]
    matrices = np.array([stiffness(crystal) for crystal in crystals])
    assert matrices[:, 3, 3].mean() == pytest.approx(average_moduli(AG, "voigt").shear, rel=2e-3, abs=0.0)
    compliances = np.linalg.inv(matrices)
    assert 1 / compliances[:, 3, 3].mean() == pytest.approx(average_moduli(AG, "reuss").shear, rel=2e-3, abs=0.0)


# ---- partial molar volume ---------------------------------------------------------------------------


def test_molar_volume_tensor() -> None:
    def tensor(omega: object) -> np.ndarray:
        return molar_volume_tensor(Material.from_library("LLZO", partial_molar_volume=omega))

    np.testing.assert_array_equal(tensor("3 cm^3/mol"), 3e-6 * np.eye(3))
    np.testing.assert_array_equal(tensor([1e-6, 2e-6, "3 cm^3/mol"]), np.diag([1e-6, 2e-6, 3e-6]))
    rows = [[1e-6, 2e-7, 0], [2e-7, 2e-6, 0], [0, 0, 3e-6]]
    np.testing.assert_array_equal(tensor(rows), rows)


def test_chemical_stiffness() -> None:
    rt = GAS_CONSTANT * 298.15
    assert chemical_stiffness(Material.from_library("LLZO")) == pytest.approx(15.9 * rt, rel=4e-3, abs=0.0)
    shear = Material.from_library("LLZO", partial_molar_volume=[[0, 1e-6, 0], [1e-6, 0, 0], [0, 0, 0]])
    assert isinstance(shear.elasticity, Isotropic)
    g = lame(shear.elasticity)[1]
    assert chemical_stiffness(shear) == pytest.approx(42522 / 9 * g * (2e-6) ** 2, rel=1e-6, abs=0.0)
