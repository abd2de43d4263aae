"""systemd: the units that have it start the recorder, in India's time, and keep a relay running."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tickrec.errors import UsageError
from tickrec.schedule.schedule import Job, Machine, Schedule
from tickrec.schedule.time_fields import Form, by_hour, field

FORM: Final = Form("{}..{}", "{}..{}/{}", 2)


def service_unit(schedule: Schedule) -> str:
    """The recorder's service. Exit codes 3 (closed today) and 7 (already recording) are no failure.

    A crash is healed at once; what needs a person (configuration, token, disk) is left to the next start of the timer.
    """
    lines = [
        "[Unit]",
        f"Description=Record the Upstox market data feed into {unit_text(str(schedule.log.parent.parent))}",
        "",
        "[Service]",
        *_starting(schedule.job, schedule.machine),
        "SuccessExitStatus=3 7",
        "Restart=on-failure",
        "RestartSec=10",
        "RestartPreventExitStatus=2 4 5 6 8",
        "KillMode=mixed",
    ]
    return "\n".join(lines) + "\n"


def timer_unit(schedule: Schedule) -> str:
    """The recorder's timer: in India's time, to the second, and at once after a boot that came too late for a start."""
    lines = [
        "[Unit]",
        f"Description=Start the tickrec recorder {schedule.times}",
        "",
        "[Timer]",
        *(f"OnCalendar={event}" for event in calendar_events(schedule.minutes)),
        "AccuracySec=1s",
        "Persistent=true",
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]
    return "\n".join(lines) + "\n"


def relay_unit(job: Job, machine: Machine, data: Path) -> str:
    """The service of the relay of a store, which runs always, recording or not.

    Exit code 2, such as for a port that is taken, needs a person.
    """
    lines = [
        "[Unit]",
        f"Description=Serve the day being recorded into {unit_text(str(data))} to programs of this machine",
        "",
        "[Service]",
        *_starting(job, machine),
        "Restart=always",
        "RestartSec=10",
        "RestartPreventExitStatus=2",
        "",
        "[Install]",
        f"WantedBy={'multi-user' if machine.root else 'default'}.target",
    ]
    return "\n".join(lines) + "\n"


def _starting(job: Job, machine: Machine) -> Iterator[str]:
    """The lines of a service that say what is started, and as whom."""
    yield "Type=exec"
    if machine.root:
        yield "User=root"
    yield from (f"Environment={_word(f'{name}={value}')}" for name, value in job.environment.items())
    yield f"ExecStart={unit_command(job)}"


def unit_folder(machine: Machine) -> str:
    """Where the unit files go, as a shell takes it."""
    return "/etc/systemd/system" if machine.root else "~/.config/systemd/user"


def unit_commands(machine: Machine, unit: str) -> list[str]:
    """What makes systemd start a unit. A user's units run without a login only when lingering is enabled."""
    option = "" if machine.root else "--user "
    enable = [f"systemctl {option}daemon-reload", f"systemctl {option}enable --now {unit}"]
    return enable if machine.root else [*enable, "loginctl enable-linger"]


def calendar_events(starts: Sequence[int]) -> list[str]:
    """The OnCalendar values that elapse at `starts` every day, whatever the machine's zone."""
    return [
        f"*-*-* {field(hours, FORM, 24)}:{field(minutes, FORM, 60)}:00 Asia/Kolkata"
        for hours, minutes in by_hour(starts)
    ]


def unit_command(job: Job) -> str:
    """The value of ExecStart."""
    return " ".join(_word(word).replace("$", "$$") for word in job.command)


def unit_text(text: str) -> str:
    """Text for a unit file, in which a percent sign means something."""
    return text.replace("%", "%%")


def _word(word: str) -> str:
    if "\n" in word or "\r" in word:
        raise UsageError("a path with a line break cannot be in a unit file", where=repr(word))
    word = unit_text(word)
    if word and not set(word) & set(" \t\"'\\;"):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
