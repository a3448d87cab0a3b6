"""``gym-anything image``: the disks that virtual machines of this host start from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from gym_queue.cli.tables import print_table
from gym_queue.errors import RunnerFailed
from gym_queue.runners.qemu.booted import BOOTED, BootedMachines
from gym_queue.runners.qemu.images.build import Say, build_image
from gym_queue.runners.qemu.images.importing import Source, import_image
from gym_queue.runners.qemu.images.model import Image
from gym_queue.runners.qemu.images.recipe import RECIPES, find_recipe
from gym_queue.runners.qemu.images.store import ImageStore

MIB = 1 << 20
HEADINGS = ("name", "os", "architecture", "firmware", "MiB", "disk GiB", "booted MiB", "digest")
SHOWN_DIGEST_CHARS = 19

Folder = Annotated[
    Path | None,
    typer.Option(
        "--image-dir", help="Folder of the images: GYM_ANYTHING_VM_IMAGE_DIR, or in the user's cache."
    ),
]


class OsType(StrEnum):
    """What ``--os-type`` takes."""

    LINUX = "linux"
    WINDOWS = "windows"
    ANDROID = "android"


class Architecture(StrEnum):
    """What ``--architecture`` takes."""

    X86_64 = "x86_64"
    AARCH64 = "aarch64"


class Firmware(StrEnum):
    """What ``--firmware`` takes."""

    BIOS = "bios"
    UEFI = "uefi"


def complete_recipe(incomplete: str) -> list[str]:
    """Return the recipes whose names begin so."""
    return [name for name in RECIPES if name.startswith(incomplete)]


def complete_image(incomplete: str) -> list[str]:
    """Return the images of this host whose names begin so."""
    return [name for name in ImageStore().names() if name.startswith(incomplete)]


ImageName = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="The image: see gym-anything image list.", autocompletion=complete_image
    ),
]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Images of virtual machines: read-only disks, kept on this host under their content's digest.",
)


@app.command()
def build(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help=f"Recipe: {', '.join(RECIPES)}.", autocompletion=complete_recipe),
    ],
    force: Annotated[bool, typer.Option("--force", help="Build it anew, though it is there.")] = False,
    mirror: Annotated[
        str | None, typer.Option(metavar="URL", help="Debian mirror: this host's own when not given.")
    ] = None,
    packages: Annotated[
        Path | None,
        typer.Option("--package-dir", help="Folder that keeps what is downloaded for the next build."),
    ] = None,
    folder: Folder = None,
) -> None:
    """Build an image from a distribution's packages, if it is not there.

    Example: gym-anything image build debian-x11
    """
    recipe = find_recipe(name)
    with _reporting() as (say, on_line):
        image = build_image(
            recipe,
            ImageStore(folder),
            force=force,
            mirror=mirror,
            packages=packages,
            say=say,
            on_line=on_line,
        )
    _tell(image)


@app.command("list")
def list_images(
    folder: Folder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the images of this host, and what is kept of machines that have booted from them.

    Example: gym-anything image list
    """
    store = ImageStore(folder)
    images = {image: _booted_bytes(store, image) for image in store.list()}
    if as_json:
        told = [{**asdict(image), "booted_bytes": size} for image, size in images.items()]
        typer.echo(json.dumps(told, indent=2, default=str))
        return
    if not images:
        typer.echo("there are no images: gym-anything image build debian-x11 makes one")
        return
    print_table(HEADINGS, [_row(image, size) for image, size in images.items()], numbers=HEADINGS[4:7])


