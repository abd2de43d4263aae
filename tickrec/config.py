"""Config: config.toml and the environment, read once into frozen values.

Owns where the file is looked for, what its keys are, what each may hold, and the defaults. A key that is not known
is an error, never ignored. Knows nothing of the broker beyond its plans and the addresses to reach it at, and opens
no socket.
"""

import datetime as dt
import difflib
import os
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from tickrec import values
from tickrec.errors import UsageError

__all__ = ["Config", "RecordConfig", "Secret", "StoreConfig", "UpstoxConfig", "config_folder", "load"]

FILE_NAME: Final = "config.toml"
PLANS: Final = ("normal", "plus")
MODES: Final = ("ltpc", "option_greeks", "full", "full_d30")
MOST_CONNECTIONS: Final = 5
"""Of the larger plan; what each plan allows is in `upstox.limits`."""
MAX_BATCH: Final = 500
"""The most keys in one subscribe message known to work (observed 2026-09)."""
RESERVED: Final = ("fno", "all")
"""Words that selectors already use, so no universe can have them as a name."""
SIMULATED: Final = "simulated"
"""Folder below the data folder that only `--simulate` writes to and reads."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that shows itself only when asked."""

    _value: str

    def reveal(self) -> str:
        """The text itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstoxConfig:
    """[upstox]: the account, and where the broker is."""

    plan: str | None = None
    """One of PLANS; None: as the token says."""
    connections: int | None = None
    """How many websockets to use; None: as few as the key caps allow."""
    api_url: str = "https://api.upstox.com"
    assets_url: str = "https://assets.upstox.com"
    token_file: Path
    """By default `token` in the config folder."""
    token_command: str | None = None
    """A command that prints the token."""
    client_id: str | None = None
    client_secret: Secret | None = None
    redirect_uri: str = "http://127.0.0.1:8765/callback"
    """As registered with the broker's app; login listens there when it is a loopback address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordConfig:
    """[record]: what to record, when, and how often it is made durable."""

    symbols: tuple[str, ...] = ("fno",)
    """Selectors."""
    mode: str = "full"
    """One of MODES."""
    batch_size: int = 50
    """Keys in one subscribe message."""
    follow: bool = True
    """Record further strikes of option chains as the money moves."""
    flush_interval: dt.timedelta = dt.timedelta(seconds=60)
    sync_interval: dt.timedelta = dt.timedelta(seconds=1)
    start: dt.time = dt.time(9, 0)
    """IST, as `stop`."""
    stop: dt.time | None = None
    """None: after the last subscribed segment has closed."""
    on_alert: str | None = None
    """A command that is run with a one-line text when somebody should look."""
    on_done: str | None = None
    """A command that is run with a one-line text when a run has ended well and its day is sealed and checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """[store]: where the data goes, and what is kept."""

    data: Path
    """The root of the tree, absolute; with `--simulate` it already ends in `simulated`."""
    duckdb: bool = True
    keep_journal: dt.timedelta = dt.timedelta(days=30)
    min_free: int = 2 * 10**9
    """Bytes; less free than this warns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that can be configured, for one command."""

    upstox: UpstoxConfig
    record: RecordConfig
    store: StoreConfig
    universes: Mapping[str, tuple[str, ...]]
    """Lists of selectors by name."""
    path: Path | None
    """The file it was read from; None: there was none, and everything is at its default."""

    @property
    def folder(self) -> Path:
        """Where relative paths count from."""
        return self.path.parent if self.path else Path.cwd()


READERS: Final[Mapping[str, Mapping[str, values.Read]]] = {
    "upstox": {
        "plan": values.choice(*PLANS),
        "connections": values.whole(1, MOST_CONNECTIONS),
        "api_url": values.host_url,
        "assets_url": values.host_url,
        "token_file": values.path,
        "token_command": values.string,
        "client_id": values.string,
        "client_secret": lambda value, folder: Secret(values.string(value, folder)),
        "redirect_uri": values.url,
    },
    "record": {
        "symbols": values.selectors,
        "mode": values.choice(*MODES),
        "batch_size": values.whole(1, MAX_BATCH),
        "follow": values.flag,
        "flush_interval": values.span("1s", "1h"),
        "sync_interval": values.span("10ms", "60s"),
        "start": values.moment,
        "stop": values.moment,
        "on_alert": values.command,
        "on_done": values.command,
    },
    "store": {
        "data": values.path,
        "duckdb": values.flag,
        "keep_journal": values.span("1d", "36500d"),
        "min_free": values.amount,
    },
}
"""How each key of each section is read. [universes] holds names of the user's own instead."""


def config_folder(environ: Mapping[str, str]) -> Path:
    """The user's folder for tickrec's settings and token: XDG on Linux and macOS, %APPDATA% on Windows."""
    given = Path(environ.get("HOME", ""))
    # A uid without a name, in a container: there HOME is / by custom.
    home = given if given.is_absolute() else account_home() or Path("/")
    windows = sys.platform == "win32"
    chosen = Path(environ.get("APPDATA" if windows else "XDG_CONFIG_HOME", ""))
    default = home / ("AppData/Roaming" if windows else ".config")
    return (chosen if chosen.is_absolute() else default) / "tickrec"


