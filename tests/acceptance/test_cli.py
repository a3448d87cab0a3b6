"""Bad input to the programs: one sentence that says what and the remedy, the right exit code, nothing left behind."""

from __future__ import annotations

import json
import socket

import pytest

from gym_queue.version import __version__

NOBODY = "http://127.0.0.1:9"
"""The discard port: nothing listens there."""


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("gym-anything nonsense", 2, "No such command"),
        ("gym-anything benchmark", 2, "Missing argument"),
        ("gym-anything benchmark no_such_env", 2, "terminal_env"),
        ("gym-anything benchmark terminal_env --task nope", 2, "nope"),
        ("gym-anything benchmark terminal_env --split nope", 2, "quick"),
        ("gym-anything benchmark terminal_env --agent Nope", 2, "ScriptedAgent"),
        ("gym-anything benchmark terminal_env --agent-arg nope", 2, "KEY=VALUE"),
        ("gym-anything benchmark terminal_env --agent-arg nope=1", 2, "script"),
        ("gym-anything benchmark terminal_env --parallel 0", 2, "--parallel"),
        ("gym-anything benchmark terminal_env --remote-url nonsense", 2, "http://"),
        ("gym-anything benchmark terminal_env --remote-worker-reset-policy odd", 2, "core"),
        (f"gym-anything status --remote-url {NOBODY}", 1, "cannot connect"),
        (f"gym-anything drain w1 --remote-url {NOBODY}", 1, "cannot connect"),
        ("gym-anything drain", 2, "--all"),
        ("gym-anything undrain w1 --all", 2, "--all"),
        ("gym-anything run terminal_env --action nonsense", 2, "not JSON"),
        ('gym-anything run terminal_env --action {"mose":{}}', 1, "mose"),
        ("gym-anything run terminal_env --task ../../etc", 1, "etc"),
        ("gym-anything validate no_such_env", 2, "terminal_env"),
        ("gym-anything doctor --runner docker,nope", 1, ""),
        ("gym-anything-master --port 99999", 2, "port"),
        ("gym-anything-master --host 203.0.113.1 --port 0", 1, "--host"),
        ("gym-anything-master --heartbeat-timeout -1", 2, "heartbeat_timeout"),
        ("gym-anything-worker --reset-policy odd", 2, "core or baseline_setup"),
        ("gym-anything-worker --max-envs 0", 2, "max_envs"),
        ("gym-anything-worker --worker-id a.b/c", 2, "a.b/c"),
        ("gym-anything-worker --master-url nonsense", 2, "http://host:5800"),
        ("gym-anything-worker --must-support-runner apptainer,avd", 1, "avd"),
        (
            "gym-anything-worker --must-support-runner qemu --allow-emulation --vm-image-dir no-images",
            1,
            "gym-anything image build debian-x11",
        ),
        ("gym-anything-worker --runners nope", 1, "nope"),
        ("gym-anything-worker --runners avd", 1, "no runner is usable"),
        ("gym-anything-dashboard --port 99999", 2, "port"),
        ("gym-anything-master --broker-url nonsense", 2, "redis://"),
        ("gym-anything-worker --broker-url foo://x", 2, "redis://"),
        ("gym-anything-worker --heartbeat-interval -1", 2, "heartbeat_interval"),
        ("gym-anything run terminal_env --screenshot /no/such/folder/x.png", 2, "cannot be written"),
    ],
)
def test_bad_input_is_a_sentence_and_an_exit_status(place, command, status, said):
    ran = place.run(*command.split(" "))
    assert ran.returncode == status, ran.stdout + ran.stderr
    assert said in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr
    place.wait_empty()


def test_a_refused_worker_names_every_missing_runner_and_why(place):
    ran = place.run("gym-anything-worker", "--must-support-runner", "apptainer,avd,avf")
    assert ran.returncode == 1
    for runner in ("apptainer", "avd", "avf"):
        assert runner in ran.stderr


def test_must_support_runner_is_read_from_the_environment_too(place):
    ran = place.run("gym-anything-worker", GYM_ANYTHING_WORKER_MUST_SUPPORT_RUNNER="avf")
    assert ran.returncode == 1
    assert "avf" in ran.stderr


def test_a_deprecated_flag_warns_and_still_works(place):
    ran = place.run("gym-anything-worker", "--skip-kvm-check", "--must-support-runner", "avf")
    assert "--skip-kvm-check is deprecated: use --skip-preflight" in ran.stderr
    assert ran.returncode == 1


@pytest.mark.parametrize("program", ["gym-anything-master", "gym-anything-worker", "gym-anything-dashboard"])
def test_a_taken_port_is_named_with_the_remedy(place, program):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ran = place.run(program, "--host", "127.0.0.1", "--port", port)
    assert ran.returncode == 1
    assert f"port {port} on 127.0.0.1 is taken" in ran.stderr
    place.wait_empty()


def test_a_token_file_that_others_can_read_is_refused(place):
    token = place.folder / "token"
    token.write_text("secret")
    token.chmod(0o644)
    ran = place.run("gym-anything-master", "--port", "0")
    assert ran.returncode == 1
    assert "chmod 600" in ran.stderr


def test_broken_files_of_an_environment_are_named_with_line_and_column(place):
    folder = place.folder / "broken"
    folder.mkdir()
    (folder / "env.json").write_text('{\n  "id": "x",\n  oops: [}\n')
    ran = place.run("gym-anything", "validate", str(folder))
    assert ran.returncode == 1
    assert "env.json:3:" in ran.stdout + ran.stderr


def test_an_environment_runs_in_the_terminal(place):
    picture = place.folder / "screen.png"
    ran = place.run(
        *("gym-anything", "run", "terminal_env", "--task", "largest_file"),
        *("--action", '{"keyboard": {"text": "echo seen-$((40+2))\\n"}}', "--screenshot", str(picture)),
    )
    assert ran.returncode == 0, ran.stderr
    assert "seen-42" in ran.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    place.wait_empty()


def test_lists_are_given_as_json(place):
    tasks = json.loads(place.run("gym-anything", "list", "terminal_env", "--json").stdout)
    assert {"task", "difficulty", "description"} == set(tasks[0])
    agents = json.loads(place.run("gym-anything", "agents", "--json").stdout)
    assert "ScriptedAgent" in [agent["name"] for agent in agents]
    report = json.loads(place.run("gym-anything", "doctor", "--runner", "local", "--json").stdout)
    assert report["runners"][0]["ready"] is True


def test_the_version_is_printed(place):
    assert place.run("gym-anything", "--version").stdout.strip() == __version__
