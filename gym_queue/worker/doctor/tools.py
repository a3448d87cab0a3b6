"""Probes that ask a program for its version."""

from __future__ import annotations

import os
import re
from pathlib import Path

from gym_queue.runners import command
from gym_queue.worker.doctor.host import Platform
from gym_queue.worker.doctor.report import Finding

_VERSION = re.compile(r"\d+(?:\.\d+)+")
MIN_QEMU = 7
"""Major version of the oldest QEMU that the runner's snapshots were seen to work with."""
_ARM = frozenset({"aarch64", "arm64"})


def version(program: str, flag: str, *, remedy: str, timeout_s: float) -> Finding:
    """Run ``program flag`` and find the version in what it prints.

    Args:
        program: A name on PATH, or a path.
        flag: The argument that makes it print its version.
        remedy: What to do when it is not there.
        timeout_s: Seconds it may take.
    """
    name = Path(program).name
    try:
        ended = command.run([program, flag], timeout_s=timeout_s)
    except FileNotFoundError:
        return Finding(ok=False, reason=f"{name} is not installed", remedy=remedy)
    except OSError as error:
        return Finding(ok=False, reason=f"{program} does not start: {error.strerror}", remedy=remedy)
    broken = f"run `{program} {flag}` by hand, then mend or reinstall {name}"
    if ended.exit_status is None:
        return Finding(ok=False, reason=f"{name} {flag} did not end in {timeout_s:g} s", remedy=broken)
    if ended.exit_status != 0:
        last = (ended.output.strip().splitlines() or ["it printed nothing"])[-1]
        return Finding(ok=False, reason=f"{name} {flag} exited {ended.exit_status}: {last}", remedy=broken)
    found = _VERSION.search(ended.output)
    if found is None:
        return Finding(ok=False, reason=f"{name} {flag} printed no version", remedy=broken)
    return Finding(ok=True, reason=f"{name} {found[0]}", details={name: found[0]})


def qemu_system(here: Platform, timeout_s: float) -> Finding:
    """The machine emulator for this host's architecture."""
    target, package = ("aarch64", "arm") if here.machine in _ARM else ("x86_64", "x86")
    program = f"qemu-system-{target}"
    remedy = here.install(
        apt=f"qemu-system-{package}",
        dnf=f"qemu-system-{target}",
        brew="qemu",
        otherwise=f"install QEMU with {program}",
    )
    found = version(program, "--version", remedy=remedy, timeout_s=timeout_s)
    number = found.details.get(program, "")
    if found.ok and int(number.partition(".")[0]) < MIN_QEMU:
        reason = f"{found.reason} is too old: QEMU {MIN_QEMU} is needed"
        return found.model_copy(
            update={"ok": False, "reason": reason, "remedy": f"install QEMU {MIN_QEMU} or later"}
        )
    return found


def qemu_img(here: Platform, timeout_s: float) -> Finding:
    """The tool that makes disk overlays."""
    remedy = here.install(apt="qemu-utils", dnf="qemu-img", brew="qemu", otherwise="install QEMU's qemu-img")
    return version("qemu-img", "--version", remedy=remedy, timeout_s=timeout_s)


def apptainer(here: Platform, timeout_s: float) -> Finding:
    """Apptainer itself."""
    page = "https://apptainer.org/docs/admin/main/installation.html"
    remedy = here.install(dnf="apptainer", otherwise=f"install Apptainer as {page} says")
    if here.system != "Linux":
        remedy = "use a Linux host: Apptainer runs nowhere else"
    return version("apptainer", "--version", remedy=remedy, timeout_s=timeout_s)


def user_namespaces(here: Platform, timeout_s: float) -> Finding:
    """Whether a process may make a user namespace and be root in it."""
    if here.system != "Linux":
        return Finding(ok=False, reason=f"{here.system} has no user namespaces", remedy="use a Linux host")
    try:
        ended = command.run(["unshare", "--user", "--map-root-user", "true"], timeout_s=timeout_s)
    except OSError as error:
        reason = f"unshare does not start: {error.strerror}"
        return Finding(ok=False, reason=reason, remedy="install util-linux")
    if ended.exit_status == 0:
        return Finding(ok=True, reason="user namespaces are usable")
    why = ended.output.strip() or f"unshare exited {ended.exit_status}"
    if ended.exit_status is None:
        why = f"unshare did not end in {timeout_s:g} s"
    return Finding(ok=False, reason=f"user namespaces are not usable: {why}", remedy=_allow_user_namespaces())


def _allow_user_namespaces() -> str:
    if Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").exists():
        return "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    return "raise sysctl user.max_user_namespaces; in a container, allow unshare in its seccomp profile"


def android_sdk(here: Platform, timeout_s: float) -> Finding:
    """The folder of the Android SDK."""
    del timeout_s  # one look at a folder
    folder = _sdk_folder()
    remedy = "install the Android command-line tools and set ANDROID_HOME to the SDK's folder"
    if here.system == "Darwin":
        remedy = "brew install --cask android-commandlinetools, then set ANDROID_HOME to the SDK's folder"
    if folder is None:
        return Finding(ok=False, reason="ANDROID_HOME is not set", remedy=remedy)
    if not folder.is_dir():
        return Finding(ok=False, reason=f"ANDROID_HOME is {folder}, which is no folder", remedy=remedy)
    return Finding(ok=True, reason=f"Android SDK in {folder}", details={"android_sdk": str(folder)})


def emulator(here: Platform, timeout_s: float) -> Finding:
    """The Android emulator, of the SDK or on PATH."""
    del here  # sdkmanager is the same everywhere
    program = _of_sdk("emulator/emulator")
    return version(program, "-version", remedy="sdkmanager emulator", timeout_s=timeout_s)


def adb(here: Platform, timeout_s: float) -> Finding:
    """The Android debug bridge, of the SDK or on PATH."""
    del here  # as above
    program = _of_sdk("platform-tools/adb")
    return version(program, "version", remedy="sdkmanager platform-tools", timeout_s=timeout_s)


def _sdk_folder() -> Path | None:
    folder = os.environ.get("ANDROID_HOME") or os.environ.get("ANDROID_SDK_ROOT")
    return Path(folder) if folder else None


def _of_sdk(program: str) -> str:
    folder = _sdk_folder()
    inside = folder / program if folder else None
    return str(inside) if inside and inside.exists() else Path(program).name
