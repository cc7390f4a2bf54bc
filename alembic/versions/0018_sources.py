"""sources: films that overwrite nothing, and planning that does not hold up others

Two columns with defaults: earlier releases neither read nor write them. What they create may overwrite, as before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

JOBS = "video_analysis_jobs"


def upgrade() -> None:
    op.add_column(JOBS, sa.Column("keeps_existing", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column(JOBS, sa.Column("claimed_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column(JOBS, "claimed_at")
    op.drop_column(JOBS, "keeps_existing")
