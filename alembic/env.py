"""Runs migrations against DATABASE_URL, or against the connection that a caller hands over."""

from alembic import context

from backend.db.driver import application_name
from backend.db.engine import Database
from backend.db.migrate import migrating
from backend.db.models import Base
from backend.db.models_keys import ApiKey  # noqa: F401 - a table of Base
from backend.db.models_uploads import Upload  # noqa: F401 - a table of Base
from backend.db.models_webhooks import WebhookMessage  # noqa: F401 - a table of Base
from backend.settings import get_settings

target_metadata = Base.metadata


def run(connection) -> None:
    context.configure(connection=connection, target_metadata=target_metadata, compare_server_default=True)
    with context.begin_transaction():
        context.run_migrations()


handed_over = context.config.attributes.get("connection")
if handed_over is not None:
    run(handed_over)
else:
    url = get_settings().database_url
    if url is None:
        raise SystemExit("Set DATABASE_URL, for example postgresql://user:password@host/database")
    with migrating(Database(url.get_secret_value(), name=application_name("alembic"))) as connection:
        run(connection)
