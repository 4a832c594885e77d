"""What layers, inclusions and closed sides demand, checked before any mesh is made."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from chemomech.case.checking import Errors, components, unknown_material, vector
from chemomech.case.parts import Boundary, Box, Dislocation, MeshFile, Rectangle, inside_distance
from chemomech.case.regions import AXES, NEAR, interfaces, materials_at, spans
from chemomech.errors import CaseError
from chemomech.frozen import listing
from chemomech.units import pretty

if TYPE_CHECKING:
    from chemomech.case.case import Case

SIDES_OF: Final = {"x": ("left", "right"), "z": ("back", "front")}
_MECHANICAL: Final = ("displacement", "roller", "traction")


def domain_problems(case: Case) -> Errors:
    """Wrong layers, inclusions and closed axes; nothing that lies in the body can be placed before they are right."""
    domain = case.domain
    for axis in domain.mirror:
        if axis in domain.periodic:
            yield CaseError("domain.mirror", [axis], f"the axis {axis} is periodic too", "each axis in one of the two")
    for kind in ("periodic", "mirror"):
        axes = getattr(domain, kind)
        if len(set(axes)) < len(axes):
            yield CaseError(f"domain.{kind}", list(axes), "an axis is given twice", "every axis once")
        if axes and isinstance(domain, Rectangle) and domain.rotation:
            yield CaseError(
                "domain.rotation", f"{domain.rotation:.6g} deg",
                f"the sides of a {'periodic' if kind == 'periodic' else 'mirrored'} body are along y",
                "0 deg, or leave it out",
            )  # fmt: skip
    if not isinstance(domain, Rectangle | Box):
        return
    if domain.layers and domain.material:
        yield CaseError(
            "domain.material", domain.material, "the layers say already what the body is made of", "layers or material"
        )
    unknown = [
        unknown_material(f"domain.{kind}.{i}.material", part.material, case)
        for kind in ("layers", "inclusions")
        for i, part in enumerate(getattr(domain, kind))
        if part.material not in case.materials
    ]
    yield from unknown
    thick = [*_layers(domain)]
    yield from thick
    if not (unknown or thick):
        yield from _inclusions(case, domain)


def _layers(domain: Rectangle | Box) -> Errors:
    if not domain.layers:
        return
    height = domain.size[1]
    given = [layer.thickness for layer in domain.layers if layer.thickness is not None]
    left_out, rest = len(domain.layers) - len(given), height - math.fsum(given)
    total = f"the layers are {pretty(math.fsum(given), 'm')} thick together, the body {pretty(height, 'm')}"
    if left_out > 1:
        yield CaseError(
            "domain.layers", None, f"{left_out} layers have no thickness", "a thickness for all layers but one"
        )
    elif left_out and rest <= NEAR * height:
        yield CaseError(
            "domain.layers", None, f"{total}, so that nothing is left for the layer without a thickness",
            f"thicknesses of less than {pretty(height, 'm')} together",
        )  # fmt: skip
    elif not left_out and abs(rest) > NEAR * height:
        what = f"leave a gap of {pretty(rest, 'm')}" if rest > 0.0 else f"overlap by {pretty(-rest, 'm')}"
        yield CaseError(
            "domain.layers", None, f"{total}: they {what}",
            f"thicknesses of {pretty(height, 'm')} together, or one layer without a thickness",
        )  # fmt: skip


def _inclusions(case: Case, domain: Rectangle | Box) -> Errors:
    near = NEAR * min(domain.size)
    for i, inclusion in enumerate(domain.inclusions):
        key = f"domain.inclusions.{i}"
        if wrong := [*components(case, f"{key}.center", inclusion.center, "lengths such as '1 nm'")]:
            yield wrong[0]
            return
        depth = min(0.5 * s - abs(p - c) for p, c, s in zip(inclusion.center, domain.center, domain.size, strict=True))
        if depth < inclusion.radius + near:
            yield CaseError(
                f"{key}.radius", pretty(inclusion.radius, "m"),
                f"the inclusion reaches out of the body by {pretty(inclusion.radius - depth, 'm')}"
                if inclusion.radius > depth + near else "the inclusion touches the edge of the body",
                f"less than {pretty(depth, 'm')}" if depth > 0.0 else "a center inside the body",
            )  # fmt: skip
            continue
        for face in (span.high for span in spans(domain)[:-1]):
            if abs(inclusion.center[1] - face) < inclusion.radius + near:
                yield CaseError(
                    f"{key}.center", vector(inclusion.center),
                    f"the inclusion crosses or touches the interface at y = {pretty(face, 'm')}",
                    "an inclusion inside one layer",
                )  # fmt: skip
        for j, other in enumerate(domain.inclusions[:i]):
            apart = math.dist(inclusion.center, other.center) - inclusion.radius - other.radius
            if apart < near:
                yield CaseError(
                    f"{key}.center", vector(inclusion.center),
                    f"the inclusion overlaps domain.inclusions.{j} by {pretty(-apart, 'm')}"
                    if apart < -near else f"the inclusion touches domain.inclusions.{j}",
                    "inclusions apart from each other",
                )  # fmt: skip
    if case.mesh.structured and domain.inclusions:
        yield CaseError(
            "mesh.structured", True, "right-angled cells can't follow the edge of an inclusion", "structured = false"
        )


def boundary_problems(case: Case, name: str, boundary: Boundary) -> Errors:
    """Conditions on sides that are no sides any more."""
    domain, key = case.domain, f"boundaries.{name}"
    free = listing(
        side for side in ("bottom", "top", *SIDES_OF["z"] * (case.dimension == 3))
        if not any(side in SIDES_OF[axis] for axis in (*domain.periodic, *domain.mirror))
    )  # fmt: skip
    if isinstance(domain, MeshFile):
        free = "the boundaries of the mesh by name"
    given = boundary.given
    mechanical = [field for field in _MECHANICAL if field in given]
    if boundary.traction == "dislocations" and (domain.periodic or domain.mirror):
        yield CaseError(
            f"{key}.traction", "dislocations",
            "the closed form holds for dislocations in an infinite medium, not for the images of a "
            f"{'periodic' if domain.periodic else 'mirrored'} body",
            "a list of pressures",
        )  # fmt: skip
    for axis in domain.periodic:
        if name in SIDES_OF[axis] and not isinstance(domain, MeshFile):
            yield CaseError(key, None, f"along the periodic axis {axis} the body has no sides", free)
    for axis in domain.mirror:
        if name in SIDES_OF[axis] and mechanical and not isinstance(domain, MeshFile):
            yield CaseError(
                f"{key}.{mechanical[0]}", None,
                f"'{name}' is a mirror plane, which is held along its normal and free along itself",
                f"none here; conditions on {free}",
            )  # fmt: skip
    if name == "outer" and domain.periodic and given:
        yield CaseError(
            f"{key}.{given[0]}", None, "the sides of a periodic body are no exterior, so that outer is not the whole",
            f"the same condition on {free.replace(' or ', ' and ')}",
        )  # fmt: skip
    elif name == "outer" and domain.mirror and mechanical:
        yield CaseError(
            f"{key}.{mechanical[0]}", None, "outer would hold on the mirror planes too",
            f"the same condition on {free.replace(' or ', ' and ')}",
        )  # fmt: skip


def place_problems(case: Case, key: str, dislocation: Dislocation) -> Errors:
    """A dislocation outside of the body, in another phase than meant, or at odds with periodic or mirrored sides."""
    domain = case.domain
    if dislocation.phase and dislocation.phase not in case.materials:
        yield unknown_material(f"{key}.phase", dislocation.phase, case)
        return
    closed = (*domain.periodic, *domain.mirror)
    if closed and dislocation.eigenstrain == "slip":
        yield CaseError(
            f"{key}.eigenstrain", "slip", "the slipped plane can't end at a periodic or mirrored side", "'elastic'"
        )
    if closed and not any(_runs_along(dislocation, axis) for axis in AXES):
        yield CaseError(
            f"{key}.line", list(dislocation.line),
            "in a periodic or mirrored body a line runs along x or z, so that it goes on beyond the sides",
            "[1, 0, 0] or [0, 0, 1]",
        )  # fmt: skip
        return
    if not isinstance(domain, Rectangle | Box):
        return
    yield from _position(domain, key, dislocation)
    if dislocation.phase:
        yield from _phase(case, domain, key, dislocation)


def _runs_along(dislocation: Dislocation, axis: str) -> bool:
    line = (0.0, 0.0, 1.0) if len(dislocation.position) == 2 else dislocation.line
    return abs(line[AXES[axis]]) > (1.0 - 1e-12) * math.hypot(*line)


def _position(domain: Rectangle | Box, key: str, dislocation: Dislocation) -> Errors:
    near = NEAR * min(domain.size)
    size = list(domain.size)
    depths = []
    for axis in (*domain.periodic, *domain.mirror):
        if _runs_along(dislocation, axis):
            continue
        i = AXES[axis]
        size[i] *= 3.0  # these sides are no surface
        depth = 0.5 * domain.size[i] - abs(dislocation.position[i] - domain.center[i])
        allowed = axis in domain.periodic or _own_image(dislocation, axis)
        if abs(depth) <= near and not allowed:
            yield CaseError(
                f"{key}.burgers", vector(dislocation.burgers),
                "the dislocation lies on a mirror plane and is not its own image",
                f"a Burgers vector along {axis}, or another position",
            )  # fmt: skip
            return
        depths.append(math.inf if allowed and abs(depth) <= near else depth)
    open_body = domain.model_copy(update={"size": tuple(size)})
    depth = min(*depths, inside_distance(open_body, dislocation.position, dislocation.line), math.inf)
    if depth <= near:
        words = " x ".join(pretty(s, "m") for s in domain.size)
        place = f"outside the body by {pretty(-depth, 'm')}" if depth < 0.0 else "on the edge of the body"
        yield CaseError(
            f"{key}.position",
            vector(dislocation.position),
            f"the dislocation lies {place}",
            f"a point inside the {domain.shape} of {words} around {vector(domain.center)}",
        )


def _own_image(dislocation: Dislocation, axis: str) -> bool:
    b = dislocation.burgers
    return abs(b[AXES[axis]]) > (1.0 - 1e-9) * math.hypot(*b)


def _phase(case: Case, domain: Rectangle | Box, key: str, dislocation: Dislocation) -> Errors:
    here = materials_at(domain, dislocation.position)
    if not here or dislocation.phase in here:
        return
    heights = ", ".join(f"{pretty(i.height, 'm')} ({i.lower} below, {i.upper} above)" for i in interfaces(domain))
    yield CaseError(
        f"{key}.phase", dislocation.phase,
        f"the dislocation at {vector(dislocation.position)} lies on the wrong side: in {here[0]}"
        + (f"; interfaces are at y = {heights}" if heights else ""),
        f"a position in {dislocation.phase}, or phase = '{here[0]}'"
        if dislocation.phase in case.used_materials else listing(case.used_materials),
    )  # fmt: skip
