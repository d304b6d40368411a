"""Where the words of an imported change and its code disagree: constants, layers, width and heads, before and after."""

from collections import Counter
from collections.abc import Mapping, Sequence

from agent.constants import Value, find_constants
from agent.diff import parse_diff
from agent.shape import shape_of
from research_app.repository import RepositoryError
from research_app.repository.foreign import ForeignRepository
from training.claims import contradictions

MOST_FILES = 10  # of a change, whose constants are read
Texts = Mapping[str, str]


def disagreements(words: str, repository: ForeignRepository, base: str, commit: str, diff: str) -> list[str]:
    """A sentence for each statement that the code contradicts; none where the code is not Python, or says nothing of it."""
    paths = [file.path for file in parse_diff(diff) if file.path.endswith(".py")][:MOST_FILES]
    before, after = (texts_of(repository, at, paths) for at in (base, commit))
    old, new = constants_of(before), constants_of(after)
    moved = {name: (old[name], new[name]) for name in old.keys() & new.keys() if old[name] != new[name]}
    differences = contradictions(words, shape_in(before), shape_in(after), moved)
    return [each.sentence.replace("The hypothesis says", "It says") for each in differences]


def texts_of(repository: ForeignRepository, commit: str, paths: Sequence[str]) -> Texts:
    """The files as they are at a commit; what is not text, or too large, is left out."""
    texts = {}
    for path in paths if commit else ():
        try:
            texts[path] = repository.text(commit, path) or ""
        except RepositoryError:
            continue
    return texts


def constants_of(texts: Texts) -> Mapping[str, Value]:
    """The constants of some files by their plain names; of a name that stands in several places, none."""
    constants: list[tuple[str, Value]] = []
    for path, text in texts.items():
        try:
            constants += [(constant.label, constant.value) for constant in find_constants(path, text)]
        except SyntaxError:
            continue
    often = Counter(name for name, _ in constants)
    return {name: value for name, value in constants if often[name] == 1}


def shape_in(texts: Texts) -> dict[str, int]:
    """Layers, width and heads, where one of the files alone says them."""
    shapes = [shape for text in texts.values() if (shape := shape_of(text))]
    return shapes[0] if len(shapes) == 1 else {}
