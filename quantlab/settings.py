"""`.env` and environment → one typed, frozen `Settings`. Unknown names are refused; secrets are never shown."""

from __future__ import annotations

import contextlib
import difflib
import ipaddress
import math
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr

from quantlab.environment import DESCRIPTOR_NAME, held_secrets
from quantlab.environment import SECRET_NAMES as SECRET_NAMES
from quantlab.model.errors import ConfigurationError, Refused
from quantlab.redact import redact, register_secret

Market = Literal["mainnet", "testnet", "replay"]

PUBLIC_NAMES = frozenset(
    {
        "QUANTLAB_MARKET",
        "QUANTLAB_VENUE_URL",
        "BINANCE_TESTNET",
        "QUANTLAB_EXECUTION",
        "API_HOST",
        "API_PORT",
        "API_CORS_ORIGINS",
        "API_ALLOWED_HOSTS",
        "QUANTLAB_ROOT",
        "QUANTLAB_HOME",
        "QUANTLAB_WEIGHT_PER_MINUTE",
        "QUANTLAB_TIMEOUT_SECONDS",
        "QUANTLAB_AUDIT_MINUTES",
        "QUANTLAB_ADDRESS_URL",
        "QUANTLAB_ROLE",
    }
)
SETTING_NAMES = SECRET_NAMES | PUBLIC_NAMES
#: Not a setting, but no mistake either: where the tests find recorded market data.
_TESTS_NAME = "QUANTLAB_SHARED_MARKET"
_FLAGS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


