"""The code blocks of all documents, each with its kind: the first word behind its fence.

sh       commands that a test runs as they stand (DOCUMENTS_THAT_ARE_FOLLOWED says which test)
bash     commands for a machine that a test is not: each is looked for, with its options
toml     a project file, or a part of one: read by the product's own parser
python   compiled
json     parsed
tsv      the same number of fields in each line
text     an illustration, with what it illustrates: ```text illustration: a formula
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

from research_app.home import CODE

KINDS = ("sh", "bash", "toml", "python", "json", "tsv", "text")
DOCUMENTS_THAT_ARE_FOLLOWED = {
    "docs/tutorial/first-hour.md": "tests/machine/test_tutorial.py",
    "docs/how-to/bring-your-repository.md": "tests/project/test_bring_your_repository.py",
    "docs/how-to/eight-gpus.md": "tests/machine/test_eight_gpus.py",
    "docs/how-to/histories.md": "tests/histories/test_docs_histories.py",
    "docs/how-to/own-scorer.md": "tests/training/test_own_scorer.py",
}
ASSIGNMENT = re.compile(r"[A-Z][A-Z0-9_]*=\S*$")
SEPARATORS = {"|", "||", "&&", ";", "&"}


@dataclass(frozen=True)
class Block:
    """One code block: the document it stands in, its line there, its kind, what is said of it, and its text."""

    document: str
    line: int
    kind: str
    note: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def documents() -> list[Path]:
    """All documents that people read: those at the top and those in docs/."""
    return sorted([*CODE.glob("*.md"), *(path for path in (CODE / "docs").rglob("*.md") if "_build" not in path.parts)])


def blocks() -> Iterator[Block]:
    """Every block of every document. A directive of the site, such as {toctree}, is none."""
    for path in documents():
        for token in MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8")):
            if token.type in ("fence", "code_block") and not token.info.startswith("{"):
                kind, _, note = token.info.strip().partition(" ")
                line = token.map[0] + 1 if token.map else 0
                yield Block(path.relative_to(CODE).as_posix(), line, kind, note, token.content)


def commands(text: str) -> list[list[str]]:
    """The words of each simple command of a shell script: without assignments, redirections, comments and here-documents."""
    text = re.sub(r"<<'(\w+)'\n.*?\n\1\n", "\n", text.replace("\\\n", " "), flags=re.DOTALL)
    found: list[list[str]] = []
    for line in text.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word in SEPARATORS:
                found, words = [*found, words], []
            elif words or not (ASSIGNMENT.match(word) or word in ("do", "then")):
                words.append(word)
    return [_without_redirections(words) for words in found if words]


def _without_redirections(words: list[str]) -> list[str]:
    until = next((place for place, word in enumerate(words) if word.startswith((">", "<"))), len(words))
    return words[:until]