@app.command("import")
def import_command(
    disk: Annotated[
        Path, typer.Argument(metavar="FILE", help="A qcow2 without a backing file; it is copied.")
    ],
    name: Annotated[str, typer.Option(metavar="NAME", help="What to call it: specs name it so.")],
    os_type: Annotated[OsType, typer.Option(help="What runs on it.")] = OsType.LINUX,
    architecture: Annotated[
        Architecture, typer.Option(help="The processor it is for.")
    ] = Architecture.X86_64,
    kernel: Annotated[Path | None, typer.Option(help="Linux kernel to boot directly.")] = None,
    initrd: Annotated[Path | None, typer.Option(help="The kernel's initrd.")] = None,
    append: Annotated[str, typer.Option(help="The kernel's options, such as root=/dev/vda1.")] = "",
    firmware: Annotated[
        Firmware | None, typer.Option(help="What boots it without a kernel: bios when not given.")
    ] = None,
    user: Annotated[str, typer.Option(help="The account that is logged in.")] = "",
    display: Annotated[str, typer.Option(help="Its X display inside, such as :0.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace an image of that name.")] = False,
    folder: Folder = None,
) -> None:
    """Copy a disk that was made elsewhere into the images of this host.

    Example: gym-anything image import windows.qcow2 --name base_windows_11 --os-type windows --firmware uefi
    """
    source = Source(
        disk,
        kernel,
        initrd,
        append=append,
        os_type=os_type.value,
        architecture=architecture.value,
        firmware=firmware.value if firmware is not None else None,
        display=display,
        user=user,
    )
    with _reporting() as (say, _):
        image = import_image(source, name, ImageStore(folder), replace=force, say=say)
    _tell(image)


@app.command()
def remove(name: ImageName, folder: Folder = None) -> None:
    """Remove an image, and what is kept of machines that booted it. Machines that run go on.

    Example: gym-anything image remove debian-x11
    """
    store = ImageStore(folder)
    digest = next((image.digest for image in store.list() if image.name == name), None)
    store.remove(name)
    if digest is not None and digest not in {image.digest for image in store.list()}:
        _booted(store).forget_image(digest)
    typer.echo(f"removed {name}")


@app.command()
def forget(name: ImageName, folder: Folder = None) -> None:
    """Remove what is kept of machines that have booted from an image: the next one boots. Those that run go on.

    Example: gym-anything image forget debian-x11
    """
    store = ImageStore(folder)
    image = store.find(name)
    freed = _booted_bytes(store, image)
    _booted(store).forget_image(image.digest)
    if _booted(store).of_image(image.digest):
        raise RunnerFailed(
            f"machines that have booted from {name} are left in {store.folder / BOOTED}: remove them as the user whom they belong to"
        )
    typer.echo(f"forgot the machines that have booted from {name}, {freed / MIB:,.0f} MiB")


@app.command()
def verify(name: ImageName, folder: Folder = None) -> None:
    """Read every byte of an image, and see that it is what was kept.

    Example: gym-anything image verify debian-x11
    """
    _tell(ImageStore(folder).verify(name))


@contextmanager
def _reporting() -> Iterator[tuple[Say, Say]]:
    """Yield what tells a stage, a line each, and what shows beside it, on a terminal, what a program says."""
    console = Console(stderr=True, highlight=False)
    with console.status("", spinner="line") as status:

        def say(sentence: str) -> None:
            console.print(Text(f"{sentence} .."))
            status.update(Text(""))

        yield say, lambda line: status.update(Text(line[: max(20, console.width - 4)]))


def _tell(image: Image) -> None:
    typer.echo(f"{image.name}: {image.digest}, {image.disk_bytes / MIB:,.0f} MiB in {image.disk.parent}")


def _booted(store: ImageStore) -> BootedMachines:
    return BootedMachines(store.folder / BOOTED)


def _booted_bytes(store: ImageStore, image: Image) -> int:
    """Return what is kept of machines that have booted from an image; what is another user's, or goes meanwhile, counts nothing."""
    total = 0
    for snapshot in _booted(store).of_image(image.digest):
        with suppress(OSError):
            total += snapshot.size_bytes()
    return total


def _row(image: Image, booted_bytes: int) -> tuple[str, ...]:
    return (
        image.name,
        image.os_type,
        image.architecture,
        image.firmware,
        f"{image.disk_bytes / MIB:,.0f}",
        f"{image.virtual_bytes / (1 << 30):,.1f}",
        f"{booted_bytes / MIB:,.0f}",
        image.digest[:SHOWN_DIGEST_CHARS],
    )
