"""The pages of the documentation: their code blocks, with what the comments before them say, links and headings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = (
    *(ROOT / name for name in ("README.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
)
DIRECTIVE = re.compile(r"<!-- *(not run|run by|file|exit|runs on):? +(.+?) *-->")
"""not run: WHY | run by TEST | file: PATH | exit: STATUS | runs on: WORD, until the page ends; ready when it prints WORD."""
COMMANDS = frozenset(
    {
        "gym-anything",
        "gym-anything-master",
        "gym-anything-worker",
        "gym-anything-dashboard",
        "make",
        "docker",
        "pip",
    }
    | {"python", "export", "source", "git", "honcho", "kubectl", "sbatch", "systemctl", "curl", "kill"}
)
SHELL = ("bash", "sh")
DATA = ("json", "yaml", "toml")


@dataclass(frozen=True)
class Block:
    """A code block."""

    page: Path
    line: int
    language: str
    text: str
    directives: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line}"

    @property
    def is_run_here(self) -> bool:
        """Whether the harness runs it, or reads it as data."""
        return not {"not run", "run by"} & set(self.directives)


def name_of(page: Path) -> str:
    """Return a page's path as people say it."""
    return str(page.relative_to(ROOT) if page.is_relative_to(ROOT) else page)


@cache
def tokens_of(page: Path) -> list[Token]:
    """Return a page as parsed Markdown."""
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def blocks_of(page: Path) -> list[Block]:
    """Return a page's code blocks in their order."""
    tokens = tokens_of(page)
    found = []
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type in ("fence", "code_block"):
            said = before.content if before and before.type == "html_block" else ""
            line = token.map[0] + 1 if token.map else 0
            found.append(Block(page, line, language_of(token), token.content, dict(DIRECTIVE.findall(said))))
    return found


def language_of(token: Token) -> str:
    """Return what a block is written in; an indented one is of the shell when a line begins with a command."""
    if token.type == "fence":
        return (token.info.split() or [""])[0]
    return "bash" if starts_commands(token.content) else "text"


def starts_commands(text: str) -> bool:
    """Return whether a line begins with a command that we know."""
    return any(line.split()[0] in COMMANDS for line in text.splitlines() if line.strip())


def links_of(page: Path) -> Iterator[str]:
    """Yield where a page's links and pictures lead."""
    for token in tokens_of(page):
        for child in token.children or ():
            target = child.attrGet("href") or child.attrGet("src")
            if target:
                yield str(target)


@cache
def anchors_of(page: Path) -> frozenset[str]:
    """Return the anchors that GitHub gives a page's headings."""
    seen: Counter[str] = Counter()
    anchors = set()
    tokens = tokens_of(page)
    for heading, inline in pairwise(tokens):
        if heading.type == "heading_open":
            text = "".join(child.content for child in inline.children or ())
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            anchors.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return frozenset(anchors)
