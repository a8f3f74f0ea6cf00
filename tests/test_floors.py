"""The plan of the house as code: who may import whom, and a check that fails where a file does otherwise."""

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOT_THE_HOUSE = ("tests", "bench", "docs", "scripts", "data", "build", "dist")

# From the roof down. A file imports from floors below it, and on its own floor from its own folder. Where several
# patterns fit a file, the longest counts.
APP = (
    ("app", "logins.__main__", "recording.__main__"),
    ("wiring",),
    ("record_process",),
    ("process", "health", "literal_proxy", "chat", "chat.*"),
    ("agent.agent", "agent.loop", "recording", "recording.*", "tools"),
    ("agent", "agent.*", "doors"),
    ("agent.events", "agent.errors", "agent.json_text", "tools.*", "collector", "local_assets", "logins", "pace"),
)
LITERAL_SERVER = (
    ("literal_server.__main__",),
    ("literal_server.commands*",),
    ("literal_server.app",),
    (
        "literal_server.graphql",
        "literal_server.graphql.*",
        "literal_server.rest*",
        "literal_server.health",
        "literal_server.dashboard*",
    ),
    ("literal_server.*",),
    (
        "literal_server",
        "literal_server.tables",
        "literal_server.review_tables",
        "literal_server.db",
        "literal_server.sqlite_connection",
        "literal_server.migrations*",
        "literal_server.errors",
        "literal_server.settings",
        "literal_server.data_folder",
        "literal_server.guard",
        "literal_server.clock",
        "literal_server.json_text",
    ),
)
KNOWS_BOTH_HOUSES = ("wiring", "record_process")

# Packages of others that only these files may import.
FENCED = {
    "chainlit": ("app", "chat.*", "recording.chainlit_*"),
    "literalai": ("recording.*",),
    "pydantic_settings": ("wiring", "literal_server.commands.environment"),
}
READS_ENVIRONMENT = ("wiring", "literal_server.commands.environment")

Place = tuple[str, int]  # house, floor (0 is the lowest)


def own_modules(root: Path) -> dict[str, Path]:
    """Return the modules of both houses by name: every Python file but those that stand around the houses."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if parts[0] not in NOT_THE_HOUSE and not any(part.startswith(".") for part in parts):
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


def place_of(module: str) -> Place | None:
    """Return where a module stands in the plan, None where the plan does not show it."""
    fitting = [
        (len(pattern), (house, floor))
        for house, floors in (("app", APP), ("literal server", LITERAL_SERVER))
        for floor, patterns in enumerate(reversed(floors))
        for pattern in patterns
        if fnmatchcase(module, pattern)
    ]
    return max(fitting)[1] if fitting else None


def faults(root: Path) -> list[str]:
    """Return what in a tree is not as the plan has it, a sentence each."""
    modules = own_modules(root)
    trees = {name: ast.parse(path.read_text()) for name, path in modules.items()}
    packages = {name for name, path in modules.items() if path.stem == "__init__"}
    imports = {name: set(_imports(tree, name, name in packages)) for name, tree in trees.items()}
    own = {name: {_own(target, modules) for target in targets} - {None, name} for name, targets in imports.items()}
    return [
        *chain.from_iterable(_wrong_floors(name, sorted(filter(None, targets))) for name, targets in own.items()),
        *chain.from_iterable(_over_the_fence(name, targets) for name, targets in imports.items()),
        *chain.from_iterable(_hidden_imports(name, tree, modules) for name, tree in trees.items()),
        *chain.from_iterable(_environment_reads(name, tree) for name, tree in trees.items()),
        *_cycles(own),
    ]


def _imports(tree: ast.AST, module: str, is_package: bool) -> Iterator[str]:
    """Yield what a file imports, in full: `from a import b` is a.b, be b a module or a name in one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            folder = module.split(".") if is_package else module.split(".")[:-1]
            above = folder[: len(folder) + 1 - node.level] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{source}.{alias.name}" for alias in node.names)


def _own(target: str, modules: dict[str, Path]) -> str | None:
    """Return the module of ours that an import leads to."""
    parts = target.split(".")
    return next((name for end in (len(parts), len(parts) - 1) if (name := ".".join(parts[:end])) in modules), None)


def _wrong_floors(module: str, targets: list[str]) -> Iterator[str]:
    here = place_of(module)
    if here is None:
        yield f"{module} is not in the plan"
        return
    for target in targets:
        there = place_of(target)
        if there is None:
            continue  # said where it is looked at itself
        if there[0] != here[0]:
            if module not in KNOWS_BOTH_HOUSES:
                those = " and ".join(KNOWS_BOTH_HOUSES)
                yield f"{module} (the {here[0]}) imports {target} (the {there[0]}): only {those} know both"
        elif there[1] > here[1]:
            yield f"{module} (floor {here[1]}) imports {target} (floor {there[1]}), which stands above it"
        elif there[1] == here[1] and target.split(".")[0] != module.split(".")[0]:
            yield f"{module} imports {target}, which stands beside it (floor {here[1]})"


