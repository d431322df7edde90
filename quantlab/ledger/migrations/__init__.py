"""The schema's history, as Alembic migrations that travel with the package."""
