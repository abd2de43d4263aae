"""When a gap begins and ends: every cell of the table, whole days, and random days against a plain model."""

import datetime as dt
import random
from dataclasses import dataclass

import pytest

from tickrec.clock import IST, SECOND, from_datetime
from tickrec.journal.entry import Entry, EntryKind, encode_facts
from tickrec.journal.gaps import DIED, STOPPED, TABLE, UNOPENED, Event, Gap, Happening, Line, State
from tickrec.journal.history import History

NINE = from_datetime(dt.datetime(2026, 11, 23, 9, tzinfo=IST))


def s(second: int) -> int:
    return NINE + second * SECOND


class Day:
    """Entries of one date, one second apart unless told."""

    def __init__(self) -> None:
        self.history = History()
        self.gaps: list[Gap] = []
        self.seq = 0
        self.second = 0

    def at(self, second: int) -> "Day":
        self.second = second
        return self

    def _feed(self, kind: EntryKind, conn: int, payload: bytes, data: bool = False) -> None:
        self.seq += 1
        entry = Entry(kind, conn, s(self.second), self.second, payload, seq=self.seq)
        self.second += 1
        self.gaps += self.history.feed(entry, data)

    def note(self, conn: int, event: str, **facts: object) -> None:
        self._feed(EntryKind.NOTE, conn, encode_facts(event=event, **facts))

    def start(self) -> None:
        self.note(0, "start")

    def wanted(self, conn: int = 1, keys: int = 7) -> None:
        self.note(conn, "wanted", keys=[[f"NSE_EQ|{each}", str(each), "full"] for each in range(keys)])

    def attempt(self, conn: int = 1, **facts: object) -> None:
        self.note(conn, "attempt", reason="403", retry_s=1, **facts)

    def lost(self, conn: int = 1, **facts: object) -> None:
        self.note(conn, "lost", reason="unreachable", keys=3, **facts)

    def connect(self, conn: int = 1, keys: int = 7) -> None:
        self._feed(EntryKind.CONNECTED, conn, encode_facts(host="h", attempt=1, keys=keys))

    def data(self, conn: int = 1) -> None:
        self._feed(EntryKind.MESSAGE, conn, b"tick", data=True)

    def info(self, conn: int = 1) -> None:
        self._feed(EntryKind.MESSAGE, conn, b"info")

    def drop(self, conn: int = 1, reason: str = "connection reset by the broker", **facts: object) -> None:
        self._feed(EntryKind.DISCONNECTED, conn, encode_facts(code=1006, reason=reason, **facts))

    def close(self, reason: str = "") -> None:
        self._feed(EntryKind.CLOSED, 0, encode_facts(reason=reason))

    def abandoned(self) -> list[tuple[int, int, int | None, str, int]]:
        """The gaps of a date that nobody works on any more, beside those settled: without seq."""
        rows = self.history.last_rows()["gaps"].to_pylist()
        ends = [row["end_ts"] and from_datetime(row["end_ts"]) for row in rows]
        return [
            (row["conn"], from_datetime(row["start_ts"]), end, row["reason"], row["keys"])
            for row, end in zip(rows, ends, strict=True)
        ]


def running(conns: tuple[int, ...] = (1,)) -> Day:
    day = Day()
    day.start()
    for conn in conns:
        day.connect(conn)
        day.data(conn)
    return day


GRID = """
          wanted   failed  opened    data   info      dropped  left     start   goodbye
new       trying   lost    open      open   open      new      new      new     new
trying    trying   lost    open      open   open      trying   trying   passed  paused!
open      awaited  lost    reopened  open   open      lost     paused   passed  paused
lost      lost     lost    reopened  open!  lost      lost     lost     passed  paused!
reopened  lost     lost    reopened  open!  reopened  lost     lost     passed  paused!
awaited   awaited  lost    reopened  open!  awaited   awaited  awaited  passed  paused!
paused    awaited  lost    reopened  open!  paused    paused   paused   passed  paused
passed    awaited  lost    reopened  open!  passed    passed   passed   passed  new!
"""
"""The next state after every event, by hand; with ! a gap has ended."""
_TITLES, *_ROWS = (line.split() for line in GRID.split("\n") if line)
CELLS = [
    (State(row[0]), Event(event), State(cell.rstrip("!")), cell.endswith("!"))
    for row in _ROWS
    for event, cell in zip(_TITLES, row[1:], strict=True)
]


