"""JSON that leaves Signoff is JSON as browsers read it: no NaN, no Infinity."""

import json
import math

from research_app.strict_json import StrictJsonResponse


def test_what_is_no_finite_number_is_null_at_any_depth() -> None:
    body = {"score": math.nan, "bands": [{"mean": math.inf, "std": (-math.inf, 1.5)}], "n": 10**400, "words": "NaN", "on": True}
    told = json.loads(StrictJsonResponse(body).content)
    assert told == {"score": None, "bands": [{"mean": None, "std": [None, 1.5]}], "n": 10**400, "words": "NaN", "on": True}
