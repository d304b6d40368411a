"""Where the words of an imported change and its code disagree: constants before and after, held against the text."""

from collections.abc import Mapping, Sequence

from agent.constants import Value, find_constants
from agent.diff import parse_diff
from research_app.repository import RepositoryError
from research_app.repository.foreign import ForeignRepository
from training.claims import contradictions

MOST_FILES = 10  # of a change, whose constants are read
Constants = dict[str, Value]


def disagreements(words: str, repository: ForeignRepository, base: str, commit: str, diff: str) -> list[str]:
    """A sentence for each statement that the code contradicts; none where the code is not Python, or says nothing of it."""
    paths = [file.path for file in parse_diff(diff) if file.path.endswith(".py")][:MOST_FILES]
    before, after = (constants_of(repository, at, paths) for at in (base, commit))
    moved = {name: (before[name], after[name]) for name in before.keys() & after.keys() if before[name] != after[name]}
    return [found.sentence.replace("The hypothesis says", "It says") for found in contradictions(words, {}, {}, moved)]


def constants_of(repository: ForeignRepository, commit: str, paths: Sequence[str]) -> Mapping[str, Value]:
    """The constants of some files at a commit, by their plain names; of a name that stands in several places, none."""
    found: Constants = {}
    twice: set[str] = set()
    for path in paths if commit else ():
        try:
            constants = find_constants(path, repository.text(commit, path) or "")
        except (SyntaxError, RepositoryError):
            continue
        for constant in constants:
            twice |= {constant.label} & found.keys()
            found[constant.label] = constant.value
    return {name: value for name, value in found.items() if name not in twice}
