"""What the programs share: settings from flags, and errors as one line and an exit status."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote

import typer
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from gym_queue.errors import GymQueueError, RequestInvalid
from gym_queue.protocol.parse import explain

logger = logging.getLogger(__name__)

FAILED = 1
USAGE = 2
INTERRUPTED = 130
"""As shells have it: 128 + SIGINT."""
PREFIX = "GYM_ANYTHING"
DELIVER_AGAIN_S = 0.02


class LogLevel(StrEnum):
    """What ``--log-level`` takes."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


Settings = TypeVar("Settings", bound=BaseSettings)


def run_typer(app: typer.Typer, *, when_interrupted: int = INTERRUPTED) -> NoReturn:
    """Run a program and exit.

    Exits with 0 when it is done, 1 on an error of ours, 2 when a flag or a setting is wrong, 130 on Ctrl-C; every
    error is one line on standard error. Where whoever read the output has gone, as in ``| head``, it ends in silence.

    Args:
        app: The program.
        when_interrupted: Exit status when a signal ends it: 0 for a server, which is stopped so.
    """
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # unwinds as Ctrl-C does; servers take both themselves
    sys.unraisablehook = _deliver_again
    if any(name.startswith(f"_{PREFIX}") and name.endswith("_COMPLETE") for name in os.environ):
        _answer_shells()
    try:
        app()
    except GymQueueError as error:
        _exit(str(error), USAGE if type(error) is RequestInvalid else FAILED)
    except KeyboardInterrupt:
        sys.exit(when_interrupted)
    except SystemExit as end:  # Typer's way to end, after an interrupt too
        sys.exit(when_interrupted if end.code == INTERRUPTED else end.code)
    except Exception as error:  # the end of the program: users get a sentence, the log the traceback
        logger.debug("the program failed", exc_info=error)
        _exit(
            f"{type(error).__name__}: {error} (a bug of ours: at log level DEBUG its log says where)", FAILED
        )
    sys.exit(0)


def _answer_shells() -> None:
    from gym_queue.cli.completion import answer_shells  # only a shell needs it

    answer_shells()


def _deliver_again(unraisable: sys.UnraisableHookArgs) -> None:
    """Send an interrupt again that came while a finalizer ran, where Python drops what is raised."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        threading.Timer(DELIVER_AGAIN_S, os.kill, (os.getpid(), signal.SIGTERM)).start()
    else:
        sys.__unraisablehook__(unraisable)


def settings_from(kind: type[Settings], **flags: object) -> Settings:
    """Return a program's settings.

    Args:
        kind: Their class.
        flags: By field name; None means not given, and leaves the variable or the default.

    Raises:
        RequestInvalid: A flag or a variable holds something wrong.
    """
    given: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
    try:
        return kind(**given)
    except ValidationError as error:
        sentence, details = explain(error)
        prefix = kind.model_config.get("env_prefix", "")
        raise RequestInvalid(
            f"setting {sentence}; it comes from its flag or {prefix}{str(details['key']).upper()}", details
        ) from None


def settings_of(kind: type[Settings], parameters: Mapping[str, object]) -> Settings:
    """Return a program's settings.

    Args:
        kind: Their class.
        parameters: Of its command. Those that bear a field's name are taken; None, a switch that is off and an empty
            list mean not given.

    Raises:
        RequestInvalid: A flag or a variable holds something wrong.
    """
    flags = {name: value for name, value in parameters.items() if name in kind.model_fields}
    return settings_from(
        kind, **{name: value for name, value in flags.items() if value is not False and value != []}
    )


def dashboard_link(url: str, token: str) -> str:
    """Return a dashboard's address; on a terminal with the token, which stays out of logs."""
    if sys.stdout.isatty():
        return f"{url}/dashboard?token={quote(token, safe='')}"
    return f"{url}/dashboard (it asks for the cluster's token)"


def _exit(sentence: str, status: int) -> NoReturn:
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(status)
