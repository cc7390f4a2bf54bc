"""keys and tenants: who may use the API, and on whose behalf

New tables: older versions do not know of them, and nobody else's rows change.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"

TENANTS, KEYS, SESSIONS = "tenants", "api_keys", "api_sessions"
LIMITS = {
    "open_jobs_max": sa.Integer(),
    "bytes_max": sa.BigInteger(),
    "frames_max": sa.BigInteger(),
    "cpu_seconds_max": sa.Double(),
}


def upgrade() -> None:
    op.create_table(
        TENANTS,
        sa.Column("name", sa.Text(), primary_key=True),
        *[sa.Column(name, kind) for name, kind in LIMITS.items()],
        _moment("created_at"),
        *[sa.CheckConstraint(f"{name} >= 0", name=f"{name}_not_negative") for name in LIMITS],
    )
    op.execute(f"INSERT INTO {TENANTS} (name) VALUES ('default')")
    op.create_table(
        KEYS,
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), sa.ForeignKey(f"{TENANTS}.name"), server_default="default", nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("secret_sha256", sa.Text(), nullable=False),
        _moment("created_at"),
        *[sa.Column(name, sa.DateTime(timezone=True)) for name in ("expires_at", "last_used_at", "revoked_at")],
    )
    op.create_index("uq_api_keys_name", KEYS, ["name"], unique=True, postgresql_where=sa.text("revoked_at IS NULL"))
    op.create_table(
        SESSIONS,
        sa.Column("token_sha256", sa.Text(), primary_key=True),
        sa.Column("key_id", sa.Text(), sa.ForeignKey(f"{KEYS}.id", ondelete="CASCADE"), nullable=False),
        _moment("created_at"),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_api_sessions_key", SESSIONS, ["key_id", "expires_at"])


def downgrade() -> None:
    for table in (SESSIONS, KEYS, TENANTS):
        op.drop_table(table)


def _moment(name: str) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)
