"""Every error of the package, with its code and HTTP status on the wire.

GymQueueError                     internal             500
├── RequestMalformed              malformed            400
├── RequestInvalid                request_invalid      422
│   ├── ActionInvalid             action_invalid       422
│   ├── SpecInvalid               spec_invalid         422
│   ├── NotSupported              not_supported        422
│   ├── HookFailed                hook_failed          422
│   └── VerifierFailed            verifier_failed      422
├── Unauthorized                  unauthorized         401
├── Forbidden                     forbidden            403
├── NotFound                      not_found            404
│   ├── EnvNotFound               env_not_found        404
│   ├── SpecNotFound              spec_not_found       404
│   ├── PathNotFound              path_not_found       404
│   ├── TaskNotFound              task_not_found       404
│   └── WorkerNotFound            worker_not_found     404
├── MethodNotAllowed              method_not_allowed   405
├── RequestTimeout                request_timeout      408
├── Conflict                      conflict             409
│   ├── EnvState                  env_state            409
│   ├── EnvBusy                   env_busy             409
│   └── Cancelled                 cancelled            409
├── EnvLost                       env_lost             410
├── TooLarge                      too_large            413
├── UpgradeRequired               upgrade_required     426
├── QuotaExceeded                 quota_exceeded       429
├── Infrastructure
│   ├── RunnerFailed              runner_failed        502   retryable
│   ├── WorkerUnreachable         worker_unreachable   502   retryable
│   ├── MasterUnreachable         master_unreachable   502   retryable
│   ├── BadReply                  bad_reply            502   retryable
│   ├── MasterRecovering          master_recovering    503   retryable
│   ├── TooManyConnections        too_many_connections 503   retryable
│   ├── NoCapacity                no_capacity          503   retryable
│   ├── RunnerUnavailable         runner_unavailable   503   retryable
│   ├── BrokerUnavailable         broker_unavailable   503   retryable
│   ├── EnvTimeout                env_timeout          504
│   ├── GatewayTimeout            gateway_timeout      504   retryable
│   ├── ModelUnreachable          model_unreachable    503   retryable (raised by a benchmark's agent, never sent)
│   └── ConnectionFailed          connection_failed    503   retryable (raised by a client, never sent)
│       └── TlsFailed             tls_failed           503   (raised by a client, never sent)
├── AgentFailed                   agent_failed         500   (a benchmark's agent raised; never sent)
│   ├── AgentTimeout              agent_timeout        500   (it hung, and was ended; never sent)
│   └── ModelDenied               model_denied         500   (its model is denied, to every attempt; never sent)
├── OutputFailed                  output_failed        500   (a benchmark's output cannot be written; never sent)
└── StartupFailed                 startup_failed       500   (a program cannot start; never sent)
"""

from __future__ import annotations

from typing import Any, ClassVar


class GymQueueError(Exception):
    """Base of every error this package raises on purpose.

    Args:
        message: One sentence: what, where, and the remedy.
        details: JSON-ready facts that travel beside the sentence (``unplaceable``, ``retry_after_s``, ..).
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message, details or {})  # args survive pickling and Celery's JSON results
        self.message = message
        self.details: dict[str, Any] = dict(details or {})

    def __str__(self) -> str:
        return self.message

    def to_wire(self, request_id: str | None = None) -> dict[str, Any]:
        """Return the error's body on the wire."""
        body: dict[str, Any] = {**self.details, "error": self.message, "code": self.code}
        if request_id is not None:
            body["request_id"] = request_id
        return body


class RequestMalformed(GymQueueError):
    """The bytes are not what the call takes at all: not JSON, not HTTP, not UTF-8."""

    code, status = "malformed", 400


class RequestInvalid(GymQueueError):
    """The request can be read but asks for something that is not valid."""

    code, status = "request_invalid", 422


class ActionInvalid(RequestInvalid):
    """An action has an unknown key, a wrong type, or a point off the screen."""

    code = "action_invalid"


class SpecInvalid(RequestInvalid):
    """An env or task file cannot be read, or does not follow the format."""

    code = "spec_invalid"


class NotSupported(RequestInvalid):
    """A valid request for something that this runner or this version cannot do."""

    code = "not_supported"


class HookFailed(RequestInvalid):
    """A hook exited non-zero or ran out of time; the episode was never set up."""

    code = "hook_failed"


class VerifierFailed(RequestInvalid):
    """A verifier raised, hung, or returned something that is not a verdict."""

    code = "verifier_failed"


class Unauthorized(GymQueueError):
    """No token, or a wrong one."""

    code, status = "unauthorized", 401


class Forbidden(GymQueueError):
    """Not the caller's, or a path outside the allowed folders."""

    code, status = "forbidden", 403


class NotFound(GymQueueError):
    """Nothing is served at this address."""

    code, status = "not_found", 404


class EnvNotFound(NotFound):
    """No environment has this id."""

    code = "env_not_found"


class SpecNotFound(NotFound):
    """No env folder or task of that name."""

    code = "spec_not_found"


class PathNotFound(NotFound):
    """No such file in the environment or its episode folder."""

    code = "path_not_found"


class TaskNotFound(NotFound):
    """No task of this id is kept."""

    code = "task_not_found"


class WorkerNotFound(NotFound):
    """No worker has this id."""

    code = "worker_not_found"


class MethodNotAllowed(GymQueueError):
    """The address exists, the method does not."""

    code, status = "method_not_allowed", 405


class RequestTimeout(GymQueueError):
    """The request took too long to come in; nothing was carried out."""

    code, status = "request_timeout", 408


