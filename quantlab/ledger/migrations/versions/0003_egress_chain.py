"""The egress log is chained: a sequence number and a link a row. Rows that are there already get neither."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = depends_on = None


def upgrade() -> None:
    op.add_column("egress", sa.Column("seq", sa.Integer(), nullable=True))
    op.add_column("egress", sa.Column("chain", sa.Text(), nullable=True))
    op.drop_index("ix_egress_run_id", table_name="egress")
    op.create_index("ix_egress_chain", "egress", ["run_id", "seq"], unique=True)
