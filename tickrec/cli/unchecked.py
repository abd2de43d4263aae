"""Commands whose options are texts, paths and switches, taken as they are.

Typer checks every value with pydantic, whose import takes longer than the answer to most queries. There is nothing to
check in a text: each command reads its own, with a message that says what is allowed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from typer.core import TyperCommand, TyperGroup

_READ: Final[dict[object, Callable[[Any], object]]] = {str: str, Path: Path, bool: bool, list[str]: list}


class Plain:
    """Reads the value of a parameter for typer."""

    def __init__(self, read: Callable[[Any], object]) -> None:
        self._read = read

    def coerce(self, value: Any, **_: object) -> object:
        """The value that a text stands for; None when the option was not given."""
        return None if value is None or value == () else self._read(value)


def _simplify(param: Any) -> Any:
    """Let a parameter be read without pydantic, and an argument be called in help by its name alone."""
    read = _READ.get(getattr(getattr(param, "type_descriptor", None), "annotation", None))
    if read is not None:
        param.get_runtime_param = lambda: Plain(read)
    if param.param_type_name == "argument":
        param.display_type_rich = lambda ctx: ""
    return param


class PlainCommand(TyperCommand):
    """A command that does without pydantic, as far as its parameters are texts, paths and switches."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Its options and arguments."""
        return list(map(_simplify, super().get_params(ctx)))


class PlainGroup(TyperGroup):
    """Commands that do without pydantic, and their common options."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The common options."""
        return list(map(_simplify, super().get_params(ctx)))
