"""fleet page: who paused the fleet, what workers run on, and the queue's last day

Additions alone: workers of an earlier release say nothing of their machine.
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

SAMPLES = "fleet_samples"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column("fleet", sa.Column("paused_by", sa.Text()))
    op.add_column("workers", sa.Column("machine", sa.Text()))
    op.add_column("workers", sa.Column("device", sa.Text()))
    op.create_table(
        SAMPLES,
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.now(), primary_key=True),
        sa.Column("queued_chunks", sa.Integer(), nullable=False),
        sa.Column("processing_chunks", sa.Integer(), nullable=False),
        sa.Column("running_workers", sa.Integer(), nullable=False),
        sa.Column("completed_chunks", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '10s'")
    op.drop_table(SAMPLES)
    op.drop_column("workers", "device")
    op.drop_column("workers", "machine")
    op.drop_column("fleet", "paused_by")
