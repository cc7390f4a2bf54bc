"""own functions: nobody calls the trigger's function but the trigger

Whoever may make a table, a temporary one too, may hang any trigger function on it that PUBLIC may execute. Ours writes
messages as the owner of the tables, past the policies. A trigger that is there needs no such right: older releases go on.
"""

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.execute("REVOKE EXECUTE ON FUNCTION note_webhook() FROM PUBLIC")


def downgrade() -> None:
    op.execute("GRANT EXECUTE ON FUNCTION note_webhook() TO PUBLIC")
