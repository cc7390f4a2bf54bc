"""workers and metrics"""

import sqlalchemy as sa
from alembic import op
revision = '0003'
down_revision = '0002'

QUEUE_STORAGE = {
    'fillfactor': '70',
    'autovacuum_vacuum_scale_factor': '0.02',
    'autovacuum_vacuum_threshold': '200',
}


def upgrade() -> None:
    op.create_table('workers',
    sa.Column('worker_id', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('seen_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('worker_id'),
    postgresql_with=QUEUE_STORAGE
    )
    op.create_table('metrics_turns',
    sa.Column('sink', sa.Text(), nullable=False),
    sa.Column('sent_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('sent_by', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('sink')
    )


def downgrade() -> None:
    op.drop_table('metrics_turns')
    op.drop_table('workers')