class Conflict(GymQueueError):
    """The request contradicts something that already holds."""

    code, status = "conflict", 409


class EnvState(Conflict):
    """The call does not fit the episode's state: a step before reset, a step after done."""

    code = "env_state"


class EnvBusy(Conflict):
    """Another step or reset of this environment still runs; the details name its request."""

    code = "env_busy"


class Cancelled(Conflict):
    """The create was cancelled before it was done."""

    code = "cancelled"


class EnvLost(GymQueueError):
    """The environment existed; its process or its worker is gone."""

    code, status = "env_lost", 410


class TooLarge(GymQueueError):
    """The body is larger than the call allows."""

    code, status = "too_large", 413


class UpgradeRequired(GymQueueError):
    """The address speaks WebSocket alone."""

    code, status = "upgrade_required", 426


class QuotaExceeded(GymQueueError):
    """The caller's quota is used up."""

    code, status = "quota_exceeded", 429


class Infrastructure(GymQueueError):
    """The machinery failed, not the request and not the agent: never a reward."""


class RunnerFailed(Infrastructure):
    """The sandbox could not be started, or died."""

    code, status, retryable = "runner_failed", 502, True


class WorkerUnreachable(Infrastructure):
    """The worker does not accept connections, or dropped one."""

    code, status, retryable = "worker_unreachable", 502, True


class MasterUnreachable(Infrastructure):
    """The master that a dashboard reads from, or a benchmark runs on, does not answer."""

    code, status, retryable = "master_unreachable", 502, True


class BadReply(Infrastructure):
    """The other side answered something that is not of the protocol."""

    code, status, retryable = "bad_reply", 502, True


class MasterRecovering(Infrastructure):
    """The master has just restarted, and its workers have not yet told it all they have."""

    code, status, retryable = "master_recovering", 503, True


class TooManyConnections(Infrastructure):
    """The caller's address has as many connections as one may have."""

    code, status, retryable = "too_many_connections", 503, True


class NoCapacity(Infrastructure):
    """No worker could take the environment in time."""

    code, status, retryable = "no_capacity", 503, True


class RunnerUnavailable(Infrastructure):
    """No worker, or not this one, can run what the environment needs."""

    code, status, retryable = "runner_unavailable", 503, True


class BrokerUnavailable(Infrastructure):
    """The Celery broker cannot be reached."""

    code, status, retryable = "broker_unavailable", 503, True


class EnvTimeout(Infrastructure):
    """A call into an environment passed its deadline; the environment was killed."""

    code, status = "env_timeout", 504


class GatewayTimeout(Infrastructure):
    """The worker did not answer the master in time."""

    code, status, retryable = "gateway_timeout", 504, True


class ConnectionFailed(Infrastructure):
    """Raised by clients: the server could not be reached or hung up."""

    code, status, retryable = "connection_failed", 503, True


class ModelUnreachable(Infrastructure):
    """A benchmark's agent cannot reach its model: nothing answers, or it is overloaded, whatever was retried."""

    code, status, retryable = "model_unreachable", 503, True


class TlsFailed(ConnectionFailed):
    """Raised by clients: a certificate, or the lack of TLS on one side, keeps the two apart; no later try mends that."""

    code, retryable = "tls_failed", False


class AgentFailed(GymQueueError):
    """An agent of the benchmark raised something that is not an error of this package."""

    code = "agent_failed"


class AgentTimeout(AgentFailed):
    """A benchmark's agent took longer over one turn than it may; its process was ended."""

    code = "agent_timeout"


class ModelDenied(AgentFailed):
    """A benchmark's agent may not use its model: no such model, or a key or account that is not accepted."""

    code = "model_denied"


class OutputFailed(GymQueueError):
    """What a benchmark found cannot be written: the disk is full, or the folder has gone. The run stops; it can be resumed."""

    code = "output_failed"


class StartupFailed(GymQueueError):
    """A program cannot start: port taken, broker missing, preflight failed, bad token file."""

    code = "startup_failed"


def error_types() -> dict[str, type[GymQueueError]]:
    """Return every error class by its code: the closed table of the wire."""
    found: dict[str, type[GymQueueError]] = {}
    todo = [GymQueueError]
    while todo:
        kind = todo.pop()
        found.setdefault(kind.code, kind)
        todo.extend(kind.__subclasses__())
    return found


def from_wire(status: int, body: dict[str, Any]) -> GymQueueError:
    """Rebuild the exception a reply stands for.

    Args:
        status: The reply's HTTP status; used when a peer sent no known ``code``.
        body: The reply's JSON object.

    Returns:
        An instance of the class its code names, else of the class its status suggests.
    """
    details = {key: value for key, value in body.items() if key not in ("error", "code")}
    message = str(body.get("error") or body.get("detail") or f"the server answered {status} without a reason")
    kind = error_types().get(str(body.get("code")))
    return (kind or _by_status(status))(message, details)


def _by_status(status: int) -> type[GymQueueError]:
    by_status: dict[int, type[GymQueueError]] = {
        400: RequestMalformed,
        401: Unauthorized,
        403: Forbidden,
        404: EnvNotFound,
        405: MethodNotAllowed,
        408: RequestTimeout,
        409: Conflict,
        410: EnvLost,
        413: TooLarge,
        422: RequestInvalid,
        429: QuotaExceeded,
        502: BadReply,
        503: NoCapacity,
        504: GatewayTimeout,
    }
    return by_status.get(status, GymQueueError)