def test_every_state_knows_every_event() -> None:
    assert {(state, event) for state, events in TABLE.items() for event in events} == {cell[:2] for cell in CELLS}
    assert len(CELLS) == len(State) * len(Event)


@pytest.mark.parametrize(("state", "event", "then", "ends"), CELLS, ids=lambda each: getattr(each, "value", each))
def test_a_cell(state: State, event: Event, then: State, ends: bool) -> None:
    line = Line(1, s(10), 7, state, s(20), "before", 5, s(30) if state is State.PASSED else None)
    happened = Happening(event, 99, s(50), "now", since_ns=s(40) if event is Event.DROPPED else None)
    gaps = line.take(happened)
    assert line.state is then
    end_ns = s(30) if state is State.PASSED and event is Event.GOODBYE else s(50)
    assert gaps == ([Gap(99, 1, s(20), end_ns, "before", 5)] if ends else [])


MISSING_SINCE = [
    (State.NEW, Event.WANTED, State.TRYING, s(50), UNOPENED),
    (State.NEW, Event.FAILED, State.LOST, s(50), "now"),
    (State.TRYING, Event.FAILED, State.LOST, s(20), "now"),
    (State.TRYING, Event.GOODBYE, State.PAUSED, s(50), "now"),
    (State.OPEN, Event.WANTED, State.AWAITED, s(10), "now"),
    (State.OPEN, Event.FAILED, State.LOST, s(10), "now"),
    (State.OPEN, Event.OPENED, State.REOPENED, s(10), "now"),
    (State.OPEN, Event.DROPPED, State.LOST, s(40), "now"),
    (State.OPEN, Event.LEFT, State.PAUSED, s(40), "now"),
    (State.OPEN, Event.START, State.PASSED, s(10), "now"),
    (State.OPEN, Event.GOODBYE, State.PAUSED, s(10), "now"),
    (State.LOST, Event.FAILED, State.LOST, s(20), "before"),
    (State.LOST, Event.START, State.PASSED, s(20), "before"),
    (State.LOST, Event.GOODBYE, State.PAUSED, s(50), "now"),
    (State.AWAITED, Event.FAILED, State.LOST, s(20), "before, then now"),
    (State.PAUSED, Event.FAILED, State.LOST, s(20), "before, then now"),
    (State.PAUSED, Event.WANTED, State.AWAITED, s(20), "before"),
    (State.PASSED, Event.FAILED, State.LOST, s(20), "before, then now"),
    (State.PASSED, Event.OPENED, State.REOPENED, s(20), "before"),
]


@pytest.mark.parametrize(("state", "event", "then", "since_ns", "reason"), MISSING_SINCE)
def test_since_when_and_why_data_is_missing(
    state: State, event: Event, then: State, since_ns: int, reason: str
) -> None:
    line = Line(1, s(10), 7, state, s(20), "before", 5)
    told = event in (Event.DROPPED, Event.LEFT)
    line.take(Happening(event, 99, s(50), "now", since_ns=s(40) if told else None))
    assert (line.state, line.start_ns, line.reason) == (then, since_ns, reason)


def test_a_first_connection_on_an_empty_date_is_no_gap() -> None:
    day = Day()
    day.start()
    day.attempt()
    day.connect()
    day.info()
    day.data()
    assert day.gaps == []
    assert day.history.lasting() == []


def test_a_first_connection_that_fails_is_a_gap_from_its_first_attempt_to_the_first_data() -> None:
    day = Day()
    day.start()
    day.at(5).attempt(2, since_ns=s(4), keys=[["NSE_EQ|A", "A", "full"], ["NSE_EQ|B", "B", "full"]])
    assert day.history.lasting() == [Gap(None, 2, s(4), None, "403", 2)]
    day.attempt(2)
    day.connect(1)
    day.data(1)
    day.at(20).connect(2, keys=2)
    day.info(2)
    assert day.gaps == []
    day.data(2)
    assert day.gaps == [Gap(day.seq, 2, s(4), s(22), "403", 2)]


