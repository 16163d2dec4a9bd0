"""Parts of the advisor's own source as text that stands alone: for exported scripts, which must run without the advisor.

What a script copies cannot drift from what a run executes. Pure: the caller hands in the source of each module.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

SourceOf = Callable[[str], str]
"""From the dotted name of one of our modules to its source text."""

PACKAGE = "advisor"
ERRORS = f"{PACKAGE}.core.errors"
_NOISE = re.compile(r"  # (?:noqa|type: ignore)[^\n]*")
_ERROR = '''class {name}(Exception):
    """What went wrong, with the cure."""

    def __init__(self, what: str, *, where: str = "", cure: str = "") -> None:
        super().__init__(" ".join(part for part in (what, where, cure) if part))
'''
_NEAREST = '''def nearest(name: str, known: object) -> str:
    """The names there are."""
    return f"Known: {', '.join(map(str, known))}."
'''


@dataclass(slots=True)
class Excerpt:
    """Definitions in an order in which they can be executed, and the import statements they need."""

    imports: set[str] = field(default_factory=set)
    """One import of one name each."""
    definitions: dict[str, str] = field(default_factory=dict)
    """Name to source text, dependencies first."""

    @property
    def text(self) -> str:
        """All definitions, two blank lines apart."""
        return "\n\n\n".join(self.definitions.values())


@dataclass(slots=True)
class _Module:
    """One parsed module."""

    lines: Sequence[str]
    defined: dict[str, ast.stmt]
    imported: dict[str, tuple[str, str | None]]
    """Local name to module and name in it (None: the module itself)."""
    order: list[str]

    def text(self, name: str) -> str:
        node = self.defined[name]
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
        return _NOISE.sub("", "\n".join(self.lines[first - 1 : node.end_lineno]))


def excerpt(roots: Iterable[tuple[str, str]], source_of: SourceOf, *, without: Collection[str] = ()) -> Excerpt:
    """The definitions named by `roots` (module, name), with everything of ours that they use but the names in `without`.

    Raises: KeyError when a module does not define a name; ValueError when two modules define one name differently.
    """
    out = Excerpt(definitions=dict.fromkeys(without, ""))
    modules: dict[str, _Module] = {}
    for module, name in roots:
        _take(module, name, out, modules, source_of)
    for name in without:
        del out.definitions[name]
    return out


def _take(module: str, name: str, out: Excerpt, modules: dict[str, _Module], source_of: SourceOf) -> None:
    if module not in modules:
        modules[module] = _parsed(source_of(module))
    here = modules[module]
    text = here.text(name)
    if name in out.definitions:
        if out.definitions[name] not in ("", text):
            raise ValueError(f"{name} is defined twice, the second time in {module}")
        return
    out.definitions[name] = ""  # it is being taken: a circle ends here
    for used in _names(here.defined[name]):
        if used == name:
            continue
        if used in here.defined:
            _take(module, used, out, modules, source_of)
        elif used in here.imported:
            _import(used, *here.imported[used], out, modules, source_of)
    del out.definitions[name]
    out.definitions[name] = text


def _import(local: str, module: str, name: str | None, out: Excerpt, modules: dict[str, _Module], source_of: SourceOf) -> None:
    if module == ERRORS and name is not None:
        out.definitions.setdefault(name, _NEAREST.rstrip() if name == "nearest" else _ERROR.format(name=name).rstrip())
    elif module.split(".")[0] == PACKAGE and name is not None:
        _take(module, name, out, modules, source_of)
    elif name is None:
        out.imports.add(f"import {module}" if local == module else f"import {module} as {local}")
    else:
        out.imports.add(f"from {module} import {name}" if local == name else f"from {module} import {name} as {local}")


def _parsed(source: str) -> _Module:
    tree = ast.parse(source)
    defined: dict[str, ast.stmt] = {}
    imported: dict[str, tuple[str, str | None]] = {}
    for node in tree.body:
        if isinstance(node, ast.If):  # `if TYPE_CHECKING:` and its like
            for inner in node.body:
                _note_imports(inner, imported)
        _note_imports(node, imported)
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined[node.name] = node
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                for leaf in ast.walk(target):
                    if isinstance(leaf, ast.Name):
                        defined[leaf.id] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            defined[node.target.id] = node
    return _Module(source.splitlines(), defined, imported, list(defined))


def _note_imports(node: ast.stmt, imported: dict[str, tuple[str, str | None]]) -> None:
    if isinstance(node, ast.Import):
        for alias in node.names:
            imported[alias.asname or alias.name] = (alias.name, None)
    elif isinstance(node, ast.ImportFrom) and node.module and node.module != "__future__":
        for alias in node.names:
            imported[alias.asname or alias.name] = (node.module, alias.name)


def _names(node: ast.stmt) -> list[str]:
    """Every name that `node` reads, in order of appearance, without repeats."""
    found = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
    return list(dict.fromkeys(n.id for n in sorted(found, key=lambda n: (n.lineno, n.col_offset))))
