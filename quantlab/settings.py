"""`.env` and environment → one typed, frozen `Settings`. Unknown names are refused; secrets are never shown."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr

from quantlab.model.errors import ConfigurationError, Refused
from quantlab.redact import register_secret

Market = Literal["mainnet", "testnet", "replay"]

SECRET_NAMES = frozenset({"BINANCE_API_KEY", "BINANCE_API_SECRET", "VAULT_PASSWORD", "API_BEARER_TOKEN"})
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
        "QUANTLAB_ROLE",
    }
)
SETTING_NAMES = SECRET_NAMES | PUBLIC_NAMES
_LOOPBACK = ("localhost", "::1")


class Settings(BaseModel):
    """All settings of a process. Times in seconds, paths absolute."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    market: Market = "mainnet"
    venue_url: str | None = None
    execution: Literal["paper"] = "paper"
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
    role: Literal["coordinator", "worker"] = "coordinator"

    def public(self) -> dict[str, Any]:
        """What a manifest may hold: no secrets, no paths of this machine."""
        return {
            "market": self.market,
            "execution": self.execution,
            "weight_per_minute": self.weight_per_minute,
            "timeout_seconds": self.timeout_seconds,
        }

    def with_venue(self, url: str) -> Settings:
        """The same settings on the replay venue at `url`."""
        return self.model_copy(update={"market": "replay", "venue_url": _venue_url(url)})


def find_root(environ: Mapping[str, str] | None = None) -> Path:
    """`QUANTLAB_ROOT`, else the nearest folder upwards with `.env` or `.quantlab`, else the checkout, else here."""
    named = (os.environ if environ is None else environ).get("QUANTLAB_ROOT")
    if named:
        return Path(named).expanduser().resolve()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / ".env").is_file() or (folder / ".quantlab").is_dir():
            return folder
    checkout = Path(__file__).resolve().parents[1]
    return checkout if (checkout / "pyproject.toml").is_file() else here


def load_settings(
    root: Path | None = None, *, environ: Mapping[str, str] | None = None, market: str | None = None
) -> Settings:
    """Read the settings. The environment wins over `.env`; `market` wins over both.

    Raises ConfigurationError (unknown names, bad values) and Refused (a `.env` that others can read), each in one line
    that names the setting and never shows a secret's value.
    """
    environ = dict(os.environ if environ is None else environ)
    root = (root or find_root(environ)).resolve()
    file = dict(_read_env(root / ".env"))
    for name in environ:
        _check_shell_name(name)
    values = {**file, **{name: environ[name] for name in SETTING_NAMES if name in environ}}
    values = {name: value.strip() for name, value in values.items() if value.strip()}
    for name in SECRET_NAMES & values.keys():
        register_secret(values[name])
    return _typed(values, root, market)


def _typed(values: Mapping[str, str], root: Path, market: str | None) -> Settings:
    chosen = market or values.get("QUANTLAB_MARKET")
    testnet = _flag("BINANCE_TESTNET", values.get("BINANCE_TESTNET"))
    if chosen is None:
        chosen = "testnet" if testnet else "mainnet"
    elif chosen not in ("mainnet", "testnet", "replay"):
        raise _bad("QUANTLAB_MARKET", chosen, "mainnet, testnet, replay")
    elif testnet is not None and chosen != "replay" and testnet != (chosen == "testnet"):
        raise ConfigurationError(
            f"QUANTLAB_MARKET={chosen} and BINANCE_TESTNET={str(testnet).lower()} contradict each other: remove one"
        )
    execution = values.get("QUANTLAB_EXECUTION", "paper")
    if execution == "live":
        raise Refused("QUANTLAB_EXECUTION=live: this version trades on paper only, remove the line")
    if execution != "paper":
        raise _bad("QUANTLAB_EXECUTION", execution, "paper")
    venue_url = values.get("QUANTLAB_VENUE_URL")
    if venue_url is not None:
        venue_url = _venue_url(venue_url)
    role = values.get("QUANTLAB_ROLE", "coordinator")
    if role not in ("coordinator", "worker"):
        raise _bad("QUANTLAB_ROLE", role, "coordinator, worker")
    secrets = {name.lower(): SecretStr(values[name]) for name in SECRET_NAMES if name in values}
    return Settings.model_validate(
        {
            "market": chosen,
            "venue_url": venue_url,
            "root": root,
            "home": root / Path(values.get("QUANTLAB_HOME", ".quantlab")).expanduser(),
            "api_host": values.get("API_HOST", "127.0.0.1"),
            "api_port": int(_number("API_PORT", values.get("API_PORT", "8000"), 0, 65535)),
            "api_cors_origins": _origins(values.get("API_CORS_ORIGINS", "http://localhost:3000")),
            "api_allowed_hosts": _list(values.get("API_ALLOWED_HOSTS", "")),
            "weight_per_minute": int(
                _number("QUANTLAB_WEIGHT_PER_MINUTE", values.get("QUANTLAB_WEIGHT_PER_MINUTE", "1200"), 50, 6000)
            ),
            "timeout_seconds": _number(
                "QUANTLAB_TIMEOUT_SECONDS", values.get("QUANTLAB_TIMEOUT_SECONDS", "30"), 1, 300, whole=False
            ),
            "role": role,
            **secrets,
        }
    )


