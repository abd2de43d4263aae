"""Selectors: what a person writes to say which instruments are meant.

    fno                 the underlyings of NSE futures, stocks and indices
    RELIANCE            a symbol: NSE equity first, then NSE indices, BSE equity, BSE indices, others; also an index by
                        its name (Nifty Bank), an underlying by its F&O symbol, a contract by its own symbol
    NSE_FO|125841       an instrument key
    RELIANCE:fut        all its futures, nearest first
    NIFTY:opt           all its options of the nearest expiry, by strike
    NIFTY:opt:10        of these, the strike nearest to the underlying's last price and ten on either side
    NIFTY:opt:10:2      the same of the two nearest expiries; NIFTY:opt:10:2026-12-01 of that one
    all:NSE_EQ          everything in a segment; all:NSE_FO:FUT everything of one type in it
    @watchlist.txt      a file with a selector a line; # begins a comment
    liquid              a list from [universes]

Contracts on RELIANCE, and those of NIFTY or CRUDEOIL, are looked for on NSE, then BSE, then MCX. `fno`, names of
universes and files can be followed by :fut or :opt as a symbol can. Upper and lower case are the same, and text in
quotes is the text. Expired contracts and the exchanges' test symbols never match. Of many that fno means, one without
such contracts or without a price is left out with a warning. Knows the table of instruments, and
nothing of where prices come from.
"""

import contextlib
import datetime as dt
import difflib
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tickrec.errors import UsageError
from tickrec.market.chains import Chain, around
from tickrec.market.instruments import Instrument, Master
from tickrec.market.watchlists import Term, expand

log = logging.getLogger("tickrec")

CASH: Final = ("NSE_EQ", "NSE_INDEX", "BSE_EQ", "BSE_INDEX", "MCX_INDEX", "GLOBAL_INDEX", "GLOBAL_INDICATOR")
"""Segments in which a plain symbol is looked for, in this order."""
CONTRACTS: Final = ("NSE_FO", "BSE_FO", "MCX_FO", "NSE_COM", "NCD_FO", "BCD_FO")
"""Segments in which the contracts of an underlying are looked for, in this order."""

LastPrices = Callable[[Sequence[str]], Mapping[str, float]]
"""Last prices, in rupees, of instrument keys."""


class Contracts(NamedTuple):
    """Which contracts of an underlying are meant."""

    kind: str = ""
    """fut or opt; empty: the underlying itself."""
    each_side: int | None = None
    """Strikes either side of the money; None: all."""
    expiries: int = 1
    """How many, the nearest first."""
    expiry: dt.date | None = None
    """The only one."""


class Resolved(NamedTuple):
    """What selectors mean."""

    instruments: list[Instrument]
    chains: tuple[Chain, ...] = ()
    """Those of which only the strikes around the money are meant."""


class Found(NamedTuple):
    """What a selector means: row numbers of the master, still to be narrowed to `each_side` strikes if that is set."""

    rows: list[int]
    each_side: int | None = None
    money_key: str = ""
    """The instrument whose last price is the money."""
    one_of_many: bool = False
    """Meant by a name for many, such as fno: left out rather than refused when its money is not known."""


class UnknownSymbols(UsageError):
    """Names that nothing in the list of instruments has."""


class _Unknown(Exception):
    """A name that nothing has."""


def resolve(
    selectors: Sequence[str],
    master: Master,
    *,
    today: dt.date,
    last_prices: LastPrices,
    universes: Mapping[str, Sequence[str]],
    folder: Path,
    kept: bool = False,
    left_out: list[str] | None = None,
) -> Resolved:
    """The instruments that `selectors` mean today, in the order written, each once.

    Files are looked for in `folder`. `last_prices` is asked once, and only if a selector needs the money; what it
    raises passes through. Where `left_out` is given, it gets the selectors of files, of universes, and, if they are
    `kept` in the configuration, of all, that mean nothing today: they do not cost the others. Raises UsageError for
    anything else that cannot be understood or matches nothing, and when nothing is left; of names that nothing has,
    UnknownSymbols.
    """
    listing = _Listing(master, today)
    found: list[Found] = []
    unknown: list[Term] = []
    passed: list[Term] = []
    for term in expand(selectors, universes, folder):
        may_pass = left_out is not None and (kept or term.listed)
        try:
            found += [each._replace(one_of_many=each.one_of_many or may_pass) for each in listing.match(term)]
        except _Unknown:
            (passed if may_pass else unknown).append(term)
        except UsageError as error:
            if not may_pass:
                raise
            log.warning("%s: left out", error.what)
            passed.append(term)
    if unknown or (passed and not found):
        raise _unknown_symbols(unknown or passed, listing)
    if left_out is not None:
        left_out += [term.text for term in passed]
    keys = list(dict.fromkeys(item.money_key for item in found if item.money_key))
    prices = last_prices(keys) if keys else {}
    rows = [listing.narrow(item, prices) for item in found]
    if not any(rows):
        raise UsageError("no instruments were selected", hint="Name some, such as fno, RELIANCE or NIFTY:opt:10")
    chains = tuple(
        Chain.of(item.money_key, item.each_side, master.rows(item.rows))
        for item, narrowed in zip(found, rows, strict=True)
        if item.each_side is not None and narrowed
    )
    return Resolved(master.rows(list(dict.fromkeys(row for narrowed in rows for row in narrowed))), chains)


