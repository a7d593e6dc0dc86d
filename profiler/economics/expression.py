"""A small language for formulas that two programs compute: text in, a tree of plain JSON out, and the evaluator that a page repeats in JavaScript.

Numbers, names, + - * / **, min, max, expm1, log1p, and `a if b > c else d` (also >=, <, <=). A tree is a number, a name (text), or [operator, operand, ...].
An operand that is not known (None) makes the result unknown; so does a division by zero or a result that is no finite number. `if` looks only at the branch
it takes.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Sequence

Tree = float | str | list["Tree"]
Lookup = Callable[[str], float | None]
Program = Callable[[Lookup], float | None]

# What an operator does, by its name in a tree. The page's evaluator has the same names.
OPERATORS: dict[str, Callable[..., float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": math.pow,
    "neg": operator.neg,
    "min": min,
    "max": max,
    "expm1": math.expm1,
    "log1p": math.log1p,
    ">": lambda a, b: float(a > b),
    ">=": lambda a, b: float(a >= b),
    "<": lambda a, b: float(a < b),
    "<=": lambda a, b: float(a <= b),
}
_BINARY = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
_COMPARED = {ast.Gt: ">", ast.GtE: ">=", ast.Lt: "<", ast.LtE: "<="}
_FUNCTIONS = {"min": (2, 9), "max": (2, 9), "expm1": (1, 1), "log1p": (1, 1)}


def parse(text: str) -> Tree:
    """The tree of a formula. Raises ValueError for anything outside the language."""
    return _tree(ast.parse(text.strip(), mode="eval").body)


def _tree(node: ast.expr) -> Tree:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return float(value)
        case ast.Name():
            return node.id
        case ast.BinOp() if type(node.op) in _BINARY:
            return [_BINARY[type(node.op)], _tree(node.left), _tree(node.right)]
        case ast.UnaryOp(op=ast.USub()):
            return ["neg", _tree(node.operand)]
        case ast.Compare(ops=[op], comparators=[right]) if type(op) in _COMPARED:
            return [_COMPARED[type(op)], _tree(node.left), _tree(right)]
        case ast.IfExp():
            return ["if", _tree(node.test), _tree(node.body), _tree(node.orelse)]
        case ast.Call(func=ast.Name(id=name), keywords=[]) if name in _FUNCTIONS and _FUNCTIONS[name][0] <= len(node.args) <= _FUNCTIONS[name][1]:
            return [name, *(_tree(argument) for argument in node.args)]
    raise ValueError(f"not of the language: {ast.unparse(node)}")


def names_in(tree: Tree) -> set[str]:
    """The names that a tree asks for."""
    if isinstance(tree, str):
        return {tree}
    return {name for part in tree[1:] for name in names_in(part)} if isinstance(tree, list) else set()


def compiled(tree: Tree) -> Program:
    """What computes a tree's value from names; the value is None where something it needs is not known or the arithmetic has no result."""
    if isinstance(tree, str):
        return lambda value_of: value_of(tree)
    if not isinstance(tree, list):
        return lambda value_of: tree
    operands = [compiled(part) for part in tree[1:]]
    if tree[0] == "if":
        test, then, other = operands

        def chosen(value_of: Lookup) -> float | None:
            holds = test(value_of)
            return None if holds is None else then(value_of) if holds else other(value_of)

        return chosen
    assert isinstance(tree[0], str), tree
    if len(operands) == 2:
        return _of_two(OPERATORS[tree[0]], *operands)
    return _of_any(OPERATORS[tree[0]], operands)


def _of_two(operation: Callable[..., float], left: Program, right: Program) -> Program:
    """Most of the table, without a list for each sum."""

    def applied(value_of: Lookup) -> float | None:
        a = left(value_of)
        if a is None:
            return None
        b = right(value_of)
        return None if b is None else _finite(operation, a, b)

    return applied


def _of_any(operation: Callable[..., float], operands: Sequence[Program]) -> Program:
    def applied(value_of: Lookup) -> float | None:
        values = []
        for operand in operands:
            value = operand(value_of)
            if value is None:
                return None
            values.append(value)
        return _finite(operation, *values)

    return applied


def _finite(operation: Callable[..., float], *values: float) -> float | None:
    try:
        found = operation(*values)
    except (ArithmeticError, ValueError):
        return None
    return found if math.isfinite(found) else None


def evaluate(tree: Tree, value_of: Lookup) -> float | None:
    """The value of a tree whose names `value_of` knows."""
    return compiled(tree)(value_of)
