from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gym_queue.errors import NotSupported, SpecInvalid, SpecNotFound
from gym_queue.runners.base import RunnerSetup
from gym_queue.runners.docker.create import PIDS_LIMIT, ImageFacts, container_name, copied_mounts, plan
from gym_queue.specs.env import EnvSpec

FACTS = ImageFacts("sha256:1", ("/sbin/init",), {})


def make_plan(
    env_dir: Path | None = None, *, image: ImageFacts = FACTS, x11: bool = True, **fields: Any
) -> dict[str, Any]:
    basis = {
        "id": "e",
        "observation": [{"type": "rgb_screen", "resolution": [800, 600]}],
        "action": [{"type": "mouse"}],
    }
    setup = RunnerSetup(
        "env-1", EnvSpec.model_validate({**basis, **fields}), env_dir, Path("/w"), 1, {"GYM_SEED": "1"}
    )
    return plan(setup, image, labels={"a": "b"}, x11_dir=Path("/w/x11") if x11 else None)


def mounts_of(config: dict[str, Any]) -> list[tuple[str, str, bool]]:
    return [(each["Source"], each["Target"], each["ReadOnly"]) for each in config["mounts"]]


def test_a_container_is_kept_by_an_init_and_a_sleep_under_the_specs_user():
    config = make_plan()
    assert (config["init"], config["entrypoint"], config["command"]) == (True, ["sleep"], ["infinity"])
    assert config["user"] == "1000:1000"
    assert config["image"] == "sha256:1"
    assert config["labels"] == {"a": "b"}


def test_limits_are_those_of_the_resources():
    config = make_plan(resources={"cpu": 1.5, "mem_gb": 2, "net": False})
    assert config["nano_cpus"] == 1_500_000_000
    assert config["mem_limit"] == config["memswap_limit"] == 2 << 30
    assert config["network_mode"] == "none"
    assert config["pids_limit"] == PIDS_LIMIT


def test_what_is_not_asked_for_is_not_limited_but_processes_are():
    config = make_plan(resources={"net": True})
    assert not config.keys() & {"nano_cpus", "mem_limit", "network_mode", "device_requests", "runtime"}
    assert config["pids_limit"] == PIDS_LIMIT


def test_gpus_are_requested():
    (asked,) = make_plan(resources={"gpu": 2})["device_requests"]
    assert (asked["Count"], asked["Capabilities"]) == (2, [["gpu"]])


def test_without_a_word_every_capability_is_dropped_and_none_added():
    config = make_plan()
    assert (config["cap_drop"], config["cap_add"], config["privileged"]) == (["ALL"], [], False)


def test_accounts_come_with_the_capabilities_that_they_need():
    config = make_plan(user_accounts=[{"name": "ann"}], security={"cap_add": ["SETUID", "NET_RAW"]})
    assert config["cap_add"] == ["SETUID", "NET_RAW", "CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID"]


def test_security_fields_reach_the_daemon(tmp_path: Path):
    (tmp_path / "profile.json").write_text("{}")
    security = {
        "devices": ["/dev/kvm", "/dev/a:/dev/b:r"],
        "seccomp_profile": "profile.json",
        "runtime": "runsc",
        "cgroupns_host": True,
    }
    config = make_plan(tmp_path, security=security)
    assert config["devices"] == ["/dev/kvm:/dev/kvm:rwm", "/dev/a:/dev/b:r"]
    assert config["security_opt"] == ["seccomp={}"]
    assert (config["runtime"], config["cgroupns"]) == ("runsc", "host")


def test_unconfined_is_no_path():
    assert make_plan(security={"seccomp_profile": "unconfined"})["security_opt"] == ["seccomp=unconfined"]


def test_a_seccomp_profile_that_is_not_there_is_the_specs_fault(tmp_path: Path):
    with pytest.raises(SpecInvalid, match="seccomp_profile"):
        make_plan(tmp_path, security={"seccomp_profile": "nowhere.json"})


def test_systemd_is_the_images_own_first_process_with_its_signal_and_its_run():
    config = make_plan(security={"use_systemd": True, "mount_cgroups": True})
    assert config["entrypoint"] == ["/sbin/init"]
    assert "init" not in config
    assert (config["stop_signal"], config["user"]) == ("SIGRTMIN+3", "0:0")
    assert set(config["tmpfs"]) == {"/run", "/run/lock"}
    assert ("/sys/fs/cgroup", "/sys/fs/cgroup", False) in mounts_of(config)
    assert (config["environment"]["DISPLAY"], config["environment"]["container"]) == (":1", "docker")


def test_a_systemd_image_that_names_no_command_gets_the_usual_one():
    assert make_plan(image=ImageFacts("i"), security={"use_systemd": True})["entrypoint"] == ["/sbin/init"]


def test_the_x_socket_has_a_private_mount_and_programs_its_name_and_size():
    config = make_plan()
    assert ("/w/x11", "/tmp/.X11-unix", False) in mounts_of(config)
    environment = config["environment"]
    assert (environment["DISPLAY"], environment["GYM_WIDTH"], environment["GYM_HEIGHT"]) == (
        ":99",
        "800",
        "600",
    )


def test_without_a_screen_there_is_neither():
    config = make_plan(x11=False, observation=[{"type": "cli_stdout"}])
    assert mounts_of(config) == []
    assert "DISPLAY" not in config["environment"]


def test_everything_inside_carries_the_env_and_its_variables():
    environment = make_plan()["environment"]
    assert (environment["GYM_ENV_ID"], environment["GYM_SEED"]) == ("env-1", "1")


def test_the_images_language_is_kept():
    assert "LANG" not in make_plan(image=ImageFacts("i", (), {"LANG": "de_DE.UTF-8"}))["environment"]
    assert make_plan()["environment"]["LANG"] == "C.UTF-8"


def test_mounts_are_found_as_the_corpus_writes_them(tmp_path: Path):
    env_dir = tmp_path / "some_env"
    (env_dir / "scripts").mkdir(parents=True)
    mounts = [{"source": "benchmarks/x/environments/some_env/scripts", "target": "/workspace", "mode": "rw"}]
    assert (str(env_dir / "scripts"), "/workspace", False) in mounts_of(make_plan(env_dir, mounts=mounts))


def test_a_mount_below_the_home_folder_is_copied_and_not_bound(tmp_path: Path):
    mounts = [{"source": str(tmp_path), "target": "data"}]
    spec = EnvSpec.model_validate(
        {"id": "e", "observation": [{"type": "x"}], "action": [{"type": "y"}], "mounts": mounts}
    )
    assert copied_mounts(spec) == [(str(tmp_path), "data")]
    assert len(mounts_of(make_plan(mounts=mounts))) == 1


def test_a_mount_that_is_not_there_is_an_error(tmp_path: Path):
    with pytest.raises(SpecNotFound, match="nowhere"):
        make_plan(tmp_path, mounts=[{"source": "nowhere", "target": "/x"}])


def test_a_list_of_allowed_hosts_is_refused_and_not_ignored():
    with pytest.raises(NotSupported, match="network_allowlist"):
        make_plan(security={"network_allowlist": ["example.org"]})


def test_any_env_id_gives_a_container_name_and_never_one_twice():
    names = {container_name("Ä b/c"), container_name("Ä b/c")}
    assert len(names) == 2
    assert all(each.startswith("gym-queue---b-c-") for each in names)
