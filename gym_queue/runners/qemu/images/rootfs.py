"""The files of a Debian system: installed by debootstrap, changed by a recipe, the same for the same packages."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

from gym_queue.errors import RunnerFailed
from gym_queue.runners.qemu.images.programs import find_program, namespaces, run
from gym_queue.runners.qemu.images.recipe import Recipe

PRIVATE_FILES = ("sudoers.d",)
"""Folders whose files others do not read."""
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class System:
    """A system's files, and what is not among them."""

    root: Path
    kernel: bytes
    kernel_version: str
    epoch_s: int
    """When the release was published: no file is newer."""


def find_sources(suite: str) -> list[str]:
    """Return the lines of sources.list for a release, its updates and its security fixes, as this host has them."""
    if find_program("apt-get") is None:
        return []
    names = (suite, f"{suite}-updates", f"{suite}-security")
    command = [
        "apt-get",
        "indextargets",
        "--format",
        "$(REPO_URI) $(RELEASE) $(COMPONENT)",
        "Identifier: Packages",
    ]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = {(uri, release) for uri, release, part in map(str.split, shown.splitlines()) if part == "main"}
    return [f"deb {uri} {name} main" for name in names for uri, release in sorted(found) if release == name]


def choose_mirror(suite: str, sources: list[str], mirror: str | None) -> str:
    """Return the address that a release is installed from.

    Raises:
        RunnerFailed: Nobody knows one.
    """
    known = [line.split()[1] for line in sources if line.split()[2] == suite]
    if mirror or known:
        return mirror or known[0]
    raise RunnerFailed(
        f"apt on this host knows no mirror of Debian {suite}: name one by --mirror, or add it to the sources"
    )


def install(recipe: Recipe, root: Path, mirror: str, *, packages: Path | None, on_line: Say) -> None:
    """Install a recipe's packages.

    Args:
        recipe: Which.
        root: Where; made here.
        mirror: Where they come from.
        packages: Folder that keeps what was downloaded; None keeps nothing.
        on_line: Told what happens.

    Raises:
        RunnerFailed: The mirror does not answer, or a package cannot be installed.
    """
    config = root / "etc" / "dpkg" / "dpkg.cfg.d" / "small"
    config.parent.mkdir(parents=True)
    shutil.copyfile(recipe.folder / "dpkg.cfg", config)
    options = ["--variant=minbase", f"--include={','.join(recipe.packages)}"]
    if packages is not None:
        packages.mkdir(parents=True, exist_ok=True)
        options.append(f"--cache-dir={packages.resolve()}")
    run(
        [*namespaces(), "debootstrap", *options, recipe.suite, root, mirror],
        f"Debian {recipe.suite} cannot be installed from {mirror} (--mirror names another)",
        variables={"DEBIAN_FRONTEND": "noninteractive", "INITRD": "No", "SOURCE_DATE_EPOCH": "0"},
        on_line=on_line,
    )


def configure(recipe: Recipe, root: Path, sources: list[str]) -> System:
    """Change an installed system as its recipe says, and remove what differs from build to build.

    Raises:
        RunnerFailed: A step of the recipe fails.
    """
    version = next((root / "usr" / "lib" / "modules").iterdir()).name
    kernel = (root / "boot" / f"vmlinuz-{version}").read_bytes()
    epoch = _published(root, recipe.suite)
    _copy(recipe.folder / "files", root)
    (root / "etc" / "apt" / "sources.list").write_text("".join(f"{line}\n" for line in sources))
    script = root / "configure.sh"
    shutil.copyfile(recipe.folder / "configure.sh", script)
    inside = [*namespaces(), "chroot", str(root)]
    run([*inside, "/bin/sh", "/configure.sh"], f"{recipe.name} cannot be configured")
    script.unlink()
    _clear_days(root / "etc" / "shadow")
    _make_old(root, epoch)  # the font cache holds its folders' times
    run(
        [*inside, "fc-cache", "--system-only"],
        "the fonts cannot be listed",
        variables={"SOURCE_DATE_EPOCH": str(epoch)},
    )
    _make_old(root, epoch)
    return System(root, kernel, version, epoch)


def _copy(source: Path, root: Path) -> None:
    for path in sorted(source.rglob("*")):
        target = root / path.relative_to(source)
        if path.is_dir():
            target.mkdir(exist_ok=True)
            continue
        content = path.read_bytes()
        target.unlink(missing_ok=True)
        target.write_bytes(content)
        target.chmod(
            0o755 if content.startswith(b"#!") else 0o440 if path.parent.name in PRIVATE_FILES else 0o644
        )


def _published(root: Path, suite: str) -> int:
    """Return the time of the release file that apt would check."""
    for path in sorted((root / "var" / "lib" / "apt" / "lists").glob(f"*_dists_{suite}_*Release")):
        for line in path.read_text(errors="replace").splitlines():
            if line.startswith("Date: "):
                return int(parsedate_to_datetime(line.removeprefix("Date: ")).timestamp())
    raise RunnerFailed(f"debootstrap left no release file of {suite}: its mirror is not one of Debian")


def _clear_days(shadow: Path) -> None:
    """Take the day away on which each password was set."""
    lines = (line.split(":") for line in shadow.read_text().splitlines())
    shadow.write_text("".join(":".join([*fields[:2], "19000", *fields[3:]]) + "\n" for fields in lines))


def _make_old(root: Path, epoch_s: int) -> None:
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files, "."):
            path = os.path.join(folder, name)  # noqa: PTH118  (Path drops the dot, and this is a third faster)
            if os.lstat(path).st_mtime > epoch_s:
                os.utime(path, (epoch_s, epoch_s), follow_symlinks=False)
