"""Free-energy densities and the flux, in internal units (scales.py); everything else is their derivative.

psi  = c_m [c ln c + (1 - c) ln(1 - c) + chi c (1 - c) + mu0 c] + kappa/2 |grad c|^2 + 1/2 e : C : e
e    = sym beta - eps_0 - (1/3) c_m Omega (c - c_ref)
beta = grad u + beta_D

after paper 004, eqs 2-8 (corrected: docs/theory.md, section 2). beta_D is the known part of the distortion that
dislocations bring, -sym beta_D their eigenstrain; eps_0 is the stress-free strain of a phase (misfit).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import ufl

from chemomech.materials.laws import Material
from chemomech.materials.lithiation import HomologousLaw
from chemomech.physics.scales import Scales

Expr = Any  # a UFL expression


@dataclass(frozen=True, slots=True)
class PhaseLaw:
    """Coefficients of one phase, as UFL expressions in internal units.

    Attributes:
        sites: c_m, lithium sites per volume.
        interaction: chi.
        reference_potential: mu0.
        reference_concentration: c_ref.
        expansion: (1/3) c_m Omega, tensor of shape (3, 3): eigenstrain per unit of c.
        eigenstrain: eps_0, stress-free strain at c_ref, (3, 3).
        gradient_energy: kappa.
        has_gradient_energy: Whether kappa > 0.
        diffusivity: D0.
        homologous: D(c)/D0, or None where that is one.
        mobility: ``darken`` or ``paper``.
        stiffening: (1/9) c_m C : Omega : Omega, used by the ``paper`` mobility.
        stiffness: C of the problem that is solved, (6, 6); a field where a phase has grains.
    """

    sites: Expr
    interaction: Expr
    reference_potential: Expr
    reference_concentration: Expr
    expansion: Expr
    eigenstrain: Expr
    gradient_energy: Expr
    has_gradient_energy: bool
    diffusivity: Expr
    homologous: HomologousLaw | None
    mobility: str
    stiffening: Expr
    stiffness: Expr


def gradient(u: Expr) -> Expr:
    """grad u as a (3, 3) tensor, d u_i / d x_j; in 2D nothing depends on z, and u_z may be there or not."""
    g = ufl.grad(u)
    rows, columns = g.ufl_shape
    return ufl.as_tensor([[g[i, j] if i < rows and j < columns else 0.0 for j in range(3)] for i in range(3)])


def voigt(e: Expr) -> Expr:
    """(xx, yy, zz, 2 yz, 2 xz, 2 xy) of a symmetric (3, 3) tensor."""
    return ufl.as_vector([e[0, 0], e[1, 1], e[2, 2], 2.0 * e[1, 2], 2.0 * e[0, 2], 2.0 * e[0, 1]])


def tensor(s: Expr) -> Expr:
    """The (3, 3) stress tensor of (xx, yy, zz, yz, xz, xy)."""
    return ufl.as_tensor([[s[0], s[5], s[4]], [s[5], s[1], s[3]], [s[4], s[3], s[2]]])


def elastic_strain(beta: Expr, c: Expr, law: PhaseLaw) -> Expr:
    """e = sym beta - eps_0 - (1/3) c_m Omega (c - c_ref)."""
    return ufl.sym(beta) - law.eigenstrain - law.expansion * (c - law.reference_concentration)


def elastic_energy(e: Expr, stiffness: Expr) -> Expr:
    """1/2 e : C : e, with C as a 6 x 6 matrix."""
    return 0.5 * ufl.inner(voigt(e), ufl.dot(stiffness, voigt(e)))


def stress(e: Expr, stiffness: Expr) -> Expr:
    """sigma = d psi / d e = C : e (paper 004, eq. 4)."""
    return tensor(ufl.dot(stiffness, voigt(e)))


def mixing_energy(c: Expr, interaction: Expr) -> Expr:
    """c ln c + (1 - c) ln(1 - c) + chi c (1 - c)."""
    return c * ufl.ln(c) + (1.0 - c) * ufl.ln(1.0 - c) + interaction * c * (1.0 - c)


def chemical_energy(c: Expr, law: PhaseLaw) -> Expr:
    """c_m [c ln c + (1 - c) ln(1 - c) + chi c (1 - c) + mu0 c] (paper 004, eq. 2)."""
    return law.sites * (mixing_energy(c, law.interaction) + law.reference_potential * c)


def gradient_energy(c: Expr, law: PhaseLaw) -> Expr:
    """kappa/2 |grad c|^2."""
    return 0.5 * law.gradient_energy * ufl.inner(ufl.grad(c), ufl.grad(c))


def energy_density(beta: Expr, c: Expr, law: PhaseLaw, stiffness: Expr) -> Expr:
    """psi of one phase."""
    psi = chemical_energy(c, law) + elastic_energy(elastic_strain(beta, c, law), stiffness)
    return psi + gradient_energy(c, law) if law.has_gradient_energy else psi


def diffusivity(c: Expr, law: PhaseLaw) -> Expr:
    """D(c); D0 where it does not follow the melting point."""
    if law.homologous is None:
        return law.diffusivity
    return law.diffusivity * law.homologous.ratio(c, ufl.exp, ufl.max_value)


def mobility(c: Expr, law: PhaseLaw) -> Expr:
    """M of j = -M grad mu.

    ``darken``: D(c) c (1 - c)/RT. ``paper``: D(c) / (RT [1/(c (1 - c)) - 2 chi] + (1/9) c_m C:Omega:Omega),
    eq. 15 of paper 004 without the c_max that would count twice.
    """
    if law.mobility == "darken":
        return diffusivity(c, law) * c * (1.0 - c)
    return diffusivity(c, law) / (1.0 / (c * (1.0 - c)) - 2.0 * law.interaction + law.stiffening)


def lithium_flux(c: Expr, mu: Expr, law: PhaseLaw) -> Expr:
    """Molar flux J = -c_m M grad mu; the one used by the balance and by every probe."""
    return -law.sites * mobility(c, law) * ufl.grad(mu)


def eshelby_stress(beta: Expr, c: Expr, mu: Expr, law: PhaseLaw, stiffness: Expr) -> Expr:
    """Sigma = (psi - c_m mu c) I - beta^T sigma - kappa grad c (x) grad c, (3, 3).

    With beta free of the slip of dislocations, div Sigma vanishes in a homogeneous phase at equilibrium but at the
    cores of dislocations, where it is the Peach-Koehler force per volume (docs/theory.md, section 2.5).
    """
    sigma = stress(elastic_strain(beta, c, law), stiffness)
    psi = energy_density(beta, c, law, stiffness)
    out = (psi - law.sites * mu * c) * ufl.Identity(3) - ufl.dot(beta.T, sigma)
    if law.has_gradient_energy:
        slope = ufl.grad(c)
        d = slope.ufl_shape[0]
        slope = ufl.as_vector([slope[i] if i < d else 0.0 for i in range(3)])
        out -= law.gradient_energy * ufl.outer(slope, slope)
    return out


def stress_free_potential(c: float, material: Material, scales: Scales) -> float:
    """mu of a phase free of stress at the fraction c, in units of RT."""
    chemical = float(np.log(c / (1.0 - c))) + material.interaction * (1.0 - 2.0 * c)
    return chemical + material.reference_potential / scales.potential
