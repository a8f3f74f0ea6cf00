"""What can end a turn without an answer, sorted by who must act; each error is one sentence to act on."""


class AgentError(Exception):
    """A turn failed.

    `message` names the cause and, where one helps, the setting to change. `status` is the HTTP status that fits it.
    """

    status = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class OperatorError(AgentError):
    """Whoever runs the app must change a setting, or something outside it, before this goes away."""

    status = 502


class KeyRefusedError(OperatorError):
    """The model server does not take the key."""


class AccessDeniedError(OperatorError):
    """The key is known and may not do this."""


class UnknownModelError(OperatorError):
    """The model server has no such model, or no such address."""


class QuotaSpentError(OperatorError):
    """The account behind the key has nothing left to spend."""


class NoConnectionError(OperatorError):
    """The model server cannot be reached."""


class CallerError(AgentError):
    """Whoever asks must ask differently."""

    status = 422


class ContextTooLongError(CallerError):
    """The conversation is longer than the model can read."""

    status = 413


class RequestRefusedError(CallerError):
    """The model server understood the request and refuses it."""


class ModelServerError(AgentError):
    """The model server failed; asking again later may well work."""

    status = 502


class RateLimitedError(ModelServerError):
    """The model server still asks to slow down after all retries."""

    status = 429


class ModelTimeoutError(ModelServerError):
    """The model server was silent for too long."""

    status = 504


class StreamCutError(ModelServerError):
    """The answer stopped in the middle."""


class ServerFailedError(ModelServerError):
    """The model server answered with an error of its own."""


class UnreadableAnswerError(ModelServerError):
    """What came back is not what the Chat Completions API sends."""


class InternalError(AgentError):
    """A bug of ours; the log has the traceback."""
