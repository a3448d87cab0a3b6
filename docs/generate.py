"""Writes docs/reference from the code, or with ``--check`` says what is not as the code has it (exit status 1)."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer
from pydantic import BaseModel
from pydantic_settings import BaseSettings
from rendering import bounds_of, code, default_of, docs_of, kind_of, page, table, value_of

from gym_queue.benchmark.results import NOT_JUDGED
from gym_queue.cli import dashboard, master, worker
from gym_queue.cli import main as gym_anything
from gym_queue.cli.common import FAILED, INTERRUPTED, USAGE
from gym_queue.errors import GymQueueError, error_types
from gym_queue.master.calls import MASTER_CALLS
from gym_queue.protocol.calls import Call
from gym_queue.settings import ClientSettings, MasterSettings, VmSettings, WorkerSettings
from gym_queue.specs.base import SpecModel
from gym_queue.specs.env import EnvSpec
from gym_queue.specs.task import TaskSpec
from gym_queue.worker.calls import WORKER_CALLS

REFERENCE = Path(__file__).parent / "reference"
PROGRAMS = {
    "gym-anything": gym_anything.app,
    "gym-anything-master": master.app,
    "gym-anything-worker": worker.app,
    "gym-anything-dashboard": dashboard.app,
}
OTHER_VARIABLES = (
    (
        "GYM_ANYTHING_WORKER_TOKEN",
        "what workers and their master show one another ([tokens](../tokens.md)); the flag `--worker-token`",
    ),
    ("GYM_ANYTHING_LOG_FORMAT", "text, json or auto, of all programs; the flag `--log-format`"),
    ("GYM_ANYTHING_OTEL", "1 sends traces, 0 never does ([monitoring](../monitoring.md))"),
    (
        "GYM_ANYTHING_DOCKER_BUILD_ARGS",
        "build arguments of all images, NAME=VALUE separated by blanks ([desktops](../desktops.md))",
    ),
    (
        "GYM_ANYTHING_VERIFIER_MODE, GYM_ANYTHING_VLM_CHECKLIST_*, VLM_*",
        "the judging model ([environments](../environments.md#the-model-that-judges))",
    ),
    (
        "ANTHROPIC_API_KEY, OPENAI_API_KEY, GEMINI_API_KEY, VLM_API_KEY",
        "keys of models, of [agents](../agents.md) and of [judges](../environments.md#the-model-that-judges)",
    ),
    ("GYM_TASK_ID, GYM_SEED", "set inside the sandbox for hooks and commands"),
    ("GYM_WIDTH, GYM_HEIGHT", "set inside a desktop: how large its screen shall be, in pixels"),
)
EXIT_CODES = (
    (0, "done; of a benchmark: every attempt passed"),
    (
        FAILED,
        "an error, in one sentence on standard error; or what was checked or played is not as it should be",
    ),
    (USAGE, "a flag, an argument, a setting or a name is wrong"),
    (
        NOT_JUDGED,
        "the machinery broke, which says nothing about what was tried: of `benchmark` and `verify task`",
    ),
    (INTERRUPTED, "Ctrl-C"),
)


def main() -> None:
    """Write the pages, or compare them."""
    pages = {
        "cli.md": cli_page(),
        "http.md": http_page(),
        "settings.md": settings_page(),
        "specs.md": specs_page(),
        "errors.md": errors_page(),
    }
    if "--check" in sys.argv[1:]:
        wrong = [name for name, text in pages.items() if not is_current(REFERENCE / name, text)]
        sys.exit(f"not as the code has it: {', '.join(wrong)}; run `make docs`" if wrong else 0)
    REFERENCE.mkdir(exist_ok=True)
    for name, text in pages.items():
        (REFERENCE / name).write_text(text, encoding="utf-8")


def is_current(path: Path, text: str) -> bool:
    """Return whether a page is there and holds just this."""
    return path.is_file() and path.read_text(encoding="utf-8") == text


def cli_page() -> str:
    """Return every command of every program."""
    parts = [
        "# Command line",
        "`--help` of each command says the same. Exit statuses are in [errors](errors.md).",
    ]
    for program, app in PROGRAMS.items():
        parts += command_parts(program, typer.main.get_command(app), level=2)
    return page(parts)


def command_parts(name: str, command: Any, *, level: int) -> Iterator[str]:
    """Yield a command's heading, text, arguments and options, then those of its subcommands."""
    yield f"{'#' * level} {name}"
    for part in inspect.cleandoc(command.help or "").split("\n\n"):
        text, is_example, line = " ".join(part.split()), *part.partition("Example:")[1:]
        yield f"Example: `{' '.join(line.split())}`" if is_example else text
    rows = [parameter_row(parameter, command) for parameter in command.params if not parameter.hidden]
    rows = [row for row in rows if row[0] not in ("`--help`", "")]
    if rows:
        yield table(("argument or flag", "takes", "default", "meaning"), rows)
    for each, subcommand in getattr(command, "commands", {}).items():
        yield from command_parts(f"{name} {each}", subcommand, level=min(level + 1, 4))


