"""sources and expiry"""

import sqlalchemy as sa
from alembic import op
revision = '0004'
down_revision = '0003'


def upgrade() -> None:
    op.create_index('ix_jobs_source', 'video_analysis_jobs', ['source_etag', 'tenant'], unique=False, postgresql_where=sa.text('source_etag IS NOT NULL'))
    op.create_index('ix_jobs_expiring', 'video_analysis_jobs', ['expires_at'], unique=False, postgresql_where=sa.text('expires_at IS NOT NULL'))


def downgrade() -> None:
    op.drop_index('ix_jobs_expiring', table_name='video_analysis_jobs')
    op.drop_index('ix_jobs_source', table_name='video_analysis_jobs')
