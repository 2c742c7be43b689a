"""Large bytes in parts, and how many bytes each project stores"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

FIELDS = ("params_hash", "result_hash", "logs_hash")
ADD = (
    "INSERT INTO project_storage (project_id, bytes) VALUES ({row}.project_id, {size}) "
    "ON CONFLICT (project_id) DO UPDATE SET bytes = project_storage.bytes + excluded.bytes"
)


def _size(digest: str) -> str:
    """SQL for the number of bytes of a digest; 0 for none."""
    parts = "(SELECT sum(length(p.data)) FROM blob_parts p WHERE p.hash = b.hash)"
    case = f"CASE length(b.data) WHEN 0 THEN {parts} ELSE length(b.data) END"
    return f"coalesce((SELECT {case} FROM blobs b WHERE b.hash = {digest}), 0)"


def _sizes(row: str) -> str:
    return " + ".join(_size(f"{row}.{name}") for name in FIELDS)


def upgrade() -> None:
    op.create_table(
        "blob_parts",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash", "number", name=op.f("pk_blob_parts")),
    )
    op.create_table(
        "project_storage",
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_project_storage")),
    )
    op.execute(
        "INSERT INTO project_storage (project_id, bytes) "
        f"SELECT j.project_id, sum({_sizes('j')}) FROM jobs j GROUP BY j.project_id"
    )
    added = ADD.format(row="NEW", size=_sizes("NEW"))
    removed = ADD.format(row="OLD", size=f"-({_sizes('OLD')})")
    changed = ADD.format(row="NEW", size=f"{_sizes('NEW')} - ({_sizes('OLD')})")
    if op.get_bind().dialect.name == "sqlite":
        differs = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in FIELDS)
        of = ", ".join(FIELDS)
        op.execute(f"CREATE TRIGGER jobs_stored_more AFTER INSERT ON jobs BEGIN {added}; END")
        op.execute(f"CREATE TRIGGER jobs_stored_less AFTER DELETE ON jobs BEGIN {removed}; END")
        op.execute(
            f"CREATE TRIGGER jobs_stored_otherwise AFTER UPDATE OF {of} ON jobs WHEN {differs} "
            f"BEGIN {changed}; END"
        )
        return
    for name, when, what in (
        ("jobs_stored_more", "INSERT", added),
        ("jobs_stored_less", "DELETE", removed),
        ("jobs_stored_otherwise", f"UPDATE OF {', '.join(FIELDS)}", changed),
    ):
        op.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {what}; RETURN NULL; END $$"
        )
        op.execute(f"CREATE TRIGGER {name} AFTER {when} ON jobs FOR EACH ROW EXECUTE FUNCTION {name}()")
