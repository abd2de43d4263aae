import dataclasses
from pathlib import Path

import pytest

from tests.schedule.fixtures import MACHINE, NEW_YORK, WINDOWS, config_for, schedule_for
from tickrec.errors import UsageError
from tickrec.schedule.crontab import crontab_lines
from tickrec.schedule.printout import relay_json, relay_text, text, to_json
from tickrec.schedule.schedule import relay_job


def test_no_crontab_line_is_given_in_a_zone_with_daylight_saving_time(tmp_path: Path) -> None:
    found = schedule_for(config_for(tmp_path), NEW_YORK)
    with pytest.raises(UsageError, match=r"daylight saving time \(UTC-05:00 and UTC-04:00\)"):
        crontab_lines(found)
    shown = text(found)
    assert "no crontab line is right all year" in shown
    assert "* * *" not in shown
    assert "OnCalendar=*-*-* 08:55:00 Asia/Kolkata" in shown
    assert to_json(found)["crontab"] is None


def test_the_relay_of_a_store_is_a_service_that_always_runs(tmp_path: Path) -> None:
    config = config_for(tmp_path, '[store]\ndata = "my ticks"')
    relay = relay_job(config, MACHINE, simulate=True)
    data = config.store.data
    shown, as_json = relay_text(relay, MACHINE, data), relay_json(relay, MACHINE, data)
    assert shown.startswith("# ~/.config/systemd/user/tickrec-relay.service\n[Unit]\n")
    assert f'relay --config {tmp_path}/config.toml --data "{data}" --simulate\n' in shown
    assert "Restart=always" in shown
    assert "#   systemctl --user enable --now tickrec-relay.service" in shown
    assert as_json["service"] in shown
    assert as_json["command"] == list(relay.command)
    root = dataclasses.replace(MACHINE, root=True, environment={"XDG_CONFIG_HOME": "/a b"})
    shown = relay_text(relay_job(config, root, simulate=False), root, data)
    assert "User=root" in shown
    assert 'Environment="XDG_CONFIG_HOME=/a b"' in shown
    assert "WantedBy=multi-user.target" in shown
    with pytest.raises(UsageError, match="for systemd, which this machine has not"):
        relay_text(relay, WINDOWS, data)
