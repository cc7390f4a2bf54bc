"""work that was put back, workers that are unwell, versions, and sources that fail

`put_backs` counts tries that the surroundings ended. A worker says what it suffers from and what it knows; a job says
which version is needed to work on it. Columns with constant defaults: no table is rewritten.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0008"
down_revision = "0007"

JOBS, CHUNKS, WORKERS = "video_analysis_jobs", "video_analysis_chunks", "workers"


def upgrade() -> None:
    # Where somebody reads the tables for long, claims would wait behind this: better to fail, and be run again.
    op.execute("SET LOCAL lock_timeout = '10s'")
    # Chunks before jobs, as every other transaction locks them.
    op.add_column(CHUNKS, sa.Column("put_backs", sa.Integer, nullable=False, server_default="0"))
    op.add_column(JOBS, sa.Column("put_backs", sa.Integer, nullable=False, server_default="0"))
    op.add_column(JOBS, sa.Column("schema_version", sa.SmallInteger, nullable=False, server_default="1"))
    op.add_column(JOBS, sa.Column("source_trouble_at", sa.DateTime(timezone=True)))
    # The defaults are what workers know that do not say it yet.
    op.add_column(WORKERS, sa.Column("knows", ARRAY(sa.Text), nullable=False, server_default="{crop}"))
    op.add_column(WORKERS, sa.Column("schema_version", sa.SmallInteger, nullable=False, server_default="1"))
    op.add_column(WORKERS, sa.Column("trouble", sa.Text))
    op.add_column(WORKERS, sa.Column("trouble_since", sa.DateTime(timezone=True)))


def downgrade() -> None:
    for column in ("trouble_since", "trouble", "schema_version", "knows"):
        op.drop_column(WORKERS, column)
    for column in ("source_trouble_at", "schema_version", "put_backs"):
        op.drop_column(JOBS, column)
    op.drop_column(CHUNKS, "put_backs")
