"""JSON as the standard has it: without NaN and Infinity, which Python writes and no browser reads."""

import math
from collections.abc import Mapping
from typing import Any

from django.http import JsonResponse


class StrictJsonResponse(JsonResponse):
    """What is no finite number is null."""

    def __init__(self, body: Mapping[str, Any], **options: Any) -> None:
        super().__init__(strict(body), json_dumps_params={"allow_nan": False}, **options)


def strict(document: Any) -> Any:
    """The document with null in place of every float that is not finite."""
    if isinstance(document, float):
        return document if math.isfinite(document) else None
    if isinstance(document, Mapping):
        return {key: strict(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [strict(value) for value in document]
    return document
