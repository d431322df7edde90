"""Writes `.env` from `.env.example` with a generated VAULT_PASSWORD and API_BEARER_TOKEN, owner-only."""

from __future__ import annotations

import os
import re
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    target = ROOT / ".env"
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    for name in ("VAULT_PASSWORD", "API_BEARER_TOKEN"):
        text, count = re.subn(rf"(?m)^#?\s*{name}=.*$", f"{name}={secrets.token_urlsafe(32)}", text)
        if count != 1:
            print(f".env.example should name {name} once, it does {count} times", file=sys.stderr)
            return 1
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(".env exists already and stays as it is")
        return 0
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    print(".env written, readable by you alone")
    return 0


if __name__ == "__main__":
    sys.exit(main())