def _read_env(path: Path) -> Iterator[tuple[str, str]]:
    """The `NAME=value` lines of `.env`. Every value that is not a public setting's counts as a secret."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None
    if mode & 0o077:
        raise Refused(f"others can read {path}: type `chmod 600 {path}`")
    seen: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip().removeprefix("export ")
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        name, value = name.strip(), _unquoted(value.strip())
        if name not in PUBLIC_NAMES:
            register_secret(value)
        if not equals or name not in SETTING_NAMES:
            raise ConfigurationError(f".env:{number}: {_unknown(name)}")
        if name in seen:
            raise ConfigurationError(f".env:{number}: {name} stands in line {seen[name]} already: remove one")
        seen[name] = number
        yield name, value


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value.partition(" #")[0].rstrip()


def _check_shell_name(name: str) -> None:
    """In the shell our own prefixes are ours alone; `API_*` is common, so only near-misses count."""
    if name in SETTING_NAMES:
        return
    ours = name.startswith(("QUANTLAB_", "BINANCE_"))
    near = name.startswith("API_") and difflib.get_close_matches(name, SETTING_NAMES, 1, 0.85)
    if ours or near:
        raise ConfigurationError(f"environment: {_unknown(name)}")


def _unknown(name: str) -> str:
    shown = name if name.replace("_", "").isalnum() and len(name) <= 40 else "this line"
    near = difflib.get_close_matches(name, sorted(SETTING_NAMES), 1)
    hint = f"did you mean {near[0]}?" if near else "see .env.example for all there are"
    return f"{shown} is not a setting of quantlab; {hint}"


def _flag(name: str, value: str | None) -> bool | None:
    if value is None:
        return None
    if value.lower() in ("true", "1", "yes", "on"):
        return True
    if value.lower() in ("false", "0", "no", "off"):
        return False
    raise _bad(name, value, "true, false")


def _number(name: str, text: str, least: float, most: float, *, whole: bool = True) -> float:
    try:
        value: float = int(text) if whole else float(text)
    except ValueError:
        raise _bad(name, text, f"a {'whole ' if whole else ''}number") from None
    if not least <= value <= most:
        raise _bad(name, text, f"{least:g} to {most:g}")
    return value


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _origins(text: str) -> tuple[str, ...]:
    origins = _list(text)
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query:
            raise _bad("API_CORS_ORIGINS", origin, "origins such as http://localhost:3000 (never *)")
    return origins


def _venue_url(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme != "http" or port is None or parts.path.strip("/") or parts.username:
        raise _bad("QUANTLAB_VENUE_URL", url, "an address such as http://127.0.0.1:8900")
    if host not in _LOOPBACK and not host.startswith("127."):
        raise Refused(f"QUANTLAB_VENUE_URL={url} is not on this machine: a replay talks to loopback only")
    return url.rstrip("/")


def _bad(name: str, value: str, valid: str) -> ConfigurationError:
    return ConfigurationError(f'{name}="{value}" is not one of: {valid}')
