"""Runs whose worker died, and an index of such deaths"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("crashed", sa.Text(), server_default="[]", nullable=False))
    op.create_index(
        "ix_story_crashed",
        "story",
        ["at"],
        sqlite_where=sa.text("cause = 'crashed'"),
        postgresql_where=sa.text("cause = 'crashed'"),
    )
