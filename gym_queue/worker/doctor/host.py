"""Which system this is, and how one installs things on it."""

from __future__ import annotations

import platform
from dataclasses import dataclass

APT_FAMILY = frozenset({"debian", "ubuntu"})
DNF_FAMILY = frozenset({"fedora", "rhel", "centos"})


@dataclass(frozen=True, slots=True)
class Platform:
    """The operating system, as far as probes and remedies depend on it."""

    system: str
    """As ``platform.system()`` says: Linux, Darwin, .."""
    machine: str
    """As ``platform.machine()`` says: x86_64, aarch64, arm64, .."""
    distributions: frozenset[str] = frozenset()
    """A Linux distribution's own id and those it is like."""

    def install(
        self, *, apt: str | None = None, dnf: str | None = None, brew: str | None = None, otherwise: str
    ) -> str:
        """Return how to install something: this platform's command when there is one, else ``otherwise``."""
        if apt and self.distributions & APT_FAMILY:
            return f"sudo apt-get install -y {apt}"
        if dnf and self.distributions & DNF_FAMILY:
            return f"sudo dnf install -y {dnf}"
        if brew and self.system == "Darwin":
            return f"brew install {brew}"
        return otherwise


def this_platform() -> Platform:
    """Return the platform this process runs on."""
    return Platform(platform.system(), platform.machine(), _distributions())


def _distributions() -> frozenset[str]:
    try:
        release = platform.freedesktop_os_release()
    except OSError:  # not Linux, or no os-release file
        return frozenset()
    return frozenset({release["ID"], *release.get("ID_LIKE", "").split()})
