"""phases: chunks of several kinds of work in one job

New columns have constant defaults or are empty: no row is rewritten. What older workers plan meanwhile stays readable.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"

JOBS, CHUNKS = "video_analysis_jobs", "video_analysis_chunks"


def upgrade() -> None:
    # Where somebody reads a table for long, claims would wait behind this: better to fail, and be run again.
    op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column("workers", sa.Column("encoders", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False))
    op.add_column(CHUNKS, sa.Column("phase_chunks", sa.Integer()))
    op.add_column(CHUNKS, sa.Column("needs", sa.Text()))
    op.add_column(JOBS, sa.Column("phase", sa.Text(), server_default="detect", nullable=False))
    op.add_column(JOBS, sa.Column("phase_plan", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '10s'")
    op.drop_column(JOBS, "phase_plan")
    op.drop_column(JOBS, "phase")
    op.drop_column(CHUNKS, "needs")
    op.drop_column(CHUNKS, "phase_chunks")
    op.drop_column("workers", "encoders")
