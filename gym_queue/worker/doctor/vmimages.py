"""Probe of the images that virtual machines boot from."""

from __future__ import annotations

from pathlib import Path

from gym_queue.runners.qemu.acceleration import architecture_of
from gym_queue.runners.qemu.images.store import ImageStore
from gym_queue.worker.doctor.host import Platform
from gym_queue.worker.doctor.report import Finding

REMEDY = "gym-anything image build debian-x11"


def vm_images(here: Platform, timeout_s: float, *, folder: Path | None = None) -> Finding:
    """Look for images that this host's QEMU boots.

    Args:
        here: This platform.
        timeout_s: Not needed: it is one look at a folder.
        folder: Where they are; None is the user's own.
    """
    del timeout_s
    images = ImageStore(folder).list()
    architecture = architecture_of(here.machine)
    names = sorted(image.name for image in images if image.architecture == architecture)
    if names:
        listed = ", ".join(names)
        return Finding(ok=True, reason=f"images: {listed}", details={"images": listed})
    if images:
        found = ", ".join(sorted(f"{image.name} ({image.architecture})" for image in images))
        return Finding(
            ok=False, reason=f"no VM image for {architecture} is here, only {found}", remedy=REMEDY
        )
    return Finding(ok=False, reason="no VM image is here", remedy=REMEDY)
