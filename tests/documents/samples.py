"""Documents as rows of earlier versions hold them: written by those versions, and never again."""

import json
from pathlib import Path
from typing import Any

STORED = Path(__file__).parent / "stored"


def stored(name: str) -> dict[str, Any]:
    """Samples by what they are of."""
    samples: dict[str, Any] = json.loads((STORED / f"{name}.json").read_text(encoding="utf-8"))
    return samples


EVIDENCE = stored("evidence")
