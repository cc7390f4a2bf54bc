"""versions: jobs that go on from the finished chunks of another

Additions alone: an earlier release makes jobs that are their own first version.
"""

import sqlalchemy as sa
from alembic import op

from backend.db.tenancy import TENANT_ROLE

revision = "0021"
down_revision = "0020"

JOBS, CHUNKS = "video_analysis_jobs", "video_analysis_chunks"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column(JOBS, sa.Column("version_of", sa.UUID()))
    op.add_column(JOBS, sa.Column("version", sa.Integer(), server_default="1", nullable=False))
    op.add_column(JOBS, sa.Column("source_job", sa.UUID()))
    op.create_index(
        "uq_jobs_version",
        JOBS,
        ["version_of", "version"],
        unique=True,
        postgresql_where=sa.text("version_of IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs_source_job", JOBS, ["source_job"], postgresql_where=sa.text("source_job IS NOT NULL")
    )
    # A version has its chunks in the transaction that makes it, which is its tenant's.
    op.execute(f"GRANT INSERT ON {CHUNKS} TO {TENANT_ROLE}")
    op.execute(f"GRANT USAGE ON SEQUENCE {CHUNKS}_id_seq TO {TENANT_ROLE}")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '10s'")
    op.execute(f"REVOKE USAGE ON SEQUENCE {CHUNKS}_id_seq FROM {TENANT_ROLE}")
    op.execute(f"REVOKE INSERT ON {CHUNKS} FROM {TENANT_ROLE}")
    op.drop_index("ix_jobs_source_job", table_name=JOBS)
    op.drop_index("uq_jobs_version", table_name=JOBS)
    op.drop_column(JOBS, "source_job")
    op.drop_column(JOBS, "version")
    op.drop_column(JOBS, "version_of")
