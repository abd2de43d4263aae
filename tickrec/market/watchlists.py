"""Watchlists: files and universes in selectors, replaced by the selectors that they hold.

A file has a selector a line, and # begins a comment; a universe is a list from the configuration. Either may name
others, and what follows its name, such as :fut, goes to each of its members. Knows no instruments.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tickrec import values
from tickrec.errors import UsageError


class Term(NamedTuple):
    """One selector, and the file and line it was read from (empty for one given directly)."""

    text: str
    where: str = ""
    listed: bool = False
    """Of a list that is kept, a file or a universe, in which a name may go out of use over night."""


def expand(selectors: Sequence[str], universes: Mapping[str, Sequence[str]], folder: Path) -> list[Term]:
    """The selectors with comma-separated lists split, and files and universes replaced by what they hold."""
    expansion = _Expansion({name.casefold(): tuple(members) for name, members in universes.items()})
    return [leaf for text in selectors for leaf in expansion.leaves(Term(text), folder, ())]


class _Expansion:
    """Replaces files and universes by their members; `inside` are those being replaced, to find circles."""

    def __init__(self, universes: Mapping[str, Sequence[str]]) -> None:
        self._universes = universes

    def leaves(self, term: Term, folder: Path, inside: tuple[str, ...]) -> Iterator[Term]:
        for text in filter(None, (part.strip() for part in term.text.split(","))):
            name, _, suffix = text.partition(":")
            if name.startswith("@"):
                yield from self._file(Term(text, term.where), folder, inside)
            elif name.casefold() in self._universes:
                inner = _inside(name.casefold(), f"universe {name}", term.where, inside)
                for member in self._universes[name.casefold()]:
                    yield from _with_suffix(self.leaves(Term(member, term.where, True), folder, inner), suffix)
            else:
                yield Term(text, term.where, term.listed)

    def _file(self, term: Term, folder: Path, inside: tuple[str, ...]) -> Iterator[Term]:
        name, suffix = _split_path(term.text[1:])
        try:
            path = folder / values.expanded(name)
        except ValueError as error:
            raise UsageError(f"@{name} {error}", where=term.where) from None
        inner = _inside(str(path.resolve()), str(path), term.where, inside)
        for number, line in enumerate(_lines(path, term.where), 1):
            inner_term = Term(line.partition("#")[0], f"{path}:{number}", True)
            yield from _with_suffix(self.leaves(inner_term, path.parent, inner), suffix)


def _split_path(text: str) -> tuple[str, str]:
    """A file name, and the fut or opt that may follow it; the colon after a Windows drive is part of the name."""
    match = re.fullmatch(r"(.*?)(?::((?:fut|opt)(?::\d+(?::[\d-]+)?)?))?", text, re.IGNORECASE | re.DOTALL)
    return (match[1], match[2] or "") if match else (text, "")


def _inside(identity: str, shown: str, where: str, inside: tuple[str, ...]) -> tuple[str, ...]:
    if identity in inside:
        raise UsageError(f"{shown} includes itself", where=where, hint="Take out one of the two")
    return (*inside, identity)


def _with_suffix(terms: Iterator[Term], suffix: str) -> Iterator[Term]:
    for term in terms:
        yield term._replace(text=f"{term.text}:{suffix}") if suffix else term


def _lines(path: Path, where: str) -> list[str]:
    try:
        return values.decoded(path.read_bytes()).splitlines()
    except OSError as error:
        hint = "It is looked for beside the file or in the folder that names it"
        raise UsageError(f"{path} cannot be read: {error.strerror}", where=where, hint=hint) from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text", where=where) from None
