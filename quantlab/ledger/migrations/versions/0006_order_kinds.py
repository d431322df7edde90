"""What orders by quote quantity, trailing stops, lists and self-trade prevention need to be remembered."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = depends_on = None


def upgrade() -> None:
    op.add_column("orders", sa.Column("quote_quantity", sa.Text(), nullable=True))
    op.add_column("orders", sa.Column("trailing_delta", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("orders", sa.Column("list_number", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("orders", sa.Column("prevented", sa.Text(), nullable=False, server_default="0"))