class Settings(BaseModel):
    """All settings of a process. Times in seconds, paths absolute."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    market: Market = "mainnet"
    venue_url: str | None = None
    execution: Literal["paper", "live"] = "paper"
    binance_api_key: SecretStr | None = None
    binance_api_secret: SecretStr | None = None
    vault_password: SecretStr | None = None
    api_bearer_token: SecretStr | None = None
    api_host: str = "127.0.0.1"
    api_port: int = 8000
    api_cors_origins: tuple[str, ...] = ("http://localhost:3000",)
    api_allowed_hosts: tuple[str, ...] = ()
    root: Path
    home: Path
    weight_per_minute: int = 1200
    timeout_seconds: float = 30.0
    audit_minutes: float = 60.0
    address_url: str | None = None
    role: Literal["coordinator", "worker"] = "coordinator"

    def __reduce_ex__(self, protocol: Any) -> str:
        # A pickle would carry its secrets in the clear, to a file or to another machine.
        raise TypeError("settings are not pickled: they hold secrets; load them where they are needed")

    def public(self) -> dict[str, Any]:
        """What a manifest may hold: no secrets, no paths of this machine."""
        return {
            "market": self.market,
            "execution": self.execution,
            "weight_per_minute": self.weight_per_minute,
            "timeout_seconds": self.timeout_seconds,
        }

    def with_venue(self, url: str) -> Settings:
        """The same settings on the replay venue at `url`. Raises as `load_settings` does."""
        return self.model_copy(update={"market": "replay", "venue_url": _venue_url(url)})


def find_root(environ: Mapping[str, str] | None = None) -> Path:
    """`QUANTLAB_ROOT`, else the nearest folder upwards with `.env` or `.quantlab`, else the checkout, else here.

    Raises ConfigurationError when `QUANTLAB_ROOT` names no folder.
    """
    named = (os.environ if environ is None else environ).get("QUANTLAB_ROOT", "").strip()
    if named:
        root = Path(named).expanduser().resolve()
        if not root.is_dir():
            raise _bad("QUANTLAB_ROOT", named, "an existing folder")
        return root
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / ".env").is_file() or (folder / ".quantlab").is_dir():
            return folder
    checkout = Path(__file__).resolve().parents[1]
    return checkout if (checkout / "pyproject.toml").is_file() else here


def load_settings(
    root: Path | None = None, *, environ: Mapping[str, str] | None = None, market: str | None = None
) -> Settings:
    """Read the settings. The environment (and what left it, see `quantlab.environment`) wins over `.env`; `market` wins
    over both.

    Raises ConfigurationError (unknown names, bad values) and Refused (a `.env` that others can read), each in one line
    that names the setting and never shows a secret's value.
    """
    environ = held_secrets() | dict(os.environ) if environ is None else dict(environ)
    root = (root or find_root(environ)).resolve()
    path = root / ".env"
    file = {line.name: line.value for line in parse_env(read_env(path) or b"", path)}
    elsewhere = file.pop("QUANTLAB_ROOT", "")
    if elsewhere and (root / Path(elsewhere).expanduser()).resolve() != root:
        raise ConfigurationError(f".env: QUANTLAB_ROOT={elsewhere} is not where this file lies: move it, or the line")
    for name in environ:
        _check_shell_name(name)
    values = {**file, **{name: environ[name] for name in SETTING_NAMES if name in environ}}
    values = {name: value.strip() for name, value in values.items() if value.strip()}
    for name in SECRET_NAMES & values.keys():
        register_secret(values[name])
    return _typed(values, root, market)


def _typed(values: Mapping[str, str], root: Path, override: str | None) -> Settings:
    market = _market(values, override)
    execution = values.get("QUANTLAB_EXECUTION", "paper")
    if execution not in ("paper", "live"):
        raise _bad("QUANTLAB_EXECUTION", execution, "paper, live")
    venue_url = values.get("QUANTLAB_VENUE_URL")
    if venue_url is not None:
        venue_url = _venue_url(venue_url)
        if market != "replay" and override is None:
            raise ConfigurationError(
                f"QUANTLAB_VENUE_URL is for QUANTLAB_MARKET=replay, and the market is {market}: change one of them"
            )
    role = values.get("QUANTLAB_ROLE", "coordinator")
    if role not in ("coordinator", "worker"):
        raise _bad("QUANTLAB_ROLE", role, "coordinator, worker")
    secrets = {name.lower(): SecretStr(values[name]) for name in SECRET_NAMES if name in values}
    return Settings.model_validate(
        {
            "market": market,
            "venue_url": venue_url if market == "replay" else None,
            "root": root,
            "home": root / Path(values.get("QUANTLAB_HOME", ".quantlab")).expanduser(),
            "api_host": _host(values.get("API_HOST", "127.0.0.1")),
            "api_port": _whole("API_PORT", values, 8000, 0, 65535),
            "api_cors_origins": _origins(values.get("API_CORS_ORIGINS", "http://localhost:3000")),
            "api_allowed_hosts": _list(values.get("API_ALLOWED_HOSTS", "")),
            "weight_per_minute": _whole("QUANTLAB_WEIGHT_PER_MINUTE", values, 1200, 50, 6000),
            "timeout_seconds": _number("QUANTLAB_TIMEOUT_SECONDS", values, 30, 1, 300),
            "address_url": _address_url(values.get("QUANTLAB_ADDRESS_URL")),
            "audit_minutes": _number("QUANTLAB_AUDIT_MINUTES", values, 60, 1, 1440),
            "role": role,
            "execution": execution,
            **secrets,
        }
    )


def _market(values: Mapping[str, str], override: str | None) -> str:
    """The market that the settings name, or `override`. `BINANCE_TESTNET` decides where no market is set."""
    named = values.get("QUANTLAB_MARKET")
    testnet = _flag("BINANCE_TESTNET", values.get("BINANCE_TESTNET"))
    for name, value in (("QUANTLAB_MARKET", named), ("market", override)):
        if value is not None and value not in get_args(Market):
            raise _bad(name, value, ", ".join(get_args(Market)))
    if override is not None:
        return override
    if named is None:
        return "testnet" if testnet else "mainnet"
    if named != "replay" and testnet is not None and testnet != (named == "testnet"):
        raise ConfigurationError(
            f"QUANTLAB_MARKET={named} and BINANCE_TESTNET={str(testnet).lower()} contradict each other: remove one"
        )
    return named


class EnvLine(NamedTuple):
    """One `NAME=value` line of `.env`, without its quotes and comment. `number` counts from 1."""

    number: int
    name: str
    value: str


def read_env(path: Path) -> bytes | None:
    """What `.env` holds; None where there is none.

    Raises Refused when others can read it, ConfigurationError when nobody can.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise Refused(f"others can read {path}: type `chmod 600 {shlex.quote(str(path))}`")
    return data


