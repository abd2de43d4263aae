"""The viewer beside a recorder: whatever happens to one, the recording goes on and the terminal is as it was."""

import os
import signal
from pathlib import Path

from tests.processes import wait_for
from tests.system.test_crash import recorded_runs, sent_connections
from tests.terminals import Session, in_terminal
from tickrec.journal.reader import Journal
from tickrec.screen.terminal import LEAVE
from tickrec.store.paths import Store

BAR = "instruments #"
ENTER = "\x1b[?1049h"
RECORD = ("record", "--now", "--symbols", "RELIANCE,NIFTY,TCS")


def entries(folder: Path) -> int:
    """How many entries the journals have."""
    store = Store(folder / "data")
    return sum(1 for date in store.dates() for _ in Journal(store.journal(date)).entries())


def ended(session: Session) -> bool:
    """Whether the command has ended; reads what it still writes."""
    session.shows("")
    return session.process.poll() is not None


def recording(session: Session) -> None:
    wait_for(lambda: session.shows("3/3 keys"), "the table is there")


def assert_no_message_was_lost(folder: Path, broker_config: Path) -> None:
    """What was recorded is what the broker sent on that connection, until it was closed."""
    (run,), *_, sent = recorded_runs(Store(folder / "data")), *sent_connections(broker_config.parent / "sent")
    assert [entry.payload for entry in run] == [entry.payload for entry in sent[: len(run)]]


def test_a_killed_viewer_gives_way_to_the_log(with_broker: Path, broker_config: Path) -> None:
    with in_terminal(with_broker, *RECORD) as session:
        before = session.attributes
        recording(session)
        assert session.attributes != before
        viewer = session.viewer
        assert viewer is not None
        os.kill(viewer, signal.SIGKILL)
        wait_for(lambda: session.shows("the live table has ended, the recording goes on"), "it is said")
        assert session.attributes == before
        assert LEAVE in session.seen
        count = entries(with_broker)
        wait_for(lambda: entries(with_broker) > count, "the recording goes on")
        session.process.send_signal(signal.SIGINT)
        wait_for(lambda: ended(session), "it ends")
    assert session.process.returncode == 0
    assert "recorded " in session.seen.rpartition(LEAVE)[2]
    assert_no_message_was_lost(with_broker, broker_config)


def test_a_killed_recorder_takes_the_viewer_with_it(with_broker: Path) -> None:
    with in_terminal(with_broker, *RECORD) as session:
        before = session.attributes
        recording(session)
        viewer = session.viewer
        assert viewer is not None
        os.kill(session.process.pid, signal.SIGKILL)
        wait_for(lambda: not Path(f"/proc/{viewer}").exists() or _is_zombie(viewer), "the viewer has ended")
        assert session.shows(LEAVE)
        assert session.attributes == before


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "Z"
    except OSError:
        return True


def test_a_terminal_that_is_stopped_stops_nothing_else(with_broker: Path, broker_config: Path) -> None:
    with in_terminal(with_broker, *RECORD) as session:
        before = session.attributes
        recording(session)
        session.type("\x13")  # Ctrl-S
        count = entries(with_broker)
        wait_for(lambda: entries(with_broker) > count + 20, "the recording goes on")
        session.process.send_signal(signal.SIGINT)
        wait_for(lambda: ended(session), "it ends without waiting for the terminal")
        assert session.process.returncode == 0
        assert session.shows(LEAVE)
        assert session.attributes == before
    assert_no_message_was_lost(with_broker, broker_config)


def test_keys_are_for_the_table_ctrl_z_stops_nothing_and_ctrl_c_ends_it(with_broker: Path, broker_config: Path) -> None:
    with in_terminal(with_broker, *RECORD) as session:
        before = session.attributes
        recording(session)
        session.type("rel")
        wait_for(lambda: session.shows("filter: rel"), "what is typed is shown")
        session.type("\x1b")
        session.type("\x1b[B")
        wait_for(lambda: session.shows("NSE_INDEX|Nifty 50"), "the detail is there")
        session.type("\x1a")  # Ctrl-Z
        count = entries(with_broker)
        wait_for(lambda: entries(with_broker) > count + 4, "the recording goes on")
        session.type("\x03")  # Ctrl-C
        session.type("rm -r data\n")
        wait_for(lambda: ended(session), "it ends")
        assert session.process.returncode == 0
        assert session.attributes == before
        assert session.typed_ahead == 0, "nothing is left for the shell"
    start, _, table = session.seen.partition(ENTER)
    assert BAR not in start or start.removesuffix("\x1b[?2026h").endswith("\r\x1b[K")  # only a slow one has a bar
    assert BAR not in table
    assert "ticks of 3 instruments" in table.rpartition(LEAVE)[2]
    assert_no_message_was_lost(with_broker, broker_config)


def test_a_viewer_that_hangs_does_not_hold_up_the_end(with_broker: Path, broker_config: Path) -> None:
    with in_terminal(with_broker, *RECORD) as session:
        before = session.attributes
        recording(session)
        viewer = session.viewer
        assert viewer is not None
        os.kill(viewer, signal.SIGSTOP)
        session.type("rm -r data\n")
        session.process.send_signal(signal.SIGINT)
        wait_for(lambda: ended(session), "it ends")
        assert session.process.returncode == 0
        assert session.attributes == before
        assert session.typed_ahead == 0, "nothing that the viewer has not read is left for the shell"
    assert "ticks of 3 instruments" in session.seen.rpartition(LEAVE)[2]
    assert_no_message_was_lost(with_broker, broker_config)


def test_a_recorder_in_the_background_writes_lines(with_broker: Path) -> None:
    with in_terminal(with_broker, *RECORD, background=True) as session:
        before = session.attributes
        wait_for(lambda: session.shows("3 of 3 instruments answered"), "it is said")
        session.process.send_signal(signal.SIGINT)
        wait_for(lambda: ended(session), "it ends")
        assert session.attributes == before
    assert ENTER not in session.seen
