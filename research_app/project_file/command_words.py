"""The words of a command, as they stand in project files: a list, with places that are known."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from training.launch import PLACES, unknown_places


def require_places(text: str) -> str:
    """The same text. Raises ValueError for a place that nothing is put into."""
    if unknown := unknown_places(text):
        known = ", ".join(f"{{{name}}}" for name in PLACES)
        itself = f"{{{{{unknown[0]}}}}}"
        raise ValueError(f"nothing is known to put into {{{unknown[0]}}}; known: {known}. Write {itself} for the text itself")
    return text


def _words(command: Any) -> Any:
    if isinstance(command, str):
        words = ", ".join(f'"{word}"' for word in command.split())
        raise ValueError(f"write a list of words: [{words}]")
    return command


def _places(command: tuple[str, ...]) -> tuple[str, ...]:
    for word in command:
        require_places(word)
    return command


AnyCommand = Annotated[tuple[str, ...], BeforeValidator(_words), AfterValidator(_places)]
Command = Annotated[AnyCommand, Field(min_length=1)]
