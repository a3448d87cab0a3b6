"""What no runner needs, and what more is possible with it."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence
from typing import NamedTuple

from gym_queue.worker.doctor.host import Platform
from gym_queue.worker.doctor.report import ExtraReport


class _Package(NamedTuple):
    extra: str
    module: str
    purpose: str


class _Program(NamedTuple):
    program: str
    purpose: str
    apt: str
    dnf: str
    brew: str | None


_PACKAGES: Sequence[_Package] = (
    _Package("agents", "anthropic", "ClaudeAgent and OpenAIAgent at benchmarks"),
    _Package("recording", "av", "videos of episodes"),
    _Package("gymnasium", "gymnasium", "environments as Gymnasium's"),
    _Package("procfile", "honcho", "a fleet from the Procfile"),
    _Package("tls", "cryptography", "gym-anything up --tls"),
    _Package("otel", "opentelemetry.sdk", "traces"),
)
_PROGRAMS: Sequence[_Program] = (
    _Program("redis-server", "a broker for workers on other machines", "redis-server", "redis", "redis"),
    _Program("Xvfb", "desktops of the local runner", "xvfb", "xorg-x11-server-Xvfb", None),
    _Program("x11vnc", "watching desktops of the local runner by VNC", "x11vnc", "x11vnc", None),
    _Program("vncviewer", "gym-anything run -i --open-vnc", "tigervnc-viewer", "tigervnc", "tiger-vnc"),
)


def extras(here: Platform) -> tuple[ExtraReport, ...]:
    """Return what is there of it, and how to get the rest on this platform."""
    packages = [_package(*each) for each in _PACKAGES]
    return (*packages, *(_program(each, here) for each in _PROGRAMS))


def _package(extra: str, module: str, purpose: str) -> ExtraReport:
    try:
        there = importlib.util.find_spec(module) is not None
    except ImportError:  # not even what the module lies in
        there = False
    return ExtraReport(
        ok=there,
        name=module,
        purpose=purpose,
        reason=f"{module} is {'' if there else 'not '}installed",
        remedy=None if there else f"pip install 'gym-queue[{extra}]'",
    )


def _program(wanted: _Program, here: Platform) -> ExtraReport:
    there = shutil.which(wanted.program) is not None
    remedy = here.install(
        apt=wanted.apt, dnf=wanted.dnf, brew=wanted.brew, otherwise=f"install {wanted.program}"
    )
    return ExtraReport(
        ok=there,
        name=wanted.program,
        purpose=wanted.purpose,
        reason=f"{wanted.program} is {'' if there else 'not '}installed",
        remedy=None if there else remedy,
    )
