"""uploads: files that arrive in parts, and the parts of those that the API takes itself

Two new tables: older versions do not know of them, and nobody else's rows change.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from backend.db.tenancy import protect

revision = "0016"
down_revision = "0015"

UPLOADS, PARTS = "uploads", "upload_parts"


def upgrade() -> None:
    op.create_table(
        UPLOADS,
        sa.Column("id", postgresql.UUID(as_uuid=True), primary_key=True),
        sa.Column("tenant", sa.Text(), server_default="default", nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text()),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("part_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text()),
        sa.Column("checks_parts", sa.Boolean(), nullable=False),
        sa.Column("handle", sa.Text()),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("state IN ('open', 'complete', 'used', 'aborted')", name="state_known"),
        sa.CheckConstraint("size_bytes > 0 AND part_bytes > 0", name="sizes_positive"),
    )
    op.create_index("ix_uploads_expiring", UPLOADS, ["expires_at"])
    op.create_index("ix_uploads_of_tenant", UPLOADS, ["tenant", "state"])
    op.create_table(
        PARTS,
        sa.Column(
            "upload_id",
            postgresql.UUID(as_uuid=True),
            sa.ForeignKey(f"{UPLOADS}.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("tenant", sa.Text(), server_default="default", nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
    )
    change = "UPDATE (handle, checks_parts, state, expires_at, completed_at)"
    for statement in (
        *protect(UPLOADS, "SELECT", "INSERT", change, "DELETE"),
        *protect(PARTS, "SELECT", "INSERT", "UPDATE (sha256)", "DELETE"),
    ):
        op.execute(statement)


def downgrade() -> None:
    op.drop_table(PARTS)
    op.drop_table(UPLOADS)
