"""What the completeness of a thread is told by: what each writer has put in it, and where in that its steps stand."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the columns; what was stored before bears no stamp."""
    op.add_column("threads", sa.Column("writers", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("steps", sa.Column("writer", sa.Text(), nullable=True))
    op.add_column("steps", sa.Column("sequence", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Take them away again."""
    op.drop_column("steps", "sequence")
    op.drop_column("steps", "writer")
    op.drop_column("threads", "writers")
