"""Keys with names, projects, expiries and last uses; the audit trail"""

from collections import Counter

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_OF_FILES = ("operator", "local")
"""The users whose keys the server writes to files."""


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("user_id", sa.String(length=40), nullable=True),
        sa.Column("by", sa.String(length=100), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index("ix_audit_at", "audit", ["at"])
    op.add_column("api_keys", sa.Column("name", sa.String(length=64), server_default="", nullable=False))
    op.add_column("api_keys", sa.Column("project_id", sa.String(length=40), nullable=True))
    op.add_column("api_keys", sa.Column("expires_at", sa.Float(), nullable=True))
    op.add_column("api_keys", sa.Column("used_at", sa.Float(), nullable=True))
    _name_keys()
    op.create_index("uq_api_keys_name", "api_keys", ["user_id", "name"], unique=True)


def _name_keys() -> None:
    """Keys of before get names. They keep acting in their user's first project, as they did; those that the
    server wrote to a key file, so all of the first users' that did not come with a further project, are named
    after the file, so that renewing the file ends them."""
    connection = op.get_bind()
    joined = {
        (row.user_id, row.created_at, row.project)
        for row in connection.execute(
            sa.text(
                "SELECT m.user_id, m.created_at, p.name AS project FROM memberships m "
                "JOIN projects p ON p.id = m.project_id"
            )
        )
    }
    further = {(user, at) for user, at, project in joined if project not in ("operators", "local")}
    keys = connection.execute(
        sa.text(
            "SELECT k.hash, k.user_id, k.created_at, u.name AS user_name, u.revoked_at FROM api_keys k "
            "JOIN users u ON u.id = k.user_id ORDER BY k.created_at DESC, k.hash"
        )
    ).all()
    counts: Counter[tuple[str, str]] = Counter()
    for key in keys:
        if key.revoked_at is not None:  # a user who is restored gets a new one
            connection.execute(sa.text("DELETE FROM api_keys WHERE hash = :hash"), {"hash": key.hash})
            continue
        of_file = key.user_name in _OF_FILES and (key.user_id, key.created_at) not in further
        kind = f"{key.user_name}.key" if of_file else "key"
        counts[key.user_id, kind] += 1
        number = counts[key.user_id, kind]
        name = (kind if number == 1 else f"{kind}.{number}") if of_file else f"key-{number}"
        connection.execute(
            sa.text("UPDATE api_keys SET name = :name WHERE hash = :hash"), {"name": name, "hash": key.hash}
        )
