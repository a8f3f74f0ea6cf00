"""How a server that runs alone writes its log: lines for people, or one JSON object a line for machines."""

import logging
import logging.config
from typing import Literal

# They log each of their own small steps.
_TALKATIVE = ("alembic", "httpx")


def configure(style: Literal["text", "json"]) -> None:
    """Send all logs of the process to its error output in one form."""
    forms = {
        "text": {"format": "%(asctime)s %(levelname)-7s %(message)s"},
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "fmt": "%(asctime)s %(levelname)s %(name)s %(message)s",
            "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
        },
    }
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"chosen": forms[style]},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "chosen"}},
            "root": {"level": "INFO", "handlers": ["stderr"]},
            "loggers": {name: {"level": "WARNING"} for name in _TALKATIVE},
        }
    )


def without_secrets(path: str) -> str:
    """Answer the path of a request as a log may hold it: without the query and without the token of a shared thread."""
    start, mark, token = path.partition("?")[0].partition("/shared/")
    return f"{start}{mark}…" if token else start + mark


def without_query(record: logging.LogRecord) -> bool:
    """Take what opens something out of uvicorn's line on a request, for its access log."""
    if isinstance(record.args, tuple) and len(record.args) == 5:
        peer, method, path, *others = record.args
        record.args = (peer, method, without_secrets(str(path)), *others)
    return True
