"""The rules that test_architecture.py holds django_loom to, read from its source."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1] / "src" / "django_loom"

# A room (a module or package right under django_loom) may import the rooms of the lines above.
LAYERS = [
    {"exceptions"},
    {"conf", "versions"},
    {"bridge"},
    {"units", "offload"},
    {"net"},
    {"db", "cache", "mail", "http"},
    {"realtime", "storage"},
    {"reroute_table"},
    {"replacements"},
    {"reroute", "checks", "asgi"},
    {"apps"},
    {"__init__"},
    {"guard", "testing", "cli"},
]
RANKS = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}

# The same within the lab.
LAB_LAYERS = (
    "exceptions",
    "processes",
    "load",
    "servers",
    "outcomes",
    "analysis",
    "generators",
    "experiments",
    "runs",
    "reports",
    "cli",
)

# What a room may import from outside django_loom, where that is less than everything.
ALLOWED_FOREIGN = {
    "exceptions": {"django"},
    "bridge": {"greenlet"},
    "units": {"django"},
    "offload": {"asgiref", "django"},
    "net": {"greenlet"},
    "lab": {"click", "rich", "hdrh", "httptools", "matplotlib", "numpy", "uvloop"},
}
# Programs that a room starts as processes of their own, and that nothing imports.
PROGRAMS = ("lab.served.",)
DRIVERS = {
    "psycopg": "db.postgresql",
    "psycopg_pool": "db.postgresql",
    "sqlite3": "db.sqlite3",
    "MySQLdb": "db.mysql",
    "oracledb": "db.oracle",
}


@cache
def modules() -> list[str]:
    paths = sorted(ROOT.rglob("*.py"))
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]


@cache
def parse(module: str) -> ast.Module:
    return ast.parse(ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text())


def room_of(module: str) -> str:
    return module.split(".")[0]


def imports(module: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of each import that happens when the program runs."""
    for node in run_time_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = absolute(module, node)
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)


def absolute(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = ["django_loom", *module.split(".")][: -node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


def is_ours(module: str, node: ast.ImportFrom) -> bool:
    return absolute(module, node).split(".")[0] == "django_loom"


def run_time_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from run_time_nodes(node)


def target_of(name: str) -> str:
    """The room that a name of django_loom is imported from."""
    room = f"{name}.".split(".")[1]
    return room if room in RANKS or room == "lab" else "__init__"


def layer_faults(module: str, tree: ast.AST) -> Iterator[str]:
    if module.startswith(PROGRAMS):
        return
    room = room_of(module)
    for line, name in imports(module, tree):
        top = name.split(".")[0]
        where = f"{module}:{line} imports {name}"
        if top == "django_loom":
            yield from (f"{where}: {fault}" for fault in inner_faults(room, name))
        elif top not in sys.stdlib_module_names | ALLOWED_FOREIGN.get(room, {top}):
            yield f"{where}: {room} must not know {top}"
        if (adapter := DRIVERS.get(top)) and not f"{module}.".startswith(f"{adapter}."):
            yield f"{where}: only {adapter} may know this driver"


def lab_faults(module: str, tree: ast.AST) -> Iterator[str]:
    """Imports that go up within the lab."""
    _, room, *inner = module.split(".")
    if module.startswith(PROGRAMS) or not inner:
        return
    for line, name in imports(module, tree):
        target = f"{name}..".split(".")[2]
        if not name.startswith("django_loom.lab.") or target == room:
            continue
        if LAB_LAYERS.index(target) >= LAB_LAYERS.index(room):
            yield f"{module}:{line} imports {name}: {target} is not below {room}"


def inner_faults(room: str, name: str) -> Iterator[str]:
    target = target_of(name)
    if target == room:
        return
    if "lab" in {room, target}:
        yield "lab stands alone"
    elif RANKS[target] >= RANKS[room]:
        yield f"{target} is not below {room}"
    elif any(part.startswith("_") for part in name.split(".")[2:]):
        yield f"that is private to {target}"


def rebinding_faults(module: str, tree: ast.AST) -> Iterator[str]:
    """Assignments to what was imported from elsewhere, which only reroute.py may do."""
    foreign = foreign_names(module, tree)
    for node in ast.walk(tree):
        for target in rebound(node):
            base = root_name(target)
            if base in foreign or isinstance(node, ast.Call):
                yield f"{module}:{target.lineno} rebinds {ast.unparse(target)}"


def rebound(node: ast.AST) -> list[ast.expr]:
    """The attributes that a node sets or deletes; the object itself if it does so by setattr."""
    if isinstance(node, ast.Assign | ast.Delete):
        return [each for target in node.targets for each in attributes(target)]
    if isinstance(node, ast.AugAssign | ast.AnnAssign):
        return attributes(node.target)
    if isinstance(node, ast.Call) and ast.unparse(node.func) in {"setattr", "delattr"}:
        return [node.args[0]] if root_name(node.args[0]) not in {"self", "cls"} else []
    return []


def attributes(target: ast.expr) -> list[ast.expr]:
    if isinstance(target, ast.Tuple | ast.List):
        return [each for element in target.elts for each in attributes(element)]
    owner = target.value if isinstance(target, ast.Subscript) else target  # sys.modules["x"] = ...
    return [target] if isinstance(owner, ast.Attribute) else []


def root_name(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def foreign_names(module: str, tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not is_ours(module, node):
            found |= {alias.asname or alias.name for alias in node.names}
    return found


def variable_faults(module: str, tree: ast.AST) -> Iterator[str]:
    """Context variables that a caller would not get back; see bridge.variables."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and "ContextVar" in ast.unparse(node.func):
            yield f"{module}:{node.lineno} makes a variable without context_variable()"


def imported_modules(module: str) -> set[str]:
    """The modules of django_loom that a module imports while it is itself imported."""
    known = set(modules())
    found = set()
    for node in parse(module).body:
        if isinstance(node, ast.ImportFrom) and is_ours(module, node):
            source = absolute(module, node).removeprefix("django_loom").removeprefix(".")
            for alias in node.names:
                names = (f"{source}.{alias.name}".strip("."), source, f"{source}.__init__")
                found |= {next(name for name in names if name in known)} if source else set()
    return found
