"""Examine: the checks in their order, each of which ends in one finding.

Owns the order of the looks, and that each ends in one check whatever happens in it: never a traceback, and never the
token.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping

from tickrec import logs
from tickrec.clock import Clock
from tickrec.config import Config
from tickrec.doctor import commands, machine
from tickrec.doctor.broker import Broker
from tickrec.doctor.findings import FAIL, OK, WARN, Check, Finding, exit_code, page_of, summary, to_json
from tickrec.doctor.scheduled import look
from tickrec.errors import TickrecError
from tickrec.market.calendar import trading_date
from tickrec.schedule.crontab import Crontab
from tickrec.schedule.schedule import this_machine
from tickrec.store.paths import Store

__all__ = ["Check", "check_of", "examine", "exit_code", "page_of", "summary", "to_json"]


def examine(
    config: Config,
    environ: Mapping[str, str],
    clock: Clock,
    *,
    simulate: bool = False,
    crontab: Crontab | None = None,
    test_alert: bool = False,
) -> Iterator[Check]:
    """Look at everything that recording with this configuration depends on, one check at a time.

    Some take seconds, as they wait for the network. With `test_alert`, the user's own commands are run. Raises
    UsageError when the broker's addresses cannot be used.
    """
    now_ns, store = clock.wall_ns(), Store(config.store.data)
    broker = Broker(config, environ, clock, simulate=simulate)

    def schedule() -> Finding:
        place = this_machine(environ, now_ns)
        return look(config, place, environ, now_ns, simulate=simulate, crontab=crontab or Crontab())

    def told(command: str | None, name: str, unset: str, given: str) -> Finding:
        found = commands.command(name, command, unset)
        return (
            found if command is None or found.result == FAIL or not test_alert else commands.tried(name, command, given)
        )

    done = json.dumps({"date": str(trading_date(now_ns)), "grade": None, "test": True})
    looks: tuple[tuple[str, Callable[[], Finding]], ...] = (
        ("versions", machine.versions),
        ("config", lambda: machine.config_file(config)),
        ("store", lambda: machine.store_folder(store)),
        ("disk", lambda: machine.disk(store, config.store.min_free)),
        ("days", lambda: machine.days(store, trading_date(now_ns))),
        ("alerts", lambda: told(config.record.on_alert, "on_alert", "nobody is told when it goes wrong", "")),
        ("done", lambda: told(config.record.on_done, "on_done", "nobody is told that a day is done", done)),
        ("schedule", schedule),
        ("api", broker.api),
        ("assets", broker.assets),
        ("clock", broker.clock),
        ("symbols", broker.symbols),
        ("calendar", broker.calendar),
        ("token", broker.token),
        ("feed", broker.feed),
    )
    for name, look_at in looks:
        found = check_of(name, look_at, broker.redact)
        yield Check(name, found.result, broker.redact(found.text), broker.redact(found.hint))


def check_of(name: str, look_at: Callable[[], Finding], hide: Callable[[str], str] = str) -> Check:
    """The check that a look ends in. What it logs as a warning makes it one. Raises nothing.

    `hide` takes secrets out of the traceback of what nobody expected.
    """
    with _Warnings() as said:
        found = _caught(look_at, hide)
    if said and found.result == OK:
        found = Finding(WARN, "; ".join([found.text, *said]), found.hint)
    return Check(name, *found)


def _caught(look_at: Callable[[], Finding], hide: Callable[[str], str]) -> Finding:
    """What a look finds; what goes wrong in it is a finding, too."""
    try:
        return look_at()
    except TickrecError as error:
        return Finding(FAIL, f"{error.what} ({error.where})" if error.where else error.what, error.hint)
    except OSError as error:
        return Finding(FAIL, f"{error.strerror or error}" + (f" ({error.filename})" if error.filename else ""))
    except Exception as error:  # noqa: BLE001  the doctor's one boundary: the other checks are made all the same
        text = f"could not be examined: {type(error).__name__}: {error}"
        logs.log_unexpected(text, error, hide)
        return Finding(FAIL, text, "This is a bug in tickrec: please report what `tickrec -v doctor` says")


class _Warnings(logging.Handler):
    """Takes what is logged as a warning, for the length of a block, and keeps it off the screen."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line."""
        self._texts.append(record.getMessage())

    def __enter__(self) -> list[str]:
        logging.getLogger("tickrec").addHandler(self)
        return self._texts

    def __exit__(self, *_: object) -> None:
        logging.getLogger("tickrec").removeHandler(self)
