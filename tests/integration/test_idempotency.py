"""A key whose process died is taken over after a while, and then is nobody else's to give back."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from backend.db.engine import Database
from backend.errors import KeyInFlight
from backend.jobs.idempotency import PATIENCE_SEC, in_flight


def age(database: Database, seconds: float) -> None:
    with database.transaction() as connection:
        older = "UPDATE requests_in_flight SET begun_at = begun_at - make_interval(secs => :seconds)"
        connection.execute(text(older), {"seconds": seconds})


def keys(database: Database) -> list[tuple[str, str]]:
    with database.transaction() as connection:
        rows = connection.execute(text("SELECT tenant, idempotency_key FROM requests_in_flight ORDER BY 1, 2"))
        return [(row[0], row[1]) for row in rows]


def test_a_key_that_a_dead_process_held_is_taken_over(database: Database) -> None:
    with in_flight(database, "default", "a"):
        with pytest.raises(KeyInFlight), in_flight(database, "default", "a"):
            pass
        age(database, PATIENCE_SEC - 60)
        with pytest.raises(KeyInFlight), in_flight(database, "default", "a"):
            pass
        age(database, 61)
        with in_flight(database, "default", "a"):
            assert keys(database) == [("default", "a")]
    assert keys(database) == []


def test_who_lost_a_key_does_not_free_it_for_others(database: Database) -> None:
    first = in_flight(database, "default", "a")
    first.__enter__()
    age(database, PATIENCE_SEC + 1)
    with in_flight(database, "default", "a"):
        first.__exit__(None, None, None)
        assert keys(database) == [("default", "a")]


def test_keys_are_a_tenants_own_and_are_free_after_a_failure(database: Database) -> None:
    with in_flight(database, "acme", "a"), in_flight(database, "default", "a"):
        assert keys(database) == [("acme", "a"), ("default", "a")]
    with pytest.raises(ZeroDivisionError), in_flight(database, "default", "a"):
        raise ZeroDivisionError
    assert keys(database) == []


def test_what_dead_processes_left_is_swept_a_day_later(database: Database) -> None:
    held = [in_flight(database, "default", key) for key in ("a", "b")]  # kept: who lets go of one frees its key
    for each in held:
        each.__enter__()
    assert keys(database) == [("default", "a"), ("default", "b")]
    age(database, 86_401)
    with in_flight(database, "default", "b"):
        assert keys(database) == [("default", "b")]
