"""Free-energy densities and the flux, in internal units (scales.py); everything else is their derivative.

psi = c_m [c ln c + (1 - c) ln(1 - c) + chi c (1 - c) + mu0 c] + kappa/2 |grad c|^2 + 1/2 e : C : e
e   = sym grad u - eps_D - (1/3) c_m Omega (c - c_ref)

after paper 004, eqs 2-8 (corrected: docs/theory.md, section 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ufl

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
        gradient_energy: kappa.
        has_gradient_energy: Whether kappa > 0.
        diffusivity: D0.
        mobility: ``darken`` or ``paper``.
        stiffening: (1/9) c_m C : Omega : Omega, used by the ``paper`` mobility.
    """

    sites: Expr
    interaction: Expr
    reference_potential: Expr
    reference_concentration: Expr
    expansion: Expr
    gradient_energy: Expr
    has_gradient_energy: bool
    diffusivity: Expr
    mobility: str
    stiffening: Expr


def strain(u: Expr) -> Expr:
    """sym grad u as a (3, 3) tensor; out-of-plane components vanish in 2D."""
    gradient = ufl.grad(u)
    d = u.ufl_shape[0]
    e = [[0.5 * (gradient[i, j] + gradient[j, i]) if max(i, j) < d else 0.0 for j in range(3)] for i in range(3)]
    return ufl.as_tensor(e)


def voigt(e: Expr) -> Expr:
    """(xx, yy, zz, 2 yz, 2 xz, 2 xy) of a symmetric (3, 3) tensor."""
    return ufl.as_vector([e[0, 0], e[1, 1], e[2, 2], 2.0 * e[1, 2], 2.0 * e[0, 2], 2.0 * e[0, 1]])


def tensor(s: Expr) -> Expr:
    """The (3, 3) stress tensor of (xx, yy, zz, yz, xz, xy)."""
    return ufl.as_tensor([[s[0], s[5], s[4]], [s[5], s[1], s[3]], [s[4], s[3], s[2]]])


def elastic_strain(u: Expr, c: Expr, law: PhaseLaw, eigenstrain: Expr) -> Expr:
    """e = sym grad u - eps_D - (1/3) c_m Omega (c - c_ref)."""
    return strain(u) - eigenstrain - law.expansion * (c - law.reference_concentration)


def elastic_energy(e: Expr, stiffness: Expr) -> Expr:
    """1/2 e : C : e, with C as a 6 x 6 matrix."""
    return 0.5 * ufl.inner(voigt(e), ufl.dot(stiffness, voigt(e)))


def stress(e: Expr, stiffness: Expr) -> Expr:
    """sigma = d psi / d e = C : e (paper 004, eq. 4)."""
    return tensor(ufl.dot(stiffness, voigt(e)))


def chemical_energy(c: Expr, law: PhaseLaw) -> Expr:
    """c_m [c ln c + (1 - c) ln(1 - c) + chi c (1 - c) + mu0 c] (paper 004, eq. 2)."""
    mixing = c * ufl.ln(c) + (1.0 - c) * ufl.ln(1.0 - c) + law.interaction * c * (1.0 - c)
    return law.sites * (mixing + law.reference_potential * c)


def gradient_energy(c: Expr, law: PhaseLaw) -> Expr:
    """kappa/2 |grad c|^2."""
    return 0.5 * law.gradient_energy * ufl.inner(ufl.grad(c), ufl.grad(c))


def energy_density(u: Expr, c: Expr, law: PhaseLaw, stiffness: Expr, eigenstrain: Expr) -> Expr:
    """psi of one phase."""
    psi = chemical_energy(c, law) + elastic_energy(elastic_strain(u, c, law, eigenstrain), stiffness)
    return psi + gradient_energy(c, law) if law.has_gradient_energy else psi


def mobility(c: Expr, law: PhaseLaw) -> Expr:
    """M of j = -M grad mu.

    ``darken``: D0 c (1 - c)/RT. ``paper``: D0 / (RT [1/(c (1 - c)) - 2 chi] + (1/9) c_m C:Omega:Omega),
    eq. 15 of paper 004 without the c_max that would count twice.
    """
    if law.mobility == "darken":
        return law.diffusivity * c * (1.0 - c)
    return law.diffusivity / (1.0 / (c * (1.0 - c)) - 2.0 * law.interaction + law.stiffening)


def lithium_flux(c: Expr, mu: Expr, law: PhaseLaw) -> Expr:
    """Molar flux J = -c_m M grad mu; the one used by the balance and by every probe."""
    return -law.sites * mobility(c, law) * ufl.grad(mu)


def eshelby_stress(u: Expr, psi: Expr, c: Expr, mu: Expr, sigma: Expr, law: PhaseLaw) -> Expr:
    """Sigma = (psi - c_m mu c) I - (grad u)^T sigma - kappa grad c (x) grad c, (3, 3)."""
    d = u.ufl_shape[0]
    g = ufl.grad(u)
    gradient = ufl.as_tensor([[g[i, j] if max(i, j) < d else 0.0 for j in range(3)] for i in range(3)])
    out = (psi - law.sites * mu * c) * ufl.Identity(3) - ufl.dot(gradient.T, sigma)
    if law.has_gradient_energy:
        slope = ufl.as_vector([c.dx(i) if i < d else 0.0 for i in range(3)])
        out -= law.gradient_energy * ufl.outer(slope, slope)
    return out
