"""Mutants of the exercises' solutions: each differs in one place, and no check may let one pass.

    python tests/mutants.py            the table: every exercise, every mutant, ten seeds
    python tests/mutants.py 05.2 -v    one exercise, and each survivor's line

A mutant is written as the line that it changes, `old  ->  new`. Those that compute the same, or
that the exercise allows, stand in equivalent_mutants.py with the reason.
"""

import ast
import copy
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import ndiff

from equivalent_mutants import EQUIVALENT, SKIPPED

from looplab.course import build
from looplab.course.exercises import exercise, exercises, judge
from looplab.course.exercises.solutions import code_of, run

SEEDS = range(10)

OPERATORS = {
    ast.Add: [ast.Sub, ast.Mult],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div, ast.Add],
    ast.Div: [ast.Mult],
    ast.Pow: [ast.Mult],
    ast.Mod: [ast.FloorDiv],
    ast.FloorDiv: [ast.Mod],
    ast.BitAnd: [ast.BitOr],
    ast.BitOr: [ast.BitAnd],
}
COMPARISONS = {
    ast.Lt: [ast.LtE, ast.Gt],
    ast.LtE: [ast.Lt, ast.GtE],
    ast.Gt: [ast.GtE, ast.Lt],
    ast.GtE: [ast.Gt, ast.LtE],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
}
COMMUTE = (ast.Add, ast.Mult, ast.BitAnd, ast.BitOr)
# A function and what is easily written in its place.
NAMES = {
    "mean": ["sum", "amax", "amin"],
    "median": ["mean", "amax"],
    "sum": ["mean"],
    "amax": ["amin", "mean", "sum"],
    "amin": ["amax", "mean"],
    "max": ["min"],
    "min": ["max"],
    "any": ["all"],
    "all": ["any"],
    "cumsum": ["cumprod"],
    "cumprod": ["cumsum"],
    "argmax": ["argmin"],
    "zeros_like": ["ones_like"],
    "ones_like": ["zeros_like"],
    "randn": ["rand"],
    "softplus": ["relu"],
    "clamp_min": ["clamp_max"],
    "exp": ["sigmoid"],
    "sigmoid": ["exp", "tanh"],
    "log": ["log2", "log10"],
    "sqrt": ["square"],
    "square": ["abs"],
    "norm1": ["norm2"],
    "norm2": ["norm1"],
    "cat": ["stack"],
    "stack": ["cat"],
}


@dataclass(frozen=True)
class Mutant:
    line: str  # what it changes, "old  ->  new"
    code: ast.Module
    name: str


def mutants(id: str) -> list[Mutant]:
    """Every mutant of the solution of an exercise, no two alike."""
    code, name = code_of(id)
    before, seen, found, times = ast.unparse(code), set(), [], Counter()
    for changed in _changed(code):
        ast.fix_missing_locations(changed)
        after = ast.unparse(changed)
        if after != before and after not in seen:
            seen.add(after)
            line = _difference(before, after)
            times[line] += 1
            told = line if times[line] == 1 else f"{line}  ({times[line]})"
            found.append(Mutant(told, changed, name))
    return found


def passes(id: str, mutant: Mutant, seed: int) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python, about what a mutant looks like
            answer = run(id, _ending(mutant.code), mutant.name)
    except Exception:
        return False
    return judge(exercise(id), answer, seed).kind == "passed"


def _ending(code: ast.Module) -> ast.Module:
    """The same code, in which no `while` goes on for ever."""
    made = copy.deepcopy(code)
    loops = [node for node in ast.walk(made) if isinstance(node, ast.While)]
    for node in loops:
        turn = ast.parse("next(_turns) >= 0", mode="eval").body
        node.test = ast.BoolOp(ast.And(), [turn, node.test])
    made.body[:0] = ast.parse("_turns = iter(range(1000))").body if loops else []
    return ast.fix_missing_locations(made)


def _difference(before: str, after: str) -> str:
    """The lines that differ, in the order of the old text, "old  ->  new"."""
    told = list(ndiff(before.splitlines(), after.splitlines()))
    old = [line[2:].strip() for line in told if line.startswith("- ")]
    new = [line[2:].strip() for line in told if line.startswith("+ ")]
    if old == new:
        return f"(a line earlier or later)  ->  {' | '.join(new)}"
    return f"{' | '.join(old) or '(nothing)'}  ->  {' | '.join(new) or '(nothing)'}"


