"""Environments that ask for more of the host than its operator allows."""

from __future__ import annotations

import json

import pytest

from tests.service.hostile.cluster import FORBIDDEN, INVALID, UNAUTHORIZED, small, verdict

SPEC_INVALID, NO_SPEC = (422, "spec_invalid"), (404, "spec_not_found")
NO_RUNNER = ((503, "no_capacity"), (503, "runner_unavailable"), (422, "not_supported"))
PROGRAMS = {"master": "client", "worker": "worker"}
OUTSIDE = [
    "/etc",
    "/etc/passwd",
    "/proc/self/environ",
    "/var/run/docker.sock",
    "/",
    "../../../../../../etc",
    "{token}",
]
PRIVILEGES = {
    "privileged": {"privileged": True},
    "devices": {"devices": ["/dev/kvm", "/dev/mem"]},
    "capabilities": {"cap_add": ["SYS_ADMIN"]},
    "no seccomp": {"seccomp_profile": "unconfined"},
    "the host's cgroups": {"mount_cgroups": True, "cgroupns_host": True},
    "a runtime": {"runtime": "/bin/sh"},
}


def create(cluster, program, **fields):
    """Ask for an environment that must not come to be; one that does is closed."""
    http = cluster.by(PROGRAMS[program], program)
    reply = http.post("/envs/create", json={"queue_timeout_s": 0, **fields})
    if reply.status_code == 201:
        assert http.post(f"/envs/{reply.json()['env_id']}/close").status_code == 200
    return reply


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("runner", ["fake", "local"])
@pytest.mark.parametrize("source", [*OUTSIDE, "/no/such"])
def test_no_mount_leads_out_of_the_allowed_folders(cluster, program, runner, source):
    mounts = [{"source": source.format(token=cluster.token_file), "target": "x", "mode": "rw"}]
    assert verdict(create(cluster, program, env_spec={**small(runner), "mounts": mounts})) == FORBIDDEN


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("what", PRIVILEGES)
def test_privileges_are_given_by_no_runner_of_this_fleet(cluster, program, what):
    asked = {**small(), "runner": "docker", "security": PRIVILEGES[what]}
    assert verdict(create(cluster, program, env_spec=asked)) in (*NO_RUNNER, FORBIDDEN)
    for runner in ("fake", "local"):  # they have none to give
        assert verdict(create(cluster, program, env_spec={**asked, "runner": runner}))[0] in (201, 403)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    "security", [5, [], "x", {"privileged": "perhaps"}, {"devices": 5}, {"cap_add": [[]]}]
)
def test_privileges_of_the_wrong_type_are_no_spec(cluster, program, security):
    assert verdict(create(cluster, program, env_spec={**small(), "security": security})) == SPEC_INVALID


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("path", OUTSIDE)
def test_an_env_folder_outside_the_roots_is_forbidden(cluster, program, path):
    where = path.format(token=cluster.token_file)
    assert verdict(create(cluster, program, env_dir=where)) == FORBIDDEN


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_link_in_a_root_leads_to_no_env_folder_outside(cluster, program):
    outside, link = cluster.folder / "outside", cluster.folder / "roots" / f"link-{program}"
    outside.mkdir(exist_ok=True)
    (outside / "env.json").write_text(json.dumps(small()))
    link.symlink_to(outside)
    assert verdict(create(cluster, program, env_dir=str(link))) == FORBIDDEN


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("task_id", ["../../../../etc", "/etc", "..", "no_such", "\0", "x" * 300, ""])
def test_a_task_that_is_none_is_not_found(cluster, program, task_id):
    found = verdict(create(cluster, program, env_dir="terminal_env", task_id=task_id))
    assert found in (NO_SPEC, SPEC_INVALID, INVALID, FORBIDDEN)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    "fields",
    [
        {"env_spec": {}},
        {"env_spec": {"id": "x"}},
        {"env_spec": {**small(), "base": "no-such-preset"}},
        {"env_spec": {**small(), "observation": []}},
        {"env_spec": {**small(), "observation": [{"type": "rgb_screen", "resolution": [10**9, 10**9]}]}},
        {"env_spec": {**small(), "observation": [{"type": "rgb_screen", "resolution": [-1, 0]}]}},
        {"env_spec": {**small(), "hooks": {"pre_start": 5}}},
        {"env_spec": {**small(), "fake": {"create_delay_s": -1}}},
        {"env_spec": small(), "task_spec": {}},
        {"env_spec": small(), "task_spec": {"id": "t", "init": {"max_steps": "many"}}},
    ],
)
def test_a_spec_that_is_none_is_refused_at_the_create_or_the_reset(cluster, program, fields):
    http = cluster.by(PROGRAMS[program], program)
    reply = http.post("/envs/create", json={"queue_timeout_s": 0, **fields})
    found = verdict(reply)
    if found == (201, None):
        path = f"/envs/{reply.json()['env_id']}"
        found = verdict(http.post(f"{path}/reset"))
        assert verdict(http.post(f"{path}/close")) == (200, None)
    assert found in (SPEC_INVALID, INVALID)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("runner", ["no_such", "../fake", "docker", "x" * 5000])
def test_a_runner_nobody_has_is_refused_with_the_reason_of_each_worker(cluster, program, runner):
    found = verdict(create(cluster, program, env_spec=small(), runner=runner))
    assert found in (*NO_RUNNER, INVALID, (409, "conflict"))


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", ["GYM_QUEUE_ENV_ID=1", "", "A\0B", "LD_PRELOAD\n=x"])
def test_a_variable_that_is_none_is_refused(cluster, program, name):
    assert verdict(create(cluster, program, env_spec=small(), verifier_env={name: "x"})) == INVALID


@pytest.mark.parametrize("program", PROGRAMS)
def test_without_a_token_nothing_is_created(cluster, program):
    for fields in ({"env_spec": small()}, {"env_dir": "terminal_env"}, {"env_dir": "/etc"}):
        assert verdict(cluster.by("none", program).post("/envs/create", json=fields)) == UNAUTHORIZED
