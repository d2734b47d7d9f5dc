"""The API in-process, for each test anew."""

from collections.abc import AsyncIterator

import pytest

from tests.support.inprocess import API, running


@pytest.fixture
async def api() -> AsyncIterator[API]:
    """An API with the default settings."""
    async with running() as it:
        yield it
