"""Turns what the `openai` client raises into our errors: one sentence each, with the setting to change."""

import openai

from agent.errors import (
    AccessDeniedError,
    AgentError,
    ContextTooLongError,
    KeyRefusedError,
    ModelTimeoutError,
    NoConnectionError,
    QuotaSpentError,
    RateLimitedError,
    RequestRefusedError,
    ServerFailedError,
    StreamCutError,
    UnknownModelError,
    UnreadableAnswerError,
)

QUOTE_CHARACTERS = 200
CONTEXT_CODES = ("context_length_exceeded", "string_above_max_length")
CONTEXT_WORDS = ("context length", "context size", "context window", "maximum context", "too many tokens")

UNREADABLE = (
    "The model server at {host} did not answer as a Chat Completions server does; "
    "check that OPENAI_BASE_URL is its full address, usually one that ends in /v1."
)
CUT = (
    "The connection to {host} broke in the middle of the answer; please ask again. "
    "If it happens often, look at OPENAI_BASE_URL and at what lies between here and there."
)


def model_failure(error: Exception, *, model: str, host: str, begun: bool, key: str) -> AgentError:
    """Return our error for one that a model call raised; `begun` tells whether any part of the answer had come.

    The key is never part of the sentence, not even where the server quotes it.
    """
    if isinstance(error, openai.APIStatusError):
        return _from_status(error, model, host, _quote(error, key))
    if isinstance(error, openai.APITimeoutError):
        return ModelTimeoutError(
            f"The model server at {host} was silent for longer than MODEL_TIMEOUT_SECONDS allows; "
            "ask again, or raise that setting."
        )
    if isinstance(error, openai.APIConnectionError):
        if begun:
            return StreamCutError(CUT.format(host=host))
        return NoConnectionError(
            f"No connection to the model server at {host}; check that it runs, and OPENAI_BASE_URL."
        )
    if isinstance(error, UnicodeEncodeError) and not begun:
        return KeyRefusedError("OPENAI_API_KEY holds characters that no key can have; copy it again.")
    if isinstance(error, openai.APIError) and type(error) is openai.APIError:  # an error object inside the stream
        if _is_context(error):
            return _context_too_long(model, _quote(error, key))
        return ServerFailedError(
            f"The model server at {host} failed while it answered{_quote(error, key)}; please ask again."
        )
    return UnreadableAnswerError(UNREADABLE.format(host=host))


def no_answer(*, host: str, begun: bool) -> AgentError:
    """Return our error for a stream that ended without saying that it is finished."""
    return StreamCutError(CUT.format(host=host)) if begun else UnreadableAnswerError(UNREADABLE.format(host=host))


def _from_status(error: openai.APIStatusError, model: str, host: str, quote: str) -> AgentError:
    status = error.status_code
    if status == 401:
        return KeyRefusedError(f"The model server at {host} refuses the key{quote}; check OPENAI_API_KEY.")
    if status == 403:
        return AccessDeniedError(
            f"The key may not use the model {model!r} at {host}{quote}; check OPENAI_API_KEY and OPENAI_MODEL."
        )
    if status == 404:
        return UnknownModelError(
            f"The model server at {host} has no model {model!r}{quote}; check OPENAI_MODEL and OPENAI_BASE_URL."
        )
    if status == 429 and error.code == "insufficient_quota":
        return QuotaSpentError(
            f"The account behind the key has no quota left{quote}; top it up, or set another OPENAI_API_KEY."
        )
    if status == 429:
        return RateLimitedError(
            f"The model server at {host} asks to slow down{quote}; wait a little and ask again, "
            "or raise MODEL_MAX_RETRIES."
        )
    if status == 408:
        return ModelTimeoutError(f"The model server at {host} gave up waiting{quote}; please ask again.")
    if status == 413 or (status < 500 and _is_context(error)):
        return _context_too_long(model, quote)
    if status >= 500:
        return ServerFailedError(
            f"The model server at {host} failed with HTTP {status}{quote}; ask again later, or check OPENAI_BASE_URL."
        )
    return RequestRefusedError(
        f"The model server at {host} refused the request with HTTP {status}{quote}; "
        "check OPENAI_MODEL, and whether this model takes tools."
    )


def _context_too_long(model: str, quote: str) -> ContextTooLongError:
    return ContextTooLongError(
        f"This conversation is longer than the model {model!r} can read{quote}; "
        "start a new one, or set OPENAI_MODEL to a model with a larger context."
    )


def _is_context(error: openai.APIError) -> bool:
    if error.code in CONTEXT_CODES:
        return True
    said = error.message.lower()
    return any(words in said for words in CONTEXT_WORDS)


def _quote(error: openai.APIError, key: str) -> str:
    """Return what the server itself says, as ` ("…")`, or nothing where it says nothing fit for a person."""
    body = error.body
    said = body.get("message") or body.get("detail") if isinstance(body, dict) else None
    if not isinstance(said, str) or not said.strip():
        return ""
    words = " ".join(said.split())
    if key:
        words = words.replace(key, "…")
    if len(words) > QUOTE_CHARACTERS:
        words = words[:QUOTE_CHARACTERS].rstrip() + "…"
    return f' ("{words.rstrip(".")}")'