def test_a_connection_never_opened_is_a_gap_until_the_goodbye_and_to_the_next_run() -> None:
    day = Day()
    day.start()
    day.at(5).attempt(1, since_ns=s(4), keys=[["NSE_EQ|A", "A", "full"]])
    day.at(9).close("the broker could not be reached")
    assert day.gaps == [Gap(3, 1, s(4), s(9), "403", 1)]
    day.at(30).start()
    day.connect(1, keys=1)
    day.data(1)
    assert day.gaps[1:] == [Gap(6, 1, s(9), s(32), "the broker could not be reached", 1)]


def test_a_run_that_could_not_begin_in_time_is_a_gap_since_then_or_since_the_run_before() -> None:
    day = Day()
    day.at(50).start()
    day.lost(since_ns=s(10))
    day.connect(keys=3)
    day.data()
    assert day.gaps == [Gap(4, 1, s(10), s(53), "unreachable", 3)]
    day.close("stopped")
    day.at(90).start()
    day.lost(since_ns=s(70))
    day.connect(keys=3)
    day.data()
    assert day.gaps[1:] == [Gap(9, 1, s(53), s(93), "stopped, then unreachable", 3)]


def test_a_drop_is_a_gap_from_the_last_message_to_the_first_data() -> None:
    day = running()
    day.at(100).data()
    day.at(105).drop()
    day.at(106).connect(keys=9)
    day.at(107).info()
    assert day.gaps == []
    assert day.history.lasting() == [Gap(None, 1, s(100), None, "connection reset by the broker", 7)]
    day.at(109).data()
    assert day.gaps == [Gap(day.seq, 1, s(100), s(109), "connection reset by the broker", 7)]
    assert day.history.lasting() == []


def test_failed_attempts_and_short_lived_connections_do_not_change_the_reason() -> None:
    day = running()
    day.at(100).data()
    day.drop(reason="no data for 60 s")
    day.attempt()
    day.connect()
    day.info()
    day.drop(reason="something else")
    day.connect()
    day.at(200).data()
    assert [(gap.start_ns, gap.end_ns, gap.reason) for gap in day.gaps] == [(s(100), s(200), "no data for 60 s")]


def test_connections_are_told_apart() -> None:
    day = running((1, 2))
    day.at(50).data(2)
    day.drop(2)
    day.data(1)
    assert day.gaps == []
    day.connect(2)
    day.at(60).data(2)
    assert [(gap.conn, gap.start_ns, gap.end_ns) for gap in day.gaps] == [(2, s(50), s(60))]


def test_the_time_after_a_goodbye_is_a_gap_only_when_another_run_comes() -> None:
    day = running()
    day.at(100).data()
    day.drop(reason="stopped")
    day.close()
    assert day.gaps == []
    assert day.history.lasting() == []
    assert day.abandoned() == []
    day.at(300).start()
    assert day.history.lasting() == [Gap(None, 1, s(100), s(300), STOPPED, 7)]
    day.connect()
    assert day.history.lasting() == [Gap(None, 1, s(100), None, STOPPED, 7)]
    day.at(310).data()
    assert day.gaps == [Gap(day.seq, 1, s(100), s(310), STOPPED, 7)]


def test_a_goodbye_without_a_disconnect_names_its_own_reason() -> None:
    day = running()
    day.at(100).data()
    day.close("planned end")
    day.start()
    day.connect()
    day.at(400).data()
    assert [(gap.start_ns, gap.end_ns, gap.reason) for gap in day.gaps] == [(s(100), s(400), "planned end")]


def test_a_connection_that_never_came_back_ends_its_gap_at_the_goodbye() -> None:
    day = running()
    day.at(100).data()
    day.drop()
    day.attempt()
    day.at(900).close("planned end")
    assert day.gaps == [Gap(day.seq, 1, s(100), s(900), "connection reset by the broker", 7)]
    assert day.abandoned() == []


def test_a_connection_that_the_next_run_does_not_have_was_missing_until_that_began() -> None:
    day = running((1, 2))
    day.close()
    day.start()
    day.connect(1)
    day.data(1)
    assert [gap.conn for gap in day.gaps] == [1]
    day.at(50).close()
    assert day.gaps[1:] == [Gap(day.seq, 2, s(4), s(6), STOPPED, 7)]