def parse_env(data: bytes, path: Path) -> Iterator[EnvLine]:
    """The settings that `.env` sets. Every value that is not a public setting's counts as a secret.

    Raises ConfigurationError for what is not UTF-8, for unknown and repeated names, and for lines that set nothing.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:  # its own words would show a byte of the file
        raise ConfigurationError(f"{path} is not UTF-8 text: save it as such") from None
    seen: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip().removeprefix("export ")
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        name, value = name.strip(), _unquoted(value.strip())
        if name not in PUBLIC_NAMES:
            register_secret(value if equals else line)
        if not equals:
            raise ConfigurationError(f".env:{number}: this line is not NAME=value")
        if name not in SETTING_NAMES:
            raise ConfigurationError(f".env:{number}: {_unknown(name)}")
        if name in seen:
            raise ConfigurationError(f".env:{number}: {name} stands in line {seen[name]} already: remove one")
        seen[name] = number
        yield EnvLine(number, name, value)


def register_secrets_of(root: Path | None = None) -> None:
    """Keep what `.env` and the environment hold out of every text from now on, whatever is wrong with them: for those
    who guard notebooks and histories, and have no use for the settings."""
    with contextlib.suppress(ConfigurationError):  # of a root that does not exist
        path = (root or find_root()) / ".env"
        for line in _lines_of(path):
            with contextlib.suppress(ConfigurationError):  # registered before it is found wrong
                list(parse_env(line, path))
    for name, value in (held_secrets() | dict(os.environ)).items():
        if name in SECRET_NAMES:
            register_secret(value.strip())


def _lines_of(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except OSError:
        return []


def _unquoted(value: str) -> str:
    """A value without its quotes, or without the comment that follows it."""
    quoted = re.fullmatch(r"""(["'])(.*)\1(?:\s+#.*)?""", value)
    return quoted[2] if quoted else re.sub(r"(?:^|\s+)#.*", "", value)


def _check_shell_name(name: str) -> None:
    """In the shell our own prefixes are ours alone; `API_*` is common, so only near-misses count."""
    if name in SETTING_NAMES or name == _TESTS_NAME:
        return
    if name == DESCRIPTOR_NAME:  # the command takes it away before settings are read
        raise ConfigurationError(f"environment: {name} is quantlab's own, between its processes: unset it")
    ours = name.startswith(("QUANTLAB_", "BINANCE_"))
    near = name.startswith("API_") and difflib.get_close_matches(name, SETTING_NAMES, 1, 0.85)
    if ours or near:
        raise ConfigurationError(f"environment: {_unknown(name)}")


def _unknown(name: str) -> str:
    """Words on an unknown name. What looks like no name may be a misplaced secret: it is not shown."""
    near = difflib.get_close_matches(name.upper(), sorted(SETTING_NAMES), 1, 0.7)
    harmless = len(name) <= len(near[0]) + 3 if near else re.fullmatch(r"(?=.{3,40}$)[A-Z]+(_[A-Z0-9]+)+", name)
    hint = f"did you mean {near[0]}?" if near else "see .env.example for all there are"
    return f"{name if harmless else 'this name'} is not a setting of quantlab; {hint}"


def _flag(name: str, value: str | None) -> bool | None:
    if value is None:
        return None
    if value.lower() not in _FLAGS:
        raise _bad(name, value, "true, false")
    return _FLAGS[value.lower()]


def _number(name: str, values: Mapping[str, str], default: float, least: float, most: float) -> float:
    text = values.get(name, str(default))
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise _bad(name, text, f"{least:g} to {most:g}")
    return value


def _whole(name: str, values: Mapping[str, str], default: int, least: int, most: int) -> int:
    value = _number(name, values, default, least, most)
    if value != int(value):
        raise _bad(name, values[name], f"whole numbers from {least} to {most}")
    return int(value)


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _origins(text: str) -> tuple[str, ...]:
    origins = _list(text)
    for origin in origins:
        parts = _parts(origin)
        if parts is None or parts.scheme not in ("http", "https") or parts.path or parts.query:
            raise _bad("API_CORS_ORIGINS", origin, "origins such as http://localhost:3000 (never *)")
    return origins


def _host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._:%-]+", text):
        raise _bad("API_HOST", text, "addresses or names such as 127.0.0.1")
    return text


def _venue_url(url: str) -> str:
    parts = _parts(url)
    if parts is None or parts.scheme != "http" or parts.port is None or parts.path.strip("/") or parts.query:
        raise _bad("QUANTLAB_VENUE_URL", url, "addresses such as http://127.0.0.1:8900")
    if not _is_loopback(parts.hostname or ""):
        raise Refused(f"QUANTLAB_VENUE_URL={url} is not on this machine: a replay talks to loopback only")
    return url.rstrip("/")


def _address_url(url: str | None) -> str | None:
    if url is None:
        return None
    parts = _parts(url)
    if parts is None or parts.scheme not in ("http", "https"):
        raise _bad("QUANTLAB_ADDRESS_URL", url, "addresses of a service that answers with your public address")
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise Refused("QUANTLAB_ADDRESS_URL is not https: anybody on the way could answer for it")
    return url


def _parts(url: str) -> SplitResult | None:
    """The parts of an address, None where it is none, names a user or a place within a page."""
    try:
        parts = urlsplit(url)
        sound = parts.hostname and parts.username is None and not parts.fragment and parts.port != 0
    except ValueError:  # an unclosed bracket, a port that is no number
        return None
    return parts if sound else None


def _is_loopback(host: str) -> bool:
    """By the address itself: a name such as 127.0.0.1.example.com is anybody's."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bad(name: str, value: str, valid: str) -> ConfigurationError:
    return ConfigurationError(f'{name}="{redact(value)}" is not one of: {valid}')
