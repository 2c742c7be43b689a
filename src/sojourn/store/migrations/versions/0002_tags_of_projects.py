"""Tags of projects"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("projects", sa.Column("tags", sa.Text(), server_default="[]", nullable=False))
