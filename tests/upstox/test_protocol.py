"""Subscriptions, caps, verdicts and delays, without a socket."""

import itertools
import json
import socket
import ssl

import pytest

from tickrec.clock import SECOND
from tickrec.errors import UsageError
from tickrec.upstox.protocol import (
    Failure,
    Situation,
    Subscription,
    Verdict,
    Wanted,
    cap_of,
    classify,
    explain,
    of_close,
    of_os_error,
    of_status,
    spread,
    subscribe,
)


def some(count: int, mode: str = "full") -> list[Wanted]:
    return [Wanted(f"NSE_EQ|INE{number:06}", f"S{number}", mode) for number in range(count)]


def keys(wanted: list[Wanted]) -> list[str]:
    return [each.instrument_key for each in wanted]


def test_a_request_is_the_brokers_json() -> None:
    wanted = [Wanted("NSE_EQ|INE002A01018", "RELIANCE", "full"), Wanted("NSE_INDEX|Nifty 50", "NIFTY", "full")]
    message = json.loads(subscribe(wanted).payload)
    guid = message.pop("guid")
    assert message == {
        "method": "sub",
        "data": {"mode": "full", "instrumentKeys": ["NSE_EQ|INE002A01018", "NSE_INDEX|Nifty 50"]},
    }
    assert isinstance(guid, str)
    assert len(guid) >= 20


def test_every_request_has_a_guid_of_its_own() -> None:
    subscription = Subscription(some(500))
    requests = subscription.due(0) + subscription.due(0)
    assert len({json.loads(request.payload)["guid"] for request in requests}) == 20


@pytest.mark.parametrize(("count", "size", "sizes"), [(120, 50, [50, 50, 20]), (50, 50, [50]), (7, 3, [3, 3, 1])])
def test_keys_go_out_in_order_and_in_batches(count: int, size: int, sizes: list[int]) -> None:
    requests = Subscription(some(count), batch_size=size).due(0)
    sent = [json.loads(request.payload)["data"]["instrumentKeys"] for request in requests]
    assert [len(batch) for batch in sent] == sizes
    assert list(itertools.chain(*sent)) == keys(some(count))
    assert [[each.instrument_key for each in request.wanted] for request in requests] == sent


def test_a_key_is_asked_for_once() -> None:
    subscription = Subscription(some(3) + some(3))
    assert [len(request.wanted) for request in subscription.due(0)] == [3]
    assert len(subscription.wanted) == 3


def test_unanswered_keys_are_asked_again_once_and_then_named() -> None:
    subscription = Subscription(some(60))
    subscription.due(0)
    subscription.asked(0)
    subscription.serve(keys(some(57)))
    assert subscription.answered == 57
    assert subscription.due(2 * SECOND - 1) == []
    assert subscription.name_silent(2 * SECOND) == []
    again = subscription.due(2 * SECOND)
    assert [keys(list(request.wanted)) for request in again] == [keys(some(60))[57:]]
    subscription.asked(2 * SECOND)
    assert subscription.name_silent(4 * SECOND - 1) == []
    assert subscription.name_silent(4 * SECOND) == keys(some(60))[57:]
    assert subscription.silent == tuple(keys(some(60))[57:])
    assert subscription.due(9 * SECOND) == []
    assert subscription.name_silent(9 * SECOND) == []
    assert subscription.deadline_ns is None


def test_nothing_is_asked_again_when_all_have_answered() -> None:
    subscription = Subscription(some(2))
    subscription.due(0)
    subscription.asked(0)
    assert subscription.deadline_ns == 2 * SECOND
    subscription.serve(keys(some(2)))
    assert subscription.complete
    assert subscription.deadline_ns is None
    assert subscription.due(5 * SECOND) == []


def test_a_late_answer_ends_silence() -> None:
    subscription = Subscription(some(2))
    subscription.due(0)
    subscription.asked(0)
    subscription.due(2 * SECOND)
    subscription.asked(2 * SECOND)
    subscription.name_silent(4 * SECOND)
    subscription.serve(keys(some(1)))
    assert subscription.silent == ("NSE_EQ|INE000001",)


