"""sources: films that overwrite nothing, planning that does not hold up others, links that are forgotten

Columns with defaults: earlier releases neither read nor write them. What they create may overwrite, as before, and is
known by its URI itself where its digest is missing.
"""

import sqlalchemy as sa
from alembic import op

from backend.db.tenancy import TENANT_ROLE

revision = "0018"
down_revision = "0017"

JOBS = "video_analysis_jobs"
FORGOTTEN = "input_uri, params, output_put_url"


def upgrade() -> None:
    op.add_column(JOBS, sa.Column("keeps_existing", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column(JOBS, sa.Column("input_sha256", sa.Text()))
    op.add_column(JOBS, sa.Column("claimed_at", sa.DateTime(timezone=True)))
    # A request that cancels a job lets its row forget the links.
    op.execute(f"GRANT UPDATE ({FORGOTTEN}) ON {JOBS} TO {TENANT_ROLE}")


def downgrade() -> None:
    op.execute(f"REVOKE UPDATE ({FORGOTTEN}) ON {JOBS} FROM {TENANT_ROLE}")
    op.drop_column(JOBS, "claimed_at")
    op.drop_column(JOBS, "input_sha256")
    op.drop_column(JOBS, "keeps_existing")
