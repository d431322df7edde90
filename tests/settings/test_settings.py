"""Promise: settings are read from `.env` and environment into one frozen object, or refused in one line."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from quantlab import redact
from quantlab.model import ConfigurationError, Refused
from quantlab.settings import PUBLIC_NAMES, SECRET_NAMES, SETTING_NAMES, Settings, find_root, load_settings

CHECKOUT = Path(__file__).resolve().parents[2]
#: Made up, but of the length and letters of Binance's own.
KEY = "aB3" * 21 + "z"

EnvFile = Callable[[str], Path]


@pytest.fixture(autouse=True)
def _nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "_forms", ())


@pytest.fixture
def env_file(tmp_path: Path) -> EnvFile:
    """Writes a `.env`, readable by its owner alone, and returns its folder."""

    def write(text: str) -> Path:
        path = tmp_path / ".env"
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return tmp_path

    return write


def load(root: Path, market: str | None = None, **environ: str) -> Settings:
    return load_settings(root, environ=environ, market=market)


def test_without_any_setting_paper_on_mainnet(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert (settings.market, settings.execution, settings.venue_url) == ("mainnet", "paper", None)
    assert (settings.api_host, settings.api_port, settings.api_allowed_hosts) == ("127.0.0.1", 8000, ())
    assert settings.api_cors_origins == ("http://localhost:3000",)
    assert (settings.weight_per_minute, settings.timeout_seconds, settings.role) == (1200, 30.0, "coordinator")
    assert (settings.root, settings.home) == (tmp_path, tmp_path / ".quantlab")
    assert not (settings.binance_api_key or settings.binance_api_secret or settings.vault_password)


def test_every_name_is_read(env_file: EnvFile, tmp_path: Path) -> None:
    values = {
        "QUANTLAB_MARKET": "replay",
        "QUANTLAB_VENUE_URL": "http://127.0.0.1:8900/",
        "BINANCE_TESTNET": "false",
        "QUANTLAB_EXECUTION": "paper",
        "BINANCE_API_KEY": "key-of-nobody",
        "BINANCE_API_SECRET": "secret-of-nobody",
        "VAULT_PASSWORD": "password-of-nobody",
        "API_BEARER_TOKEN": "token-of-nobody",
        "API_HOST": "::1",
        "API_PORT": "9001",
        "API_CORS_ORIGINS": "http://localhost:3000, https://desk.example",
        "API_ALLOWED_HOSTS": "box.tail1234.ts.net",
        "QUANTLAB_ROOT": str(tmp_path),
        "QUANTLAB_HOME": "state/here",
        "QUANTLAB_WEIGHT_PER_MINUTE": "600",
        "QUANTLAB_TIMEOUT_SECONDS": "2.5",
        "QUANTLAB_AUDIT_MINUTES": "15",
        "QUANTLAB_ADDRESS_URL": "https://address.example/?format=json",
        "QUANTLAB_ROLE": "worker",
    }
    assert values.keys() == SETTING_NAMES and PUBLIC_NAMES.isdisjoint(SECRET_NAMES)
    root = env_file("\n".join(f"{name}={value}" for name, value in values.items()))
    for settings in (load(root), load_settings(environ=values)):
        assert (settings.market, settings.venue_url) == ("replay", "http://127.0.0.1:8900")
        assert settings.api_cors_origins == ("http://localhost:3000", "https://desk.example")
        assert settings.api_allowed_hosts == ("box.tail1234.ts.net",)
        assert (settings.api_host, settings.api_port) == ("::1", 9001)
        assert (settings.address_url, settings.audit_minutes) == ("https://address.example/?format=json", 15)
        assert (settings.weight_per_minute, settings.timeout_seconds, settings.role) == (600, 2.5, "worker")
        assert settings.home == tmp_path / "state" / "here"
        assert settings.vault_password and settings.vault_password.get_secret_value() == "password-of-nobody"


def test_the_environment_wins_and_the_argument_wins_over_both(env_file: EnvFile) -> None:
    root = env_file("QUANTLAB_MARKET=testnet\nAPI_PORT=9000\n")
    assert load(root).market == "testnet"
    assert load(root, QUANTLAB_MARKET="replay").market == "replay"
    assert load(root, "mainnet", QUANTLAB_MARKET="replay").market == "mainnet"
    assert (load(root).api_port, load(root, API_PORT="1").api_port) == (9000, 1)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("VAULT_PASSWORD=plain words", "plain words"),
        ("export VAULT_PASSWORD = plain", "plain"),
        ("VAULT_PASSWORD=plain # mine", "plain"),
        ("VAULT_PASSWORD='single # kept'", "single # kept"),
        ('VAULT_PASSWORD="double" # mine', "double"),
        ("VAULT_PASSWORD=with=equals#and-hash", "with=equals#and-hash"),
        ("VAULT_PASSWORD= # nothing yet", None),
        ("VAULT_PASSWORD=", None),
        ("# VAULT_PASSWORD=no", None),
        ("\ufeffVAULT_PASSWORD=marked", "marked"),
    ],
)
def test_lines_of_the_env_file(env_file: EnvFile, line: str, value: str | None) -> None:
    password = load(env_file(line + "\r\n")).vault_password
    assert (password and password.get_secret_value()) == value


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_a_private_key_on_one_line_stays_as_it_stands(env_file: EnvFile, quote: str) -> None:
    """With `\\n` for its line ends: whoever uses it makes lines of them. What is exported may have real ones."""
    pem = r"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA+/x==\n-----END PRIVATE KEY-----\n"
    root = env_file(f"BINANCE_API_KEY={KEY}\nBINANCE_API_SECRET={quote}{pem}{quote}\n")
    real = pem.replace(r"\n", "\n").strip()
    for settings, value in ((load(root), pem), (load(root, BINANCE_API_SECRET=real), real)):
        assert settings.binance_api_secret is not None
        assert settings.binance_api_secret.get_secret_value() == value
        assert redact.redact(f"tried {value}") == f"tried {redact.MASK}"


@pytest.mark.parametrize(
    ("market", "testnet", "result"),
    [
        (None, None, "mainnet"),
        (None, "true", "testnet"),
        (None, "false", "mainnet"),
        (None, "1", "testnet"),
        ("mainnet", None, "mainnet"),
        ("mainnet", "false", "mainnet"),
        ("mainnet", "true", None),
        ("testnet", None, "testnet"),
        ("testnet", "TRUE", "testnet"),
        ("testnet", "false", None),
        ("replay", None, "replay"),
        ("replay", "true", "replay"),
        ("replay", "false", "replay"),
    ],
)
def test_market_and_testnet(tmp_path: Path, market: str | None, testnet: str | None, result: str | None) -> None:
    pairs = {"QUANTLAB_MARKET": market, "BINANCE_TESTNET": testnet}
    environ = {name: value for name, value in pairs.items() if value is not None}
    if result is None:
        with pytest.raises(ConfigurationError, match="contradict"):
            load(tmp_path, **environ)
    else:
        assert load(tmp_path, **environ).market == result
    assert load(tmp_path, "replay", **environ).market == "replay", "an argument overrides both"


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8900", "http://127.4.5.6:1", "http://[::1]:8900", "http://localhost:8900", "HTTP://LOCALHOST:1"],
)
def test_a_venue_on_loopback(tmp_path: Path, url: str) -> None:
    assert load(tmp_path, QUANTLAB_MARKET="replay", QUANTLAB_VENUE_URL=url).venue_url == url
    assert load(tmp_path).with_venue(url).venue_url == url


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://127.0.0.1.example.com:8900", Refused),
        ("http://127.example:8900", Refused),
        ("http://10.0.0.1:8900", Refused),
        ("http://0.0.0.0:8900", Refused),
        ("http://[::ffff:10.0.0.1]:8900", Refused),
        ("http://api.binance.com:80", Refused),
        ("http://localhost.example:8900", Refused),
        ("https://127.0.0.1:8900", ConfigurationError),
        ("http://127.0.0.1", ConfigurationError),
        ("http://127.0.0.1:99999", ConfigurationError),
        ("http://127.0.0.1:8900/api", ConfigurationError),
        ("http://127.0.0.1:8900?to=elsewhere", ConfigurationError),
        ("http://127.0.0.1:8900@example.com:80", ConfigurationError),
        ("http://user:password@127.0.0.1:8900", ConfigurationError),
        ("http://[::1:8900", ConfigurationError),
        ("127.0.0.1:8900", ConfigurationError),
        ("file:///etc/passwd", ConfigurationError),
    ],
)
def test_a_venue_anywhere_else_is_refused(tmp_path: Path, url: str, error: type[Exception]) -> None:
    with pytest.raises(error, match="QUANTLAB_VENUE_URL"):
        load(tmp_path, QUANTLAB_MARKET="replay", QUANTLAB_VENUE_URL=url)
    with pytest.raises(error):
        load(tmp_path).with_venue(url)


def test_a_venue_is_for_replay_only(tmp_path: Path) -> None:
    url = "http://127.0.0.1:8900"
    with pytest.raises(ConfigurationError, match="the market is mainnet"):
        load(tmp_path, QUANTLAB_VENUE_URL=url)
    assert load(tmp_path, "mainnet", QUANTLAB_MARKET="replay", QUANTLAB_VENUE_URL=url).venue_url is None
    assert load(tmp_path, "replay", QUANTLAB_VENUE_URL=url).venue_url == url


@pytest.mark.parametrize(
    ("name", "bad", "good"),
    [
        ("QUANTLAB_MARKET", "moon", "testnet"),
        ("QUANTLAB_EXECUTION", "demo", "paper"),
        ("QUANTLAB_ROLE", "boss", "worker"),
        ("BINANCE_TESTNET", "maybe", "on"),
        ("API_PORT", "65536", "65535"),
        ("API_PORT", "80.5", "80"),
        ("API_PORT", "-1", "0"),
        ("API_HOST", "127.0.0.1 ; rm", "0.0.0.0"),
        ("API_CORS_ORIGINS", "*", "https://desk.example"),
        ("API_CORS_ORIGINS", "http://localhost:3000/path", ""),
        ("API_CORS_ORIGINS", "http://[::1", "http://[::1]:3000"),
        ("QUANTLAB_WEIGHT_PER_MINUTE", "many", "1200"),
        ("QUANTLAB_WEIGHT_PER_MINUTE", "0", "50"),
        ("QUANTLAB_WEIGHT_PER_MINUTE", "6001", "6000"),
        ("QUANTLAB_TIMEOUT_SECONDS", "nan", "30"),
        ("QUANTLAB_TIMEOUT_SECONDS", "0.5", "1"),
        ("QUANTLAB_TIMEOUT_SECONDS", "inf", "300"),
        ("QUANTLAB_ADDRESS_URL", "ftp://address.example", "https://address.example"),
        ("QUANTLAB_ADDRESS_URL", "https://user:word@address.example", "http://127.0.0.1:8080/ip"),
    ],
)
def test_bad_values_are_named_in_one_line(tmp_path: Path, name: str, bad: str, good: str) -> None:
    load(tmp_path, **{name: good})
    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path, **{name: bad})
    message = str(raised.value)
    assert f'{name}="{bad}' in message and "is not one of: " in message and "\n" not in message


def test_an_address_service_is_https_or_on_this_machine(tmp_path: Path) -> None:
    assert load(tmp_path).address_url is None
    assert load(tmp_path, QUANTLAB_ADDRESS_URL="http://localhost:8080/ip").address_url == "http://localhost:8080/ip"
    for url in ("http://address.example/", "http://127.0.0.1.example/"):
        with pytest.raises(Refused, match="not https"):
            load(tmp_path, QUANTLAB_ADDRESS_URL=url)


def test_execution_is_paper_until_it_says_otherwise(tmp_path: Path) -> None:
    assert load(tmp_path).execution == "paper"
    assert load(tmp_path, QUANTLAB_EXECUTION="live", QUANTLAB_MARKET="testnet").execution == "live"
    with pytest.raises(ConfigurationError, match="QUANTLAB_EXECUTION"):
        load(tmp_path, QUANTLAB_EXECUTION="real")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o602, 0o777])
def test_an_env_file_open_to_others_is_refused_with_the_words_to_type(env_file: EnvFile, mode: int) -> None:
    root = env_file("QUANTLAB_MARKET=replay\n")
    assert load(root).market == "replay", "control: owner-only"
    (root / ".env").chmod(mode)
    with pytest.raises(Refused, match=r"chmod 600 .*\.env"):
        load(root)


def test_an_env_file_that_is_no_text(env_file: EnvFile) -> None:
    root = env_file("")
    (root / ".env").write_bytes(b"VAULT_PASSWORD=\xff\xfe")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load(root)
    (root / ".env").unlink()
    (root / ".env").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(root)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("QUANTLAB_MARKT=replay", "did you mean QUANTLAB_MARKET?"),
        ("BINANCE_APIKEY=x", "did you mean BINANCE_API_KEY?"),
        ("quantlab_market=replay", "did you mean QUANTLAB_MARKET?"),
        ("DATABASE_URL=postgres://", "DATABASE_URL is not a setting of quantlab; see .env.example"),
        ("API_PORT=8000", "API_PORT stands in line 2 already"),
        ("no equals here", "not NAME=value"),
    ],
)
def test_unknown_lines_of_the_env_file_are_refused_by_number(env_file: EnvFile, line: str, words: str) -> None:
    root = env_file(f"# mine\nAPI_PORT=8000\n\n{line}\n")
    with pytest.raises(ConfigurationError) as raised:
        load(root)
    assert str(raised.value).startswith(".env:4: ") and words in str(raised.value)


@pytest.mark.parametrize("name", ["QUANTLAB_MARKT", "QUANTLAB_DEBUG", "BINANCE_KEY", "API_PORTS", "API_BEARER_TOKN"])
def test_unknown_names_of_ours_in_the_shell_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"environment: {name} is not a setting"):
        load(tmp_path, **{name: "1"})


@pytest.mark.parametrize("name", ["PATH", "API_KEY", "API_URL", "VAULT_ADDR", "DATABASE_URL", "QUANTLAB_SHARED_MARKET"])
def test_names_of_others_in_the_shell_are_left_alone(tmp_path: Path, name: str) -> None:
    assert load(tmp_path, **{name: "1"}).market == "mainnet"


# -- secrets ---------------------------------------------------------------------------------------------------------


def test_no_secret_is_ever_shown(env_file: EnvFile) -> None:
    secrets = {name: f"{name.lower()}-of-nobody" for name in SECRET_NAMES}
    root = env_file("\n".join(f"{name}={value}" for name, value in secrets.items()))
    settings = load(root)
    for value in secrets.values():
        for text in (repr(settings), str(settings), settings.model_dump_json(), str(settings.public())):
            assert value not in text
        assert redact.redact(f"tried {value}") == f"tried {redact.MASK}"
    assert "quantlab" in repr(settings), "control: public settings are shown"


def test_secrets_of_the_shell_are_kept_out_of_text_too(tmp_path: Path) -> None:
    load(tmp_path, VAULT_PASSWORD="password-of-nobody")
    assert redact.redact("password-of-nobody") == redact.MASK


@pytest.mark.parametrize(
    "line", [KEY, "q9x8w7v6u5t4s3r2", "q9x8w7v6u5t4s3r2==", f"VAULT_PASSWORD{KEY}=", f"QUANTLAB_MARKET={KEY}"]
)
def test_a_misplaced_secret_is_not_shown_in_the_refusal(env_file: EnvFile, line: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(env_file(line))
    assert "q9x8" not in str(raised.value) and "aB3" not in str(raised.value)


def test_values_of_unknown_names_count_as_secrets(env_file: EnvFile) -> None:
    with pytest.raises(ConfigurationError):
        load(env_file("OTHER_SERVICE_TOKEN=belongs-elsewhere\n"))
    assert redact.redact("belongs-elsewhere") == redact.MASK
    load(env_file("API_HOST=public-host.example\n"))
    assert redact.redact("public-host.example") == "public-host.example", "control: a public value"


def test_settings_are_frozen_and_their_errors_show_no_input(tmp_path: Path) -> None:
    settings = load(tmp_path)
    with pytest.raises(ValidationError):
        settings.market = "testnet"
    with pytest.raises(ValidationError) as raised:
        Settings(root=tmp_path, home=tmp_path, vault_passwort="hunter2hunter2")  # type: ignore[call-arg]
    assert "hunter2" not in str(raised.value)


# -- one root --------------------------------------------------------------------------------------------------------


def test_the_root_is_found_upwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert find_root({}) == CHECKOUT
    (tmp_path / ".env").touch()
    assert find_root({}) == tmp_path
    (tmp_path / "a" / ".quantlab").mkdir()
    assert find_root({}) == tmp_path / "a"
    assert find_root({"QUANTLAB_ROOT": str(deep)}) == deep
    assert find_root({"QUANTLAB_ROOT": "."}) == deep


def test_a_root_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="an existing folder"):
        find_root({"QUANTLAB_ROOT": str(tmp_path / "absent")})


def test_an_env_file_cannot_name_another_root(env_file: EnvFile, tmp_path: Path) -> None:
    assert load(env_file("QUANTLAB_ROOT=.\n")).root == tmp_path
    with pytest.raises(ConfigurationError, match="not where this file lies"):
        load(env_file("QUANTLAB_ROOT=/\n"))


def test_the_example_names_every_setting_and_is_accepted_as_it_stands(env_file: EnvFile) -> None:
    example = (CHECKOUT / ".env.example").read_text()
    load(env_file(example))
    for name in SETTING_NAMES:
        assert f"\n#{name}=" in example, name
    load(env_file(example.replace("\n#QUANTLAB_", "\nQUANTLAB_").replace("\n#API_", "\nAPI_")))


def test_settings_are_not_pickled(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, environ={"VAULT_PASSWORD": "a-long-passphrase-of-the-user-42"})
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps({"somewhere": settings}, protocol)
    assert settings.model_copy(update={"api_port": 1}).vault_password == settings.vault_password