def _changed(code: ast.Module) -> Iterator[ast.Module]:
    """Copies of the code with one thing changed; signatures are the stub's, and stay."""
    for at, node in enumerate(ast.walk(code)):
        if isinstance(node, ast.arguments):
            continue
        for number in range(len(_changes(node, code))):
            made = copy.deepcopy(code)
            twin = next(one for n, one in enumerate(ast.walk(made)) if n == at)
            _changes(twin, made)[number]()
            yield made


def _changes(node: ast.AST, code: ast.Module) -> list[Callable]:
    """What can be done to one node, as functions that do it in place."""
    found = [*_of_children(node, code)]
    if isinstance(node, ast.Compare):
        for at, kind in enumerate(node.ops):
            found += [_put(node.ops, at, new()) for new in COMPARISONS.get(type(kind), ())]
    if isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        found.append(_set(node, "op", other))
    if isinstance(node, ast.BinOp):
        found += [_set(node, "op", new()) for new in OPERATORS.get(type(node.op), ())]
        if not isinstance(node.op, COMMUTE):
            found.append(_swap(node, "left", "right"))
    if isinstance(node, ast.AugAssign):
        found += [_set(node, "op", new()) for new in OPERATORS.get(type(node.op), ())]
    if isinstance(node, ast.IfExp):
        found.append(_swap(node, "body", "orelse"))
    if isinstance(node, ast.Attribute):
        found += [_set(node, "attr", new) for new in NAMES.get(node.attr, ())]
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name):
            found += [_set(node.func, "id", new) for new in NAMES.get(node.func.id, ())]
        found += [_swap_items(node.args, at) for at in range(len(node.args) - 1)]
        found += [_drop(node.keywords, at) for at in range(len(node.keywords))]
        if isinstance(node.func, ast.Attribute) and node.func.attr == "norm":
            found += [_power(node, p) for p in (1, float("inf"))]
    if isinstance(node, ast.Tuple | ast.List) and isinstance(node.ctx, ast.Load):
        found += [_swap_items(node.elts, at) for at in range(len(node.elts) - 1)]
    if isinstance(node, ast.Slice):
        found += [_set(node, end, None) for end in ("lower", "upper", "step") if getattr(node, end)]
    for body in (getattr(node, "body", None), getattr(node, "orelse", None)):
        if isinstance(body, list) and not isinstance(node, ast.Module):
            found += _of_statements(body)
    return found


def _of_children(node: ast.AST, code: ast.Module) -> Iterator[Callable]:
    """An expression under a node becomes another one."""
    if isinstance(node, ast.JoinedStr):
        return
    for key, value in ast.iter_fields(node):
        items = value if isinstance(value, list) else [value]
        for at, child in enumerate(items):
            if not isinstance(child, ast.expr) or _is_told(node):
                continue
            for new in _instead(child, node, key, code):
                yield _put(value, at, new) if isinstance(value, list) else _set(node, key, new)


def _instead(child: ast.expr, parent: ast.AST, key: str, code: ast.Module) -> list[ast.expr]:
    """Expressions that could stand in the place of one."""
    found: list[ast.expr] = []
    if isinstance(child, ast.BinOp):
        found += [child.left, child.right]
    if isinstance(child, ast.BoolOp):
        found += child.values
    if isinstance(child, ast.UnaryOp):
        found.append(child.operand)
    if isinstance(child, ast.Call):
        if isinstance(child.func, ast.Attribute) and not _is_module(child.func.value, code):
            found.append(child.func.value)
        found += child.args[:1]
        if isinstance(child.func, ast.Attribute) and child.func.attr == "norm":
            found.append(_squared(child))
        if isinstance(child.func, ast.Attribute) and child.func.attr == "mean":
            found.append(_median(child))
    if isinstance(child, ast.Constant):
        found += [ast.Constant(value) for value in _near(child.value)]
    index = isinstance(parent, ast.Slice | ast.Subscript) and key in ("lower", "upper", "slice")
    if index and not isinstance(child, ast.Constant | ast.Slice | ast.Tuple | ast.Compare):
        found += [_plus(child, by) for by in (1, -1)]
    if isinstance(parent, ast.Call) and key == "args" and _is_range(parent):
        found += [_plus(child, by) for by in (1, -1)]
    if isinstance(parent, ast.If | ast.While | ast.IfExp) and key == "test":
        found += [ast.UnaryOp(ast.Not(), child), ast.Constant(False), ast.Constant(True)]
    if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Load):
        own = _parameters(code)
        found += [ast.Name(one, ast.Load()) for one in own if child.id in own and one != child.id]
    if isinstance(parent, ast.For) and key == "iter":
        found.append(ast.Call(ast.Name("reversed", ast.Load()), [child], []))
    return [copy.deepcopy(one) for one in found]


