"""What was not recorded of an instrument's session: by hand, and against a second-by-second model of random days."""

import datetime as dt
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pytest

from tests import days
from tests.query.fixtures import Row, answer, at, tick, write_sealed
from tickrec.clock import IST, from_datetime
from tickrec.query.missing import ENDED, GAP, NEVER, NOT_YET, STALE
from tickrec.query.session import Session
from tickrec.store.paths import Store

KEY = "NSE_EQ|A"
OTHER = "NSE_EQ|B"
Interval = tuple[str, str, str]
"""Begin, end, why."""


def asked(seq: int, time: str | None, answered: str | None, *, key: str = KEY, conn: int = 1) -> Row:
    return {
        "seq": seq,
        "conn": conn,
        "instrument_key": key,
        "symbol": key[-1],
        "mode": "full",
        "asked_ts": time and at(time),
        "answered_ts": answered and at(answered),
    }


def connected(seq: int, opened: str, closed: str | None, *, conn: int = 1) -> Row:
    row = {"seq": seq, "conn": conn, "opened_ts": at(opened), "closed_ts": closed and at(closed)}
    return row | {"close_code": 1006, "reason": "lost", "messages": 1, "keys": 1}


def gap(seq: int, start: str, end: str | None, *, conn: int = 1) -> Row:
    row = {"seq": seq, "conn": conn, "start_ts": at(start), "end_ts": end and at(end)}
    return row | {"reason": "connection reset", "keys": 1}


def session(seq: int, start: str = "09:15", end: str = "15:30", segment: str = "NSE_EQ") -> Row:
    return {"seq": seq, "segment": segment, "start_ts": at(start), "end_ts": at(end), "source": "timings"}


def write(
    store: Store, *, sessions: Iterable[Row] | None = None, ticks: Iterable[Row] = (), **tables: Sequence[Row]
) -> None:
    found = [session(1)] if sessions is None else list(sessions)
    write_sealed(store, days.DATE, {"ticks": list(ticks), "sessions": found, **tables})


def missing_of_all(asking: Session) -> dict[str, list[Interval]]:
    found = defaultdict(list)
    for row in answer(asking, "FROM missing"):
        found[row["instrument_key"]].append((clock(row["start_ts"]), clock(row["end_ts"]), row["why"]))
    return found


def missing(asking: Session, key: str = KEY) -> list[Interval]:
    return missing_of_all(asking)[key]


def missing_at(store: Store, now: str) -> list[Interval]:
    """What was missing of KEY at a time."""
    with Session(store, now_ns=from_datetime(at(now))) as asking:
        return missing(asking)


def clock(moment: dt.datetime) -> str:
    """`10:00`, with seconds where there are some."""
    return moment.astimezone(IST).time().isoformat().removesuffix(":00")


RECORDED = {"connections": [connected(9, "09:00", "15:45")], "subscriptions": [asked(2, "09:00", "09:00:01")]}


def test_nothing_is_missing_of_a_day_that_was_recorded_whole(asking: Session) -> None:
    write(asking.store, **RECORDED)
    assert missing(asking) == []


def test_of_one_date_each_table_is_read_once_and_no_other_date(asking: Session) -> None:
    write(asking.store, **RECORDED)
    write_sealed(asking.store, days.DATE - dt.timedelta(days=1), {"ticks": []})
    plan = str(answer(asking, f"EXPLAIN FROM missing WHERE date = '{days.DATE}'"))
    assert plan.count("READ_PARQUET") == plan.count("Scanning Files: 1/2") == 5


def test_a_late_start_and_an_early_end_are_missing(asking: Session) -> None:
    write(
        asking.store,
        connections=[connected(9, "09:31", "15:02")],
        subscriptions=[asked(2, "09:31:08", "09:31:10")],
    )
    assert missing(asking) == [("09:15", "09:31:10", NOT_YET), ("15:02", "15:30", ENDED)]


def test_a_gap_is_missing_of_every_key_of_its_connection(asking: Session) -> None:
    """From where it begins, before the websocket was closed, to the first data; what answers then is back then."""
    write(
        asking.store,
        connections=[
            connected(8, "09:00", "10:00:20"),
            connected(9, "10:00:25", "15:45"),
            connected(9, "09:00", "15:45", conn=2),
        ],
        subscriptions=[
            asked(2, "09:00", "09:00:01"),
            asked(3, "10:00:25", "10:00:27"),
            asked(2, "09:00", "09:00:01", key=OTHER, conn=2),
        ],
        gaps=[gap(5, "10:00:05", "10:00:26")],
    )
    assert missing(asking) == [("10:00:05", "10:00:26", GAP)]
    assert missing(asking, OTHER) == []


