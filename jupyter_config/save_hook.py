"""Refuses to write a notebook or file that holds a secret: in source, output, metadata or the state of widgets.

Only an HTTP error refuses: any other exception in a `pre_save_hook` is logged by Jupyter, and the file is saved. So
what goes wrong here refuses too. The browser keeps the document, unsaved; nothing of it is written anywhere.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from tornado.web import HTTPError

from quantlab.redact import secrets_in_notebook, secrets_in_text
from quantlab.settings import register_secrets_of

#: Places named in a refusal.
_NAMED = 4
#: A secret may begin in the part of an upload that came before.
_OVERLAP_BYTES = 8192


def refuse_secrets(model: Mapping[str, Any], path: str, **_: Any) -> None:
    """Jupyter's `pre_save_hook`. Raises HTTPError 400 naming the cells and what kind of thing they hold, never the
    thing; 500 when the content cannot be checked."""
    try:
        register_secrets_of()  # .env may have changed since
        found = list(dict.fromkeys(_found(model)))
    except Exception as error:
        raise _refusal(500, f"Not saved: it cannot be checked for secrets ({type(error).__name__}).") from None
    if found:
        places = [f"{where} holds {kind}" if where else f"it holds {kind}" for where, kind in found[:_NAMED]]
        more = f", and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise _refusal(
            400,
            f"Not saved, because of a secret: {'; '.join(places)}{more}. Take it out (an output: clear it) and save "
            "again; secrets are typed at a prompt or kept in .env. Nothing was written, and your document stays open.",
        )


class GuardedContents(AsyncLargeFileManager):
    """Jupyter's own contents, with the hook ahead of any other that is configured."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.register_pre_save_hook(refuse_secrets)

    async def _save_large_file(self, os_path: str, content: str, format: str | None) -> None:
        """Large uploads come in parts, of which Jupyter shows the hooks only the first."""
        part = {"type": "file", "content": content, "format": format}
        try:
            refuse_secrets(part, os_path)
            refuse_secrets({"type": "file", "content": _end_of(os_path) + _text_of(part)[:_OVERLAP_BYTES]}, os_path)
        except HTTPError:
            _discard(os_path)
            raise
        await super()._save_large_file(os_path, content, format)


def _found(model: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(where, kind) of each secret in what is to be saved."""
    content = model.get("content")
    if content is None:
        return
    if isinstance(content, Mapping):
        yield from secrets_in_notebook(content)
    else:
        for seen in secrets_in_text(_text_of(model)):
            yield "", seen.kind


def _text_of(model: Mapping[str, Any]) -> str:
    content = str(model["content"])
    return base64.b64decode(content).decode(errors="replace") if model.get("format") == "base64" else content


def _end_of(path: str) -> str:
    with Path(path).open("rb") as opened:
        opened.seek(0, os.SEEK_END)
        opened.seek(max(0, opened.tell() - _OVERLAP_BYTES))
        return opened.read().decode(errors="replace")


def _discard(path: str) -> None:
    """Half an upload is of no use, and may hold half a secret."""
    Path(path).unlink()


def _refusal(status: int, words: str) -> HTTPError:
    # Jupyter shows `reason` in its dialogue; tornado wants it on one line, and formats `log_message` with %.
    return HTTPError(status, words.replace("%", "%%"), reason=words)
