"""Options of the programs that run for long; those that several of them take stand here once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from gym_queue.cli.common import LogLevel
from gym_queue.errors import RequestInvalid
from gym_queue.log import VARIABLE as LOG_FORMAT_VARIABLE
from gym_queue.log import LogFormat

TOKEN_VARIABLE = "GYM_ANYTHING_TOKEN"  # noqa: S105  a variable's name


def _no_empty_token(token: str | None) -> str | None:
    """Refuse an empty token, which somebody meant to set: the file's must not stand in for it in silence.

    Raises:
        RequestInvalid: It is empty.
    """
    given = os.environ.get(TOKEN_VARIABLE) if token is None else token
    if given is not None and not given.strip():
        raise RequestInvalid(
            f"the token is empty: give one, or neither --token nor {TOKEN_VARIABLE} to use the user's token file"
        )
    return None if given is None else given.strip()


Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="Port; 0 takes a free one.")]
AutoPort = Annotated[
    bool, typer.Option("--auto-port", help="Take the next free port when this one is taken.")
]
BrokerUrl = Annotated[
    str | None,
    typer.Option(help="Celery broker: redis://.., rediss://.., amqp://.. Not given: the master's own."),
]
Token = Annotated[
    str | None,
    typer.Option(
        envvar=TOKEN_VARIABLE,
        callback=_no_empty_token,
        help="Cluster token; the user's token file when not given.",
    ),
]
WorkerToken = Annotated[
    str | None,
    typer.Option(
        envvar="GYM_ANYTHING_WORKER_TOKEN",
        help="What workers and their master show one another; the cluster token when not given.",
    ),
]
MetricsToken = Annotated[
    str | None,
    typer.Option(help="What monitors bear, which opens /metrics alone; the cluster token when not given."),
]
TokenName = Annotated[str, typer.Argument(help="Whose token: letters, digits, '.', '_' and '-'.")]
MaxEnvsOfName = Annotated[
    int | None, typer.Option(min=1, max=1_000_000, help="Environments at once; no limit when not given.")
]
PriorityMax = Annotated[
    int, typer.Option(min=0, max=9, help="Highest priority of its creates: a higher one is refused.")
]
Expires = Annotated[
    str | None, typer.Option(help="How long it opens: 90s, 15m, 12h, 30d; for ever when not given.")
]
NoAuth = Annotated[bool, typer.Option("--no-auth", help="Serve callers without a token.")]
Level = Annotated[
    LogLevel | None, typer.Option(case_sensitive=False, help="How much to log: INFO when not given.")
]

Format = Annotated[
    LogFormat | None,
    typer.Option(
        envvar=LOG_FORMAT_VARIABLE,
        case_sensitive=False,
        help="How to log: text, json, or auto: text on a terminal, else JSON.",
    ),
]

SslCertfile = Annotated[
    Path | None, typer.Option(help="PEM certificate, with those up to its CA: serve https with it.")
]
SslKeyfile = Annotated[
    Path | None, typer.Option(help="PEM key of the certificate; in the same file when not given.")
]
SslCa = Annotated[
    Path | None,
    typer.Option(
        help="PEM file of the CA of the fleet's certificates: masters and workers then ask each other for one."
    ),
]

StateDir = Annotated[
    Path | None,
    typer.Option(help="Folder of the master's state and the embedded broker; one per port when not given."),
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Forget the workers, environments and creates of an earlier run.")
]
WaitForWorkers = Annotated[
    bool,
    typer.Option(
        "--wait-for-workers", help="Let creates that no worker here could ever take wait for one that can."
    ),
]
Heartbeat = Annotated[
    float | None, typer.Option("--heartbeat", help="Seconds between workers' heartbeats: 5 when not given.")
]
HeartbeatTimeout = Annotated[
    float | None,
    typer.Option(
        "--heartbeat-timeout",
        help="Seconds of silence after which a worker gets nothing new: 30 when not given.",
    ),
]
DeadTimeout = Annotated[
    float | None,
    typer.Option(
        "--dead-timeout", help="Seconds of silence after which its environments are lost: 90 when not given."
    ),
]
ProxyTimeout = Annotated[
    float | None, typer.Option("--proxy-timeout", help="Seconds one call may take: 900 when not given.")
]
QueueTimeout = Annotated[
    float | None,
    typer.Option("--queue-timeout", help="Seconds a create may wait for a slot: 600 when not given."),
]

MasterUrl = Annotated[
    str | None, typer.Option(help="Master to register with; without one, creates are served directly.")
]
WorkerId = Annotated[str | None, typer.Option(help="Name of this worker; made up when not given.")]
MaxEnvs = Annotated[int | None, typer.Option(help="Environments at once: 4 when not given.")]
MaxStarting = Annotated[
    int | None, typer.Option(help="Environments that start at once: the number of cores when not given.")
]
Timeout = Annotated[
    float | None,
    typer.Option("--timeout", help="Seconds after which an idle environment is closed: 3600 when not given."),
]
HeartbeatInterval = Annotated[
    float | None,
    typer.Option(
        "--heartbeat-interval", help="Seconds between heartbeats; the master's word when not given."
    ),
]
AdvertiseHost = Annotated[str | None, typer.Option(help="Name or address the master reaches this worker by.")]
ResetPolicy = Annotated[
    str | None, typer.Option(help="Of resets that name none: core or baseline_setup; core when not given.")
]
Runners = Annotated[
    str | None, typer.Option(help="Offer only these, comma-separated; every ready one when not given.")
]
MustSupport = Annotated[str | None, typer.Option(help="Refuse to start without these, comma-separated.")]
SkipPreflight = Annotated[bool, typer.Option("--skip-preflight", help="Do not probe the runners.")]
SkipKvmCheck = Annotated[bool, typer.Option("--skip-kvm-check", help="Deprecated: use --skip-preflight.")]
EnvRoot = Annotated[
    list[Path] | None,
    typer.Option(
        "--env-root",
        help="Folder that environments may come from; repeatable. Not given: the one the worker starts in.",
    ),
]
AllowPath = Annotated[
    list[Path] | None,
    typer.Option("--allow-path", help="Folder that callers may copy files to and from by path; repeatable."),
]
AllowPrivileged = Annotated[
    bool,
    typer.Option("--allow-privileged", help="Let specs ask for privileges, host devices, host namespaces."),
]
AllowEmulation = Annotated[
    bool,
    typer.Option(
        "--allow-emulation",
        envvar="GYM_ANYTHING_ALLOW_EMULATION",
        help="Emulate virtual machines in software where nothing accelerates them: some ten times slower.",
    ),
]
VmImageDir = Annotated[
    Path | None,
    typer.Option(
        envvar="GYM_ANYTHING_VM_IMAGE_DIR",
        help="Folder of the images of virtual machines; in the user's cache when not given.",
    ),
]
VerifierTimeout = Annotated[
    float | None, typer.Option("--verifier-timeout", help="Seconds a verifier may take: 600 when not given.")
]
VerifierCpu = Annotated[
    int | None,
    typer.Option("--verifier-cpu", help="CPU seconds of a verifier's process: 600 when not given."),
]
VerifierMemory = Annotated[
    float | None,
    typer.Option("--verifier-memory", help="GiB of address space of a verifier's process: 4 when not given."),
]
VerifierFile = Annotated[
    float | None,
    typer.Option("--verifier-file", help="GiB of each file a verifier writes: 1 when not given."),
]
VerifierProcesses = Annotated[
    int | None, typer.Option(help="Processes of a verifier at once: 128 when not given.")
]
VerifierUser = Annotated[
    str | None,
    typer.Option(help="User of verifiers when the worker is root; a uid of its own for each when not given."),
]
Grace = Annotated[
    float | None,
    typer.Option("--grace", help="On SIGTERM, seconds environments may finish: 30 when not given."),
]
CheckpointDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder of checkpoints, shared by the workers of a host; in the user's cache when not given."
    ),
]
CacheMaxGb = Annotated[float | None, typer.Option(help="GiB that checkpoints may take: 50 when not given.")]
CacheMaxAgeDays = Annotated[
    float | None, typer.Option(help="Days a checkpoint may lie unused: 30 when not given.")
]
EpisodesDir = Annotated[
    Path | None,
    typer.Option(help="Where finished episodes are kept; in the user's cache folder when not given."),
]
KeepEpisodes = Annotated[
    int | None, typer.Option(help="Finished episodes to keep, 0 for none: 200 when not given.")
]
EpisodesGb = Annotated[float | None, typer.Option(help="GiB that they may take: 5 when not given.")]
