"""Judging a verifier's Python file without running it: is it Python, what does it define, what does it import?"""

from __future__ import annotations

import ast
import re
import symtable
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gym_queue.specs.files import read_limited

MAX_BYTES = 4 << 20
"""A larger file is not parsed: its tree would take a GB."""

_IMPORT = re.compile(rb"(?:^|[:;])\s*(?:from\s+(\S+)\s+import\b|import\s+([^#;]+))")
_PLAIN_IMPORT = re.compile(rb"from ([\w.]+) import (\w+)(?: *,[\w, ]*)?$")
_STATEMENT = re.compile(rb"(?!(?:else|elif|except|finally)\b)[A-Za-z_@]")
_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")
_CATCHERS = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})

ParsedT = TypeVar("ParsedT")


@dataclass(frozen=True, slots=True)
class Import:
    """One module that a file imports where nothing catches its absence."""

    module: str
    """Its dotted name; with leading dots as written."""
    line: int
    """Line of the statement, from 1."""
    column: int
    """Column of the statement, from 1."""


class PythonFile:
    """A file's source, parsed once."""

    def __init__(self, path: Path) -> None:
        """Read and parse a file.

        Raises:
            OSError: It cannot be opened.
            SyntaxError, ValueError, RecursionError, MemoryError: It is not Python, or too much of it.
        """
        self._source = read_limited(path, MAX_BYTES)
        self._lines = self._source.splitlines()
        # a symbol table costs half of a tree, and tells all but the imports
        self._table = _quietly(lambda: symtable.symtable(self._source, "verifier", "exec"))  # type: ignore[arg-type]  # bytes: their encoding is read from their head

    def may_define(self, name: str) -> bool:
        """Whether the file binds a name at its top, or has a star import, which may."""
        symbol = self._symbol(name)
        bound = symbol is not None and (symbol.is_assigned() or symbol.is_imported())
        return bound or b"import *" in self._source

    def touches_path(self) -> bool:
        """Whether the file may look for modules in further folders."""
        return b"sys.path" in self._source

    def missing_imports(self, is_there: Callable[[str], bool]) -> list[Import]:
        """Return the imports of modules that are not there, in order, unless the file catches their absence.

        Args:
            is_there: Whether a module can be imported; asked once or twice for each.
        """
        missing = [each for each in self._mentioned() if not is_there(each.module)]
        if all(self._is_plain(each) for each in missing):
            return missing
        return list(_uncaught(self._statements([each.line for each in missing]), is_there))

    def _statements(self, lines: list[int]) -> list[ast.stmt]:
        """Parse the statements at the file's top that hold some lines: all of it where they are not easily told."""
        if all(self._lines[line - 1][:1].isspace() for line in lines):
            starts = [i for i, line in enumerate(self._lines) if _STATEMENT.match(line)] or [0]
            first = max((i for i in starts if i < min(lines)), default=0)
            last = min((i for i in starts if i >= max(lines)), default=None)
            try:
                part = _quietly(lambda: ast.parse(b"\n".join(self._lines[first:last])))
            except SyntaxError:
                pass  # what looked like a statement's start stands in a text
            else:
                return ast.increment_lineno(part, first).body
        return _quietly(lambda: ast.parse(self._source)).body

    def _mentioned(self) -> Iterator[Import]:
        """Yield what the lines seem to import: more than they do where a text looks like a statement."""
        for number, line in enumerate(self._lines, 1):
            if b"import" not in line:
                continue
            for origin, names in _IMPORT.findall(line):
                for name in (origin,) if origin else names.split(b","):
                    yield Import(name.split(b" as ")[0].strip().decode("utf-8", "replace"), number, 1)

    def _is_plain(self, seen: Import) -> bool:
        """Whether a line is certainly a statement that nothing encloses, so that no tree is needed to see it."""
        match = _PLAIN_IMPORT.match(self._lines[seen.line - 1])
        symbol = self._symbol(match[2].decode()) if match else None
        return symbol is not None and symbol.is_imported()

    def _symbol(self, name: str) -> symtable.Symbol | None:
        try:
            return self._table.lookup(name)
        except KeyError:
            return None


def _uncaught(body: Iterable[ast.AST], is_there: Callable[[str], bool]) -> Iterator[Import]:
    """Yield the imports that fail and that nothing catches."""
    for node in body:
        match node:
            case ast.Import() | ast.ImportFrom():
                for name in _modules(node):
                    if not is_there(name):
                        yield Import(name, node.lineno, node.col_offset + 1)
            case ast.Try() if any(_catches(handler) for handler in node.handlers):
                fails = any(_uncaught(node.body, is_there))
                further = node.handlers if fails else node.orelse
                yield from _uncaught([*further, *node.finalbody], is_there)
            case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                yield from _uncaught(node.orelse, is_there)
            case _:
                for block in _BLOCKS:
                    yield from _uncaught(getattr(node, block, ()), is_there)


def _modules(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return ["." * node.level + (node.module or "")]


def _catches(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    named = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(each, ast.Name) and each.id in _CATCHERS for each in named)


def _quietly(parse: Callable[[], ParsedT]) -> ParsedT:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an author's "\d" is for the author's own linter
        return parse()