def _over_the_fence(module: str, targets: set[str]) -> Iterator[str]:
    for package, allowed in FENCED.items():
        imported = any(target.split(".")[0] == package for target in targets)
        if imported and not any(fnmatchcase(module, pattern) for pattern in allowed):
            yield f"{module} imports {package}, which only {', '.join(allowed)} may"


def _hidden_imports(module: str, tree: ast.AST, modules: dict[str, Path]) -> Iterator[str]:
    """Our folder is on the path only while app.py is read: an import in a function fails when the function runs."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for target in sorted(set(_imports(function, module, is_package=False))):
                if _own(target, modules):
                    yield f"{module}, line {function.lineno}: {function.name} imports {target} inside the function"


def _environment_reads(module: str, tree: ast.AST) -> Iterator[str]:
    if module in READS_ENVIRONMENT:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            reads = ast.unparse(node) in ("os.environ", "os.environb", "os.getenv")
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            reads = bool({alias.name for alias in node.names} & {"environ", "environb", "getenv"})
        else:
            continue
        if reads:
            yield f"{module}, line {node.lineno}: reads the environment, which only {', '.join(READS_ENVIRONMENT)} do"


def _cycles(graph: dict[str, set[str | None]]) -> Iterator[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield f"a cycle: {' -> '.join(error.args[1])}"


def test_the_house_is_as_planned() -> None:
    """Every file of ours imports only what the plan allows it."""
    assert own_modules(ROOT)

    assert faults(ROOT) == []


GOOD = {
    "app.py": "import chainlit\nimport wiring\nfrom recording.chainlit_layer import Layer\n",
    "wiring.py": "import os\nfrom agent import loop\nimport literal_server.app\nprint(os.environ)\n",
    "process.py": "from agent.events import Event\n",
    "agent/__init__.py": "",
    "agent/events.py": "from . import errors\nEvent = 1\n",
    "agent/errors.py": "",
    "agent/model.py": "from agent.events import Event\n",
    "agent/toolbox.py": "from agent.events import Event\nfrom agent.model import x\n",
    "agent/loop.py": "from agent.toolbox import x\n",
    "tools/__init__.py": "import tools.clock\nimport agent.toolbox\n",
    "tools/clock.py": "",
    "recording/chainlit_layer.py": "import chainlit.data\nimport literalai\nimport agent.events\nLayer = 1\n",
    "literal_server/app.py": "import literal_server.rest\n",
    "literal_server/rest.py": "from literal_server import threads\n",
    "literal_server/threads.py": "from literal_server.tables import Thread\n",
    "literal_server/tables.py": "Thread = 1\n",
}


def build(root: Path, files: dict[str, str]) -> Path:
    """Write a tree of files."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_good_tree_has_no_fault(tmp_path: Path) -> None:
    """A made-up tree that keeps to the plan passes the check."""
    assert faults(build(tmp_path, GOOD)) == []


@pytest.mark.parametrize(
    ("file", "bad_line", "fault"),
    [
        ("agent/events.py", "import agent.loop", "agent.events (floor 0) imports agent.loop (floor 2)"),
        ("agent/model.py", "from agent import loop", "agent.model (floor 1) imports agent.loop (floor 2)"),
        ("agent/loop.py", "from recording import chainlit_layer", "recording.chainlit_layer, which stands beside it"),
        ("process.py", "from wiring import wire", "process (floor 3) imports wiring (floor 5)"),
        ("tools/clock.py", "from ..agent import toolbox", "tools.clock (floor 0) imports agent.toolbox (floor 1)"),
        ("process.py", "from literal_server.tables import Thread", "only wiring and record_process know both"),
        ("literal_server/threads.py", "import agent.events", "only wiring and record_process know both"),
        ("literal_server/tables.py", "from . import threads", "imports literal_server.threads (floor 1)"),
        ("agent/loop.py", "from chainlit import step", "agent.loop imports chainlit, which only app"),
        ("literal_server/rest.py", "import literalai.api", "literal_server.rest imports literalai"),
        ("agent/loop.py", "def f():\n    from agent import model", "f imports agent.model inside the function"),
        ("wiring.py", "async def f():\n    import process", "f imports process inside the function"),
        ("tools/clock.py", "import os\nos.getenv('TZ')", "tools.clock, line 2: reads the environment"),
        ("literal_server/app.py", "from os import environ", "literal_server.app, line 2: reads the environment"),
        ("agent/model.py", "import agent.toolbox", "a cycle: agent."),
        ("helpers.py", "", "helpers is not in the plan"),
    ],
)
def test_a_bad_import_is_found(tmp_path: Path, file: str, bad_line: str, fault: str) -> None:
    """One import that the plan forbids, in a tree that is good without it, is found and named."""
    tree = build(tmp_path, {**GOOD, file: GOOD.get(file, "") + bad_line + "\n"})

    assert [found for found in faults(tree) if fault in found]
