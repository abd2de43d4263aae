import json

from tickrec.journal.entry import Entry, EntryKind, encode_facts
from tickrec.journal.gaps import DIED, STOPPED, Gap, Outages


class Day:
    """Entries of one date, one second apart unless told."""

    def __init__(self) -> None:
        self.outages = Outages()
        self.gaps: list[Gap] = []
        self.seq = 0
        self.second = 0

    def at(self, second: int) -> "Day":
        self.second = second
        return self

    def _feed(self, kind: EntryKind, conn: int, payload: bytes, data: bool = False) -> None:
        self.seq += 1
        entry = Entry(kind, conn, self.second * 1_000_000_000, self.second, payload, seq=self.seq)
        self.second += 1
        self.gaps += self.outages.feed(entry, data)

    def start(self) -> None:
        self._feed(EntryKind.NOTE, 0, encode_facts(event="start"))

    def attempt(self, conn: int = 1, **facts: object) -> None:
        self._feed(EntryKind.NOTE, conn, encode_facts(event="attempt", reason="403", retry_s=1, **facts))

    def lost(self, conn: int = 1, **facts: object) -> None:
        self._feed(EntryKind.NOTE, conn, encode_facts(event="lost", reason="unreachable", keys=3, **facts))

    def connect(self, conn: int = 1, keys: int = 7) -> None:
        self._feed(EntryKind.CONNECTED, conn, encode_facts(host="h", attempt=1, keys=keys))

    def data(self, conn: int = 1) -> None:
        self._feed(EntryKind.MESSAGE, conn, b"tick", data=True)

    def info(self, conn: int = 1) -> None:
        self._feed(EntryKind.MESSAGE, conn, b"info")

    def drop(self, conn: int = 1, reason: str = "connection reset by the broker") -> None:
        self._feed(EntryKind.DISCONNECTED, conn, encode_facts(code=1006, reason=reason))

    def close(self, reason: str = "") -> None:
        self._feed(EntryKind.CLOSED, 0, encode_facts(reason=reason))


def running(conns: tuple[int, ...] = (1,)) -> Day:
    day = Day()
    day.start()
    for conn in conns:
        day.connect(conn)
        day.data(conn)
    return day


def s(second: int) -> int:
    return second * 1_000_000_000


def test_a_first_connection_on_an_empty_date_is_no_gap() -> None:
    day = Day()
    day.start()
    day.attempt()
    day.connect()
    day.info()
    day.data()
    assert day.gaps == []
    assert day.outages.lasting() == []
    assert day.outages.settled == 0


def test_a_first_connection_that_fails_is_a_gap_from_its_first_attempt_to_the_first_data() -> None:
    day = Day()
    day.start()
    day.at(5).attempt(2, since_ns=s(4), keys=[["NSE_EQ|A", "A", "full"], ["NSE_EQ|B", "B", "full"]])
    assert day.outages.lasting() == [Gap(None, 2, s(4), None, "403", 2)]
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
    assert day.outages.lasting() == [Gap(None, 1, s(100), None, "connection reset by the broker", 7)]
    day.at(109).data()
    assert day.gaps == [Gap(day.seq, 1, s(100), s(109), "connection reset by the broker", 7)]
    assert day.outages.lasting() == []
    assert day.outages.settled == 1


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
    assert day.outages.lasting() == []
    assert day.outages.abandoned() == []
    day.at(300).start()
    assert day.outages.lasting() == []
    day.connect()
    assert [gap.start_ns for gap in day.outages.lasting()] == [s(100)]
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
    assert day.outages.abandoned() == []


def test_a_connection_dropped_by_the_other_run_is_not_waited_for() -> None:
    day = running((1, 2))
    day.close()
    day.start()
    day.connect(1)
    day.data(1)
    assert [gap.conn for gap in day.gaps] == [1]
    assert day.outages.lasting() == []


def test_a_run_that_cannot_begin_after_another_says_why_too() -> None:
    day = running()
    day.close("stopped")
    day.at(20).start()
    day.attempt(1, since_ns=s(20), keys=[["NSE_EQ|A", "A", "full"]])
    day.attempt(1)
    assert day.outages.lasting() == [Gap(None, 1, s(2), None, "stopped, then 403", 7)]
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
    assert day.outages.lasting() == []
    assert day.outages.abandoned() == [Gap(None, 1, s(100), None, DIED, 7)]
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


def test_the_fold_continues_from_its_state_at_any_entry() -> None:
    def play(cut: int) -> tuple[list[Gap], list[Gap]]:
        day = Day()
        steps = [day.start, day.connect, day.data, day.drop, day.attempt, day.connect, day.info, day.data]
        steps += [day.close, day.start, day.connect, day.data, day.start, day.connect, day.data, day.drop]
        for number, step in enumerate(steps):
            if number == cut:
                day.outages = Outages.from_state(json.loads(json.dumps(day.outages.to_state())))
            step()
        return day.gaps, day.outages.abandoned()

    whole = play(-1)
    assert len(whole[0]) == 3
    assert [play(cut) for cut in range(16)] == [whole] * 16
