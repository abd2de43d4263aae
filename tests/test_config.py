"""The configuration: what is looked for where, what is accepted, and what a refusal says."""

import dataclasses
import datetime as dt
import pwd
import re
from pathlib import Path
from typing import NoReturn

import pytest

from tickrec import config, values
from tickrec.errors import UsageError

DOCUMENTED = Path(__file__).parent.parent / "config.toml"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder; the current folder is another empty one."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr("sys.platform", "linux")
    home = tmp_path / "home"
    home.mkdir()
    return home


def load(home: Path, path: Path | None = None, data: Path | None = None, simulate: bool = False) -> config.Config:
    return config.load(path, data=data, simulate=simulate, environ={"HOME": str(home)})


def written(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def refusal(home: Path, text: str) -> str:
    path = written(home, text)
    with pytest.raises(UsageError) as caught:
        load(home, path)
    assert caught.value.where == str(path)
    return str(caught.value)


def test_without_a_file_everything_is_at_its_default(home: Path) -> None:
    found = load(home)
    assert found.path is None
    assert found.store.data == Path.cwd() / "data"
    assert found.upstox.token_file == home / ".config/tickrec/token"
    assert found.record.flush_interval == dt.timedelta(minutes=1)
    assert found.universes == {}


def test_the_documented_file_says_exactly_the_defaults(home: Path) -> None:
    here = written(Path.cwd(), DOCUMENTED.read_text())
    found = load(home)
    here.unlink()
    assert found == dataclasses.replace(load(home), path=here)


def test_the_documented_file_shows_every_key_and_each_example_is_accepted(home: Path) -> None:
    text = DOCUMENTED.read_text()
    shown = re.sub(r"^#(?=[a-z_]+ = )", "", text, flags=re.MULTILINE)
    assert shown != text
    for section, keys in config.READERS.items():
        block = shown.partition(f"[{section}]\n")[2].partition("\n[")[0]
        assert re.findall(r"^([a-z_]+) = ", block, flags=re.MULTILINE) == list(keys)
    found = load(home, written(home, shown))
    assert found.upstox.plan == "normal"
    assert found.record.stop == dt.time(15, 45)
    assert "NIFTY" in found.universes["liquid"]


def test_every_setting_has_a_reader_and_every_reader_a_setting() -> None:
    for section, kind in (
        ("upstox", config.UpstoxConfig),
        ("record", config.RecordConfig),
        ("store", config.StoreConfig),
    ):
        assert [field.name for field in dataclasses.fields(kind)] == list(config.READERS[section])


def test_the_file_is_looked_for_here_before_in_the_config_folder(home: Path) -> None:
    far = written(home / ".config/tickrec", '[record]\nmode = "ltpc"')
    assert load(home).path == far
    here = written(Path.cwd(), "")
    assert load(home).path == here
    assert load(home, far).record.mode == "ltpc"


def test_the_config_folder_follows_the_environment(home: Path) -> None:
    assert config.config_folder({"HOME": str(home), "XDG_CONFIG_HOME": "/etc/me"}) == Path("/etc/me/tickrec")
    assert config.config_folder({"HOME": str(home), "XDG_CONFIG_HOME": "relative"}) == home / ".config/tickrec"


@pytest.fixture
def _a_uid_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> NoReturn:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.delenv("HOME", raising=False)


@pytest.mark.usefixtures("_a_uid_without_a_name")
def test_a_user_without_name_and_home_can_be_configured() -> None:
    assert config.account_home() is None
    for home in ("", "relative"):
        assert config.config_folder({"HOME": home}) == Path("/.config/tickrec")
        assert config.config_folder({"HOME": home, "XDG_CONFIG_HOME": "/etc/me"}) == Path("/etc/me/tickrec")
    assert config.config_folder({"HOME": "/somewhere"}) == Path("/somewhere/.config/tickrec")
    assert config.load(None, data=None, simulate=False, environ={}).store.data == Path.cwd() / "data"


@pytest.mark.usefixtures("_a_uid_without_a_name")
@pytest.mark.parametrize(
    "text", ['[store]\ndata = "~/ticks"', '[upstox]\ntoken_file = "~"', '[record]\nsymbols = ["@~/x"]']
)
def test_a_home_folder_that_is_not_known_is_named_with_its_variable(home: Path, text: str) -> None:
    said = refusal(home, text)
    assert "this user has no home folder: set HOME" in said


def test_the_home_folder_of_nobody_is_refused(home: Path) -> None:
    assert 'store.data cannot be "~nosuchuser/x": no such user' in refusal(home, '[store]\ndata = "~nosuchuser/x"')


def test_the_config_folder_on_windows_is_appdata(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    assert config.config_folder({"HOME": str(home), "APPDATA": "/roaming"}) == Path("/roaming/tickrec")


def test_relative_paths_count_from_the_file_and_the_data_option_from_here(home: Path) -> None:
    path = written(home / "etc", '[store]\ndata = "ticks"\n[upstox]\ntoken_file = "secret/token"')
    found = load(home, path)
    assert found.store.data == home / "etc/ticks"
    assert found.upstox.token_file == home / "etc/secret/token"
    assert found.folder == home / "etc"
    assert load(home, path, data=Path("elsewhere")).store.data == Path.cwd() / "elsewhere"
    assert load(home, written(home / "etc", "")).store.data == home / "etc/data"


def test_a_relative_config_option_counts_from_here(home: Path) -> None:
    written(Path.cwd() / "etc", "")
    assert load(home, Path("etc/config.toml")).store.data == Path.cwd() / "etc/data"


def test_simulated_data_has_a_folder_of_its_own(home: Path) -> None:
    assert load(home, simulate=True).store.data == Path.cwd() / "data/simulated"
    assert load(home, data=Path("d"), simulate=True).store.data == Path.cwd() / "d/simulated"
    assert load(home, data=Path("d/simulated"), simulate=True).store.data == Path.cwd() / "d/simulated"


def test_the_settings_are_read(home: Path) -> None:
    path = written(
        home,
        """
        [upstox]
        plan = "plus"
        connections = 3
        api_url = "http://127.0.0.1:8000/"
        [record]
        symbols = ["NIFTY:opt:10, TCS", "@watch.txt", "@/abs/list.txt:fut"]
        batch_size = 100
        flush_interval = "5m"
        sync_interval = "250ms"
        start = "8:55"
        stop = "15:45:30"
        [store]
        duckdb = false
        keep_journal = "7d"
        min_free = "1.5GiB"
        [universes]
        banks = ["HDFCBANK", "SBIN"]
        """,
    )
    found = load(home, path)
    assert found.upstox.connections == 3
    assert found.upstox.api_url == "http://127.0.0.1:8000"
    assert found.record.symbols == ("NIFTY:opt:10", "TCS", f"@{home / 'watch.txt'}", "@/abs/list.txt:fut")
    assert found.record.sync_interval == dt.timedelta(milliseconds=250)
    assert (found.record.start, found.record.stop) == (dt.time(8, 55), dt.time(15, 45, 30))
    assert found.store.duckdb is False
    assert found.store.keep_journal.days == 7
    assert found.store.min_free == 3 * 2**29
    assert found.universes == {"banks": ("HDFCBANK", "SBIN")}


def test_secrets_come_from_the_environment_first_and_never_show(home: Path) -> None:
    path = written(home, '[upstox]\nclient_id = "file-id"\nclient_secret = "file-secret"')
    plain = load(home, path)
    assert plain.upstox.client_secret is not None
    assert plain.upstox.client_secret.reveal() == "file-secret"
    environ = {"HOME": str(home), "UPSTOX_CLIENT_SECRET": "env-secret", "UPSTOX_CLIENT_ID": "env-id"}
    found = config.load(path, data=None, simulate=False, environ=environ)
    assert found.upstox.client_secret is not None
    assert found.upstox.client_secret.reveal() == "env-secret"
    assert found.upstox.client_id == "env-id"
    for shown in (repr(found), str(found), repr(plain), f"{found.upstox.client_secret}"):
        assert "-secret" not in shown


def test_a_wrong_secret_is_not_quoted(home: Path) -> None:
    assert "918273" not in refusal(home, "[upstox]\nclient_secret = 918273")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[recrod]\nmode = "full"', "unknown section [recrod] ({path}). Did you mean [record]?"),
        ("[elsewhere]", "unknown section [elsewhere] ({path}). Known: [upstox], [record], [store], [universes]"),
        ('[record]\nflush = "60s"\nsymbol = "x"', "unknown key record.flush ({path})"),
        ('[record]\nsymbol = "x"', "unknown key record.symbol ({path}). Did you mean record.symbols?"),
        ('[record]\ntoken_fil = "x"', "unknown key record.token_fil ({path}). Did you mean upstox.token_file?"),
        ('symbols = ["fno"]', "unknown key symbols ({path}). Did you mean record.symbols?"),
        ("zzz = 1", "unknown key zzz ({path}). A key belongs into a section"),
        ("record = 1", "record must be a section, [record]"),
        ("[store]\nzzz = 1", "Keys of [store]: data, duckdb, keep_journal, min_free"),
        ('[upstox]\nplan = "plsu"', 'upstox.plan must be one of "normal", "plus", not "plsu"; did you mean "plus"?'),
        ('[record]\nmode = "ful"', 'did you mean "full"?'),
        ("[record]\nmode = 5", "record.mode must be one of"),
        ('[record]\nsymbols = "fno"', "record.symbols must be a list of selectors"),
        ("[record]\nsymbols = [1]", "record.symbols must be a list of selectors"),
        ("[record]\nbatch_size = 0", "record.batch_size must be a whole number from 1 to 500"),
        ("[record]\nbatch_size = 501", "record.batch_size must be a whole number from 1 to 500"),
        ("[record]\nbatch_size = true", "record.batch_size must be a whole number"),
        ("[upstox]\nconnections = 6", "upstox.connections must be a whole number from 1 to 5"),
        ("[record]\nflush_interval = 60", 'record.flush_interval must be a duration such as "250ms"'),
        ('[record]\nflush_interval = "60"', 'not "60"'),
        ('[record]\nflush_interval = "0s"', "record.flush_interval must be a duration from 1s to 1h"),
        ('[record]\nflush_interval = "99999999999999999999d"', "too long"),
        ('[record]\nstart = "25:00"', 'record.start must be a time of day (IST) such as "09:00", not "25:00"'),
        ("[record]\nstart = 09:00:00", "record.start must be a time of day"),
        ('[record]\nstart = "10:00"\nstop = "09:30"', "record.stop (09:30) must be later than record.start (10:00)"),
        ('[store]\nmin_free = "2 apples"', 'store.min_free must be a size such as "500MB" or "2GB", not "2 apples"'),
        ("[store]\nmin_free = 2", "store.min_free must be a size"),
        ('[store]\nduckdb = "yes"', "store.duckdb must be true or false"),
        ("[store]\ndata = 1", "store.data must be a text in quotes"),
        ('[store]\ndata = ""', "store.data must be a text in quotes"),
        ('[upstox]\napi_url = "http://api.upstox.com"', "upstox.api_url cannot be used"),
        ('[universes]\nfno = ["TCS"]', "universes.fno cannot be the name of a universe"),
        ('[universes]\n"a b" = ["TCS"]', "universes.a b cannot be the name"),
        ('[universes]\nbanks = "SBIN"', "universes.banks must be a list"),
        ("[record\n", "the config file is not valid TOML"),
    ],
)
def test_a_refusal_names_the_key_and_what_is_allowed(home: Path, text: str, said: str) -> None:
    assert said.format(path=home / "config.toml") in refusal(home, text)


