"""`quantlab --debug vault audit`, run as `python failing_audits.py LOG URL…` against an exchange that fails, with
everything that ccxt, aiohttp and asyncio say at DEBUG in a file, and every exception with its locals on stderr."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import traceback
import warnings


def main(log: str, *urls: str) -> None:
    from quantlab.environment import forbid_core_dumps

    forbid_core_dumps()
    logging.basicConfig(filename=log, level=logging.DEBUG, format="%(levelname)s %(name)s %(message)s")
    for name in ("ccxt", "ccxt.base.exchange", "aiohttp", "aiohttp.client", "asyncio", "urllib3", "quantlab"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    logging.captureWarnings(True)
    warnings.simplefilter("always")
    from quantlab.cli import run

    for url in urls:
        os.environ["QUANTLAB_VENUE_URL"] = url
        print(f"exit code {run(['--debug', 'vault', 'audit', '--json'])}")
    for error in _by_hand(urls):
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        print("".join(told.format()), file=sys.stderr)


def _by_hand(urls: tuple[str, ...]) -> list[BaseException]:
    """What the signed reads themselves raise, which an audit turns into words."""
    from quantlab.exchange.custody import door_to
    from quantlab.exchange.keyed import KeyedReader
    from quantlab.settings import load_settings
    from quantlab.vault.opening import open_vault

    settings = load_settings()

    async def read(url: str) -> None:
        config = door_to(settings.with_venue(url), "replay")
        assert config is not None
        with open_vault(settings) as vault:
            signer = vault.signer(vault.rows[0].fingerprint, "a look", audited=False)
            async with KeyedReader(config, signer) as reader:
                await reader.account()

    async def all_of_them() -> list[BaseException | None]:
        return await asyncio.gather(*map(read, urls), return_exceptions=True)

    return [error for error in asyncio.run(all_of_them(), debug=True) if error is not None]


if __name__ == "__main__":
    main(*sys.argv[1:])