def parameter_row(parameter: Any, command: Any) -> tuple[str, ...]:
    """Return a flag's or argument's row."""
    is_option = parameter.opts[0].startswith("-")
    hint = hint_of(command, parameter.name)
    is_switch = is_option and hint is bool
    flags = ", ".join(f"`{each}`" for each in (*parameter.opts, *parameter.secondary_opts))
    takes = "" if is_switch else (parameter.metavar if is_option else "") or kind_of(hint)
    bounds = [f"≥ {parameter.min}"] if getattr(parameter, "min", None) is not None else []
    bounds += [f"≤ {parameter.max}"] if getattr(parameter, "max", None) is not None else []
    default = "required" if parameter.required else "" if is_switch else value_of(parameter.default)
    meaning = parameter.help or ""
    if parameter.envvar:
        meaning += f" Variable: `{parameter.envvar}`."
    return (
        flags if is_option else f"`{parameter.name.upper()}`",
        " ".join([takes, *bounds]),
        default,
        meaning,
    )


def hint_of(command: Any, name: str) -> Any:
    """Return the annotated type of a command's parameter; bool for flags of the program itself."""
    return get_type_hints(command.callback).get(name, bool) if command.callback else bool


def http_page() -> str:
    """Return the calls that master and worker answer, and the bodies they take."""
    at: dict[tuple[str, str], str] = {}
    calls: dict[tuple[str, str], Call] = {}
    for mark, served in (("M", MASTER_CALLS), ("W", WORKER_CALLS)):
        for call in served:
            key = (call.path, call.method)
            at[key] = f"{at[key]} {mark}" if key in at else mark
            calls.setdefault(key, call)
    shared = set.intersection(*(codes_of(call) for call in calls.values() if not call.is_open))
    rows = [call_row(calls[key], at[key], shared) for key in sorted(calls)]
    bodies = sorted({call.body for call in calls.values() if call.body}, key=lambda body: body.__name__)
    return page(
        [
            "# HTTP",
            "What a master (M) and a worker (W) answer, as their `/openapi.json` has it. What the calls are for, the "
            "headers and the replies are in [the wire](../wire.md), the codes in [errors](errors.md).",
            f"Every call that needs a token can fail with {code(', '.join(sorted(shared)))} too.",
            table(("call", "at", "what", "parameters", "body", "fails with"), rows),
            "## Bodies",
            *(part for body in bodies for part in model_parts(body)),
        ]
    )


def codes_of(call: Call) -> set[str]:
    """Return the codes of the errors that a call names."""
    return {error.code for error in call.errors}


def call_row(call: Call, at: str, shared: set[str]) -> tuple[str, ...]:
    """Return a call's row, without the errors that all share."""
    parameters = ", ".join(f"`{each['name']}`" for each in call.parameters)
    body = f"[{call.body.__name__}](#{call.body.__name__.lower()})" if call.body else ""
    codes = ", ".join(f"`{each}`" for each in sorted(codes_of(call) - shared))
    return f"`{call.method} {call.path}`", at, call.summary, parameters, body, codes