def test_a_new_connection_asks_for_everything_and_forgets_answers() -> None:
    subscription = Subscription(some(3))
    subscription.due(0)
    subscription.asked(0)
    subscription.serve(keys(some(3)))
    assert subscription.due(100 * SECOND) == []
    subscription.begin()
    assert subscription.unanswered == tuple(keys(some(3)))
    assert [len(request.wanted) for request in subscription.due(100 * SECOND)] == [3]
    subscription.asked(100 * SECOND)
    assert subscription.due(102 * SECOND - 1) == []
    assert len(subscription.due(102 * SECOND)) == 1


def test_what_is_added_is_asked_for_at_once_and_by_itself() -> None:
    subscription = Subscription(some(3))
    subscription.due(0)
    subscription.asked(0)
    subscription.serve(keys(some(2)))
    subscription.add(some(5)[3:])
    assert subscription.wanted == tuple(some(5))
    assert (subscription.count, subscription.answered, subscription.complete) == (5, 2, False)
    assert [request.wanted for request in subscription.due(SECOND)] == [tuple(some(5)[3:])]
    subscription.asked(SECOND)
    assert [request.wanted for request in subscription.due(2 * SECOND)] == [tuple(some(3)[2:])]
    subscription.asked(2 * SECOND)
    subscription.serve(keys(some(5))[3:])
    assert subscription.name_silent(4 * SECOND) == keys(some(3))[2:]
    subscription.begin()
    assert [request.wanted for request in subscription.due(5 * SECOND)] == [tuple(some(5))]


def test_what_is_added_while_requests_are_sent_is_asked_for_next() -> None:
    subscription = Subscription(some(1))
    subscription.due(0)
    subscription.add(some(2)[1:])
    subscription.asked(0)
    assert [request.wanted for request in subscription.due(0)] == [tuple(some(2)[1:])]


@pytest.mark.parametrize(
    ("plan", "mode", "cap"),
    [
        ("normal", "full", 2000),
        ("normal", "ltpc", 5000),
        ("normal", "option_greeks", 3000),
        ("plus", "full_d30", 50),
        ("plus", "full", 2000),
    ],
)
def test_the_cap_is_that_of_the_mode(plan: str, mode: str, cap: int) -> None:
    assert cap_of(plan, mode) == cap


def test_full_d30_is_refused_without_plus() -> None:
    with pytest.raises(UsageError, match="needs an Upstox Plus plan") as caught:
        cap_of("normal", "full_d30")
    assert 'plan = "plus"' in caught.value.hint


@pytest.mark.parametrize(("plan", "mode"), [("gold", "full"), ("normal", "full_d5")])
def test_unknown_plans_and_modes_are_refused(plan: str, mode: str) -> None:
    with pytest.raises(UsageError, match="unknown"):
        cap_of(plan, mode)


@pytest.mark.parametrize(
    ("count", "plan", "mode", "connections", "sizes"),
    [
        (220, "normal", "full", None, [220]),
        (2000, "normal", "full", None, [2000]),
        (2001, "normal", "full", None, [1000, 1001]),
        (4000, "normal", "full", None, [2000, 2000]),
        (5000, "normal", "ltpc", None, [5000]),
        (220, "normal", "full", 2, [110, 110]),
        (1, "normal", "full", 2, [1]),
        (10000, "plus", "full", None, [2000] * 5),
        (101, "plus", "full_d30", None, [33, 34, 34]),
        (0, "normal", "full", None, []),
    ],
)
def test_keys_are_spread_over_as_few_connections_as_needed(
    count: int, plan: str, mode: str, connections: int | None, sizes: list[int]
) -> None:
    dealt = spread(keys(some(count)), plan, mode, connections)
    assert [len(each) for each in dealt] == sizes
    assert list(itertools.chain(*dealt)) == keys(some(count))


