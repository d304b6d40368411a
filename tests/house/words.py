"""Words that the product no longer uses, and where each still stands: `python -m tests.house.words` lists them.

`docs/reference/glossary.md` has the words that took their place. A word of one part is compared with the parts of identifiers,
so that `bank` is found in `bank_of`, `_Bank` and `Purpose.BANK`, and not in `bankrupt`. A phrase is found across line breaks.
"""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from research_app.home import CODE

PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
BROKEN_STRING = re.compile(r"[\"']\s*\\?\n\s*[rbf]{0,2}[\"']")
READ = ("*.py", "*.html", "*.md", "*.js", "*.css", "*.txt", "*.toml", "*.sh", "Makefile")


@dataclass(frozen=True)
class OldWord:
    """A word or phrase that is gone, and what is said instead. `old` is a regular expression in lower case."""

    old: str
    instead: str

    def matches(self, part: str) -> bool:
        """Whether a part of an identifier is this word."""
        return self.pattern.fullmatch(part) is not None

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The expression; in a phrase, a gap may be any white space or the underscore of an identifier."""
        return re.compile(self.old.replace(" ?", r"[\s_]?").replace(" ", r"[\s_]+"), 0 if self.old.isupper() else re.IGNORECASE)

    @property
    def is_phrase(self) -> bool:
        return " " in self.old or "_" in self.old


OLD_WORDS = [
    OldWord("banks?|banked", "reference runs"),
    OldWord("purses?", "token budget"),
    OldWord("journals?", "transcript"),
    OldWord("utterances?", "message"),
    OldWord(r"\bweigh(_[a-z]+)?\(|\bweigh\.py", "build evidence"),
    OldWord("doubts?|doubted|doubtful", "contradiction, in question"),
    OldWord("outlooks?", "eta"),
    OldWord("grounds", "calibration"),
    OldWord("climb|climbs|climbed|climbing", "scale up, rise"),
    OldWord("resting", "idle"),
    OldWord("patience", "deadline"),
    OldWord("bench", "workspace (of an agent), rig (in tests)"),
    OldWord("handed in|hand in", "submit, submission"),
    OldWord("revive|revives|revived", "retry (a run), reopen (a candidate)"),
    OldWord("rerun|reruns", "retry"),
    OldWord("A_PERSONS_TURN", "AWAITING_HUMAN"),
    OldWord("TO_ANSWER", "AWAITING_AUTHOR"),
    OldWord("(gave|gives?|given|giving) up", "fail"),
    OldWord("stack ?cells?", "design point"),
    OldWord("stack ?checks?", "ablation"),
    OldWord("(not|cannot be) told apart from (0|nothing)", "interval includes 0"),
    OldWord("archived left out", "hide archived"),
    OldWord("none chosen: as it comes", "default order"),
    OldWord("how far they came", "funnel"),
    OldWord("what verdicts rest on", "noise and calibration"),
    OldWord("not heard of", "offline"),
    OldWord("refuses? work", "rejecting runs"),
    OldWord("are asked of you", "changes requested"),
    OldWord("hidden: health first", "not comparable: health check failed"),
    OldWord("would we not miss", "no measurable contribution"),
    OldWord("but not proved", "better, not significant"),
    OldWord("(what|whatever) (became|becomes) of", "outcome"),
    OldWord("what came of", "outcome"),
    OldWord("narrows nothing", "ignored"),
    OldWord("make the token", "create token"),
    OldWord("machine (that )?gave up", "worker failed"),
    OldWord("mend what it says", "see the error"),
]
WORDS = [word for word in OLD_WORDS if not word.is_phrase]
ANY_WORD = re.compile("|".join(word.old for word in WORDS), re.IGNORECASE)  # looked for first: most lines hold none
PHRASES = [word for word in OLD_WORDS if word.is_phrase]
VERBS = {
    verb: OldWord(verb, "the noun that it is, for example findings, event_data, campaign, message, view")
    for verb in ("found", "told", "asked", "said", "shown")
}

ELSEWHERE = {  # these files may hold old words, and why
    "CHANGELOG.md": "what was released is told in the words of its time",
    "docs/decisions/": "a decision keeps the words in which it was taken",
    "docs/reference/glossary.md": "it names the old words",
    "tests/house/words.py": "it names the old words",
    "tests/house/test_words.py": "it names the old words",
    "tests/web/test_words_on_pages.py": "it names the old words",
    "research_app/migrations/": "a migration that ran is not rewritten",
}
EXCEPTIONS: list[tuple[str, str, str, str]] = [  # (the word or "" for all, the path's begin, the text, why it stays)
    ("journals?", "", "journal_mode", "what SQLite calls it"),
    ("journals?", "", "ournal mode", "what SQLite calls it"),
    ("journals?", "docs/explanation/sandbox.md", "ordinary journal", "what SQLite calls it"),
    ("utterances?", "research_app/models/conversation.py", 'name="utterance_', "names of a constraint and an index"),
    ("patience", "training/matching.py", "patience diff", "the name of an algorithm"),
    ("patience", "tests/notify", "loses patience", "English"),
    ("doubts?|doubted|doubtful", "", "gain doubted", "the stored kind of an event"),
    ("resting", "research_app/api/", "resting", "a field of the API, for one version more"),
    ("banks?|banked", "tests/", 'purpose="bank"', "the stored value of a column"),
    ("banks?|banked", "tests/walk/stages.py", '== "bank"', "the stored value of a column"),
    ("", "research_app/models/event_kinds.py", "", "kinds of events are stored and hashed"),
    ("", "docs/reference/events.md", "", "kinds of events are stored and hashed"),
    ("doubts?|doubted|doubtful", "", "GAIN_DOUBTED", "the stored kind of an event"),
    ("what came of", "research_app/models/conversation.py", "", "the help text of a column: not worth a migration"),
    ("bench", "", "bench-", "make bench-policy and its like are short for benchmarks"),
    ("bench", "research_app/survey/entry.py", "sft|rlhf", "what others call their files"),
    *(
        ("(gave|gives?|given|giving) up", path, "_", "a tool of the agent and an end of conversations: stored in transcripts")
        for path in (
            "agent/",
            "docs/explanation/agents.md",
            "docs/reference/ends.md",
            "research_app/loop/propose/",
            "tests/agent/",
            "tests/ends/test_later.py",
            "tests/everything.py",
            "tests/routes/world.py",
            "tests/walk/model.py",
        )
    ),
    ("(gave|gives?|given|giving) up", "research_app/models/delivery.py", "given_up", "the stored value of a column"),
    ("revive|revives|revived", "research_app/models/conversation.py", '"revive"', "the stored value of a column"),
    ("rerun|reruns", "docs/how-to/histories.md", "“rerun”", "what others write into their tables"),
    ("rerun|reruns", "tests/evidence/test_evidence_reported.py", "rerun", "what others write into their tables"),
    ("said", "research_app/evidence/evidence_document.py", "said", "a key of stored documents"),
    ("stack ?checks?", "", "stack_check", "a key of a removal's details, which are stored"),
    ("stack ?checks?", "", "stackcheck", "what events call the model, stored and hashed"),
    ("stack ?cells?", "research_app/models/run.py", "stack_cell", "the name of a constraint"),
    ("banks?|banked", "research_app/models/purpose.py", '"bank"', "the stored value of a column"),
]


@dataclass(frozen=True)
class Place:
    """Where an old word stands."""

    path: str
    line: int
    word: OldWord
    text: str


def files() -> list[str]:
    """Every file of the repository that is read, by its path."""
    listed = subprocess.run(["git", "ls-files", "--", *READ], cwd=CODE, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.splitlines() if not name.startswith(tuple(ELSEWHERE)) and "vendor" not in name]


def places_in(path: str, text: str) -> Iterator[Place]:
    """Every old word in a text and, on line 0, in its path; in the product's Python also the variables named after a verb."""
    for number, line in enumerate([path, *text.splitlines()]):
        if not ANY_WORD.search(line):
            continue
        for part in PART.findall(line):
            yield from (Place(path, number, word, line.strip()) for word in WORDS if word.matches(part))
    joined = BROKEN_STRING.sub(lambda gap: " " + "\n" * gap[0].count("\n"), text)
    for phrase in PHRASES:
        for at in phrase.pattern.finditer(joined):
            yield Place(path, joined.count("\n", 0, at.start()) + 1, phrase, " ".join(at[0].split()))
    if path.endswith(".py") and not path.startswith(("tests/", "benchmarks/")):
        yield from (Place(path, line, VERBS[name], name) for name, line in _variables(ast.parse(text)) if name in VERBS)


def every_place() -> list[Place]:
    """Every old word in the files of the repository that are on this disk."""
    texts = ((name, (CODE / name).read_text(encoding="utf-8", errors="replace")) for name in files() if (CODE / name).exists())
    return [place for name, text in texts for place in places_in(name, text)]


def excepted(place: Place) -> bool:
    return any(matches(old, path, text, place) for old, path, text, _ in EXCEPTIONS)


def matches(old: str, path: str, text: str, place: Place) -> bool:
    """Whether an exception is about this place."""
    return old in ("", place.word.old) and place.path.startswith(path) and text in place.text


def _variables(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno


def main(wanted: list[str]) -> int:
    """Print every place of an old word, or of those that are named; how many there are decides the exit status."""
    places = [place for place in every_place() if not excepted(place) and (not wanted or place.word.old in wanted)]
    for place in places:
        print(f"{place.path}:{place.line}: {place.text[:120]}  (say: {place.word.instead})")
    print(Counter(place.word.old for place in places).most_common() or "No old word is left.")
    return bool(places)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
