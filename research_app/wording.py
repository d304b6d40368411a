"""Counts and articles in sentences: `1 run`, `3 runs`, `an approver`."""

SILENT = ("hour", "honest", "heir")  # begin with a vowel sound all the same
SOUNDED = ("uni", "use", "one", "eu")  # begin with a consonant sound all the same


def counted(count: int, noun: str, plural: str = "") -> str:
    """`1 run`, `3 runs`, `1,200 runs`; `plural` where it is no s at the end."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def with_article(noun: str) -> str:
    """`a reviewer`, `an approver`."""
    low = noun.lower()
    vowel = low.startswith(SILENT) or (low[:1] in tuple("aeiou") and not low.startswith(SOUNDED))
    return f"{'an' if vowel else 'a'} {noun}"
