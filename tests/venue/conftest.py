"""A venue on a plain market, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from quantlab.venue import Venue

from .plain import PlainMarket


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Any]]:
    """`await serve(market, speed=...)`: a venue that ends with the test."""
    async with AsyncExitStack() as stack:

        async def start(market: Any = None, **options: Any) -> Venue:
            return await stack.enter_async_context(Venue(market or PlainMarket(), **options))

        yield start


@pytest.fixture
async def venue(serve: Callable[..., Any]) -> Venue:
    """As fast as its reader, a minute long."""
    served: Venue = await serve()
    return served


@pytest.fixture
async def http(venue: Venue) -> AsyncIterator[aiohttp.ClientSession]:
    """A client whose addresses are the venue's."""
    async with aiohttp.ClientSession(venue.url) as session:
        yield session
