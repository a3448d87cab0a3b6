"""Builds an image from its recipe: once on a host, whoever asks and however often."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from gym_queue.errors import RunnerFailed
from gym_queue.runners.qemu.images.filesystem import make_disk
from gym_queue.runners.qemu.images.initrd import make_initrd
from gym_queue.runners.qemu.images.model import Image
from gym_queue.runners.qemu.images.programs import check_builder, check_room
from gym_queue.runners.qemu.images.recipe import Recipe
from gym_queue.runners.qemu.images.record import DISK, INITRD, KERNEL, Facts
from gym_queue.runners.qemu.images.rootfs import choose_mirror, configure, find_sources, install
from gym_queue.runners.qemu.images.store import ImageStore

ROOM_BYTES = 4 << 30
"""The installed system with its packages, its file system, and the disk, at once."""
Say = Callable[[str], None]


def build_image(
    recipe: Recipe,
    store: ImageStore,
    *,
    force: bool = False,
    mirror: str | None = None,
    packages: Path | None = None,
    say: Say = lambda _: None,
    on_line: Say = lambda _: None,
) -> Image:
    """Return a recipe's image; build it where it is missing or broken.

    Args:
        recipe: What to build.
        store: Where it is kept.
        force: Build it anew, with the mirror's packages of today.
        mirror: Where packages come from; None is where this host's own come from.
        packages: Folder that keeps downloaded packages for the next build; None keeps none.
        say: Told each stage, in a sentence.
        on_line: Told what the programs say.

    Raises:
        RunnerFailed: This host cannot build, the mirror does not answer, or there is no room. Nothing is left.
    """
    with store.locked(say):
        found = None if force else _usable(recipe, store, say)
        if found is not None:
            return found
        check_builder()
        check_room(store.folder, ROOM_BYTES, f"building {recipe.name}")
        sources = find_sources(recipe.suite)
        address = choose_mirror(recipe.suite, sources, mirror)
        with store.staging() as work:
            root, staged = work / "root", work / "image"
            staged.mkdir()
            say(f"installing Debian {recipe.suite} and {len(recipe.packages)} packages: a minute or two")
            install(recipe, root, address, packages=packages, on_line=on_line)
            say("configuring it")
            facts = _make(recipe, root, staged, sources)
            say("keeping it")
            return store.keep(recipe.name, staged, facts)


def _make(recipe: Recipe, root: Path, staged: Path, sources: list[str]) -> Facts:
    system = configure(recipe, root, sources)
    (staged / KERNEL).write_bytes(system.kernel)
    try:
        initrd = make_initrd(root, system.kernel_version, (recipe.folder / "init.sh").read_bytes())
    except (OSError, subprocess.CalledProcessError) as error:
        raise RunnerFailed(f"the initrd of {recipe.name} cannot be made: {error}") from error
    (staged / INITRD).write_bytes(initrd)
    make_disk(root, staged / DISK, virtual_bytes=recipe.virtual_bytes, epoch_s=system.epoch_s)
    return Facts(
        os_type="linux",
        architecture="x86_64",
        firmware="direct",
        append=recipe.append,
        display=recipe.display,
        user=recipe.user,
        virtual_bytes=recipe.virtual_bytes,
    )


def _usable(recipe: Recipe, store: ImageStore, say: Say) -> Image | None:
    if recipe.name not in store.names():
        return None
    try:
        return store.find(recipe.name)
    except RunnerFailed as error:
        say(f"building {recipe.name} again, for {error}")
        return None
