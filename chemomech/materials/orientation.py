"""Crystal orientation and stiffness: Bunge angles, Voigt matrices, averages over all orientations.

Voigt order is xx, yy, zz, yz, xz, xy, with engineering shear strains: ``stress = stiffness @ strain``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import numpy as np

from chemomech.materials.laws import Cubic, Isotropic, Material
from chemomech.typing import Array

VOIGT: Final = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
_ROWS: Final = tuple(i for i, _ in VOIGT)
_COLUMNS: Final = tuple(j for _, j in VOIGT)


class Moduli(NamedTuple):
    """Bulk modulus K and shear modulus G, Pa."""

    bulk: float
    shear: float


def rotation_matrix(phi1: float, Phi: float, phi2: float) -> Array:
    """The crystal axes in the sample frame, from Bunge Euler angles.

    The angles bring the sample axes onto the crystal axes: a turn by ``phi1`` about z, then by ``Phi`` about the
    new x, then by ``phi2`` about the newest z, each counter-clockwise. A vector v with crystal components
    ``v_crystal`` has the sample components ``R @ v_crystal``; Bunge's g, which takes sample components to crystal
    components, is the transpose of R.

    Args:
        phi1: First angle, degrees.
        Phi: Second angle, degrees.
        phi2: Third angle, degrees.

    Returns:
        R, shape (3, 3); its columns are [100], [010] and [001] of the crystal in the sample frame.
    """
    return _about_z(phi1) @ _about_x(Phi) @ _about_z(phi2)


def crystal_axes(quaternions: Array) -> Array:
    """The crystal axes in the sample frame, from unit quaternions that take sample to crystal.

    This is the convention of every orientation in the package, of orix and of Bunge's g: a vector with the sample
    components v has the crystal components g v. What comes back is R = g^-1, the matrix that ``rotation_matrix``
    makes of the Bunge angles of the same orientation, so that v_sample = R v_crystal and, for a tensor,
    T_sample = R T_crystal R^T.

    Args:
        quaternions: (a, b, c, d), scalar first, shape (n, 4); their signs do not matter.

    Returns:
        R, shape (n, 3, 3); its columns are [100], [010] and [001] of the crystal in the sample frame.
    """
    a, b, c, d = (quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)).T
    rows = [
        [a * a + b * b - c * c - d * d, 2.0 * (b * c + a * d), 2.0 * (b * d - a * c)],
        [2.0 * (b * c - a * d), a * a - b * b + c * c - d * d, 2.0 * (c * d + a * b)],
        [2.0 * (b * d + a * c), 2.0 * (c * d - a * b), a * a - b * b - c * c + d * d],
    ]
    return np.ascontiguousarray(np.array(rows).transpose(2, 0, 1))


def _about_z(angle: float) -> Array:
    c, s = _cos_sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _about_x(angle: float) -> Array:
    c, s = _cos_sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def _cos_sin(angle: float) -> tuple[float, float]:
    """Exact at multiples of 90 degrees."""
    quarter = angle / 90.0
    if quarter == round(quarter):
        return ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[int(quarter) % 4]
    return float(np.cos(np.deg2rad(angle))), float(np.sin(np.deg2rad(angle)))


def lame(elasticity: Isotropic) -> tuple[float, float]:
    """Lame's constants lambda and G of an isotropic solid, Pa."""
    e, nu = elasticity.youngs_modulus, elasticity.poissons_ratio
    return e * nu / ((1.0 + nu) * (1.0 - 2.0 * nu)), e / (2.0 * (1.0 + nu))


def _cubic_constants(elasticity: Isotropic | Cubic) -> tuple[float, float, float]:
    if isinstance(elasticity, Isotropic):
        lam, shear = lame(elasticity)
        return lam + 2.0 * shear, lam, shear
    return elasticity.c11, elasticity.c12, elasticity.c44


def stiffness(elasticity: Isotropic | Cubic) -> Array:
    """The stiffness in sample axes, shape (6, 6), Pa; for a grain of a polycrystal, in the axes of its crystal."""
    return np.asarray(stiffnesses(elasticity, np.eye(3)[None])[0])


def stiffnesses(elasticity: Isotropic | Cubic, axes: Array) -> Array:
    """The stiffness of several grains in sample axes, shape (n, 6, 6), Pa.

    ``orientation`` of the elasticity is relative to the crystal of the grain: the axes c11, c12 and c44 belong to are
    ``axes @ rotation_matrix(*orientation)``.

    Args:
        elasticity: Elasticity of the crystals.
        axes: Crystal axes of each grain in the sample frame (``crystal_axes``), shape (n, 3, 3).
    """
    c11, c12, c44 = _cubic_constants(elasticity)
    unit = np.eye(3)
    tensor = c12 * np.einsum("ij,kl->ijkl", unit, unit)
    tensor += c44 * (np.einsum("ik,jl->ijkl", unit, unit) + np.einsum("il,jk->ijkl", unit, unit))
    tensors = np.repeat(tensor[None], len(axes), axis=0)
    if isinstance(elasticity, Cubic):
        own = axes @ rotation_matrix(*elasticity.orientation)
        tensors += (c11 - c12 - 2.0 * c44) * np.einsum("nim,njm,nkm,nlm->nijkl", own, own, own, own, optimize=True)
    rows, columns = np.array(_ROWS), np.array(_COLUMNS)
    voigt: Array = tensors[:, rows[:, None], columns[:, None], rows[None, :], columns[None, :]]
    return 0.5 * (voigt + voigt.transpose(0, 2, 1))


