"""The tension at which a crack opens in a phase-field model of brittle fracture, and Taylor's flow stress."""

from __future__ import annotations

import math
from typing import Literal

from chemomech.materials.laws import Material
from chemomech.materials.orientation import average_moduli


def crack_initiation_strength(material: Material, model: Literal["AT1", "AT2"] = "AT1") -> float | None:
    """Uniaxial tension at which damage begins (AT1) or a uniform bar loses its strength (AT2), Pa.

    AT1: sqrt(3 E Gc/(8 l)); AT2: (9/16) sqrt(E Gc/(3 l)), with E the mean Young's modulus, Gc ``fracture_energy``
    and l ``fracture_length`` (Tanne et al., J. Mech. Phys. Solids 110, 80, 2018).

    Returns:
        None if the material has no fracture energy or length.
    """
    energy, length = material.fracture_energy, material.fracture_length
    if energy is None or length is None:
        return None
    bulk, shear = average_moduli(material.elasticity)
    ratio = 9.0 * bulk * shear / (3.0 * bulk + shear) * energy / length
    return math.sqrt(3.0 / 8.0 * ratio) if model == "AT1" else 9.0 / 16.0 * math.sqrt(ratio / 3.0)


def taylor_stress(shear_modulus: float, burgers: float, density: float, alpha: float = 0.3) -> float:
    """Resolved flow stress of a forest of dislocations, alpha G b sqrt(rho), Pa (Taylor 1934).

    Args:
        shear_modulus: G, Pa.
        burgers: b, m.
        density: Line length per volume, 1/m^2.
        alpha: Strength of the junctions, about 0.3.
    """
    return alpha * shear_modulus * burgers * math.sqrt(density)