def test_a_file_that_cannot_be_read_is_named(home: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read") as caught:
        load(home, home / "missing.toml")
    assert "missing.toml" in caught.value.where
    (home / "latin.toml").write_bytes(b"# \xe9\n")
    with pytest.raises(UsageError, match="not UTF-8"):
        load(home, home / "latin.toml")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-marked", "utf-16-be-marked"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_saved_by_any_editor_is_read(home: Path, encoding: str, end: str) -> None:
    text = end.join(["# Rupee ₹", "[record]", 'mode = "ltpc"', ""])
    marked = encoding.removesuffix("-marked")
    (home / "config.toml").write_bytes((text if marked == encoding else "\ufeff" + text).encode(marked))
    assert load(home, home / "config.toml").record.mode == "ltpc"


@pytest.mark.parametrize(
    "url",
    [
        "https://api.upstox.com",
        "wss://wsfeeder-api.upstox.com/market-data-feeder/v3?requestId=a&code=b",
        "http://127.0.0.1:8000",
        "ws://localhost:1/x",
        "http://[::1]:80",
        "http://127.8.9.10",
    ],
)
def test_addresses_that_may_get_a_token(url: str) -> None:
    assert values.check_url(url, "api_url") == url


@pytest.mark.parametrize(
    "url",
    [
        "http://api.upstox.com",
        "ws://wsfeeder-api.upstox.com/feeds?code=SECRETCODE",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://127.0.0.1@example.com",
        "https://user:SECRETCODE@api.upstox.com",
        "https://@api.upstox.com",
        "http://localhost\\@example.com",
        "ftp://localhost",
        "file:///etc/passwd",
        "api.upstox.com",
        "https://",
        "https:///path",
        "https://host:port",
        "http://0.0.0.0",
        "http://192.168.1.1",
        "https://ho st",
        "https://[::1",
        "",
    ],
)
def test_addresses_that_are_refused_without_quoting_what_they_hold(url: str) -> None:
    with pytest.raises(UsageError, match="the feed's address") as caught:
        values.check_url(url, "the feed's address")
    assert "SECRETCODE" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("1.5s", 1.5), ("60s", 60), ("5m", 300), ("2h", 7200), ("30d", 2_592_000)]
)
def test_durations(text: str, seconds: float) -> None:
    assert values.duration(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "s", "5", "5 weeks", "-5s", "1e3s", "5M", "٣s"])
def test_durations_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        values.duration(text)


@pytest.mark.parametrize(("text", "count"), [("0B", 0), ("500MB", 5 * 10**8), ("2 GB", 2 * 10**9), ("1GiB", 2**30)])
def test_sizes(text: str, count: int) -> None:
    assert values.size(text) == count


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "2", "9" * 400 + "GB"])
def test_sizes_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a size"):
        values.size(text)


@pytest.mark.parametrize("text", ["", "9", "9:5", "24:00", "09:60", "09:00pm"])
def test_times_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a time of day"):
        values.time_of_day(text)
