"""
Responses of the gateway's own: JSON bodies, and the status and code of each failure.

1. Before the first byte a failure has a status. A model that cannot be had is 409 with
   `x-should-retry: false`: clients retry a 5xx, and each try would load again.
2. After it only an error event can tell, in the words of the API that was asked.
"""

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure

from swapgate.errors import APIError, busy
from swapgate.fleet import lease
from swapgate.server.request import GatewayRequest
from swapgate.server.request_parser import RequestHead
from swapgate.server.target import Target

_log = Logger()


def answer(
    request: GatewayRequest,
    status: int,
    body: bytes,
    content_type: bytes = b"application/json",
) -> None:
    """
    Send a whole answer.
    """
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", content_type)
    request.setHeader(b"Content-Length", b"%d" % len(body))
    request.finish(body)


def allow_only(head: RequestHead, target: Target, *methods: bytes) -> None:
    """
    Refuse a method that this path does not take.
    """
    if head.method not in methods:
        names = [method.decode("ascii") for method in methods]
        raise APIError(
            status=405,
            code="method_not_allowed",
            message=f"{target.path} takes {' and '.join(names)}",
            headers=(("Allow", ", ".join(names)),),
        )


def answer_failure(failure: Failure, request: GatewayRequest) -> None:
    """
    Tell the client why its request failed, as far as it can still be told.
    """
    if failure.check(CancelledError):
        return
    error = _error_for(failure.value)
    if error is None:
        _log.failure("a bug in swapgate", failure)
        message = "a bug in swapgate; see its log"
        error = APIError(status=500, code="internal_error", message=message)
    request.log_entry.error = error.code
    if request.disconnected or request.finished:
        return
    if request.startedWriting:
        if request.promised_by is not None:
            # Nothing of an answer went out: nothing can look whole.
            request.finish(request.promised_by.failure(error))
        else:
            # Its transport alone would wait, under TLS for ever, for one that produces.
            request.channel.loseConnection()
        return
    request.finish(request.fail(error))


def _error_for(error: BaseException | None) -> APIError | None:
    """
    The error that the client is answered with; None for an exception that is a bug.
    """
    match error:
        case APIError():
            return error
        case lease.LoadFailed():
            return _unavailable("model_load_failed", str(error))
        case lease.TooLarge():
            return _unavailable(
                "model_too_large",
                "this model cannot be loaded, as pinned models keep the memory it "
                "needs; choose another one, unpin one of those, or raise "
                f"memory_budget\n{error}",
            )
        case lease.UnknownModel():
            return APIError(
                status=404,
                code="model_not_found",
                message=f"the model {error} is not in the configuration any more",
                param="model",
            )
        case lease.NotLoaded():
            return _unavailable(
                "model_not_loaded",
                f"{error} is not up, and the request that would have loaded it "
                "was given up; ask again to load it",
            )
        case lease.NotStopped():
            return _unavailable("model_not_stopped", str(error))
        case lease.Unloaded():
            return _unavailable(
                "model_unloaded",
                f"{error} was unloaded before it had begun to answer; ask "
                "again to load it",
            )
        case lease.QueueFull():
            return busy(
                "queue_full",
                "as many requests wait already as max_held allows; try again later",
            )
        case lease.ShuttingDown():
            return busy(
                "stopping", "the gateway is stopping; try again when it is back"
            )
    return None


def _unavailable(code: str, message: str) -> APIError:
    """
    The model is not up, and sending the request again at once would not help.
    """
    return APIError(
        status=409, code=code, message=message, param="model", should_retry=False
    )
