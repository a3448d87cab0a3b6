"""Checkpoints of containers: images made of them, each under its key. They hold files, not what runs."""

from __future__ import annotations

from pathlib import Path

from docker.errors import APIError, ImageNotFound
from docker.models.containers import Container

from gym_queue.runners.base import CheckpointDamaged, VmOptions
from gym_queue.runners.docker.client import Daemon, is_gone, translated
from gym_queue.runners.docker.create import ImageFacts
from gym_queue.runners.docker.image import Images, facts_of, lock_folder
from gym_queue.runners.owner import PREFIX
from gym_queue.specs.env import EnvSpec

REPOSITORY = f"{PREFIX}/checkpoint"
CHECKPOINT_LABEL = f"{PREFIX}.checkpoint"
RESTORE = "rm -f /tmp/.X*-lock"
"""Run by root in a container that was started from a checkpoint: its X server has gone, and its lock has not."""


class DockerCheckpoints:
    """The checkpoints of this machine's Docker daemon.

    Args:
        folder: Not used: they are images.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fingerprint(self, spec: EnvSpec, env_dir: Path | None, *, vm: VmOptions, machine: bool) -> str:  # noqa: ARG002  (a container is no machine)
        """Return the id of the spec's image, once it is here.

        Raises:
            SpecInvalid: The spec names none.
            SpecNotFound: There is no such Dockerfile.
            RunnerFailed: It cannot be pulled or built.
        """
        daemon = Daemon()
        try:
            return Images(daemon, lock_folder()).ensure(spec, env_dir).id
        finally:
            daemon.close()

    def holds(self, key: str) -> bool:
        """Return whether the image is there; the daemon names one only when it is whole."""
        daemon = Daemon()
        try:
            return _find(daemon, key) is not None
        finally:
            daemon.close()

    def remove(self, key: str) -> None:
        """Remove the image's name; its layers go once no container uses them."""
        daemon = Daemon()
        try:
            with translated(f"the checkpoint {key} cannot be removed"):
                try:
                    daemon.sdk.images.remove(_name(key), force=True)
                except APIError as error:
                    if not is_gone(error):
                        raise
        finally:
            daemon.close()


def find_checkpoint(daemon: Daemon, key: str) -> ImageFacts:
    """Return the image to start from.

    Raises:
        CheckpointDamaged: It is gone.
    """
    found = _find(daemon, key)
    if found is None:
        raise CheckpointDamaged(f"the checkpoint {key} is gone from the Docker daemon: reset without it")
    return found


def save_container(daemon: Daemon, container: Container, key: str) -> int:
    """Make an image of a container, which stands still meanwhile.

    Args:
        daemon: Where it is.
        container: It.
        key: The checkpoint's.

    Returns:
        What it takes beside the container's own image, in bytes.

    Raises:
        RunnerFailed: It cannot be made: no room, or the container is gone.
    """
    with translated(f"the checkpoint {key} cannot be made"):
        conf = {"Labels": {CHECKPOINT_LABEL: key}}
        made = container.commit(repository=REPOSITORY, tag=key, pause=True, conf=conf)
        base = daemon.sdk.images.get(str(container.attrs["Image"]))
        return max(0, int(made.attrs["Size"]) - int(base.attrs["Size"]))


def without_stale(image: ImageFacts, environment: dict[str, str]) -> dict[str, str | None]:
    """Return a container's variables, less those that the checkpoint's own container had and this one has not."""
    stale = [name for name in image.variables if name.startswith("GYM_") and name not in environment]
    return {**environment, **dict.fromkeys(stale)}


def _name(key: str) -> str:
    return f"{REPOSITORY}:{key}"


def _find(daemon: Daemon, key: str) -> ImageFacts | None:
    with translated(f"the checkpoint {key} cannot be looked up"):
        try:
            return facts_of(daemon.sdk.images.get(_name(key)))
        except ImageNotFound:
            return None
