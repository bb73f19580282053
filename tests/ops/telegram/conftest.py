from collections.abc import AsyncIterator

import pytest

from tests.ops.telegram.fake import FakeTelegram


@pytest.fixture
async def fake() -> AsyncIterator[FakeTelegram]:
    async with FakeTelegram().serve() as server:
        yield server
