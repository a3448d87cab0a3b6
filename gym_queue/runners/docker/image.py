"""The image of a spec: one of a name, pulled when it is not here; or a Dockerfile's, built once per content."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tarfile
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import platformdirs
from docker.errors import APIError, ImageNotFound
from docker.models.images import Image
from docker.utils.build import exclude_paths

from gym_queue.errors import RunnerFailed, SpecInvalid, SpecNotFound
from gym_queue.runners.docker.client import Daemon, explain, translated
from gym_queue.runners.docker.create import ImageFacts
from gym_queue.runners.filelock import hold
from gym_queue.runners.owner import PREFIX
from gym_queue.settings import APP_NAME
from gym_queue.specs.env import EnvSpec
from gym_queue.specs.loader import shipped_dockerfile

logger = logging.getLogger(__name__)

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
LAST_LINES = 20
"""Of a build's log, in the error of one that fails."""
BUILD_LABEL = f"{PREFIX}.build"
REPOSITORY = f"{PREFIX}/build"
BUILD_ARGS_VARIABLE = "GYM_ANYTHING_DOCKER_BUILD_ARGS"
"""``NAME=value``, comma-separated: what an operator sets for every build, such as where base images come from."""


@dataclass(frozen=True, slots=True)
class BuildContext:
    """A Dockerfile and the folder that it lies in."""

    dockerfile: Path
    arguments: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """What the build sees."""
        return self.dockerfile.parent

    def paths(self) -> list[str]:
        """Return what of the folder .dockerignore leaves, relative, sorted."""
        ignore = self.folder / ".dockerignore"
        lines = ignore.read_text().splitlines() if ignore.is_file() else []
        patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        return sorted(exclude_paths(self.folder, patterns, self.dockerfile.name))

    def digest(self) -> str:
        """Return 24 hexadecimal digits: of every path, its rights and content, the Dockerfile's name and arguments."""
        total = hashlib.sha256(repr((self.dockerfile.name, sorted(self.arguments.items()))).encode())
        for name in self.paths():
            path = self.folder / name
            status = path.lstat()
            total.update(f"\0{name}\0{status.st_mode:o}\0".encode("utf-8", "surrogateescape"))
            if path.is_symlink():
                total.update(os.fsencode(path.readlink()))
            elif path.is_file():
                with path.open("rb") as file:
                    total.update(hashlib.file_digest(file, "sha256").digest())
        return total.hexdigest()[:24]

    def pack(self, archive: IO[bytes]) -> None:
        """Write the folder as the tar that the daemon takes; times are left out, so that its cache holds."""
        with tarfile.open(mode="w", fileobj=archive, format=tarfile.PAX_FORMAT) as tar:
            for name in self.paths():
                tar.add(self.folder / name, name, recursive=False, filter=_plain)