def with_every_strike(selectors: Sequence[str]) -> list[str]:
    """The same selectors with all strikes of the nearest expiry in place of those around the money, whose price is not
    asked for then."""
    return [re.sub(r"(?i)(:opt):\d+(:[\d-]+)?(?=\s*(,|$))", r"\1", text) for text in selectors]


class _Listing:
    """The master's columns prepared for looking things up: upper case, and only what can be subscribed today."""

    def __init__(self, master: Master, today: dt.date) -> None:
        self.master = master
        self.today = today
        self.key = master.column("instrument_key")
        self.segment = master.column("segment")
        self.kind = master.column("instrument_type")
        self.expiry = master.column("expiry")
        self.strike = pc.fill_null(master.column("strike"), 0.0)
        self.underlying_key = master.column("underlying_key")
        self.symbol = pc.utf8_upper(master.column("symbol"))
        self.underlying = pc.utf8_upper(master.column("underlying_symbol"))
        expired = pc.fill_null(pc.less(self.expiry, pa.scalar(today, pa.date32())), False)
        self.usable = pc.invert(pc.or_(expired, self._is_test()))

    def _is_test(self) -> pa.Array:
        """Contracts and shares that the exchanges trade among their own test members."""
        named = pc.match_substring_regex(pc.coalesce(self.underlying, self.symbol), "NSETEST|BSETEST|MCXTEST")
        dummy = pc.fill_null(pc.match_substring(self.underlying_key, "DUMMY"), False)
        return pc.or_(named, pc.or_(dummy, pc.match_substring(self.key, "|DUMMY")))

    def rows(self, *conditions: pa.Array) -> list[int]:
        """Numbers of the usable rows for which every condition holds."""
        mask = self.usable
        for condition in conditions:
            mask = pc.and_kleene(mask, condition)
        return [int(row) for row in pc.indices_nonzero(pc.fill_null(mask, False)).to_pylist()]

    def match(self, term: Term) -> list[Found]:
        """What one selector means, without files and universes. Raises _Unknown or UsageError."""
        name, *suffixes = (part.strip() for part in term.text.split(":"))
        name = _unquoted(name)
        if name.casefold() == "all":
            return [Found(self._all(suffixes, term))]
        wanted = _wanted_contracts(suffixes, term)
        if name.casefold() == "fno":
            rows = self._underlyings(term)
            return [each for row in rows for each in self._on(row, wanted, term)] if wanted.kind else [Found(rows)]
        return self._contracts(name, wanted, term) if wanted.kind else [Found([self._one(name, term)])]

    def _all(self, suffixes: Sequence[str], term: Term) -> list[int]:
        segment, kind = (*(part.upper() for part in suffixes), "", "")[:2]
        wanted = [pc.equal(self.segment, segment)] + ([pc.equal(pc.utf8_upper(self.kind), kind)] if kind else [])
        rows = self.rows(*wanted) if 1 <= len(suffixes) <= 2 else []
        if not rows:
            known = ", ".join(sorted(pc.unique(self.segment).to_pylist()))
            raise UsageError(f"{term.text} matches nothing", where=term.where, hint=f"Segments: {known}")
        return rows

    def _underlyings(self, term: Term) -> list[int]:
        """What NSE futures are on: indices first, then stocks, by symbol."""
        futures = self.rows(pc.equal(self.segment, "NSE_FO"), pc.equal(self.kind, "FUT"))
        keys = pc.unique(self.underlying_key.take(pa.array(futures, pa.int64()))).drop_null().to_pylist()
        rows = [row for row in self.master.find(keys) if self.usable[row].as_py()]
        if not rows:
            raise UsageError("today's instruments list no NSE futures", where=term.where)
        return sorted(rows, key=lambda row: (self.kind[row].as_py() != "INDEX", self.symbol[row].as_py()))

    def _one(self, name: str, term: Term) -> int:
        """The row of an instrument key or of a symbol."""
        if "|" in name:
            return self._key(name, term)
        row = self._plain(name)
        if row is not None:
            return row
        if self.rows(pc.equal(self.underlying, name.upper())):
            raise UsageError(
                f"{name} has contracts, but is not traded itself",
                where=term.where,
                hint=f"Write {name.upper()}:fut or {name.upper()}:opt",
            )
        raise _Unknown

    def _key(self, name: str, term: Term) -> int:
        exact = pc.indices_nonzero(pc.equal(self.key, name))
        same = exact if len(exact) else pc.indices_nonzero(pc.equal(pc.utf8_upper(self.key), name.upper()))
        if not len(same):
            raise _Unknown
        row = int(same[0].as_py())
        expiry = self.expiry[row].as_py()
        if expiry is not None and expiry < self.today:
            raise UsageError(f"{name} expired on {expiry:%d %b %Y}", where=term.where)
        return row

    def _plain(self, name: str) -> int | None:
        """The row of a symbol, an index's name, an underlying's F&O symbol or a contract's own symbol."""
        upper = name.upper()
        cash = pc.is_in(self.segment, value_set=pa.array(CASH))
        same = self.rows(cash, pc.equal(self.symbol, upper))
        if same:
            return min(same, key=self._preference)
        indices = self.rows(cash, pc.equal(self.kind, "INDEX"))
        for row in sorted(indices, key=self._preference):
            if self.key[row].as_py().partition("|")[2].upper() == upper:
                return row
        on_it = self.rows(pc.equal(self.underlying, upper), pc.is_in(self.segment, value_set=pa.array(CONTRACTS[:2])))
        keys = pc.unique(self.underlying_key.take(pa.array(on_it, pa.int64()))).drop_null().to_pylist()
        contract = self.rows(pc.equal(self.symbol, upper))
        return next(iter(self.master.find(keys) + contract), None)

    def _preference(self, row: int) -> tuple[int, bool, bool]:
        """Smaller is meant rather: by segment, then the main series, then shares before bonds of the same symbol.

        The seventh and eighth letters of an Indian company's ISIN are 01 for shares (observed 2026-09).
        """
        isin = self.master.table.column("isin")[row].as_py() or ""
        share = isin.startswith("INE") and isin[7:9] == "01"
        return CASH.index(self.segment[row].as_py()), self.kind[row].as_py() != "EQ", not share

    def _contracts(self, name: str, wanted: Contracts, term: Term) -> list[Found]:
        """The contracts on a name, found by the underlying's symbol or by its key."""
        row = self._key(name, term) if "|" in name else self._plain(name)
        on_it = pc.equal(self.underlying, name.upper())
        if row is not None:
            on_it = pc.or_kleene(on_it, pc.equal(self.underlying_key, self.key[row]))
        if row is None and not self.rows(on_it):
            raise _Unknown
        return self._pick(on_it, name, wanted, term)

    def _on(self, row: int, wanted: Contracts, term: Term) -> list[Found]:
        """The contracts on the underlying in a row, one of many."""
        on_it = pc.equal(self.underlying_key, self.key[row])
        try:
            found = self._pick(on_it, self.symbol[row].as_py(), wanted, term)
        except UsageError as error:
            log.warning("%s: left out", error.what)
            return []
        return [each._replace(one_of_many=True) for each in found]

    def _pick(self, on_it: pa.Array, name: str, wanted: Contracts, term: Term) -> list[Found]:
        """The futures, or for each expiry the options, among the contracts `on_it`, of the first segment."""
        kinds = pc.is_in(self.kind, value_set=pa.array(["FUT"] if wanted.kind == "fut" else ["CE", "PE"]))
        traded = pc.is_in(self.segment, value_set=pa.array(CONTRACTS))
        rows = self.rows(on_it, kinds, traded, pc.is_valid(self.expiry))
        if not rows:
            what = "futures" if wanted.kind == "fut" else "options"
            raise UsageError(f"{name} has no {what}", where=term.where)
        first = min((self.segment[row].as_py() for row in rows), key=CONTRACTS.index)
        rows = [row for row in rows if self.segment[row].as_py() == first]
        if wanted.kind == "fut":
            return [Found(sorted(rows, key=lambda row: (self.expiry[row].as_py(), self.symbol[row].as_py())))]
        rows.sort(key=lambda row: (self.strike[row].as_py(), self.kind[row].as_py()))
        expiries = self._expiries(rows, name, wanted, term)
        chains = [[row for row in rows if self.expiry[row].as_py() == expiry] for expiry in expiries]
        if wanted.each_side is None:
            return [Found(chain) for chain in chains]
        return [Found(chain, wanted.each_side, self.underlying_key[chain[0]].as_py() or "") for chain in chains]

    def _expiries(self, rows: Sequence[int], name: str, wanted: Contracts, term: Term) -> list[dt.date]:
        """Which expiries of the options in the rows are meant, nearest first."""
        listed = sorted({self.expiry[row].as_py() for row in rows})
        if wanted.expiry is None:
            return listed[: wanted.expiries]
        if wanted.expiry not in listed:
            what = f"{name} has no options that expire on {wanted.expiry:%d %b %Y}"
            raise UsageError(what, where=term.where, hint=f"Expiries: {', '.join(map(str, listed))}")
        return [wanted.expiry]

    def narrow(self, found: Found, prices: Mapping[str, float]) -> list[int]:
        """The rows whose strike is among `each_side` either side of the one nearest to the money."""
        if found.each_side is None:
            return found.rows
        money = prices.get(found.money_key)
        name = self.underlying[found.rows[0]].as_py()
        if not money and found.one_of_many:
            log.warning("the broker gave no last price for %s: its options are left out", name)
            return []
        if not money:
            hint = f"Write {name}:opt for all strikes, or name the contracts"
            raise UsageError(f"the broker gave no last price for {found.money_key or name}", hint=hint)
        strikes = sorted({self.strike[row].as_py() for row in found.rows})
        near = {strikes[place] for place in around(strikes, money, found.each_side)}
        return [row for row in found.rows if self.strike[row].as_py() in near]

    def nearest(self, name: str) -> list[str]:
        """Up to three known names that look like `name`, those of NSE first."""
        upper = _unquoted(name.partition(":")[0].strip()).upper()
        cash = self.symbol.take(pa.array(self.rows(pc.is_in(self.segment, value_set=pa.array(CASH))), pa.int64()))
        names = pc.unique(pa.concat_arrays([cash, self.underlying.drop_null()])).to_pylist()
        return difflib.get_close_matches(upper, names, n=3, cutoff=0.55)


