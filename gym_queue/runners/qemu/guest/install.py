"""The helper as one file, and how it comes to run inside."""

from __future__ import annotations

import hashlib
import io
import zipfile
from importlib import resources

from gym_queue.errors import RunnerFailed
from gym_queue.runners.qemu.guest.agent import GuestAgent

PORT = "/dev/virtio-ports/gym.guest.0"
FOLDER = "/run/gym-guest"
PACKAGE = "gym_guest"
_MAIN = f"from {PACKAGE}.run import main\nmain()\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)


def helper_file() -> bytes:
    """Return the helper as a zip file that Python runs; the same bytes for the same program."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo("__main__.py", _EPOCH), _MAIN)
        modules = resources.files("gym_queue.runners.qemu.guest.inside").iterdir()
        for module in sorted(modules, key=lambda each: each.name):
            if module.name.endswith(".py"):
                archive.writestr(zipfile.ZipInfo(f"{PACKAGE}/{module.name}", _EPOCH), module.read_bytes())
    return packed.getvalue()


def helper_digest(file: bytes | None = None) -> bytes:
    """Return what tells one version of the helper from another: part of what a kept machine is known by."""
    return hashlib.sha256(helper_file() if file is None else file).digest()


def install_helper(agent: GuestAgent, *, deadline_s: float) -> None:
    """Carry the helper in and start it; it outlives the agent, and lives on in a machine that is saved and restored.

    Args:
        agent: Of a guest that answers, and has Python.
        deadline_s: Seconds that all of it may take.

    Raises:
        RunnerFailed: The guest has no Python, no port for the helper, or too little time.
    """
    file = helper_file()
    path = f"{FOLDER}/helper.pyz"
    script = f"""\
command -v python3 >/dev/null || {{ echo 'the image has no python3: install it there'; exit 1; }}
[ -e {PORT} ] || {{ echo 'the machine has no port {PORT}: udev does not run in it, or virtio_console is missing'; exit 1; }}
mkdir -p -m 711 {FOLDER}"""
    result = agent.run(["/bin/sh", "-c", script], timeout_s=deadline_s)
    if result.exit_status == 0:
        agent.write_file(path, file, timeout_s=deadline_s)
        argv = ["/usr/bin/env", "python3", "-I", path, PORT, FOLDER, helper_digest(file).hex(), "--detach"]
        result = agent.run(argv, timeout_s=deadline_s)
    if result.exit_status != 0:
        raise RunnerFailed(
            f"the helper cannot run in the guest: {result.output.strip()[-500:] or 'no reason given'}"
        )
