"""Which image an environment's machine starts from; another one stands in only where the spec allows it."""

from __future__ import annotations

from gym_queue.errors import RunnerFailed, SpecInvalid
from gym_queue.runners.qemu.images.model import Image
from gym_queue.runners.qemu.images.recipe import DEBIAN_X11
from gym_queue.runners.qemu.images.store import ImageStore, is_name
from gym_queue.specs.env import EnvSpec

SUFFIX = ".qcow2"


def choose_image(spec: EnvSpec, store: ImageStore) -> tuple[Image, tuple[str, ...]]:
    """Return a spec's image, and what its user should know of it.

    That is what ``vm.image``, else ``image``, else a preset's ``base_qcow2`` names, else the preset's own name. Where
    none of these is here, ``vm.substitute`` lets debian-x11 stand in. A spec that has none of them means debian-x11.

    Args:
        spec: The environment's.
        store: The images of this host.

    Raises:
        SpecInvalid: The image is of another kind of system than the spec.
        RunnerFailed: The image is not here, or is broken.
    """
    wanted = wanted_image(spec)
    if wanted is None:
        return _of_kind(spec, store.find(DEBIAN_X11.name)), ()
    if is_name(wanted) and wanted in store.names():
        return _of_kind(spec, store.find(wanted)), ()
    if not spec.vm.substitute:
        raise RunnerFailed(_missing(spec, wanted))
    image = _of_kind(spec, store.find(DEBIAN_X11.name))
    return image, (
        f"the VM image {wanted} is not on this worker: {image.name} stands in for it, as the spec's vm.substitute allows",
    )


def wanted_image(spec: EnvSpec) -> str | None:
    """Return the name of the image that a spec is written for; None when any will do."""
    extra = spec.model_extra or {}
    named = spec.vm.image or spec.image or extra.get("base_qcow2")
    if named:
        return str(named).removesuffix(SUFFIX)
    if spec.base:
        return spec.base
    if spec.dockerfile or spec.os_type not in (None, "linux"):
        return spec.id.partition("@")[0]
    return None


def _of_kind(spec: EnvSpec, image: Image) -> Image:
    kind = spec.os_type or image.os_type
    if kind != image.os_type:
        raise SpecInvalid(
            f"the environment {spec.id} is for {kind}, and the VM image {image.name} holds {image.os_type}: "
            "name another by vm.image, or correct os_type"
        )
    return image


def _missing(spec: EnvSpec, wanted: str) -> str:
    name = wanted if is_name(wanted) else "NAME"
    imports = f"import it by gym-anything image import FILE.qcow2 --name {name}"
    if name != wanted:
        imports += f" and set vm.image to {name}"
    if spec.os_type in (None, "linux"):
        imports += f', or let {DEBIAN_X11.name} stand in for it by "vm": {{"substitute": true}} in the spec'
    return f"the environment {spec.id} needs the VM image {wanted}, which is not on this worker: {imports}"
