"""What can go wrong, sorted by who must act: the caller, or the person who starts the server.

ServerError
  Refused            the caller asked for something that cannot be done; the sentence is shown to the caller
    NotFound         the thing to change is not there (or is of another project, which looks the same)
    ThreadDeleted    a step that began after its thread was deleted
  DataFolderInUse    another process works on the data folder
  TookTooLong        reading was stopped at the end of the time that it was given
  DatabaseTooNew     a newer version of the program has changed the database's form
"""


class ServerError(Exception):
    """Base of every error that this package raises on purpose."""


class Refused(ServerError):  # noqa: N818 - reads as what happened
    """A request that the caller has to change; its text is written for the caller."""


class NotFound(Refused):
    """A change to something that is not in the project."""

    def __init__(self, kind: str, identity: str) -> None:
        super().__init__(f"There is no {kind} with the id {identity!r}.")


class ThreadDeleted(Refused):
    """A step that began after its thread was deleted: its client does not know yet that nobody will read it."""

    def __init__(self) -> None:
        super().__init__("thread deleted")


class DataFolderInUse(ServerError):  # noqa: N818 - reads as what happened
    """Another process holds the lock of the data folder."""


class TookTooLong(ServerError):  # noqa: N818 - reads as what happened
    """Reading was stopped at the end of its time, so that one question does not hold up all others."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Reading took longer than {seconds:g} s and was stopped.")


class DatabaseTooNew(ServerError):  # noqa: N818 - reads as what happened
    """The database has a form that this version does not know."""
