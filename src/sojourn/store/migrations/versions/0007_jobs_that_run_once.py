"""Whether a job whose run is lost may run again"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("reruns", sa.Boolean(), server_default="1", nullable=False))