def test_a_key_that_does_not_answer_again_is_missing_after_the_gap(asking: Session) -> None:
    write(
        asking.store,
        connections=[
            connected(8, "09:00", "10:00:20"),
            connected(9, "10:00:25", "11:00"),
            connected(9, "11:00:10", "15:45"),
        ],
        subscriptions=[asked(2, "09:00", "09:00:01"), asked(9, "10:00:25", None), asked(9, "11:00:10", "11:02")],
        gaps=[gap(5, "10:00:05", "10:00:26"), gap(5, "11:00", "11:00:12")],
    )
    assert missing(asking) == [
        ("10:00:05", "10:00:26", GAP),
        ("10:00:26", "11:00", NOT_YET),
        ("11:00", "11:00:12", GAP),
        ("11:00:12", "11:02", NOT_YET),
    ]


def test_a_key_that_never_answers_is_missing_all_day(asking: Session) -> None:
    write(asking.store, connections=[connected(9, "09:00", "15:45")], subscriptions=[asked(2, "09:00", None)])
    assert missing(asking) == [("09:15", "15:30", NEVER)]


def test_a_connection_that_was_never_opened_is_a_gap_of_its_keys(asking: Session) -> None:
    write(asking.store, subscriptions=[asked(9, None, None)], gaps=[gap(9, "09:10", "14:00")])
    assert missing(asking) == [("09:15", "14:00", GAP), ("14:00", "15:30", NEVER)]


def test_entries_that_the_journal_lost_are_missing_of_every_key(asking: Session) -> None:
    write(asking.store, **RECORDED, gaps=[gap(5, "12:00", "12:01", conn=0)])
    assert missing(asking) == [("12:00", "12:01", GAP)]


def test_a_key_that_the_next_run_has_on_another_connection_is_followed_there(asking: Session) -> None:
    """Gaps count while a key is on their connection."""
    write(
        asking.store,
        connections=[
            connected(8, "09:00", "10:00"),
            connected(9, "10:05", "15:45", conn=2),
            connected(9, "10:05", "15:45"),
        ],
        subscriptions=[asked(2, "09:00", "09:00:01"), asked(7, "10:05", "10:05:02", conn=2)],
        gaps=[gap(6, "10:00", "10:05:01"), gap(5, "09:30", "09:40", conn=2), gap(7, "14:00", "14:01", conn=2)],
    )
    assert missing(asking) == [("10:00", "10:05", GAP), ("10:05", "10:05:02", NOT_YET), ("14:00", "14:01", GAP)]


def test_a_run_that_died_is_a_gap_until_the_end(asking: Session) -> None:
    write(
        asking.store,
        connections=[connected(8, "09:00", "13:00")],
        subscriptions=[asked(2, "09:00", "09:00:01")],
        gaps=[gap(8, "13:00", None)],
    )
    assert missing(asking) == [("13:00", "15:30", GAP)]


def test_of_a_day_that_goes_on_nothing_is_missing_after_now(asking: Session) -> None:
    late = {"connections": [connected(9, "09:31", None)], "subscriptions": [asked(2, "09:31:08", "09:31:10")]}
    write(asking.store, **late)
    assert missing_at(asking.store, now="09:10") == []
    assert missing_at(asking.store, now="09:20") == [("09:15", "09:20", NOT_YET)]
    assert missing_at(asking.store, now="10:00") == [("09:15", "09:31:10", NOT_YET)]


def test_the_sessions_are_those_that_were_told_last(asking: Session) -> None:
    moved = [session(1), session(4, "09:15", "11:00"), session(4, "13:00", "14:00")]
    write(
        asking.store,
        sessions=moved,
        connections=[connected(9, "09:00", "10:59")],
        subscriptions=[asked(2, "09:00", "09:00:01")],
    )
    assert missing(asking) == [("10:59", "11:00", ENDED), ("13:00", "14:00", ENDED)]


def test_the_calendar_stands_in_where_no_session_was_told(asking: Session) -> None:
    write(
        asking.store,
        sessions=[],
        connections=[connected(9, "09:00", "15:00")],
        subscriptions=[asked(2, "09:00", "09:00:01")],
    )
    assert missing(asking) == [("15:00", "15:30", ENDED)]


# Stale instruments


def ticks(times: Iterable[dt.datetime], key: str, first_seq: int, *, volume: int | None = 1000) -> list[Row]:
    """Ticks at these times; each shows one trade of 10 units more."""
    found = []
    for number, moment in enumerate(times):
        row = tick(first_seq + 2 * number, "09:15", key=key, symbol=key[-1], recv_ts=moment)
        found.append(row | ({} if volume is None else {"vtt": volume + 10 * number, "ltq": 10}))
    return found


