"""What a document names is there: a file that moved is not looked for where it was."""

import re
from pathlib import Path

import pytest

from research_app.home import CODE

ROOMS, ENDINGS = "tests|research_app|training|agent|benchmarks|docs|templates|static", "py|md|html|js|css|sh"
NAMED = re.compile(rf"(?<![\w./<{{-])(?:{ROOMS})/[\w./-]+\.(?:{ENDINGS})\b")
TO_WRITE = re.compile(r"`[\w/.-]+`:\n\n```python\n")  # a file that the reader makes (test_extend.py makes it)
DOCUMENTS = sorted([*CODE.glob("*.md"), *(CODE / "docs").rglob("*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(CODE).as_posix())
def test_every_file_that_a_document_names_is_there(document: Path) -> None:
    text = TO_WRITE.sub("", document.read_text())
    assert [name for name in NAMED.findall(text) if not (CODE / name).exists()] == []


def test_documents_name_files() -> None:
    assert sum(len(NAMED.findall(document.read_text())) for document in DOCUMENTS) > 100