def test_a_run_that_cannot_begin_after_another_says_why_too() -> None:
    day = running()
    day.close("stopped")
    day.at(20).start()
    day.attempt(1, since_ns=s(20), keys=[["NSE_EQ|A", "A", "full"]])
    day.attempt(1)
    assert day.history.lasting() == [Gap(None, 1, s(2), None, "stopped, then 403", 7)]
    day.at(40).connect(1, keys=1)
    day.data(1)
    assert day.gaps == [Gap(day.seq, 1, s(2), s(41), "stopped, then 403", 7)]


def test_a_gap_counts_the_instruments_that_were_lost_not_those_that_came_after() -> None:
    day = running()
    day.close("stopped")
    day.at(20).start()
    day.connect(1, keys=2)
    day.data(1)
    day.drop()
    day.at(30).connect(1, keys=9)
    day.data(1)
    assert [gap.keys for gap in day.gaps] == [7, 2]


def test_a_run_without_a_goodbye_died() -> None:
    day = running()
    day.at(100).data()
    assert day.history.lasting() == []
    assert day.abandoned() == [(1, s(100), None, DIED, 7)]
    day.at(200).start()
    day.connect()
    day.at(203).data()
    assert day.gaps == [Gap(day.seq, 1, s(100), s(203), DIED, 7)]


def test_a_run_that_died_while_disconnected_keeps_the_first_reason() -> None:
    day = running()
    day.at(100).data()
    day.drop()
    day.attempt()
    day.at(200).start()
    day.connect()
    day.at(203).data()
    expected = [(s(100), s(203), "connection reset by the broker")]
    assert [(gap.start_ns, gap.end_ns, gap.reason) for gap in day.gaps] == expected


def test_a_hole_in_the_sequence_is_a_gap_of_its_own() -> None:
    day = running()
    day.at(100).data()
    day.seq += 10
    day.at(130).data()
    hole = Gap(15, 0, s(100), s(130), "journal damaged: entries 5 to 14 are lost", 7)
    assert day.gaps == [hole]


def test_a_clock_set_back_never_makes_an_interval_negative() -> None:
    day = running()
    day.at(100).data()
    day.drop()
    day.connect()
    day.at(40).data()
    assert [(gap.start_ns, gap.end_ns) for gap in day.gaps] == [(s(100), s(100))]


def test_data_that_ended_before_its_date_began_is_missing_from_midnight_on() -> None:
    midnight = from_datetime(dt.datetime(2026, 11, 23, tzinfo=IST))
    line = Line(1, s(10), 7, State.OPEN)
    line.take(Happening(Event.DROPPED, 99, s(50), "now", since_ns=midnight - SECOND))
    assert line.start_ns == midnight


def test_a_first_attempt_that_is_under_way_when_the_run_ends_is_a_gap() -> None:
    day = Day()
    day.start()
    day.wanted(1, keys=3)
    assert day.history.lasting() == []
    day.at(40).close("stopped")
    assert day.gaps == [Gap(3, 1, s(1), s(40), UNOPENED, 3)]


def test_a_connection_that_was_lost_as_the_run_died_and_that_the_next_one_does_not_have_keeps_its_gap() -> None:
    day = running((1, 2))
    day.at(100).data(2)
    day.drop(2)
    day.attempt(2)
    day.at(200).data(1)
    day.at(300).start()
    day.wanted(1)
    day.connect(1)
    day.at(310).data(1)
    assert day.history.lasting() == [Gap(None, 2, s(100), s(300), "connection reset by the broker", 7)]
    assert day.abandoned()[1:] == [(2, s(100), s(300), "connection reset by the broker", 7)]
    day.at(400).close("planned end")
    assert [gap[1:5] for gap in day.gaps] == [
        (1, s(200), s(310), DIED),
        (2, s(100), s(300), "connection reset by the broker"),
    ]
    assert day.history.lasting() == []


def test_a_connection_lost_shortly_before_the_goodbye_is_a_gap_until_then_without_any_attempt() -> None:
    day = running()
    day.at(100).data()
    day.at(101).drop()
    day.at(135).close("planned end")
    assert day.gaps == [Gap(day.seq, 1, s(100), s(135), "connection reset by the broker", 7)]