class Images:
    """Finds, pulls and builds images.

    Args:
        daemon: Where.
        locks: Folder for the locks that keep two builds of one content apart.
    """

    def __init__(self, daemon: Daemon, locks: Path) -> None:
        self._daemon, self._locks = daemon, locks

    def ensure(self, spec: EnvSpec, env_dir: Path | None) -> ImageFacts:
        """Return the spec's image, once it is here.

        Raises:
            SpecInvalid: The spec names none.
            SpecNotFound: There is no such Dockerfile.
            RunnerFailed: The image cannot be pulled or built.
        """
        if spec.image:
            return facts_of(self._find(spec.image) or self._pull(spec.image))
        if not spec.dockerfile:
            raise SpecInvalid(
                f"the environment {spec.id} names no image and no dockerfile: the docker runner needs one"
            )
        context = BuildContext(find_dockerfile(spec.dockerfile, env_dir), build_arguments(spec))
        with translated(f"the context of {context.dockerfile} cannot be read"):
            tag = f"{REPOSITORY}:{context.digest()}"
        with hold(self._locks / f"{tag.partition(':')[2]}.lock"):  # whoever comes second finds the image made
            return facts_of(self._find(tag) or self._build(context, tag))

    def _find(self, name: str) -> Image | None:
        with translated(f"the image {name} cannot be looked up"):
            try:
                return self._daemon.sdk.images.get(name)
            except ImageNotFound:
                return None

    def _pull(self, name: str) -> Image:
        logger.info("pulling the image %s", name)
        try:
            with translated(f"the image {name} is not on this machine and cannot be pulled"):
                pulled = self._daemon.sdk.images.pull(name if _has_tag(name) else f"{name}:latest")
        except RunnerFailed as error:
            raise RunnerFailed(f"{error}: check the name, or build or load it on the worker") from error
        logger.info("pulled the image %s", name)
        return pulled

    def _build(self, context: BuildContext, tag: str) -> Image:
        logger.info("building %s from %s", tag, context.dockerfile)
        last: deque[str] = deque(maxlen=LAST_LINES)
        what = f"the image of {context.dockerfile} cannot be built"
        with tempfile.TemporaryFile() as archive, translated(what):
            context.pack(archive)
            archive.seek(0)
            try:
                _follow(self._start_build(context, tag, archive), last, what)
            except APIError as error:  # a Dockerfile that cannot be parsed at all
                raise RunnerFailed(f"{what}: {explain(error)}") from error
        found = self._find(tag)
        if found is None:
            raise RunnerFailed(f"{what}: the daemon made no image; its log ends:\n{_joined(last)}")
        return found

    def _start_build(self, context: BuildContext, tag: str, archive: IO[bytes]) -> Iterator[dict[str, Any]]:
        events: Iterator[dict[str, Any]] = self._daemon.sdk.api.build(
            fileobj=archive,
            custom_context=True,
            dockerfile=context.dockerfile.name,
            buildargs=dict(context.arguments),
            tag=tag,
            labels={BUILD_LABEL: tag.partition(":")[2]},
            rm=True,
            forcerm=True,
            decode=True,
            timeout=None,
        )
        return events


def find_dockerfile(name: str, env_dir: Path | None) -> Path:
    """Return a spec's Dockerfile: from the env folder, else from the working folder, else a preset's own.

    Raises:
        SpecNotFound: It is in none of them.
    """
    tried = [folder / name for folder in (env_dir, Path.cwd()) if folder is not None]
    found = next((path for path in tried if path.is_file()), None) or shipped_dockerfile(name)
    if found is None:
        raise SpecNotFound(f"there is no dockerfile {name!r}; tried {', '.join(map(str, tried))}")
    return found.resolve()


def lock_folder() -> Path:
    """Return where the locks of this machine's builds lie."""
    return platformdirs.user_cache_path(APP_NAME) / "docker" / "locks"


def build_arguments(spec: EnvSpec) -> dict[str, str]:
    """Return a build's arguments: the spec's ``build_args``, over the operator's.

    Raises:
        SpecInvalid: They are no object of strings.
    """
    asked = (spec.model_extra or {}).get("build_args") or {}
    if not isinstance(asked, Mapping):
        raise SpecInvalid(
            f"the environment {spec.id}: build_args: an object of names and values belongs here"
        )
    pairs = [
        each.partition("=") for each in os.environ.get(BUILD_ARGS_VARIABLE, "").split(",") if "=" in each
    ]
    return {name.strip(): value for name, _, value in pairs} | {str(k): str(v) for k, v in asked.items()}


def _follow(events: Iterator[dict[str, Any]], last: deque[str], what: str) -> None:
    """Log what a build says.

    Raises:
        RunnerFailed: It failed; its last lines are in the error.
    """
    reason = None
    for event in events:  # to its end, so that the connection is given back
        for line in _COLOUR.sub("", str(event.get("stream") or event.get("status") or "")).splitlines():
            if line.strip():
                logger.info("build: %s", line.rstrip())
                last.append(line.rstrip())
        reason = event.get("error", reason)
    if reason is not None:
        raise RunnerFailed(
            f"{what}: {str(reason).strip()}; its log ends:\n{_joined(last)}", {"build_log": list(last)}
        )


def _joined(lines: deque[str]) -> str:
    return "\n".join(lines) or "(nothing)"


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


def facts_of(image: Image) -> ImageFacts:
    """Return what a container of an image has to know of it."""
    config = image.attrs.get("Config") or {}
    command = (*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ()))
    variables = dict(each.partition("=")[::2] for each in config.get("Env") or ())
    return ImageFacts(str(image.id), command, variables)


def _has_tag(name: str) -> bool:
    return "@" in name or ":" in name.rpartition("/")[2]
