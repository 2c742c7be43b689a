"""Steps of devices, calibrations and reservations in the history, and whose each step is"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_SESSION_STATES = ("open", "active", "pending_inactive", "inactive", "pending_closed", "closed")
_GONE = "history_gone"


def upgrade() -> None:
    op.add_column("story", sa.Column("kind", sa.String(length=12), server_default="job", nullable=False))
    for name in ("user_id", "project_id", "session_id"):
        op.add_column("story", sa.Column(name, sa.String(length=40), nullable=True))
    story = sa.table("story", sa.column("id"), sa.column("kind"), sa.column("after"))
    meta = sa.table("meta", sa.column("key"), sa.column("value"))
    bind = op.get_bind()
    bind.execute(sa.update(story).where(story.c.after.in_(_SESSION_STATES)).values(kind="session"))
    op.execute(
        "UPDATE story SET user_id = (SELECT j.user_id FROM jobs j WHERE j.id = story.entity), "
        "project_id = (SELECT j.project_id FROM jobs j WHERE j.id = story.entity), "
        "session_id = (SELECT j.session_id FROM jobs j WHERE j.id = story.entity) WHERE kind = 'job'"
    )
    op.execute(
        "UPDATE story SET user_id = (SELECT s.user_id FROM sessions s WHERE s.id = story.entity), "
        "project_id = (SELECT s.project_id FROM sessions s WHERE s.id = story.entity), "
        "session_id = story.entity WHERE kind = 'session'"
    )
    # what retention has deleted before this version is not known: all that is there counts as incomplete then
    newest, count = bind.execute(sa.select(sa.func.max(story.c.id), sa.func.count())).one()
    if newest is not None and count < newest:
        bind.execute(sa.insert(meta).values(key=_GONE, value=str(newest).encode()))
