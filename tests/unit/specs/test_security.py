from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gym_queue.errors import Forbidden, SpecNotFound
from gym_queue.specs.env import EnvSpec
from gym_queue.specs.loader import parse_env, resolve_env_dir
from gym_queue.specs.security import HostPolicy, asked_privileges

LOCKED = HostPolicy(env_roots=(), allow_privileged=False)
BASE: dict[str, Any] = {"id": "e", "observation": [{"type": "cli_stdout"}], "action": [{"type": "keyboard"}]}


def spec(**fields: Any) -> EnvSpec:
    return parse_env({**BASE, **fields}, where="spec")


@pytest.mark.parametrize(
    "security",
    [
        {"privileged": True},
        {"devices": ["/dev/kvm"]},
        {"cap_add": ["SYS_ADMIN"]},
        {"cap_add": ["CAP_SYS_PTRACE"]},
        {"cap_add": ["ALL"]},
        {"seccomp_profile": "unconfined"},
        {"mount_cgroups": True},
        {"cgroupns_host": True},
        {"runtime": "of-mine"},
    ],
)
def test_privileges_are_refused_unless_allowed(security: dict[str, Any]) -> None:
    (key,) = security
    asked = spec(security=security)
    with pytest.raises(Forbidden, match=rf"security\.{key}.*--allow-privileged"):
        LOCKED.check_spec(asked, env_dir=None, runner="docker")
    LOCKED.model_copy(update={"allow_privileged": True}).check_spec(asked, env_dir=None, runner="docker")
    for runner in ("local", "fake"):
        LOCKED.check_spec(asked, env_dir=None, runner=runner)


def test_what_engines_give_by_themselves_is_no_privilege() -> None:
    asked = spec(security={"cap_add": ["NET_RAW", "cap_chown"], "runtime": "nvidia", "use_systemd": True})
    assert asked_privileges(asked.security) == []
    assert asked_privileges(spec().security) == []


def test_presets_that_are_privileged_are_refused_as_well() -> None:
    with pytest.raises(Forbidden, match=r"security\.privileged"):
        LOCKED.check_spec(spec(base="ubuntu-gnome-systemd"), env_dir=None, runner="docker")


def test_mounts_come_from_the_env_folder_roots_and_allowed_folders(tmp_path: Path) -> None:
    folders = env_dir, root, allowed, other = [
        tmp_path / name for name in ("env", "root", "allowed", "other")
    ]
    for folder in folders:
        folder.mkdir()
        (folder / "f").touch()
    (root / "link").symlink_to(other / "f")
    policy = HostPolicy(env_roots=(root,), allow_paths=(allowed,))

    def check(source: str) -> None:
        policy.check_spec(spec(mounts=[{"source": source, "target": "x"}]), env_dir=env_dir, runner="docker")

    for source in ("f", str(env_dir / "f"), str(root / "f"), str(allowed / "f")):
        check(source)
    for source in (str(other / "f"), "../other/f", str(root / "link"), str(root / ".." / "other"), "/none"):
        with pytest.raises(Forbidden, match="mount source"):
            check(source)
    with pytest.raises(SpecNotFound):
        check(str(root / "none"))


def test_images_are_built_from_the_env_folder_and_the_roots_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_dir, root, other = folders = [tmp_path / name for name in ("env", "root", "other")]
    for folder in folders:
        folder.mkdir()
        (folder / f"{folder.name}.Dockerfile").touch()
    (root / "link").symlink_to(other / "other.Dockerfile")
    monkeypatch.chdir(other)
    policy = HostPolicy(env_roots=(root,))

    def check(dockerfile: str, runner: str = "docker") -> None:
        policy.check_spec(spec(dockerfile=dockerfile), env_dir=env_dir, runner=runner)

    for dockerfile in ("env.Dockerfile", str(root / "root.Dockerfile")):
        check(dockerfile)
    outside = (
        "other.Dockerfile",
        "../other/other.Dockerfile",
        str(other / "none"),
        str(root / "link"),
        "a\0b",
    )
    for dockerfile in outside:
        with pytest.raises(Forbidden, match="dockerfile"):
            check(dockerfile)
        check(dockerfile, runner="local")


def test_env_folders_come_from_roots_links_resolved(tmp_path: Path) -> None:
    root, other = tmp_path / "root", tmp_path / "other"
    for folder in (root, other):
        folder.mkdir()
    (root / "loop").symlink_to("loop")
    (tmp_path / "alias").symlink_to(root)
    policy = HostPolicy(env_roots=(tmp_path / "alias",))
    policy.check_env_dir(root)
    policy.check_env_dir(tmp_path / "alias" / "x")
    policy.check_env_dir(resolve_env_dir("terminal_env"))
    for path in (other, root / ".." / "other", tmp_path, root / "loop", Path("a\0b")):
        with pytest.raises(Forbidden, match="--env-root"):
            policy.check_env_dir(path)


def test_a_program_that_opens_its_own_environments_may_use_all_of_its_host(tmp_path: Path) -> None:
    HostPolicy().check_env_dir(tmp_path)
    asked = spec(security={"privileged": True}, mounts=[{"source": "/none", "target": "x"}])
    HostPolicy().check_spec(asked, env_dir=None, runner="docker")
