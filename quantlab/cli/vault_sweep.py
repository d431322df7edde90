"""`quantlab vault sweep`: your own secrets, looked for where they must not be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quantlab.cli.progress import counting
from quantlab.model import NotFound
from quantlab.settings import SECRET_NAMES, Settings
from quantlab.vault import Vault, has_vault, password
from quantlab.vault.sweep import Place, places_of, sweep


def run_sweep(chosen: Settings, paths: list[Path], *, quiet: bool) -> dict[str, Any]:
    """Look for every secret of this home and its `.env`: in `paths`, or wherever quantlab and its user leave traces.

    Returns {"findings", "notes", "places", "bytes", "looked_for"}. Raises NotFound when there is no secret to look for.
    """
    looked_for = _known_secrets(chosen)
    if not looked_for:
        raise NotFound("no secret to look for: there is no vault, and .env holds none")
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    if paths and not files:
        raise NotFound(f"nothing at {', '.join(map(str, paths))}")
    named = [Place("named by you", file, str(file)) for file in files if file.is_file()]
    places = named if paths else places_of(chosen.root, chosen.home)
    with counting("sweep", quiet=quiet) as progress:
        report = sweep(looked_for, places, progress=progress)
    return {
        "findings": [finding._asdict() for finding in report.findings],
        "notes": [f"{note.kind} {note.path}: {note.why}" for note in report.notes],
        "places": sum(report.files.values()),
        "bytes": sum(report.bytes.values()),
        "kinds": dict(sorted(report.files.items())),
        "looked_for": sorted(looked_for),
    }


def _known_secrets(chosen: Settings) -> dict[str, str]:
    """Every secret of the settings and the vault, under names that may be shown."""
    given = {name: getattr(chosen, name.lower()) for name in SECRET_NAMES}
    found = {name: value.get_secret_value() for name, value in given.items() if value is not None}
    kept = password.find_password(chosen, prompt=password.ask) if has_vault(chosen.home) else None
    if kept is not None:
        found["VAULT_PASSWORD"] = kept.password
        with Vault.open(chosen.home, kept.password) as vault:
            found |= vault.secrets()
    return found


def print_sweep(result: dict[str, Any]) -> None:
    for finding in result["findings"]:
        print(f"FOUND {finding['secret']} ({finding['form']}) in {finding['kind']}: {finding['path']}")
    for line in result["notes"]:
        print(f"not looked at: {line}")
    print(f"{len(result['findings'])} findings in {result['places']} places, {result['bytes'] / 1e6:.0f} MB")
