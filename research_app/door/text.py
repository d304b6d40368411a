"""Text at the door: an address, a query, a form or a field of the API with a character that no text may hold is refused."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from pydantic import AfterValidator

from research_app.plain_text import problem_in

CODE_FIELDS = frozenset({"patch"})  # of forms
MACHINES_OWN = ("/api/", "/mcp", "/git/")  # bodies that are no forms


def _checked(code: bool) -> AfterValidator:
    def check(text: str) -> str:
        if problem := problem_in(text, code):
            raise ValueError(f"It {problem}.")
        return text

    return AfterValidator(check)


Prose = Annotated[str, _checked(code=False)]
Code = Annotated[str, _checked(code=True)]


class RefuseControlCharacters:
    """A middleware: an address, a query or a form with such a character goes no further."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        """The answer to what is refused; None: go on."""
        of_machine = request.path_info.startswith(MACHINES_OWN)
        places = [("address", "", request.path_info), *_fields("query", request.GET)]
        if not of_machine and request.method == "POST":
            places += _fields("field", request.POST)
        for kind, name, text in places:
            if trouble := problem_in(text, code=name in CODE_FIELDS):
                sentence = f"The {kind}{f' “{name}”' if name else ''} {trouble}."
                if of_machine:
                    from research_app.door.problem import problem

                    return problem(422, sentence)
                response = render(request, "refused_text.html", {"sentence": sentence}, status=400)
                response.headers["X-Refused"] = "text"
                return response
        return None


def _fields(kind: str, data: Any) -> list[tuple[str, str, str]]:
    """What a query or a form says: kind, name and text of each value. A name that is refused counts as text."""
    return [
        (kind, "" if problem_in(name) else name, name if problem_in(name) else value)
        for name, values in data.lists()
        for value in values
    ]