def _near(value) -> list:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1]
    return [2 * value, value / 2] if isinstance(value, float) else []


def _of_statements(body: list) -> list[Callable]:
    """A statement is left out, or changes places with its neighbour."""
    told = [_is_docstring(line) for line in body]
    found = [_drop(body, at) for at in range(len(body)) if not told[at]]
    return found + [_swap_items(body, at) for at in range(len(body) - 1) if not told[at]]


def _is_docstring(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)


def _is_told(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and _is_docstring(node)


def _is_range(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id == "range"


def _is_module(node: ast.expr, code: ast.Module) -> bool:
    imports = [line for line in code.body if isinstance(line, ast.Import | ast.ImportFrom)]
    names = {one.asname or one.name for line in imports for one in line.names}
    return isinstance(node, ast.Name) and node.id in names


def _parameters(code: ast.Module) -> list[str]:
    functions = [line for line in code.body if isinstance(line, ast.FunctionDef)]
    return [one.arg for line in functions for one in line.args.args]


def _plus(child: ast.expr, by: int) -> ast.expr:
    return ast.BinOp(copy.deepcopy(child), ast.Add() if by > 0 else ast.Sub(), ast.Constant(1))


def _squared(norm: ast.Call) -> ast.expr:
    square = ast.Call(ast.Attribute(norm.func.value, "square", ast.Load()), [], [])
    return ast.Call(ast.Attribute(square, "sum", ast.Load()), norm.args, norm.keywords)


def _median(mean: ast.Call) -> ast.expr:
    method = ast.Attribute(mean.func.value, "median", ast.Load())
    median = ast.Call(method, mean.args, mean.keywords)
    along_an_axis = mean.args or mean.keywords
    return ast.Attribute(median, "values", ast.Load()) if along_an_axis else median


def _power(node: ast.Call, p: float) -> Callable:
    value = ast.Constant(p) if p == 1 else ast.parse("float('inf')", mode="eval").body
    return lambda: node.keywords.append(ast.keyword("p", value))


def _set(node: ast.AST, key: str, value) -> Callable:
    return lambda: setattr(node, key, value)


def _put(items: list, at: int, value) -> Callable:
    return lambda: items.__setitem__(at, value)


def _swap(node: ast.AST, one: str, other: str) -> Callable:
    def swap():
        first, second = getattr(node, one), getattr(node, other)
        setattr(node, one, second)
        setattr(node, other, first)

    return swap


def _swap_items(items: list, at: int) -> Callable:
    def swap():
        items[at], items[at + 1] = items[at + 1], items[at]

    return swap


def _drop(items: list, at: int) -> Callable:
    def drop():
        line = items.pop(at)
        if isinstance(line, ast.stmt) and not any(not _is_docstring(one) for one in items):
            items.append(ast.Pass())

    return drop


def taken() -> list[str]:
    """The exercises that have mutants."""
    chapters = sorted({source.name[:2] for source in build.sources()})
    return [one.id for chapter in chapters for one in exercises(chapter) if one.id not in SKIPPED]


def main(arguments: list[str]) -> int:
    wanted = [one for one in arguments if one != "-v"] or taken()
    print("exercise  mutants  killed  equivalent  survivors  seconds")
    totals = [0, 0, 0, 0]
    for id in wanted:
        begun, every = time.process_time(), mutants(id)
        passed: dict[str, list[int]] = {mutant.line: [] for mutant in every}
        for seed in SEEDS:
            for mutant in every:
                passed[mutant.line] += [seed] if passes(id, mutant, seed) else []
        same = EQUIVALENT.get(id, {})
        alive = {line: seeds for line, seeds in passed.items() if seeds and line not in same}
        listed = len(same.keys() & passed.keys())
        row = [len(every), len(every) - listed - len(alive), listed, len(alive)]
        totals = [a + b for a, b in zip(totals, row, strict=True)]
        print(_row(id, row) + f"  {time.process_time() - begun:7.0f}", flush=True)
        if "-v" in arguments:
            for line, seeds in alive.items():
                print(f"    passes {len(seeds)} of {len(SEEDS)} seeds: {line}")
            for line in (line for line in same if len(passed.get(line, ())) < len(SEEDS)):
                print(f"    listed, and passes {len(passed.get(line, ()))} seeds only: {line}")
    print(_row("all", totals))
    return 1 if totals[3] else 0


def _row(name: str, numbers: list[int]) -> str:
    return "{:8s}  {:7d}  {:6d}  {:10d}  {:9d}".format(name, *numbers)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
