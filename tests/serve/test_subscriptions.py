"""Subscriptions: which keys a client has in which mode, and the caps."""

import json

import pytest

from tickrec.serve.subscriptions import NORMAL_CAPS, Subscriptions
from tickrec.upstox.limits import KEY_CAPS


def request(method: str, mode: str, keys: list[str]) -> bytes:
    return json.dumps({"guid": "1", "method": method, "data": {"mode": mode, "instrumentKeys": keys}}).encode()


def some_keys(mode: str, count: int) -> list[str]:
    return [f"NSE_FO|{mode}{number}" for number in range(count)]


@pytest.mark.parametrize(("mode", "cap"), [("full", 2000), ("ltpc", 5000), ("option_greeks", 3000)])
def test_keys_above_the_cap_of_a_mode_are_ignored(mode: str, cap: int) -> None:
    subscriptions = Subscriptions(NORMAL_CAPS)
    keys = some_keys(mode, cap + 100)
    assert subscriptions.take(request("sub", mode, keys[: cap - 1])).snapshot == keys[: cap - 1]
    assert subscriptions.take(request("sub", mode, keys[cap - 1 :])).snapshot == keys[cap - 1 : cap]
    subscriptions.take(request("unsub", mode, keys[:10]))
    assert len(subscriptions.take(request("sub", mode, keys[cap : cap + 20])).snapshot) == 10
    assert len(subscriptions.modes) == KEY_CAPS[mode][0] == cap


def test_modes_used_together_have_caps_of_their_own() -> None:
    subscriptions = Subscriptions(NORMAL_CAPS)
    accepted = {}
    for mode in ("full", "ltpc", "option_greeks"):
        subscriptions.take(request("sub", mode, some_keys(mode, 1)))
    for mode in ("full", "ltpc", "option_greeks"):
        accepted[mode] = 1 + len(subscriptions.take(request("sub", mode, some_keys(mode, 5000)[1:])).snapshot)
    assert accepted == {"full": 1500, "ltpc": 2000, "option_greeks": 2000}
    assert all(accepted[mode] == KEY_CAPS[mode][1] for mode in accepted)


def test_a_change_of_mode_respects_the_cap_and_keeps_the_old_mode() -> None:
    subscriptions = Subscriptions(NORMAL_CAPS)
    keys = some_keys("ltpc", 1600)
    subscriptions.take(request("sub", "ltpc", keys))
    assert subscriptions.take(request("change_mode", "full", keys)).changed == keys[:1500]
    assert list(subscriptions.modes.values()) == ["full"] * 1500 + ["ltpc"] * 100