@pytest.mark.parametrize(
    ("count", "plan", "mode", "connections", "text"),
    [
        (
            2412,
            "normal",
            "full",
            1,
            "2,412 instruments in mode full need 2 connections of 2,000; `connections = 1` allows 2,000. "
            "Drop 412, or allow 2",
        ),
        (
            4500,
            "normal",
            "full",
            None,
            "4,500 instruments in mode full need 3 connections of 2,000; plan normal with its 2 connections allows "
            "4,000. Drop 500, or use an Upstox Plus plan, which has 5 connections",
        ),
        (
            1_17_344,
            "plus",
            "full",
            None,
            "1,17,344 instruments in mode full need 59 connections of 2,000; plan plus with its 5 connections allows "
            "10,000. Drop 1,07,344",
        ),
        (1, "normal", "full", 3, "connections = 3, but plan normal allows 1 to 2"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_numbers(
    count: int, plan: str, mode: str, connections: int | None, text: str
) -> None:
    with pytest.raises(UsageError) as caught:
        spread(keys(some(count)), plan, mode, connections)
    assert str(caught.value) == text


def test_everything_is_tried_again_but_a_token_that_is_refused() -> None:
    verdicts = {situation: classify(Failure(situation)) for situation in Situation}
    assert {situation: verdict for situation, verdict in verdicts.items() if verdict is not Verdict.RETRY} == {
        Situation.TOKEN_REFUSED: Verdict.REREAD_TOKEN,
        Situation.TOKEN_REFUSED_TWICE: Verdict.GIVE_UP,
    }


@pytest.mark.parametrize(
    ("status", "verdict", "reason"),
    [
        (401, Verdict.REREAD_TOKEN, "401 on authorize"),
        (403, Verdict.RETRY, "403 on authorize"),
        (404, Verdict.RETRY, "404 on authorize"),
        (429, Verdict.RETRY, "429 on authorize"),
        (500, Verdict.RETRY, "500 on authorize"),
        (503, Verdict.RETRY, "503 on authorize"),
        (302, Verdict.RETRY, "302 on authorize"),
        (200, Verdict.RETRY, "200 on authorize"),
    ],
)
def test_only_401_is_about_the_token(status: int, verdict: Verdict, reason: str) -> None:
    failure = Failure(of_status(status), "authorize", status=status)
    assert classify(failure) is verdict
    assert failure.reason == reason


@pytest.mark.parametrize(
    ("error", "situation"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), Situation.DNS),
        (ssl.SSLCertVerificationError(1, "hostname mismatch"), Situation.TLS),
        (ssl.SSLEOFError(8, "EOF"), Situation.RESET),
        (TimeoutError(), Situation.TIMEOUT),
        (ConnectionRefusedError(111, "refused"), Situation.REFUSED),
        (ConnectionResetError(104, "reset"), Situation.RESET),
        (BrokenPipeError(32, "broken"), Situation.RESET),
        (OSError(113, "No route to host"), Situation.UNREACHABLE),
    ],
)
def test_network_errors_have_names(error: OSError, situation: Situation) -> None:
    assert of_os_error(error) is situation


def test_what_an_error_adds_is_told() -> None:
    assert explain(socket.gaierror(-2, "Name or service not known")) == "Name or service not known"
    assert explain(OSError(113, "No route to host")) == "No route to host"
    assert explain(ConnectionResetError(104, "Connection reset by peer")) == ""


@pytest.mark.parametrize(
    ("received", "sent", "reset", "had_data", "reason"),
    [
        (1000, None, False, True, "closed by the broker (1000)"),
        (1011, 1011, False, True, "closed by the broker (1011)"),
        (1001, None, False, False, "closed by the broker before any data came (1001)"),
        (None, None, False, False, "closed by the broker before any data came"),
        (None, None, False, True, "connection dropped without a goodbye"),
        (None, None, True, True, "connection reset"),
        (None, 1011, False, True, "no answer to pings"),
        (None, 1009, False, True, "a message above the size limit"),
        (None, 1002, False, True, "not the websocket protocol any more"),
    ],
)
def test_every_end_of_a_connection_is_named_and_retried(
    received: int | None, sent: int | None, reset: bool, had_data: bool, reason: str
) -> None:
    failure = of_close(received, sent, reset=reset, had_data=had_data)
    assert failure.reason == reason
    assert classify(failure) is Verdict.RETRY
    assert failure.code == received or failure.code == 1006