def every(seconds: float, *spans: tuple[str, str]) -> list[dt.datetime]:
    """Moments so many seconds apart within the spans, both ends included."""
    found = []
    for start, end in spans:
        moment = at(start)
        while moment <= at(end):
            found.append(moment)
            moment += dt.timedelta(seconds=seconds)
    return found


def write_ticked(store: Store, rows: list[Row]) -> None:
    keys = sorted({row["instrument_key"] for row in rows})
    write(
        store,
        ticks=rows,
        sessions=[session(1, "10:20", "11:40")],
        connections=[connected(9, "09:00", "15:45")],
        subscriptions=[asked(2, "09:00", "09:00:01", key=key) for key in keys],
    )


LIVELY = every(10, ("10:20:01", "11:39:59"))


def test_one_that_stops_while_it_traded_and_others_tick_is_stale(asking: Session) -> None:
    mine = every(10, ("10:20:01", "11:02:01"), ("11:09", "11:39:58"))
    rows = ticks(mine, KEY, 1)
    for row in rows[-len(every(10, ("11:09", "11:39:58"))) :]:
        row["vtt"] += 41_200
    write_ticked(asking.store, [*rows, *ticks(LIVELY, OTHER, 2)])
    assert missing(asking) == [("11:02:01", "11:09", STALE)]
    assert missing(asking, OTHER) == []


def test_one_that_did_not_trade_meanwhile_is_not(asking: Session) -> None:
    mine = every(10, ("10:20:01", "11:02:01"), ("11:09", "11:39:58"))
    write_ticked(asking.store, [*ticks(mine, KEY, 1), *ticks(LIVELY, OTHER, 2)])
    assert missing(asking) == []


def test_an_index_has_only_its_rhythm(asking: Session) -> None:
    mine = every(10, ("10:20:01", "11:02:01"), ("11:09", "11:39:58"))
    write_ticked(asking.store, [*ticks(mine, KEY, 1, volume=None), *ticks(LIVELY, OTHER, 2)])
    assert missing(asking) == [("11:02:01", "11:09", STALE)]


def test_when_the_whole_connection_was_mute_nobody_is_stale(asking: Session) -> None:
    spans = ("10:20:01", "11:02:01"), ("11:22:07", "11:39:58")
    rows = [*ticks(every(10, *spans), KEY, 1, volume=None), *ticks(every(10, *spans), OTHER, 2, volume=None)]
    write_ticked(asking.store, rows)
    assert missing(asking) == missing(asking, OTHER) == []


def test_it_is_its_own_rhythm_that_counts(asking: Session) -> None:
    cases = {
        "19 times its spacing": (10, 190, False),
        "21 times": (10, 215, True),
        "29 seconds": (1, 29, False),
        "32 seconds": (1, 32, True),
        "too seldom to tell": (100, 2100, False),
    }
    rows = ticks(LIVELY, OTHER, 2)
    for name, (spacing, silence, _) in cases.items():
        resumed = at("11:00") + dt.timedelta(seconds=silence)
        later = [moment for moment in every(10, ("11:00", "11:39:58")) if moment > resumed]
        rows += ticks([*every(spacing, ("10:30", "11:00")), resumed, *later], name, 1, volume=None)
    write_ticked(
        asking.store, [row | {"instrument_key": f"NSE_EQ|{row['instrument_key'].split('|')[-1]}"} for row in rows]
    )
    found = missing_of_all(asking)
    for name, (_, _, stale) in cases.items():
        assert [why for _, _, why in found[f"NSE_EQ|{name}"]] == [STALE] * stale, name


def test_one_that_never_ticks_again_is_stale_to_the_end_and_a_snapshot_is_no_tick(asking: Session) -> None:
    mine = ticks(every(10, ("10:20:01", "11:00:01")), KEY, 1)
    shown = tick(10**5 + 1, "11:20", key=KEY, snapshot=True, vtt=10**6, ltq=1)
    write_ticked(asking.store, [*mine, shown, *ticks(LIVELY, OTHER, 2)])
    assert missing(asking) == [("11:00:01", "11:40", STALE)]
    assert missing_at(asking.store, now="11:01:20") == []
    assert missing_at(asking.store, now="11:10") == [("11:00:01", "11:10", STALE)]

    shown["vtt"] = mine[-1]["vtt"]
    write_ticked(asking.store, [*mine, shown, *ticks(LIVELY, OTHER, 2)])
    assert missing(asking) == [], "the snapshot says that nothing was traded"


