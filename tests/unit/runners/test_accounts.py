from __future__ import annotations

import subprocess

import pytest

from gym_queue.errors import EnvTimeout, RunnerFailed, SpecInvalid
from gym_queue.runners.accounts import account_script, make_accounts
from gym_queue.runners.base import ExecResult
from gym_queue.specs.env import UserAccount


def script(**fields: object) -> str:
    return account_script([UserAccount.model_validate({"name": "ann", **fields})])


def test_an_account_is_made_with_what_it_asks_for():
    text = script(uid=1234, permissions={"groups": ["video"], "home_dir": "/srv/ann", "shell": "/bin/sh"})
    assert "useradd -g ann -s /bin/sh -m -u 1234 -d /srv/ann ann" in text
    assert "groupadd -g 1234 ann" in text
    assert "usermod -a -G video ann" in text


def test_a_password_of_any_characters_reaches_chpasswd_as_it_is():
    line = next(each for each in script(password="a'b\"$c d").splitlines() if "chpasswd" in each)
    shown = subprocess.run(["bash", "-c", line.partition("|")[0]], capture_output=True, text=True, check=True)
    assert shown.stdout == "ann:a'b\"$c d\n"


def test_sudo_without_a_password_is_said_to_sudo():
    assert "ann ALL=(ALL:ALL) NOPASSWD: ALL" in script(permissions={"sudo_nopasswd": True})
    assert "sudoers" not in script()


def test_variables_are_exported_quoted():
    assert "export A=" in script(permissions={"env_vars": {"A": "$(reboot)"}})


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "a; reboot"},
        {"permissions": {"groups": ["$(x)"]}},
        {"permissions": {"primary_group": "-x"}},
        {"permissions": {"env_vars": {"A B": "x"}}},
        {"permissions": {"env_vars": {"A": "x\ny"}}},
        {"password": "x\nroot:y"},
    ],
)
def test_what_would_be_read_as_something_else_is_refused(fields: dict[str, object]):
    with pytest.raises(SpecInvalid, match="user_accounts"):
        script(**fields)


def test_the_script_is_bash():
    text = script(password="p", uid=1, permissions={"sudo": True, "env_vars": {"A": "b"}, "groups": ["g"]})
    subprocess.run(["bash", "-n", "-c", text], check=True)


def test_accounts_that_take_too_long_are_told_without_their_passwords():
    def run(script: str, *, timeout_s: float) -> ExecResult:
        raise EnvTimeout(f"{script} took over {timeout_s} s")

    ann = UserAccount(name="ann", password="hidden")
    with pytest.raises(RunnerFailed, match="the accounts ann were not made in the container in") as failed:
        make_accounts([ann], run, "the container")
    assert "hidden" not in str(failed.value)
    assert failed.value.__suppress_context__


def test_accounts_that_cannot_be_made_say_why():
    def run(script: str, *, timeout_s: float) -> ExecResult:
        return ExecResult(1, "useradd: no room\n")

    with pytest.raises(RunnerFailed, match="cannot be made in the container: useradd: no room"):
        make_accounts([UserAccount(name="ann")], run, "the container")


def test_nothing_is_run_for_no_accounts():
    def run(script: str, *, timeout_s: float) -> ExecResult:
        raise AssertionError(script)

    make_accounts([], run, "the container")