def test_what_turned_out_to_be_missing_after_the_date_was_left_is_a_gap() -> None:
    day = running()
    day.close("midnight")
    day.note(1, "missed", reason="no answer to pings", since_ns=s(2), until_ns=s(9), keys=7)
    assert day.gaps == [Gap(day.seq, 1, s(2), s(9), "no answer to pings", 7)]


# Random days


@dataclass
class Run:
    """One run of a recorder: which connections it has, and what happens to each second by second."""

    begin: int
    happened: dict[int, list[tuple[int, str]]]
    goodbye: int | None = None
    """None: it died."""


def play(seed: int) -> tuple[Day, list[Run]]:
    """A random day: its entries fed to the fold, and the same as plain lists."""
    chance, day, runs = random.Random(seed), Day(), []
    for _ in range(chance.randint(1, 4)):
        conns = chance.sample([1, 2, 3], chance.randint(1, 3))
        run = Run(day.second, {conn: [] for conn in conns})
        runs.append(run)
        day.start()
        opened: set[int] = set()
        for conn in conns[: chance.choice((0, 9, 9, 9))]:  # it may die at once
            run.happened[conn].append((day.second, "wanted"))
            day.wanted(conn)
        for conn in chance.choices(conns, k=chance.randint(0, 40) if run.happened[conns[0]] else 0):
            closed, open_ = ["attempt", "connect", "connect"], ["data", "data", "data", "info", "drop"]
            step = chance.choice(open_ if conn in opened else closed)
            run.happened[conn].append((day.second, step))
            getattr(day, step)(conn)
            opened = opened | {conn} if step == "connect" else opened - {conn} if step == "drop" else opened
            day.second += chance.randint(0, 3)
        if chance.random() < 0.6:
            for conn in opened:
                day.drop(conn, reason="stopped")
            run.goodbye = day.second
            day.close("planned end")
        day.second += chance.randint(0, 20)
    return day, runs


def missing(conn: int, runs: list[Run]) -> list[tuple[int, int | None]]:
    """The gaps of a connection over all runs, without states: since when data is missing, and until when."""
    gaps: list[tuple[int, int | None]] = []
    since = passed = heard = None
    for run in runs:
        happened = run.happened.get(conn) or []
        if not happened:
            if since is not None:
                passed = run.begin
                if run.goodbye is not None:
                    gaps.append((since, run.begin))
                    since = None
            continue
        passed, heard, first = None, None, happened[0][0]
        for second, what in happened:
            if what == "data" and since is not None:
                gaps.append((since, second))
                since = None
            if what == "attempt" and since is heard is None:
                since = first
            if what in ("connect", "data", "info"):
                heard = second if since is None else None
            if what == "drop" and since is None:
                since, heard = heard, None
        if run.goodbye is not None and heard is None:
            gaps.append((first if since is None else since, run.goodbye))
            since = run.goodbye
        elif since is None:
            since = first if heard is None else heard
    if since is not None and runs[-1].goodbye is None:
        gaps.append((since, passed))
    return gaps


@pytest.mark.parametrize("seeds", [range(each, each + 50) for each in range(0, 500, 50)], ids=str)
def test_the_gaps_of_random_days_are_those_of_a_plain_model(seeds: range) -> None:
    for seed in seeds:
        day, runs = play(seed)
        found = [(gap.conn, gap.start_ns, gap.end_ns) for gap in day.gaps] + [each[:3] for each in day.abandoned()]
        for conn in (1, 2, 3):
            expected = [(s(start), None if end is None else s(end)) for start, end in missing(conn, runs)]
            assert [(start, end) for each, start, end in found if each == conn] == expected, f"seed {seed}"


def test_the_fold_continues_from_its_text_at_any_entry() -> None:
    def until(cut: int) -> tuple[list[Gap], object]:
        day = Day()
        steps = [day.start, day.wanted, day.connect, day.data, day.drop, day.attempt, day.connect, day.info, day.data]
        steps += [day.close, day.start, day.wanted, day.connect, day.data, day.start, day.connect, day.data, day.drop]
        for number, step in enumerate(steps):
            if number == cut:
                day.history = History.from_text(day.history.to_text())
            step()
        return day.gaps, day.abandoned()

    whole = until(-1)
    assert len(whole[0]) == 3
    assert [until(cut) for cut in range(18)] == [whole] * 18