def _unquoted(name: str) -> str:
    quoted = len(name) > 1 and name[0] == name[-1] and name[0] in "\"'"
    return name[1:-1].strip() if quoted else name


def _wanted_contracts(suffixes: Sequence[str], term: Term) -> Contracts:
    """What follows the name. Raises UsageError for what makes no sense."""
    match [part.casefold() for part in suffixes]:
        case []:
            return Contracts()
        case ["fut"] | ["opt"] as kind:
            return Contracts(kind[0])
        case ["opt", count, *expiries] if _is_number(count) and len(expiries) <= 1:
            wanted = Contracts("opt", int(count))
            if not expiries:
                return wanted
            if _is_number(expiries[0]) and int(expiries[0]):
                return wanted._replace(expiries=int(expiries[0]))
            with contextlib.suppress(ValueError):
                return wanted._replace(expiry=dt.date.fromisoformat(expiries[0]))
    hint = (
        "After a name may come :fut, :opt, :opt:10 for ten strikes either side of the money, :opt:10:2 for that of two "
        "expiries, or :opt:10:2026-12-01"
    )
    raise UsageError(f"{term.text} is not a selector", where=term.where, hint=hint)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _unknown_symbols(terms: Sequence[Term], listing: _Listing) -> UnknownSymbols:
    """One error for all unknown names, so that a watchlist is corrected in one go."""
    near = {term.text: ", ".join(listing.nearest(term.text)) for term in terms[:5]}
    if len(terms) == 1:
        term = terms[0]
        if "|" in term.text:
            hint = "Keys of contracts change with every expiry; RELIANCE:fut and NIFTY:opt:10 follow them"
            return UnknownSymbols(f"unknown instrument key {term.text}", where=term.where, hint=hint)
        hint = f"Nearest: {near[term.text]}" if near[term.text] else ""
        return UnknownSymbols(f"unknown symbol {term.text}", where=term.where, hint=hint)
    shown = ", ".join(f"{term.text} ({term.where})" if term.where else term.text for term in terms)
    hint = "; ".join(f"nearest to {name}: {names}" for name, names in near.items() if names)
    return UnknownSymbols(f"unknown symbols {shown}", hint=hint[:1].upper() + hint[1:])
