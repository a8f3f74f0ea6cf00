"""Sums, calculated by an evaluator that knows numbers and nothing else, with bounds on how long it may take."""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import simpleeval  # type: ignore[import-untyped]

MOST_CHARACTERS = 1000
MOST_NODES = 500
MOST_NESTING = 50
MOST_BITS = 4096
"""Of a whole number, about 1,200 digits: far more than anyone reads, and calculated in no time."""

Number = int | float


def calculate(expression: str) -> Number:
    """Calculate the value of an arithmetic expression.

    Args:
        expression: Numbers with + - * / // % ** and brackets; the functions sqrt, sin, cos, tan, asin, acos, atan,
            exp, log, log2, log10, abs, round, floor, ceil, min, max, factorial; the constants pi, e, tau. Angles are
            in radians. For example (2 + 3) * sqrt(16) / 2**3.
    """
    if len(expression) > MOST_CHARACTERS:
        raise ValueError(f"the expression is longer than {MOST_CHARACTERS} characters.")
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{expression!r} is no arithmetic expression.") from error
    _check_size(tree)
    evaluator = simpleeval.SimpleEval(operators=OPERATORS, functions=FUNCTIONS, names=CONSTANTS)
    evaluator.nodes = {kind: evaluator.nodes[kind] for kind in ALLOWED}
    try:
        value = evaluator.eval(expression, previously_parsed=tree)
    except ZeroDivisionError as error:
        raise ValueError("division by zero.") from error
    except OverflowError as error:
        raise ValueError("a number in it becomes too large.") from error
    except (simpleeval.InvalidExpression, TypeError, KeyError) as error:
        raise ValueError(f"this cannot be calculated: {error}") from error
    return _number(value)


def _check_size(tree: ast.expr) -> None:
    """Refuse what is too much to walk through, before anything is calculated; nothing here calls itself."""
    level, nodes, depth = [tree], 0, 0
    while level:
        nodes, depth = nodes + len(level), depth + 1
        if nodes > MOST_NODES or depth > MOST_NESTING:
            raise ValueError("the expression is too long or too deeply nested; calculate it in parts.")
        level = [child for node in level for child in ast.iter_child_nodes(node)]  # type: ignore[misc]


def _number(value: Any) -> Number:
    """Let pass only what is a number of reasonable size."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("only numbers can be calculated with.")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("the result is no finite number.")
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise ValueError("a number in it becomes too large.")
    return value


def _bounded(work: Callable[..., Any]) -> Callable[..., Number]:
    """Return the function with bounds on what goes in and what comes out."""

    def bounded(*values: Any) -> Number:
        return _number(work(*map(_number, values)))

    return bounded


def _power(base: Number, exponent: Number) -> Any:
    whole = isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1
    if whole and int(base).bit_length() * exponent > MOST_BITS:
        raise ValueError("a number in it becomes too large.")
    return base**exponent


def _factorial(number: Number) -> int:
    if not isinstance(number, int) or not 0 <= number <= 400:
        raise ValueError("factorial takes whole numbers from 0 to 400.")
    return math.factorial(number)


def _round(number: Number, digits: Number = 0) -> Number:
    if not isinstance(digits, int) or abs(digits) > 20:
        raise ValueError("round takes a whole number of digits, 20 at most.")
    return round(number, digits) if digits else round(number)


ALLOWED = (ast.BinOp, ast.UnaryOp, ast.Constant, ast.Call, ast.Name)
OPERATORS: Mapping[type[ast.AST], Callable[..., Number]] = {
    ast.Add: _bounded(operator.add),
    ast.Sub: _bounded(operator.sub),
    ast.Mult: _bounded(operator.mul),
    ast.Div: _bounded(operator.truediv),
    ast.FloorDiv: _bounded(operator.floordiv),
    ast.Mod: _bounded(operator.mod),
    ast.Pow: _bounded(_power),
    ast.USub: _bounded(operator.neg),
    ast.UAdd: _bounded(operator.pos),
}
MATHEMATICS = ("sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "exp", "log", "log2", "log10", "floor", "ceil")
FUNCTIONS: Mapping[str, Callable[..., Number]] = {
    **{name: _bounded(getattr(math, name)) for name in MATHEMATICS},
    "abs": _bounded(abs),
    "min": _bounded(min),
    "max": _bounded(max),
    "round": _bounded(_round),
    "factorial": _bounded(_factorial),
}
CONSTANTS = {"pi": math.pi, "e": math.e, "tau": math.tau}
