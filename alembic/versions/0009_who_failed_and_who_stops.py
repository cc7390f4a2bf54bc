"""who failed a chunk, and which worker is to stop

Both columns are empty at first: no row is rewritten.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

CHUNKS = "video_analysis_chunks"


def upgrade() -> None:
    # Where somebody reads the table for long, claims would wait behind this: better to fail, and be run again.
    op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column("workers", sa.Column("asked_to_stop_at", sa.DateTime(timezone=True)))
    op.add_column(CHUNKS, sa.Column("failed_by", sa.Text()))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '10s'")
    op.drop_column(CHUNKS, "failed_by")
    op.drop_column("workers", "asked_to_stop_at")
