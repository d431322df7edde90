"""How many of its engine's journal calls a run has on disk. Runs that are there already do not know."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("journal_calls", sa.Integer(), nullable=True))
