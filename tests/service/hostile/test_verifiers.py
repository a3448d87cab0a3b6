"""Verifiers that misbehave, in a whole fleet: a typed error, never a pass, and the environment serves on."""

from __future__ import annotations

import json
import secrets

import psutil
import pytest

from gym_queue.verifiers.cage import landlock_version
from tests.service.hostile.cluster import CLUSTER, FINE, WORKER, small, verdict

FAILED = (422, "verifier_failed")
GIGABYTE = "[os.write(1, b'x' * (1 << 20)) for _ in range(1024)]"
MISBEHAVIOUR = {
    "forks without end": "while True: os.fork()",
    "forks and leaves": "while True:\n        if os.fork(): os._exit(0)",
    "sleeps": "time.sleep(1000)",
    "sleeps, deaf to signals": "[signal.signal(s, signal.SIG_IGN) for s in (15, 2, 1)]; time.sleep(1000)",
    "spins": "while True: pass",
    "prints a gigabyte and exits": f"{GIGABYTE}; os._exit(0)",
    "exits": "os._exit(0)",
    "exits politely": "raise SystemExit(0)",
    "raises": "raise ValueError('no')",
    "raises what is no text": "raise ValueError('\\ud800')",
    "raises a gigabyte": "raise ValueError('x' * (1 << 24))",
    "kills what runs it": "os.kill(os.getppid(), 9); time.sleep(1000)",
    "kills itself": "os.kill(os.getpid(), 9)",
    "returns nothing": "return None",
    "returns a word": "return {'passed': 'yes'}",
    "returns no number": "return {'passed': True, 'score': float('nan')}",
    "returns infinity": "return {'passed': True, 'score': float('inf')}",
    "returns more than all": "return {'passed': True, 'score': 1e308}",
    "returns itself": "d = {'passed': True}; d['d'] = d; return d",
    "recurses": "return check(traj, env_info, task_info)",
    "takes all memory": "x = b'x' * (1 << 40)",
    "fills the disk": "open('big', 'wb').truncate(1 << 50)",
}
needs_landlock = pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock")


@pytest.fixture
def judge(cluster):
    """What plays an episode that a verifier of these lines judges, and returns its last step's reply."""
    made = []

    def play(lines: str, **fields):
        folder = cluster.folder / "roots" / f"env-{secrets.token_hex(4)}"
        task = folder / "tasks" / "t"
        task.mkdir(parents=True)
        (folder / "env.json").write_text(json.dumps(small()))
        success = {"mode": "program", "spec": {"program": "verifier.py::check"}}
        (task / "task.json").write_text(json.dumps({"id": "t", "success": success}))
        head = "import os, signal, subprocess, sys, time\ndef check(traj, env_info, task_info):\n    "
        (task / "verifier.py").write_text(f"{head}{lines}\n")
        env = cluster.create(env_dir=str(folder), task_id="t", **fields)
        made.append(env)
        assert verdict(env.post("reset")) == FINE
        return env.post("step", {"mark_done": True})

    yield play
    for env in made:
        assert verdict(env.post("reset")) == FINE  # whatever it did, its environment serves on
        assert verdict(env.post("close")) == FINE


@pytest.mark.parametrize("what", MISBEHAVIOUR)
def test_a_verifier_that_misbehaves_is_an_error_and_no_pass(judge, what):
    reply = judge(MISBEHAVIOUR[what])
    assert verdict(reply) == FAILED
    assert "passed" not in reply.json()


def test_a_gigabyte_of_output_does_not_hide_a_verdict(judge):
    reply = judge(f"{GIGABYTE}; return {{'passed': True, 'score': 100}}")
    assert verdict(reply) == FINE
    assert reply.json()["info"]["verifier"]["passed"] is True


def test_what_it_leaves_running_ends_with_it(judge):
    seconds = f"{3600 + secrets.randbelow(10**9)}.5"
    reply = judge(f"os.system('(setsid sleep {seconds} &) ; (sleep {seconds} &)'); return {{'passed': True}}")
    assert verdict(reply) == FINE
    assert not [each for each in psutil.process_iter(["cmdline"]) if seconds in (each.info["cmdline"] or ())]


@needs_landlock
@pytest.mark.parametrize(
    "look",
    [
        "open({token!r}).read()",
        "open({tokens!r}).read()",
        "open('/proc/%d/environ' % os.getppid()).read()",
        "subprocess.check_output(['cat', {token!r}])",
        "env_info['copy_to_env']({token!r}, 'x')",
    ],
)
def test_a_verifier_reads_no_token(cluster, judge, look):
    tokens = str(cluster.folder / "tokens.json")
    code = look.format(token=str(cluster.token_file), tokens=tokens)
    reply = judge(f"return {{'passed': False, 'feedback': str({code})}}")
    assert verdict(reply) == FAILED


def test_its_environment_holds_its_own_variables_and_no_secret(cluster, judge):
    reply = judge(
        "return {'passed': False, 'feedback': repr(dict(os.environ))}", verifier_env={"MINE": "given"}
    )
    said = reply.json()["info"]["verifier"]["feedback"]
    assert "given" in said
    for secret in (CLUSTER, WORKER, str(cluster.tokens["client"]), "redis://", "GYM_ANYTHING_TOKEN"):
        assert secret not in said
