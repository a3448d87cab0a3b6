"""Removes what environments left behind whose process has gone, and never anybody else's."""

from __future__ import annotations

import logging

from docker.errors import NotFound

from gym_queue.errors import GymQueueError
from gym_queue.runners.docker.client import Daemon, remove_container, translated
from gym_queue.runners.owner import HOST, Place, is_orphan, start_of

logger = logging.getLogger(__name__)


def remove_orphans() -> int:
    """Remove the containers on this machine whose process has gone; returns how many. Logs what cannot be."""
    here, daemon = Place.here(), Daemon()
    try:
        with translated("the containers of earlier environments cannot be listed"):
            found = daemon.sdk.api.containers(all=True, filters={"label": f"{HOST}={here.host}"})
        left = [each for each in found if is_orphan(each.get("Labels") or {}, here, start_of)]
        return sum(_remove(daemon, str(each["Id"])) for each in left)
    except GymQueueError as error:
        logger.warning("containers that earlier environments left may stay: %s", error)
        return 0
    finally:
        daemon.close()


def _remove(daemon: Daemon, container_id: str) -> bool:
    try:
        with translated("a container that a dead process left cannot be removed"):
            container = daemon.sdk.containers.get(container_id)
            remove_container(container)
    except GymQueueError as error:
        if not isinstance(error.__cause__, NotFound):
            logger.warning("%s", error)
        return False
    logger.info("removed the container %s, which a dead process left", container.name)
    return True
