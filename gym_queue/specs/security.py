"""What an operator allows environments to ask for, whichever runner runs them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from gym_queue.errors import Forbidden
from gym_queue.specs.env import EnvSpec, Security
from gym_queue.specs.loader import is_shipped, resolve_mount

UNCONFINED_RUNNERS = frozenset({"local", "fake"})
"""They have no rights to give: what a spec says of devices and privileges means nothing to them, and is ignored."""
SAFE_CAPABILITIES = frozenset(
    {"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP"}
    | {"SETUID", "SYS_CHROOT", "AUDIT_WRITE", "MKNOD", "NET_RAW"}
)
"""What container engines give by themselves (docs.docker.com/engine/security)."""


class HostPolicy(BaseModel):
    """What of the host environments may use. The default, for a program that opens its own, allows all of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    env_roots: tuple[Path, ...] | None = None
    """Folders that env folders and mounts come from, besides the shipped environments; None is anywhere."""
    allow_paths: tuple[Path, ...] = ()
    """Folders that files may be copied to and from by path, and mounted from, besides the episode's own."""
    allow_privileged: bool = True
    """Let specs ask for privileges, host devices and the host's namespaces."""

    def check_env_dir(self, path: Path) -> None:
        """See that an env folder may be opened.

        Raises:
            Forbidden: It is below none of the roots, links resolved.
        """
        if self.env_roots is not None and not is_shipped(path) and not _is_below(path, self.env_roots):
            raise Forbidden(
                f"the env folder {path} is outside the folders this worker takes environments from: "
                "ask its operator for --env-root"
            )

    def check_spec(self, spec: EnvSpec, *, env_dir: Path | None, runner: str) -> None:
        """See that a spec asks for nothing that the operator did not allow.

        Args:
            spec: The environment.
            env_dir: Its folder, already allowed; None for a spec that came in a request.
            runner: The runner that would honour it.

        Raises:
            Forbidden: It does; the message names the key.
            SpecNotFound: A mount's source does not exist.
        """
        self._check_mounts(spec, env_dir)
        if runner in UNCONFINED_RUNNERS:
            return
        for key in () if self.allow_privileged else asked_privileges(spec.security):
            raise Forbidden(
                f"the environment {spec.id} asks for security.{key}, which this worker does not allow: "
                "ask its operator for --allow-privileged"
            )
        self._check_dockerfile(spec, env_dir)

    def _check_mounts(self, spec: EnvSpec, env_dir: Path | None) -> None:
        if self.env_roots is None:
            return
        for mount in spec.mounts:
            source = Path(mount.source)
            if source.is_absolute() and not self._may_come_from(source, env_dir):
                raise _outside("mount source", mount.source)  # before it is said whether it exists
            found = resolve_mount(env_dir or Path.cwd(), mount.source)
            if not self._may_come_from(found, env_dir):
                raise _outside("mount source", mount.source)

    def _check_dockerfile(self, spec: EnvSpec, env_dir: Path | None) -> None:
        """See that an image is built from an allowed folder: what fails to be built is quoted in the error."""
        if self.env_roots is None or spec.image or not spec.dockerfile:
            return
        for folder in (env_dir, Path.cwd()):  # where runners look for it
            if folder is None:
                continue
            path = folder / spec.dockerfile
            if not self._may_come_from(path, env_dir):
                raise _outside("dockerfile", spec.dockerfile)
            if path.is_file():
                return

    def _may_come_from(self, path: Path, env_dir: Path | None) -> bool:
        roots = (*(self.env_roots or ()), *self.allow_paths, *((env_dir,) if env_dir else ()))
        return _is_below(path, roots) or is_shipped(path)


def asked_privileges(security: Security) -> list[str]:
    """Return the keys of a spec's ``security`` that weaken the wall between sandbox and host."""
    capabilities = {name.upper().removeprefix("CAP_") for name in security.cap_add}
    asked = {
        "privileged": security.privileged,
        "devices": bool(security.devices),
        "cap_add": bool(capabilities - SAFE_CAPABILITIES),
        "seccomp_profile": security.seccomp_profile is not None,
        "mount_cgroups": security.mount_cgroups,
        "cgroupns_host": security.cgroupns_host,
        "runtime": security.runtime not in (None, "runc", "crun", "runsc", "nvidia"),
    }
    return [key for key, is_asked in asked.items() if is_asked]


def _outside(what: str, path: str) -> Forbidden:
    return Forbidden(
        f"the {what} {path!r} is outside the folders this worker takes environments from: "
        "ask its operator for --env-root or --allow-path"
    )


def _is_below(path: Path, roots: Iterable[Path]) -> bool:
    try:
        real = path.resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL
        return False
    if any(each.is_symlink() for each in (real, *real.parents)):  # such a loop, as Python 3.13 resolves it
        return False
    return any(real.is_relative_to(root.resolve()) for root in roots)
