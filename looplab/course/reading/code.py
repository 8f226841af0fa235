"""What a stretch of a notebook's code binds and needs, read from its syntax; nothing is run."""

import ast
import builtins
import re
import symtable
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

# IPython gives these, and Python those of a module.
KNOWN = frozenset(dir(builtins)) | {"get_ipython", "display", "In", "Out", "_", "__", "__name__"}
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)  # what Python's parser raises
LARGEST = 200_000  # characters of an answer; of a longer text nothing is read
COMPREHENSIONS = ("listcomp", "setcomp", "dictcomp", "genexpr")
COMPOUND = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.TryStar, ast.Match, ast.AsyncFor)
# Cell magics that run the cell as Python, and only watch it.
WATCHING = ("time", "timeit", "capture", "prun", "memit", "mprun", "debug")
MAGIC = re.compile(r"^[ \t]*(?:[%!?]|[\w.]+\?{1,2}[ \t]*$)", re.M)  # what may be one
RUNS_MAGIC = re.compile(r"^([ \t]*)get_ipython\(\)\.(?:run_line_magic|system|getoutput)\(.*$", re.M)
EMPTY_BODY = re.compile(r"^expected an indented block after function definition on line (\d+)")


@dataclass(frozen=True)
class Statement:
    """One statement of a cell, and the names that it deals with.

    text: its source; shape: its syntax without comments and docstrings; binds: names that have a
    value after it; defines: those of them that are a function or a class; now, later: names that it
    needs when it runs, and that its functions need when they are called; changes: names whose
    values it changes in place; checked: of `name = check("03.1", answer)` these three, `name` ""
    where it has none.
    """

    text: str
    shape: str
    binds: frozenset[str]
    defines: frozenset[str]
    now: frozenset[str]
    later: frozenset[str]
    changes: frozenset[str]
    checked: tuple[str, str, str] | None
    imports: bool

    @property
    def stars(self) -> bool:
        """True for `from somewhere import *`, which may bind any name."""
        return self.imports and not self.binds


def python_of(cell: str) -> tuple[str, str]:
    """A cell's code without IPython's magics, and the cell magic that makes it no Python, or "".

    >>> python_of("%%time\\nx = 1\\n%matplotlib inline")
    ('# %%time\\nx = 1\\npass', '')
    >>> python_of("%%writefile x.py\\nx = 1")[1]
    '%%writefile'
    """
    if len(cell) > LARGEST:
        return cell, ""
    text = cell.replace("\r\n", "\n")
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if line.startswith("%%"):
            name = re.match(r"%%(\w*)", line)[1]
            if name not in WATCHING:
                return text, f"%%{name}"
            lines[number] = f"# {line}"
        elif line.strip() and not line.startswith("#"):
            break
    text = "\n".join(lines)
    if not MAGIC.search(text):
        return text, ""
    # Here and not above: the library is imported where there is no IPython.
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        plain = TransformerManager().transform_cell(text)
    except (*UNREADABLE, IndexError):
        return text, ""
    plain = RUNS_MAGIC.sub(r"\1pass", plain)
    return plain if text.endswith("\n") else plain.removesuffix("\n"), ""


