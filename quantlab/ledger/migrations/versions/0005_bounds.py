"""The equity of the fleets that bound a run's result."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = depends_on = None


def upgrade() -> None:
    op.create_table(
        "bounds",
        sa.Column("run_id", sa.Text(), sa.ForeignKey("runs.run_id", ondelete="CASCADE"), nullable=False),
        sa.Column("time_ms", sa.Integer(), nullable=False),
        sa.Column("bot", sa.Integer(), nullable=False),
        sa.Column("optimistic", sa.Float(), nullable=False),
        sa.Column("pessimistic", sa.Float(), nullable=False),
    )
    op.create_index("ix_bounds_run_id", "bounds", ["run_id"])
