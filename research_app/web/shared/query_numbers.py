"""What an address or a form asks for, read so that no spelling of it is an error: what makes no sense is None."""

import math

LARGEST = 2**31 - 1  # of a number of a row; nothing here counts further


def whole(text: str | None, most: int = LARGEST) -> int | None:
    """A whole number from 0 to `most`, in decimal digits alone."""
    digits = (text or "").strip()
    if not digits.isdecimal() or len(digits) > 10 or (number := int(digits)) > most:
        return None
    return number


def wholes(texts: list[str], most: int = LARGEST) -> list[int]:
    """Those of some texts that are whole numbers, in their order."""
    return [number for text in texts if (number := whole(text, most)) is not None]


def real(text: str | None) -> float | None:
    """A finite number."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
