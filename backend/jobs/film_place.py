"""Which of the places that a film may go to is its own: no film is ever written over another one's."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from backend.db.engine import Database
from backend.db.sql import statement
from backend.errors import ClaimLost, OutputExists
from backend.jobs.outputs import OutputPlace
from backend.queue.claims import JobClaim


def settled(database: Database, claim: JobClaim, places: Iterable[OutputPlace]) -> OutputPlace:
    """The first place that is free for this job's film; it stays this job's. Raises ClaimLost, OutputExists."""
    place, taken = None, None
    for place in places:
        if place.own_key is not None or place.is_given:
            return place
        try:
            place.destination.check_free()
        except OutputExists as exists:
            taken = exists
            continue
        with database.transaction() as connection:
            if _took(connection, claim, place.uri):
                return place
    assert place is not None, "a film has at least one place to go to"
    if taken is not None:
        raise taken
    return place


def _took(connection: Connection, claim: JobClaim, output_uri: str) -> bool:
    connection.execute(statement("lock_name"), {"output_uri": output_uri})
    # A statement of its own sees what was committed while this one waited for the lock.
    wanted = {"job_id": claim.job_id, "output_uri": output_uri}
    if connection.execute(statement("name_is_taken"), wanted).scalar_one():
        return False
    if connection.execute(statement("take_name"), {**wanted, "attempts": claim.attempts}).rowcount != 1:
        raise ClaimLost("The job was rescued from this worker, cancelled or finished.")
    return True
