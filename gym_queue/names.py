"""The runners' names, and what implies them: known to every floor."""

from __future__ import annotations

from collections.abc import Mapping

REQUEST_HEADER = "gym_request_id"
"""Of a task's message: the id of the request that it is part of."""
RUNNERS: Mapping[str, str] = {
    "local": "LocalRunner",
    "docker": "DockerRunner",
    "qemu": "QemuApptainerRunner",
    "qemu_native": "QemuNativeRunner",
    "apptainer": "ApptainerDirectRunner",
    "avd": "AVDApptainerRunner",
    "avd_native": "AVDNativeRunner",
    "avf": "AVFRunner",
    "fake": "FakeRunner",
}
"""Runner name as specs and queues write it → ``runner_name`` as session_info writes it."""

QEMU_FAMILY = frozenset({"qemu", "qemu_native"})

PRESET_RUNNERS: Mapping[str, frozenset[str]] = {
    "android-avd-34": frozenset({"avd", "avd_native"}),
    "android-avd-35": frozenset({"avd", "avd_native"}),
    "apptainer-xfce-gpu": frozenset({"apptainer"}),
    "windows-11": QEMU_FAMILY,
    "android-14": QEMU_FAMILY,
}
"""Preset id → the runners that can run it; a preset that is not here implies none."""


def acceptable_runners(explicit: str | None, spec_runner: str | None, preset: str | None) -> frozenset[str]:
    """Return the runners that may run an environment; empty means any.

    Args:
        explicit: The runner the create call names.
        spec_runner: The spec's own ``runner``.
        preset: The spec's ``base``.
    """
    if explicit or spec_runner:
        return frozenset({explicit or spec_runner or ""})
    return PRESET_RUNNERS.get(preset or "", frozenset())
