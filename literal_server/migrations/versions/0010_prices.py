"""How many model calls of a thread have no known price, and by which prices the costs were worked out.

The server works out the costs of what is there already when it starts.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the column and the table."""
    op.add_column("threads", sa.Column("unpriced_count", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_table("applied_prices", sa.Column("fingerprint", sa.Text(), primary_key=True, nullable=False))


def downgrade() -> None:
    """Take them away again."""
    op.drop_table("applied_prices")
    op.drop_column("threads", "unpriced_count")