def settings_page() -> str:
    """Return every setting with its variable, flag, default and meaning."""
    parts = [
        "# Settings",
        "A flag goes before its variable, a variable before the default. An empty variable counts as not given. "
        "[Limits](../limits.md) says what happens beyond one.",
    ]
    for title, kind, app in (
        ("gym-anything-master", MasterSettings, master.app),
        ("gym-anything-worker", WorkerSettings, worker.app),
        ("Clients and commands", ClientSettings, None),
        ("Virtual machines of a command's own process", VmSettings, None),
    ):
        flags = flags_of(app) if app else {}
        rows = [setting_row(kind, name, flags.get(name, "")) for name in sorted(kind.model_fields)]
        parts += [f"## {title}", table(("variable", "flag", "takes", "default", "meaning"), rows)]
    parts += [
        "## Others",
        table(("variable", "meaning"), [(code(names), text) for names, text in OTHER_VARIABLES]),
    ]
    return page(parts)


def setting_row(kind: type[BaseSettings], name: str, flag: str) -> tuple[str, ...]:
    """Return a setting's row."""
    field = kind.model_fields[name]
    variable = f"{kind.model_config['env_prefix']}{name.upper()}"
    takes = " ".join([kind_of(field.annotation), *bounds_of(field)])
    return f"`{variable}`", flag, takes, value_of(field.default), docs_of(kind).get(name, "")


def flags_of(app: typer.Typer) -> dict[str, str]:
    """Return a program's flags by the names of their settings."""
    return {each.name: f"`{each.opts[0]}`" for each in typer.main.get_command(app).params if each.name}


def specs_page() -> str:
    """Return the fields of env.json and task.json."""
    return page(
        [
            "# Fields of env.json and task.json",
            "Both may be JSON or YAML. Unknown keys are kept; null means that a key was not written. A list of texts may be "
            "written as one text. [Writing an environment](../environments.md) shows them at work.",
            *model_parts(EnvSpec),
            *(part for model in below(EnvSpec) for part in model_parts(model)),
            *model_parts(TaskSpec),
            *(part for model in below(TaskSpec) for part in model_parts(model)),
        ]
    )


def below(model: type[BaseModel]) -> list[type[BaseModel]]:
    """Return the models that a model's fields hold, each after those that hold it."""
    found: list[type[BaseModel]] = []
    for field in model.model_fields.values():
        for each in models_in(field.annotation):
            found += [each, *below(each)]
    return list(dict.fromkeys(found))


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the spec models that a type names."""
    if isinstance(annotation, type) and issubclass(annotation, SpecModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


def model_parts(model: type[BaseModel]) -> list[str]:
    """Return a model's heading, meaning and fields."""
    meanings = docs_of(model)
    rows = [
        (
            f"`{name}`",
            " ".join([kind_of(field.annotation), *bounds_of(field)]),
            default_of(field),
            meanings.get(name, field.description or ""),
        )
        for name, field in model.model_fields.items()
    ]
    about = inspect.cleandoc(model.__doc__ or "").split("\n\n")[0]
    return [f"## {model.__name__}", about, table(("field", "takes", "default", "meaning"), rows)]


def errors_page() -> str:
    """Return every error code, and the exit statuses."""
    rows = [
        (f"`{code}`", str(kind.status), "yes" if kind.retryable else "", kind.__name__, meaning_of(kind))
        for code, kind in sorted(error_types().items())
    ]
    return page(
        [
            "# Errors and exit statuses",
            "Every error has a code, the same on the wire (`code`) and in Python (the class, of `gym_queue.errors`). "
            "Its text says what, where, and what to do.",
            table(("code", "HTTP status", "may be sent again", "class", "meaning"), rows),
            "## Exit statuses",
            table(("status", "meaning"), [(str(status), meaning) for status, meaning in EXIT_CODES]),
            "What counts as wrong is in each command's `--help`, and in [the command line](cli.md).",
        ]
    )


def meaning_of(kind: type[GymQueueError]) -> str:
    """Return the first paragraph of an error's docstring."""
    return (
        "A bug of ours." if kind is GymQueueError else inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0]
    )


if __name__ == "__main__":
    main()
