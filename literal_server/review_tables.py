"""The tables of what reviewers add to a thread, beside its marks and scores; as those of `tables.py` are."""

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from literal_server.tables import Base, deleted_rows


class Comment(Base):
    """What somebody wrote about a thread, about one step of it, or about a moment (seconds since it began)."""

    __tablename__ = "comments"
    __table_args__ = (Index(None, "project_id", "thread_id"), deleted_rows("comments"))

    project_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    thread_id: Mapped[str]
    step_id: Mapped[str | None]
    seconds: Mapped[float | None]
    author: Mapped[str]
    text: Mapped[str]
    created_at: Mapped[int]
    deleted_at: Mapped[int | None]


class Share(Base):
    """A link that shows one thread; `digest` is the SHA-256 of its token."""

    __tablename__ = "shares"
    __table_args__ = (Index(None, "project_id", "thread_id"), UniqueConstraint("digest"))

    project_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    thread_id: Mapped[str]
    digest: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[int]
    expires_at: Mapped[int]
    revoked_at: Mapped[int | None]