def turned(tensor: Array, axes: Array) -> Array:
    """A tensor given in crystal axes, (3, 3), in sample axes for each grain: R T R^T, shape (n, 3, 3)."""
    return np.asarray(axes @ tensor @ axes.transpose(0, 2, 1))


def strain_vector(tensors: Array) -> Array:
    """(xx, yy, zz, 2 yz, 2 xz, 2 xy) of symmetric tensors, shapes (..., 3, 3) and (..., 6)."""
    return np.asarray(tensors[..., _ROWS, _COLUMNS] * [1.0, 1.0, 1.0, 2.0, 2.0, 2.0])


def average_moduli(elasticity: Isotropic | Cubic, average: Literal["voigt", "reuss", "hill"] = "hill") -> Moduli:
    """Bulk and shear modulus of a polycrystal without texture, Pa.

    Args:
        elasticity: Stiffness of the single crystal (an isotropic one is its own average).
        average: ``voigt`` (equal strain, an upper bound), ``reuss`` (equal stress, a lower bound) or ``hill``
            (their mean).
    """
    c11, c12, c44 = _cubic_constants(elasticity)
    tetragonal = c11 - c12
    voigt = (tetragonal + 3.0 * c44) / 5.0
    reuss = 5.0 * tetragonal * c44 / (4.0 * c44 + 3.0 * tetragonal)
    return Moduli((c11 + 2.0 * c12) / 3.0, {"voigt": voigt, "reuss": reuss, "hill": 0.5 * (voigt + reuss)}[average])


def zener_ratio(elasticity: Isotropic | Cubic) -> float:
    """Zener's anisotropy 2 C44/(C11 - C12); 1 for an isotropic solid."""
    c11, c12, c44 = _cubic_constants(elasticity)
    return 2.0 * c44 / (c11 - c12)


def youngs_modulus(elasticity: Isotropic | Cubic, direction: Sequence[float]) -> float:
    """Young's modulus along a direction of the sample, Pa.

    Args:
        elasticity: Stiffness.
        direction: Three components in sample axes; their length does not matter.
    """
    d = np.asarray(direction, dtype=float)
    d = d / np.linalg.norm(d)
    stress = np.outer(d, d)[_ROWS, _COLUMNS]
    compliance = np.linalg.inv(stiffness(elasticity))
    strain = compliance @ stress
    return float(1.0 / (stress @ strain))


def molar_volume_tensor(material: Material) -> Array:
    """Omega, shape (3, 3), m^3/mol; a scalar Omega gives Omega times the unit tensor.

    In sample axes; for a grain of a polycrystal, in the axes of its crystal.
    """
    return _tensor(material.partial_molar_volume)


def eigenstrain_tensor(material: Material) -> Array:
    """Stress-free strain of the phase at its reference concentration, shape (3, 3), axes as for the molar volume."""
    return _tensor(material.eigenstrain)


def depends_on_orientation(material: Material) -> bool:
    """Whether a crystal of this material knows directions: cubic elasticity, or a tensor that is no multiple of one."""
    tensors = (molar_volume_tensor(material), eigenstrain_tensor(material))
    return isinstance(material.elasticity, Cubic) or any(has_directions(tensor) for tensor in tensors)


def has_directions(tensor: Array) -> bool:
    """Whether a tensor is no multiple of the unit tensor."""
    return bool(np.abs(tensor - tensor[0, 0] * np.eye(3)).max() > 1e-12 * np.abs(tensor).max())


def _tensor(value: object) -> Array:
    """A number, three diagonal entries or a whole tensor, as a tensor."""
    given = np.asarray(value, dtype=float)
    if given.ndim == 0:
        return np.asarray(float(given) * np.eye(3))
    return np.diag(given) if given.ndim == 1 else given


def chemical_stiffness(material: Material) -> float:
    """c_max Omega:C:Omega/9, the elastic energy of lithium held at fixed strain, J/mol.

    It is the last term in the denominator of the ``paper`` mobility (paper 004, eq. 15) and K Omega^2 c_max for an
    isotropic solid with a scalar Omega.
    """
    omega = molar_volume_tensor(material)
    strain = omega[_ROWS, _COLUMNS] * np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])
    energy = strain @ stiffness(material.elasticity) @ strain
    return float(material.maximum_concentration * energy / 9.0)
