"""webhooks: messages about jobs, written by the very statement that moves a job on, and the secrets that sign them

New tables and columns, which older releases leave alone. The trigger writes a message whoever ends the job, a worker of an
older release too. It runs as the owner of the tables, so that neither a role that was not granted the new table yet nor a
tenant's own can fail a job over it.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from backend.db.tenancy import protect

revision = "0017"
down_revision = "0016"

JOBS, MESSAGES, SECRETS = "video_analysis_jobs", "webhook_messages", "webhook_secrets"

NOTE_WEBHOOK = """
CREATE FUNCTION note_webhook() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wanted text := CASE NEW.status
        WHEN 'done' THEN 'job.completed' WHEN 'failed' THEN 'job.failed' WHEN 'cancelled' THEN 'job.cancelled'
        ELSE 'job.progress' END;
BEGIN
    IF wanted = ANY (NEW.webhook_events) AND (wanted = 'job.progress' OR NEW.status IS DISTINCT FROM OLD.status) THEN
        INSERT INTO public.webhook_messages (job_id, tenant, type, host, facts)
        VALUES (
            NEW.id, NEW.tenant, wanted, lower(substring(NEW.webhook_url FROM '^[^/]*//([^/?#]*)')),
            jsonb_build_object(
                'status', NEW.status, 'stage', NEW.stage, 'error_code', NEW.error_code,
                'error_message', NEW.error_message, 'error_retryable', NEW.error_retryable
            )
        );
    END IF;
    RETURN NULL;
END $$
"""
TELL_WEBHOOK = f"""
CREATE TRIGGER tell_webhook AFTER UPDATE OF status, stage ON {JOBS} FOR EACH ROW
WHEN (NEW.webhook_url IS NOT NULL AND (NEW.status, NEW.stage) IS DISTINCT FROM (OLD.status, OLD.stage))
EXECUTE FUNCTION note_webhook()
"""


def upgrade() -> None:
    # Where somebody reads a table for long, claims would wait behind this: better to fail, and be run again.
    op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column(JOBS, sa.Column("webhook_url", sa.Text()))
    op.add_column(JOBS, sa.Column("webhook_events", postgresql.ARRAY(sa.Text())))
    op.create_table(
        MESSAGES,
        sa.Column(
            "id", postgresql.UUID(as_uuid=True), server_default=sa.text("gen_random_uuid()"), primary_key=True
        ),
        sa.Column(
            "job_id",
            postgresql.UUID(as_uuid=True),
            sa.ForeignKey(f"{JOBS}.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("tenant", sa.Text(), server_default="default", nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("host", sa.Text()),
        sa.Column("facts", postgresql.JSONB(), nullable=False),
        sa.Column("body", sa.Text()),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("attempts", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.func.now()),
        sa.Column("delivered_at", sa.DateTime(timezone=True)),
        sa.Column("gave_up_at", sa.DateTime(timezone=True)),
    )
    op.create_index("ix_webhooks_due", MESSAGES, ["due_at"], postgresql_where=sa.text("due_at IS NOT NULL"))
    op.create_index("ix_webhooks_job", MESSAGES, ["job_id", "created_at"])
    op.create_index("ix_webhooks_dead", MESSAGES, ["gave_up_at"], postgresql_where=sa.text("gave_up_at IS NOT NULL"))
    op.create_table(
        SECRETS,
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("tenant", sa.Text(), server_default="default", nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("signs_until", sa.DateTime(timezone=True)),
    )
    op.create_index(
        "uq_webhook_secrets_newest", SECRETS, ["tenant"], unique=True, postgresql_where=sa.text("signs_until IS NULL")
    )
    for statement in (*protect(MESSAGES, "SELECT"), *protect(SECRETS)):
        op.execute(statement)
    op.execute(NOTE_WEBHOOK)
    op.execute(TELL_WEBHOOK)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '10s'")
    op.execute(f"DROP TRIGGER tell_webhook ON {JOBS}")
    op.execute("DROP FUNCTION note_webhook()")
    op.drop_table(SECRETS)
    op.drop_table(MESSAGES)
    op.drop_column(JOBS, "webhook_events")
    op.drop_column(JOBS, "webhook_url")
