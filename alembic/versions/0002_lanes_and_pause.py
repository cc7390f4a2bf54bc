"""lanes, pause, what is known of a chunk"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

JOBS, CHUNKS = "video_analysis_jobs", "video_analysis_chunks"
# Ranks keep the order in which waiting chunks were claimed so far. All rows are written: a finished chunk's tenant counts too.
COPY_FROM_JOBS = """
UPDATE video_analysis_chunks c
SET tenant = j.tenant, deep_mode = j.deep_mode, claim_rank = -c.priority::bigint * 1000000000000 + ranked.position
FROM video_analysis_jobs j, (
    SELECT id, row_number() OVER (PARTITION BY priority ORDER BY chunk_index, created_at, id) AS position
    FROM video_analysis_chunks
) ranked
WHERE j.id = c.job_id AND ranked.id = c.id
"""
MAKE_LANES = """
INSERT INTO queue_lanes (deep_mode, tenant, floor_rank)
SELECT deep_mode, tenant, min(claim_rank) FILTER (WHERE status = 'queued')
FROM (
    SELECT deep_mode, tenant, claim_rank, status FROM video_analysis_chunks
    UNION ALL
    SELECT mode, 'default', NULL, NULL FROM unnest(ARRAY['gpu', 'cpu']) AS mode
) all_lanes
GROUP BY deep_mode, tenant
"""


def upgrade() -> None:
    op.create_table(
        "queue_lanes",
        sa.Column("deep_mode", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("floor_rank", sa.BigInteger(), nullable=True),
        sa.Column("max_in_work", sa.Integer(), nullable=True),
        sa.Column("raised_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("deep_mode IN ('gpu', 'cpu')", name="deep_mode_known"),
        sa.CheckConstraint("max_in_work >= 0", name="max_in_work_not_negative"),
        sa.PrimaryKeyConstraint("deep_mode", "tenant"),
        postgresql_with={
            "fillfactor": "50",
            "autovacuum_vacuum_scale_factor": "0",
            "autovacuum_vacuum_threshold": "50",
        },
    )
    op.create_table(
        "fleet",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, server_default="1", nullable=False),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint("id = 1", name="one_row"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.execute("INSERT INTO fleet DEFAULT VALUES")

    op.add_column(JOBS, sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(JOBS, sa.Column("trace_context", sa.Text(), nullable=True))
    op.create_index(
        "ix_jobs_live", JOBS, ["tenant", "deep_mode"], postgresql_where=sa.text("status IN ('queued', 'processing')")
    )
    op.create_index(
        "ix_jobs_over", JOBS, ["completed_at"], postgresql_where=sa.text("status IN ('done', 'failed', 'cancelled')")
    )

    op.drop_index("ix_chunks_claim", table_name=CHUNKS)
    op.drop_index("ix_chunks_processing", table_name=CHUNKS)
    op.add_column(CHUNKS, sa.Column("tenant", sa.Text(), server_default="default", nullable=False))
    op.add_column(CHUNKS, sa.Column("deep_mode", sa.Text(), server_default="gpu", nullable=False))
    op.add_column(CHUNKS, sa.Column("claim_rank", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column(CHUNKS, sa.Column("on_hold", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column(CHUNKS, sa.Column("bytes_read", sa.BigInteger(), nullable=True))
    op.add_column(CHUNKS, sa.Column("last_event", sa.Text(), nullable=True))
    op.execute(COPY_FROM_JOBS)
    op.execute(MAKE_LANES)
    op.create_check_constraint("deep_mode_known", CHUNKS, "deep_mode IN ('gpu', 'cpu')")
    op.create_foreign_key(None, CHUNKS, "queue_lanes", ["deep_mode", "tenant"], ["deep_mode", "tenant"])
    op.create_index(
        "ix_chunks_claim",
        CHUNKS,
        ["deep_mode", "tenant", "claim_rank", "id"],
        postgresql_where=sa.text("status = 'queued' AND NOT on_hold"),
    )
    op.create_index(
        "ix_chunks_processing", CHUNKS, ["deep_mode", "tenant"], postgresql_where=sa.text("status = 'processing'")
    )
    op.create_index(
        "ix_chunks_unfinished",
        CHUNKS,
        ["job_id", "chunk_index"],
        postgresql_where=sa.text("status <> 'completed'"),
    )


def downgrade() -> None:
    op.drop_index("ix_chunks_unfinished", table_name=CHUNKS)
    op.drop_index("ix_chunks_processing", table_name=CHUNKS)
    op.drop_index("ix_chunks_claim", table_name=CHUNKS)
    op.drop_constraint("video_analysis_chunks_deep_mode_tenant_fkey", CHUNKS, type_="foreignkey")
    op.drop_constraint("deep_mode_known", CHUNKS, type_="check")
    for column in ("last_event", "bytes_read", "on_hold", "claim_rank", "deep_mode", "tenant"):
        op.drop_column(CHUNKS, column)
    op.create_index("ix_chunks_processing", CHUNKS, ["job_id"], postgresql_where=sa.text("status = 'processing'"))
    op.create_index(
        "ix_chunks_claim",
        CHUNKS,
        [sa.literal_column("priority DESC"), "chunk_index", "created_at", "id"],
        postgresql_where=sa.text("status = 'queued'"),
    )

    op.drop_index("ix_jobs_over", table_name=JOBS)
    op.drop_index("ix_jobs_live", table_name=JOBS)
    for column in ("trace_context", "paused_at"):
        op.drop_column(JOBS, column)
    op.drop_table("fleet")
    op.drop_table("queue_lanes")
