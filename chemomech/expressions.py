"""Formulas of x, y and z written as text: checked and evaluated without running code."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from chemomech.frozen import Invalid, did_you_mean
from chemomech.typing import Array

ALLOWED: Final = (
    "numbers, x, y, z (in m), pi, + - * / **, < <= > >= == !=, and the functions "
    "sin, cos, tan, tanh, exp, log, sqrt, abs, minimum(a, b), maximum(a, b), where(condition, a, b)"
)
_MAX_LENGTH: Final = 2000

_OPERATORS: Final[Mapping[type[ast.AST], Callable[..., Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: np.divide,
    ast.Pow: np.power,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_FUNCTIONS: Final[Mapping[str, tuple[Callable[..., Any], int]]] = {
    "sin": (np.sin, 1),
    "cos": (np.cos, 1),
    "tan": (np.tan, 1),
    "tanh": (np.tanh, 1),
    "exp": (np.exp, 1),
    "log": (np.log, 1),
    "sqrt": (np.sqrt, 1),
    "abs": (np.abs, 1),
    "minimum": (np.minimum, 2),
    "maximum": (np.maximum, 2),
    "where": (np.where, 3),
}
_NAMES: Final = ("x", "y", "z", "pi")


def check(expression: str) -> None:
    """Make sure that a formula can be evaluated.

    Raises:
        ValueError: If it is not a formula, or uses anything but what :data:`ALLOWED` lists.
    """
    with np.errstate(all="ignore"):
        _calculated(expression, {name: np.array([0.5]) for name in _NAMES})


def evaluate(expression: str, x: npt.ArrayLike) -> Array:
    """The values of a formula at points.

    Args:
        expression: A formula such as ``"0.5 + 0.1*sin(2*pi*x/1e-8)"``; a comparison counts as 1 or 0.
        x: Coordinates in m, shape (3, n) or (2, n) (then z = 0), as DOLFINx hands them to ``interpolate``.

    Returns:
        The values, shape (n,).

    Raises:
        ValueError: If it is not a formula, or a value is not finite; the message names the point.
    """
    points = np.atleast_2d(np.asarray(x, dtype=np.float64))
    if points.ndim != 2 or points.shape[0] not in (2, 3):
        raise ValueError(f"coordinates of shape (3, n) or (2, n) are needed, not {np.shape(x)}")
    z = points[2] if points.shape[0] == 3 else np.zeros_like(points[0])
    names = {"x": points[0], "y": points[1], "z": z, "pi": np.float64(np.pi)}
    with np.errstate(all="ignore"):
        values = np.array(np.broadcast_to(_calculated(expression, names), points.shape[1:]), dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        where = ", ".join(f"{float(v):.6g}" for v in points[:, bad[0]])
        raise Invalid(f"the formula gives {values[bad[0]]} at ({where}) m", "a formula that is finite everywhere")
    return values


def _calculated(expression: str, names: Mapping[str, Any]) -> Any:
    if len(expression) > _MAX_LENGTH:
        raise Invalid(f"the formula is longer than {_MAX_LENGTH} characters", ALLOWED)
    try:
        return _value(ast.parse(expression.strip(), mode="eval").body, names)
    except Invalid:
        raise
    except (SyntaxError, ValueError) as error:
        raise Invalid("this is not a formula", ALLOWED) from error
    except (RecursionError, MemoryError) as error:
        raise Invalid("the formula is nested too deeply", ALLOWED) from error


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """The value of one node of a formula; ValueError for whatever is not listed."""
    match node:
        case ast.Constant(value=(int() | float()) as number) if not isinstance(number, bool):
            try:
                return np.float64(number)
            except OverflowError as error:
                raise Invalid("a number in the formula is too large", ALLOWED) from error
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.Name(id=name):
            raise Invalid(f"'{name}' is unknown{did_you_mean(name, (*_NAMES, *_FUNCTIONS))}", ALLOWED)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(operand, names) * 1.0)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left, names) * 1.0, _value(right, names) * 1.0)
        case ast.Compare(left=left, ops=ops, comparators=comparators) if all(type(op) in _OPERATORS for op in ops):
            values = [_value(part, names) for part in (left, *comparators)]
            result = np.True_
            for sign, first, second in zip(ops, values, values[1:], strict=False):
                result = np.logical_and(result, _OPERATORS[type(sign)](first, second))
            return result
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            function, count = _FUNCTIONS[name]
            if len(args) != count:
                raise Invalid(f"{name} takes {count} value{'s' * (count > 1)}, not {len(args)}", ALLOWED)
            return function(*(_value(arg, names) for arg in args))
        case ast.Call(func=ast.Name(id=name)):
            raise Invalid(f"the function '{name}' is unknown{did_you_mean(name, _FUNCTIONS)}", ALLOWED)
        case _:
            raise Invalid(f"'{ast.unparse(node)}' may not stand in a formula", ALLOWED)