def test_a_gap_in_a_stale_time_is_a_gap(asking: Session) -> None:
    mine = ticks(every(10, ("10:20:01", "11:02:01"), ("11:30", "11:39:58")), KEY, 1, volume=None)
    others = ticks(every(10, ("10:20:01", "11:10"), ("11:11", "11:39:59")), OTHER, 2)
    write(
        asking.store,
        ticks=[*mine, *others],
        sessions=[session(1, "10:20", "11:40")],
        connections=[connected(8, "09:00", "11:10:01"), connected(9, "11:10:55", "15:45")],
        subscriptions=[
            asked(s, t, a, key=key)
            for key in (KEY, OTHER)
            for s, t, a in ((2, "09:00", "09:00:01"), (9, "11:10:56", "11:11"))
        ],
        gaps=[gap(8, "11:10", "11:11")],
    )
    assert missing(asking) == [("11:02:01", "11:10", STALE), ("11:10", "11:11", GAP), ("11:11", "11:30", STALE)]


# Random days


class Websocket(NamedTuple):
    conn: int
    opened: int
    closed: int
    asked: dict[str, tuple[int, int | None]]
    """When each key was asked for, and answered."""


KEYS = ("NSE_EQ|A", "NSE_EQ|B", "NSE_EQ|C")


def second(number: int) -> str:
    return (dt.datetime.combine(days.DATE, dt.time(9)) + dt.timedelta(seconds=number)).time().isoformat()


def random_day(rng: random.Random) -> tuple[list[Websocket], list[tuple[int, int, int]]]:
    """Websockets of two connections in the first half hour, one after the other, and the gaps between them."""
    sockets, gaps = [], []
    for conn, keys in ((1, KEYS[:2]), (2, KEYS[2:])):
        now, lost = rng.randrange(1200), None
        while now < 1700:
            asked_at = now + rng.randrange(3)
            first = asked_at + rng.randrange(1, 20)
            closed = first + rng.randrange(40, 700)
            answers = {key: (asked_at, rng.choice([first, first, first + 1, first + 30, None])) for key in keys}
            sockets.append(Websocket(conn, now, closed, answers))
            if lost is not None:
                gaps.append((conn, lost, first))
            lost = closed - rng.randrange(10)
            now = closed + rng.randrange(1, 300)
            if rng.random() < 0.2:  # a hole in a websocket's life
                hole = rng.randrange(first, lost)
                gaps.append((conn, hole, rng.randrange(hole, lost) + 1))
    return sockets, gaps


def model(sockets: Sequence[Websocket], gaps: Sequence[tuple[int, int, int]], key: str, conn: int) -> list[str | None]:
    """Why each second of the session, 09:05 to 09:35, is missing."""
    mine = [each for each in sockets if key in each.asked]
    answers = [answered for each in mine if (answered := each.asked[key][1]) is not None]
    recorded: set[int] = set()
    for each in mine:
        begin = each.asked[key][1]
        if begin is not None:
            back = [end for on, _, end in gaps if on == conn and end <= begin]
            begin = max(back) if back and begin - max(back) < 2 else begin
            recorded.update(range(begin, each.closed))
    lost = {now for on, start, end in gaps if on == conn for now in range(start, end)}
    found: list[str | None] = []
    for now in range(300, 2100):
        if now in lost:
            found.append(GAP)
        elif now in recorded:
            found.append(None)
        elif not answers:
            found.append(NEVER)
        else:
            found.append(NOT_YET if any(later > now for later in recorded) else ENDED)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_random_days_are_as_the_model_says(asking: Session, seed: int) -> None:
    sockets, gaps = random_day(random.Random(seed))
    write(
        asking.store,
        sessions=[session(1, "09:05", "09:35")],
        connections=[connected(9, second(each.opened), second(each.closed), conn=each.conn) for each in sockets],
        subscriptions=[
            asked(2, second(begin), None if answered is None else second(answered), key=key, conn=each.conn)
            for each in sockets
            for key, (begin, answered) in each.asked.items()
        ],
        gaps=[gap(5, second(start), second(end), conn=conn) for conn, start, end in gaps],
    )
    found = missing_of_all(asking)
    for key, conn in zip(KEYS, (1, 1, 2), strict=True):
        expected = model(sockets, gaps, key, conn)
        told: list[str | None] = [None] * len(expected)
        for begin, end, why in found[key]:
            whole = [int((at(text) - at("09:05")).total_seconds()) for text in (begin, end)]
            assert told[whole[0] : whole[1]] == [None] * (whole[1] - whole[0])
            told[whole[0] : whole[1]] = [why] * (whole[1] - whole[0])
        assert told == expected, key


def test_a_key_that_was_followed_is_missing_from_when_it_was_asked_for(asking: Session) -> None:
    write(
        asking.store,
        connections=[connected(9, "09:00", "15:45")],
        subscriptions=[asked(2, "11:00", "11:00:02") | {"followed": True}, asked(2, "09:00", "09:00:01", key=OTHER)],
    )
    assert missing(asking) == [("11:00", "11:00:02", NOT_YET)]
    assert missing_at(asking.store, now="10:00") == []
