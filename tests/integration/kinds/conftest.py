from __future__ import annotations

import pytest

from backend.db.engine import Database
from backend.settings import Settings
from tests.integration.kinds.shop import Shop


@pytest.fixture
def shop(database: Database, settings: Settings) -> Shop:
    return Shop(database, settings)