def is_python(source: str) -> bool:
    """True for code that a notebook could run."""
    if len(source) > LARGEST:
        return False
    try:
        with warnings.catch_warnings(action="ignore"):
            compile(source, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except UNREADABLE:
        return False
    return True


@lru_cache(maxsize=1024)
def statements(source: str) -> tuple[Statement, ...]:
    """The statements of a cell, in order; none where Python cannot read it.

    >>> [sorted(one.later) for one in statements("def f(x):\\n    return g(x)")]
    [['g']]
    """
    if not is_python(source):
        return ()
    try:
        with warnings.catch_warnings(action="ignore"):
            return tuple(_statement(node, source) for node in ast.parse(source).body)
    except UNREADABLE:
        return ()


def needs(code: Iterable[Statement]) -> frozenset[str]:
    """Names that code takes from elsewhere, Python's and IPython's own apart.

    >>> sorted(needs(statements("y = x\\ndef f():\\n    return y + [z for z in w]")))
    ['w', 'x']
    """
    bound, lacking, later = set(), set(), set()
    for one in code:
        lacking |= one.now - bound
        bound |= one.binds
        later |= one.later
    return frozenset((lacking | (later - bound)) - KNOWN)


def binds(source: str) -> frozenset[str]:
    """Names that have a value once this code ran.

    >>> sorted(binds("import numpy as np\\nfor n in range(3):\\n    x = n"))
    ['n', 'np', 'x']
    """
    return frozenset().union(*(one.binds for one in statements(source)))


def without_checks(source: str) -> str:
    """The code without its own `name = check(...)`: a grader asks once, behind the whole answer.

    >>> without_checks("x = 1\\nx = check('00.1', x)")
    'x = 1\\n'
    """
    if "check" not in source or not is_python(source):
        return source
    lines = source.split("\n")
    for node in ast.parse(source).body:
        alone = lines[node.lineno - 1][: node.col_offset].strip() == ""
        if _checked(node) and alone:
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return "\n".join(lines)


@lru_cache(maxsize=1024)
def nothing_written(source: str, name: str = "") -> bool:
    """True for an answer that is the stub or empty: what `name` ends as does nothing of its own.

    Without a name: what is defined last.

    >>> nothing_written("def f(x):\\n    return todo()  # replace this line")
    True
    >>> nothing_written("def f(x):\\n    if x:\\n        return x\\n    return todo()")
    False
    """
    source = _with_bodies(source)
    if not is_python(source):
        return False
    body = [node for node in ast.parse(source).body if not _idle(node)]
    if not body:
        return True
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    if not name:
        name = next((node.name for node in reversed(body) if isinstance(node, kinds)), "")
    binding = [node for node in body if name in binds(ast.unparse(node))]
    return bool(binding) and isinstance(binding[-1], kinds) and _bare(binding[-1])


def _with_bodies(source: str) -> str:
    """The source, with a `pass` in each function that has lost its body to an eraser."""
    source += "\npass"  # what stands behind an empty body is where Python notices it
    for _ in range(20):
        try:
            with warnings.catch_warnings(action="ignore"):
                ast.parse(source)
            return source
        except IndentationError as error:
            found = EMPTY_BODY.match(error.msg)
            if not found:
                return source
            lines = source.split("\n")
            head = lines[int(found[1]) - 1]
            indent = len(head) - len(head.lstrip()) + 4
            lines.insert(error.lineno - 1, " " * indent + "pass")
            source = "\n".join(lines)
        except UNREADABLE:
            return source
    return source


def _idle(node: ast.stmt) -> bool:
    """True for a statement that does nothing: `pass`, `...`, a text, a call of `todo()`."""
    if isinstance(node, ast.Pass):
        return True
    value = node.value if isinstance(node, ast.Expr | ast.Return) else None
    if isinstance(node, ast.Return) and value is None:
        return True
    called = value.func if isinstance(value, ast.Call) else None
    return (
        isinstance(value, ast.Constant)
        and not isinstance(node, ast.Return)
        or (isinstance(called, ast.Name) and called.id == "todo")
    )


def _bare(node: ast.stmt) -> bool:
    """True for a function that does nothing, and for a class of such functions."""
    if not isinstance(node, ast.ClassDef):
        return all(_idle(one) or _calls_super(one) for one in node.body)
    return all(
        _idle(one) or (isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and _bare(one))
        for one in node.body
    )


def _calls_super(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and ast.unparse(node).startswith("super().__init__(")


def _statement(node: ast.stmt, source: str) -> Statement:
    first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
    text = ast.get_source_segment(source, node) or ast.unparse(node)
    if first < node.lineno:
        text = "\n".join(source.split("\n")[first - 1 : node.end_lineno])
    bound, now, later = _names(node)
    return Statement(
        text,
        _shape(node),
        frozenset(bound),
        frozenset(_defined(node)),
        frozenset(now),
        frozenset(later),
        frozenset(_changed(node)),
        _checked(node),
        isinstance(node, ast.Import | ast.ImportFrom),
    )


def _names(node: ast.stmt) -> tuple[set[str], set[str], set[str]]:
    """Names that a statement binds, needs now, and needs later."""
    if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
        return set(), set(), set()
    try:
        table = symtable.symtable(ast.unparse(node), "<cell>", "exec")
    except UNREADABLE:  # an `await` that only a notebook allows
        used = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
        bound = {
            one.id
            for one in ast.walk(node)
            if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
        }
        return bound, used - bound, set()
    bound, now, later = set(), set(), set()
    for symbol in table.get_symbols():
        if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace():
            bound.add(symbol.get_name())
        if symbol.is_referenced():
            now.add(symbol.get_name())
    waiting = [(child, False) for child in table.get_children()]
    while waiting:
        inner, called = waiting.pop()
        # The body of a comprehension or class runs at once, that of a function when it is called.
        called = called or (
            inner.get_type() == "function" and inner.get_name() not in COMPREHENSIONS
        )
        for symbol in inner.get_symbols():
            if symbol.is_global() and symbol.is_referenced():
                (later if called else now).add(symbol.get_name())
            if symbol.is_declared_global() and symbol.is_assigned():
                bound.add(symbol.get_name())
        waiting += [(child, called) for child in inner.get_children()]
    if isinstance(node, COMPOUND):  # `for n in range(3): print(n)` needs no n
        now -= bound
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        now.add(node.target.id)
    return bound, now, later


def _defined(node: ast.stmt) -> set[str]:
    """Names that a statement binds to a function or class of its own, in an `if` or a `try` too."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
        return {one.id for one in node.targets if isinstance(one, ast.Name)}
    if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Lambda):
        return {node.target.id} if isinstance(node.target, ast.Name) else set()
    if isinstance(node, COMPOUND):
        inner = [one for one in ast.iter_child_nodes(node) if isinstance(one, ast.stmt)]
        handlers = getattr(node, "handlers", ())
        inner += [one for handler in handlers for one in handler.body]
        return set().union(*map(_defined, inner))
    return set()


def _changed(node: ast.stmt) -> set[str]:
    """Names whose values a statement changes: `x.a = 1`, `x[0] = 1`, `x += 1`, `x.append(1)`."""
    if isinstance(node, ast.Assign | ast.Delete):
        parts = node.targets
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        parts = [node.target]
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        parts = [node.value.func]
    else:
        return set()
    found = set()
    for part in parts:
        inner = part
        while isinstance(inner, ast.Attribute | ast.Subscript | ast.Call):
            inner = inner.func if isinstance(inner, ast.Call) else inner.value
        if isinstance(inner, ast.Name) and (inner is not part or isinstance(node, ast.AugAssign)):
            found.add(inner.id)
    return found


def _checked(node: ast.stmt) -> tuple[str, str, str] | None:
    """The name, the exercise and the answer of `name = check("03.1", answer)`."""
    value = node.value if isinstance(node, ast.Expr | ast.Assign) else None
    if not isinstance(value, ast.Call) or len(value.args) != 2:
        return None
    called, (id, answer) = value.func, value.args
    named = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
    if named != "check" or not isinstance(id, ast.Constant) or not isinstance(id.value, str):
        return None
    name = ast.unparse(node.targets[0]) if isinstance(node, ast.Assign) else ""
    return name, id.value, ast.unparse(answer)


def _shape(node: ast.stmt) -> str:
    """A statement's syntax as text; comments, docstrings and line ends are no part of it."""
    node = ast.parse(ast.unparse(node)).body[0]
    for one in ast.walk(node):
        body = getattr(one, "body", None)
        if isinstance(one, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(one) is not None:
            one.body = body[1:] or [ast.Pass()]
    return ast.dump(node)
