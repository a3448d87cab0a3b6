"""What the doctor found: models that print as JSON."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from gym_queue.runners.qemu.acceleration import KvmState as KvmState


class Finding(BaseModel):
    """One thing a runner may need of the host, and whether the host has it."""

    model_config = ConfigDict(frozen=True)

    ok: bool
    reason: str
    """What was seen, good or bad: a clause that can stand in a sentence."""
    remedy: str | None = None
    """What to do when not ``ok``."""
    details: dict[str, str] = {}


class KvmReport(Finding):
    """Whether KVM runs guests here; ``ok`` only when one did."""

    device: str
    state: KvmState


class RunnerReport(BaseModel):
    """Whether this host can run one runner, why, and what would help."""

    model_config = ConfigDict(frozen=True)

    name: str
    ready: bool
    reason: str
    remedy: str | None = None
    details: dict[str, str] = {}
    missing: tuple[Finding, ...] = ()
    """What it lacks of the host, each with its own remedy."""
    implemented: bool = True
    """Whether this version has it."""


class ExtraReport(Finding):
    """Something that no runner needs, and that makes more possible."""

    name: str
    purpose: str
    """What it is for."""


class HostReport(BaseModel):
    """This host and what it can run."""

    model_config = ConfigDict(frozen=True)

    hostname: str
    os: str
    """Name, release and architecture."""
    cpus: int
    memory_bytes: int
    kvm: KvmReport | None
    """None when no runner asked about needs it."""
    runners: tuple[RunnerReport, ...]
    extras: tuple[ExtraReport, ...] = ()

    @property
    def ready(self) -> tuple[str, ...]:
        """Names of the runners that are ready, in the order asked."""
        return tuple(runner.name for runner in self.runners if runner.ready)