def account_home() -> Path | None:
    """The home folder that the system knows for this user, whatever HOME says; None for a uid without a name."""
    if sys.platform == "win32":
        return Path.home()
    import pwd

    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None


def find(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The config file to read: `path` if given, else ./config.toml, else the one in the config folder, else None."""
    if path is not None:
        return Path(os.path.abspath(path))
    candidates = (Path.cwd() / FILE_NAME, config_folder(environ) / FILE_NAME)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def load(path: Path | None, *, data: Path | None, simulate: bool, environ: Mapping[str, str]) -> Config:
    """Read the configuration of one command.

    `path` and `data` are `--config` and `--data`; `simulate` moves the store to its `simulated` folder, unless that
    is what was given. The
    environment may hold UPSTOX_CLIENT_ID and UPSTOX_CLIENT_SECRET, which beat the file. Raises UsageError, naming the
    file and the dotted key, for anything that is not understood.
    """
    found = find(path, environ)
    tables = _parse(found) if found else {}
    file, folder = str(found or ""), found.parent if found else Path.cwd()
    _refuse_unknown(tables, file)
    settings = {section: _section(section, tables.get(section, {}), file, folder) for section in READERS}
    universes = _universes(tables.get("universes", {}), file, folder)
    _check_times(record := RecordConfig(**settings["record"]), file)
    upstox = {"token_file": config_folder(environ) / "token", **settings["upstox"], **_from_environment(environ)}
    root = Path(os.path.abspath(data)) if data is not None else settings["store"].get("data", folder / "data")
    store = settings["store"] | {"data": root / SIMULATED if simulate and root.name != SIMULATED else root}
    return Config(
        upstox=UpstoxConfig(**upstox), record=record, store=StoreConfig(**store), universes=universes, path=found
    )


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if client_id := environ.get("UPSTOX_CLIENT_ID"):
        settings["client_id"] = client_id
    if client_secret := environ.get("UPSTOX_CLIENT_SECRET"):
        settings["client_secret"] = Secret(client_secret)
    return settings


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(values.decoded(path.read_bytes()))
    except OSError as error:
        raise UsageError(f"the config file cannot be read: {error.strerror}", where=str(path)) from None
    except UnicodeDecodeError:
        raise UsageError("the config file is not UTF-8 text", where=str(path), hint="Save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"the config file is not valid TOML: {error}", where=str(path)) from None


def _refuse_unknown(tables: Mapping[str, Any], file: str) -> None:
    for section, table in tables.items():
        if section not in READERS and section != "universes":
            _unknown_section(section, file) if isinstance(table, dict) else _unknown_key("", section, file)
        if not isinstance(table, dict):
            raise UsageError(f"{section} must be a section, [{section}]", where=file)
        for key in table if section in READERS else ():
            if key not in READERS[section]:
                _unknown_key(section, key, file)


def _unknown_section(section: str, file: str) -> NoReturn:
    known = [*READERS, "universes"]
    near = difflib.get_close_matches(section, known, n=1)
    listed = ", ".join(f"[{name}]" for name in known)
    hint = f"Did you mean [{near[0]}]?" if near else f"Known: {listed}"
    raise UsageError(f"unknown section [{section}]", where=file, hint=hint)


def _unknown_key(section: str, key: str, file: str) -> NoReturn:
    """Raise for a key that nothing reads, naming the nearest: in its own section, else in any."""
    places = {name: other for other in READERS for name in READERS[other]}
    near = difflib.get_close_matches(key, READERS.get(section, ()), n=1) or difflib.get_close_matches(key, places, n=1)
    if near:
        owner = section if near[0] in READERS.get(section, ()) else places[near[0]]
        hint = f"Did you mean {owner}.{near[0]}?"
    elif section:
        hint = f"Keys of [{section}]: {', '.join(READERS[section])}"
    else:
        hint = "A key belongs into a section"
    raise UsageError(f"unknown key {section}.{key}" if section else f"unknown key {key}", where=file, hint=hint)


def _section(section: str, table: Mapping[str, object], file: str, folder: Path) -> dict[str, Any]:
    readers = READERS[section]
    return {key: _read(f"{section}.{key}", readers[key], value, file, folder) for key, value in table.items()}


def _read(dotted: str, read: values.Read, value: object, file: str, folder: Path) -> Any:
    try:
        return read(value, folder)
    except ValueError as error:
        raise UsageError(f"{dotted} {error}", where=file) from None


def _universes(table: Mapping[str, object], file: str, folder: Path) -> dict[str, tuple[str, ...]]:
    for name in table:
        if name.lower() in RESERVED or not re.fullmatch(r"[^\s,:|@#]+", name):
            hint = "A name has no spaces and none of , : | @ #, and is not " + " or ".join(RESERVED)
            raise UsageError(f"universes.{name} cannot be the name of a universe", where=file, hint=hint)
    return {name: _read(f"universes.{name}", values.selectors, value, file, folder) for name, value in table.items()}


def _check_times(record: RecordConfig, file: str) -> None:
    if record.stop is not None and record.stop <= record.start:
        what = f"record.stop ({record.stop:%H:%M}) must be later than record.start ({record.start:%H:%M})"
        raise UsageError(what, where=file)
