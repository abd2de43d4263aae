import datetime as dt
from collections.abc import Callable
from typing import Any

from tickrec import schema
from tickrec.journal.entry import Entry, EntryKind, encode_facts
from tickrec.journal.gaps import DIED
from tickrec.journal.history import History, Tables

A, B, C = "NSE_EQ|A", "NSE_EQ|B", "NSE_EQ|C"


def at(second: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(second, dt.UTC)


class Day:
    def __init__(self) -> None:
        self.ledger = History()
        self.rows: dict[str, list[dict[str, Any]]] = {
            "gaps": [],
            "connections": [],
            "subscriptions": [],
            "sessions": [],
        }
        self.seq = 0

    def feed(self, second: int, kind: EntryKind, conn: int, answered: tuple[str, ...] = (), **facts: object) -> None:
        self.seq += 1
        entry = Entry(kind, conn, second * 1_000_000_000, 0, encode_facts(**facts), seq=self.seq)
        self.ledger.feed(entry, kind is EntryKind.MESSAGE, answered)

    def take(self) -> dict[str, list[dict[str, Any]]]:
        for name, table in self.ledger.take().items():
            assert table.schema.equals(schema.SMALL_TABLES[name], check_metadata=True)
            self.rows[name] += table.to_pylist()
        return self.rows

    def connect(self, second: int, conn: int = 1, keys: int = 2) -> None:
        self.feed(second, EntryKind.CONNECTED, conn, host="h", attempt=1, keys=keys)

    def ask(self, second: int, *keys: str, mode: str = "full", conn: int = 1) -> None:
        self.feed(second, EntryKind.SUBSCRIBED, conn, mode=mode, keys=[[key, key[-1]] for key in keys])

    def message(self, second: int, *answered: str, conn: int = 1) -> None:
        self.feed(second, EntryKind.MESSAGE, conn, answered)


def rows(tables: Tables) -> dict[str, list[dict[str, Any]]]:
    return {name: table.to_pylist() for name, table in tables.items()}


def test_a_connection_settles_when_it_ends() -> None:
    day = Day()
    day.connect(10)
    day.ask(11, A, B)
    day.message(12, A, B)
    day.message(13)
    assert day.take()["connections"] == []
    assert rows(day.ledger.open_rows())["connections"] == [
        {
            "seq": None,
            "conn": 1,
            "opened_ts": at(10),
            "closed_ts": None,
            "close_code": None,
            "reason": None,
            "messages": 2,
            "keys": 2,
        }
    ]
    day.feed(14, EntryKind.DISCONNECTED, 1, code=1001, reason="going away")
    assert day.take()["connections"] == [
        {
            "seq": 5,
            "conn": 1,
            "opened_ts": at(10),
            "closed_ts": at(14),
            "close_code": 1001,
            "reason": "going away",
            "messages": 2,
            "keys": 2,
        }
    ]
    assert rows(day.ledger.open_rows())["connections"] == []


def test_a_key_is_answered_by_the_first_message_that_says_something_about_it() -> None:
    day = Day()
    day.connect(10)
    day.ask(11, A, B)
    assert day.ledger.silent() == {A, B}
    day.message(12, B)
    day.message(13, B, A)
    assert [(row["seq"], row["instrument_key"], row["answered_ts"]) for row in day.take()["subscriptions"]] == [
        (3, B, at(12)),
        (4, A, at(13)),
    ]
    assert day.rows["subscriptions"][0] == {
        "seq": 3,
        "conn": 1,
        "instrument_key": B,
        "symbol": "B",
        "mode": "full",
        "asked_ts": at(11),
        "answered_ts": at(12),
        "followed": False,
    }
    assert day.ledger.silent() == set()


def test_a_silent_key_keeps_its_first_time_of_asking_and_settles_with_its_connection() -> None:
    day = Day()
    day.connect(10)
    day.ask(11, A, B)
    day.message(12, A)
    day.ask(13, B, mode="ltpc")
    assert day.ledger.silent() == {B}
    assert [row["answered_ts"] for row in rows(day.ledger.open_rows())["subscriptions"]] == [None]
    day.feed(20, EntryKind.DISCONNECTED, 1, code=1006, reason="reset")
    last = day.take()["subscriptions"][-1]
    assert (last["seq"], last["instrument_key"], last["mode"]) == (5, B, "ltpc")
    assert (last["asked_ts"], last["answered_ts"]) == (at(11), None)
    assert day.rows["connections"][0]["keys"] == 2


def test_keys_that_could_not_be_asked_for_settle_as_silent_with_the_run() -> None:
    day = Day()
    wanted = [[A, "A", "full"], [B, "B", "full"]]
    day.feed(10, EntryKind.NOTE, 2, event="attempt", reason="403", retry_s=1, since_ns=9_000_000_000, keys=wanted)
    day.feed(11, EntryKind.NOTE, 2, event="attempt", reason="403", retry_s=2)
    assert day.ledger.silent() == set()
    day.ledger = History.from_text(day.ledger.to_text())
    opened = rows(day.ledger.open_rows())["subscriptions"]
    assert [(row["instrument_key"], row["asked_ts"], row["answered_ts"]) for row in opened] == [
        (A, None, None),
        (B, None, None),
    ]
    day.feed(12, EntryKind.CLOSED, 0, reason="stopped")
    settled = day.take()["subscriptions"]
    assert [tuple(row.values()) for row in settled] == [
        (3, 2, A, "A", "full", None, None, False),
        (3, 2, B, "B", "full", None, None, False),
    ]
    assert rows(day.ledger.open_rows())["subscriptions"] == []


def test_keys_asked_for_at_last_count_like_all_others() -> None:
    day = Day()
    day.feed(10, EntryKind.NOTE, 1, event="attempt", reason="403", retry_s=1, since_ns=9, keys=[[A, "A", "full"]])
    day.connect(11)
    day.ask(12, A)
    day.message(13, A)
    day.feed(14, EntryKind.CLOSED, 0, reason="stopped")
    (row,) = day.take()["subscriptions"]
    assert (row["asked_ts"], row["answered_ts"]) == (at(12), at(13))


def test_what_is_added_to_an_open_connection_is_a_subscription_of_its_own() -> None:
    day = Day()
    day.feed(9, EntryKind.NOTE, 1, event="wanted", keys=[[A, "A", "full"]])
    day.connect(10, keys=1)
    day.ask(11, A)
    day.message(12, A)
    day.feed(20, EntryKind.NOTE, 1, event="added", keys=[[B, "B", "full"]], followed=[B])
    (waiting,) = rows(day.ledger.open_rows())["subscriptions"]
    assert (waiting["instrument_key"], waiting["asked_ts"], waiting["followed"]) == (B, None, True)
    day.feed(21, EntryKind.SUBSCRIBED, 1, mode="full", keys=[[B, "B"]], followed=[B])
    day.take()
    day.ledger = History.from_text(day.ledger.to_text())
    assert day.ledger.followed == {B}
    day.message(22, A, B)
    day.feed(30, EntryKind.DISCONNECTED, 1, code=1006, reason="gone")
    found = day.take()
    assert [
        (row["instrument_key"], row["asked_ts"], row["answered_ts"], row["followed"]) for row in found["subscriptions"]
    ] == [
        (A, at(11), at(12), False),
        (B, at(21), at(22), True),
    ]
    assert day.ledger.lasting()[0].keys == 2


def test_what_is_added_to_a_lost_connection_waits_for_the_next() -> None:
    day = Day()
    day.connect(10, keys=1)
    day.ask(11, A)
    day.message(12, A)
    day.feed(13, EntryKind.DISCONNECTED, 1, code=1006, reason="gone")
    day.feed(20, EntryKind.NOTE, 1, event="added", keys=[[B, "B", "full"]])
    day.feed(21, EntryKind.NOTE, 1, event="added", keys=[[C, "C", "full"]])
    day.feed(30, EntryKind.CLOSED, 0, reason="stopped")
    settled = day.take()["subscriptions"][1:]
    assert [(row["instrument_key"], row["asked_ts"], row["answered_ts"]) for row in settled] == [
        (B, None, None),
        (C, None, None),
    ]


def test_an_answer_on_another_connection_does_not_count() -> None:
    day = Day()
    day.connect(10, conn=1)
    day.connect(10, conn=2)
    day.ask(11, A, conn=1)
    day.message(12, A, conn=2)
    assert day.take()["subscriptions"] == []
    assert day.ledger.silent() == {A}


def test_a_goodbye_settles_what_lives() -> None:
    day = Day()
    day.connect(10)
    day.ask(11, A)
    day.feed(15, EntryKind.CLOSED, 0, reason="planned end")
    taken = day.take()
    assert [(row["seq"], row["closed_ts"], row["reason"]) for row in taken["connections"]] == [
        (3, at(15), "planned end")
    ]
    assert [row["answered_ts"] for row in taken["subscriptions"]] == [None]


def test_a_run_that_died_settles_at_its_last_message_when_the_next_begins() -> None:
    day = Day()
    day.feed(9, EntryKind.NOTE, 0, event="start")
    day.connect(10)
    day.message(12)
    day.feed(100, EntryKind.NOTE, 0, event="start")
    row = day.take()["connections"][0]
    assert (row["seq"], row["closed_ts"], row["close_code"], row["reason"]) == (4, at(12), 1006, DIED)
    day.connect(101)
    day.message(102)
    assert [(gap["seq"], gap["start_ts"], gap["end_ts"], gap["reason"]) for gap in day.take()["gaps"]] == [
        (6, at(12), at(102), DIED)
    ]


def test_a_date_that_nobody_works_on_any_more_has_no_living_connection() -> None:
    day = Day()
    day.feed(9, EntryKind.NOTE, 0, event="start")
    day.connect(10)
    day.ask(11, A)
    day.message(12)
    last = rows(day.ledger.last_rows())
    assert [(row["seq"], row["closed_ts"], row["reason"]) for row in last["connections"]] == [(None, at(12), DIED)]
    assert [(row["seq"], row["start_ts"], row["end_ts"]) for row in last["gaps"]] == [(None, at(12), None)]
    assert [(row["seq"], row["answered_ts"]) for row in last["subscriptions"]] == [(None, None)]


def test_symbols_are_those_of_the_subscriptions() -> None:
    day = Day()
    day.connect(10)
    day.ask(11, A, B)
    day.feed(12, EntryKind.SUBSCRIBED, 1, mode="full", keys=[["NSE_EQ|X", None]])
    assert day.ledger.symbols == {A: "A", B: "B"}


def test_the_fold_continues_from_its_text_at_any_entry() -> None:
    def play(cut: int) -> tuple[dict[str, list[dict[str, Any]]], object, object]:
        day = Day()
        steps: list[Callable[[], None]] = [
            lambda: day.feed(1, EntryKind.NOTE, 0, event="start"),
            lambda: day.connect(10),
            lambda: day.ask(11, A, B),
            lambda: day.message(12, A),
            lambda: day.feed(13, EntryKind.DISCONNECTED, 1, code=1000, reason="x"),
            lambda: day.connect(14),
            lambda: day.ask(15, A, B),
            lambda: day.message(16, B),
            lambda: day.feed(20, EntryKind.NOTE, 0, event="start"),
            lambda: day.connect(21),
            lambda: day.ask(22, B),
        ]
        for number, step in enumerate(steps):
            if number == cut:
                day.take()
                day.ledger = History.from_text(day.ledger.to_text())
            step()
        return day.take(), rows(day.ledger.open_rows()), day.ledger.symbols

    whole = play(-1)
    assert [len(whole[0][name]) for name in ("gaps", "connections", "subscriptions")] == [1, 2, 4]
    assert [play(cut) for cut in range(11)] == [whole] * 11


def test_an_empty_text_is_the_start_of_a_date() -> None:
    assert History.from_text("").to_text() == History().to_text()


def test_the_sessions_of_a_date_are_rows_whenever_they_are_told() -> None:
    day = Day()
    first = [["NSE_EQ", 10 * 10**9, 20 * 10**9, "holidays"], ["NSE_FO", 10 * 10**9, 21 * 10**9, "holidays"]]
    later = [["NSE_EQ", 10 * 10**9, 30 * 10**9, "timings"]]
    day.feed(1, EntryKind.NOTE, 0, event="sessions", sessions=first)
    told = [tuple(row.values()) for row in day.take()["sessions"]]
    assert told == [(1, name, at(10), at(end), "holidays") for name, end in (("NSE_EQ", 20), ("NSE_FO", 21))]
    day.feed(2, EntryKind.NOTE, 0, event="sessions", sessions=later)
    assert tuple(day.take()["sessions"][-1].values()) == (2, "NSE_EQ", at(10), at(30), "timings")
    assert rows(day.ledger.open_rows())["sessions"] == rows(day.ledger.last_rows())["sessions"] == []
