"""Commands whose options are texts, paths and switches, taken as they are.

Typer checks every value with pydantic, whose import takes longer than the answer to most queries. Where there is
nothing to check, it is given a reader of ours instead; a version of typer that does not ask for one is none the worse.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from typer.core import TyperCommand, TyperGroup

_READ: Final[dict[object, Callable[[Any], object]]] = {str: str, Path: Path, bool: bool}


class Plain:
    """What typer asks for the value of a parameter."""

    def __init__(self, read: Callable[[Any], object]) -> None:
        self._read = read

    def coerce(self, value: Any, **_: object) -> object:
        """The value that a text stands for; None when the option was not given."""
        return None if value is None else self._read(value)


def _plain(param: Any) -> None:
    kind = getattr(getattr(param, "type_descriptor", None), "annotation", None)
    if kind in _READ and param.nargs == 1 and not getattr(param, "multiple", False):
        param._runtime_param = Plain(_READ[kind])


class _WithoutPydantic:
    """What a command and a group of them have in common."""

    params: list[Any]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for param in self.params:
            _plain(param)

    def get_help_option(self, ctx: Any) -> Any:
        """The option --help."""
        option = super().get_help_option(ctx)  # type: ignore[misc]
        _plain(option)
        return option


class PlainCommand(_WithoutPydantic, TyperCommand):
    """A command that does without pydantic, as far as its parameters are texts, paths and switches."""


class PlainGroup(_WithoutPydantic, TyperGroup):
    """Commands of which those that are plain do without pydantic."""
