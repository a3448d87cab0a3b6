"""Commands by way of the helper."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gym_queue.errors import EnvTimeout, RunnerFailed
from gym_queue.runners.qemu.guest.linux import LinuxGuest
from tests.unit.qemu.guest.conftest import ME, Connect, connected, running_helper


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinuxGuest]:
    """Give a guest for many commands, with a helper of its own."""
    folder = tmp_path_factory.mktemp("shared")
    with running_helper(folder) as port, connected(port, folder) as connect:
        yield connect()


@pytest.fixture
def forever() -> Iterator[str]:
    """Give how long sleeps of this test alone last; what is left of them is ended."""
    seconds = str(10_000_000 + secrets.randbelow(1_000_000_000))
    yield seconds
    for each in psutil.process_iter(["cmdline"]):
        if seconds in " ".join(each.info["cmdline"] or ()):
            each.kill()


def running(seconds: str) -> list[str]:
    lines = (" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"]))
    return [line for line in lines if line == f"sleep {seconds}"]


def output_of(guest: LinuxGuest, command: str, user: str | None = None) -> str:
    return guest.exec(command, timeout_s=30, user=user).output


@pytest.mark.parametrize(
    "command",
    [
        "true",
        "exit 7",
        "kill -9 $$",
        "kill -9 $BASHPID",
        "(exit 3)",
        "set -e; false; true",
        "exec sh -c 'exit 9'",
        "trap 'exit 4' EXIT",
        "echo before\nif",
        "nothing-of-this-name",
        "logout",
        "return",
        "echo a; echo b >&2; cat; echo c",
        "cat <<'END'\n'\"$x\" \\ é 漢 😀\nEND\n",
        "printf %s '\\\\'  ",
        "",
        "trap 'echo bye' EXIT; echo hi",
        "shopt login_shell; echo $0 $# $-",
        "jobs; sleep 0 & wait; jobs; set -o",
        "echo ${BASH_EXECUTION_STRING:0:4}; kill 0",
        "ls -d /proc/self/fd/* | wc -l; umask; pwd; trap",
        "x=1; f() { echo $x; }; f\n\n# only a comment\n",
        "set | grep -v -e ^BASH -e ^_= -e ^PPID -e GYM_EXEC_ID | cut -d= -f1",
    ],
)
def test_a_command_does_what_it_does_in_a_login_bash(shared: LinuxGuest, command: str):
    home = shared.exec("echo $HOME", timeout_s=30).output.strip()
    variables = {"HOME": home, "USER": ME, "LOGNAME": ME, "SHELL": "/bin/bash"}
    plain = subprocess.run(
        ["bash", "-lc", command],
        env={**variables, "PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    result = shared.exec(command, timeout_s=30)
    assert result.exit_status == plain.returncode % 256 if plain.returncode >= 0 else 128 - plain.returncode
    assert _shown(result.output) == _shown(plain.stdout.decode())


def _shown(output: str) -> str:
    """Return an output without what bash's messages say of where in the text it was."""
    return re.sub(
        r"(bash|environment|-c|eval): (-c: |eval: )?line \d+:( .*: command not found)?", "bash:", output
    )


def test_a_command_that_asks_for_its_shells_number_has_a_shell_of_its_own(guest: LinuxGuest):
    assert output_of(guest, "[ $$ = $BASHPID ] && echo same") == "same\n"


def test_a_command_of_a_megabyte_runs(guest: LinuxGuest):
    assert output_of(guest, f"x={'y' * 1_000_000}; echo ${{#x}}") == "1000000\n"
    assert output_of(guest, f"x={'y' * 1_000_000}; echo ${{#x}}; [ $$ = $BASHPID ]") == "1000000\n"


def test_a_command_with_a_nul_is_refused(guest: LinuxGuest):
    with pytest.raises(RunnerFailed, match="NUL"):
        guest.exec("echo \0", timeout_s=30)


def test_commands_have_the_setups_variables_and_none_of_the_hosts(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
):
    output = output_of(connect(variables={"GYM_ENV_ID": "e 1"}), 'env; [ "$PWD" = "$HOME" ] && echo home')
    assert "GYM_ENV_ID=e 1\n" in output
    assert "PYTEST" not in output
    assert output.endswith("home\n")


def test_one_command_leaves_nothing_to_the_next(guest: LinuxGuest):
    output_of(guest, "cd /; export x=1; umask 777; set -e; alias ls=false")
    assert output_of(guest, 'echo "$x"; umask; [ "$PWD" = "$HOME" ] && echo home') == "\n0022\nhome\n"


def test_a_profile_that_changes_is_read_by_the_next_command(connect: Connect, tmp_path: Path):
    guest = connect()
    home = output_of(guest, "echo $HOME").strip()
    output_of(
        guest,
        "cp -a ~/.bash_profile ~/.bash_profile.kept 2>/dev/null; echo export GYM_TEST=1 >> ~/.bash_profile",
    )
    try:
        assert output_of(guest, "echo $GYM_TEST") == "1\n"
    finally:
        output_of(guest, "mv ~/.bash_profile.kept ~/.bash_profile 2>/dev/null || rm ~/.bash_profile")
    assert output_of(guest, "echo $GYM_TEST") == "\n", home


def test_a_command_past_its_deadline_is_killed_with_its_children(guest: LinuxGuest, forever: str):
    command = (
        f"echo said; (sleep {forever} &); setsid -f sleep {forever}; (while :; do :; done) & sleep {forever}"
    )
    with pytest.raises(EnvTimeout, match=r"1 s") as raised:
        guest.exec(command, timeout_s=1)
    assert raised.value.details["output"] == "said\n"
    assert running(forever) == []
    assert output_of(guest, "echo still here") == "still here\n"


def test_what_earlier_commands_left_running_outlives_one_that_is_killed(guest: LinuxGuest, forever: str):
    output_of(guest, f"sleep {forever} & setsid -f sleep {forever}")
    with pytest.raises(EnvTimeout):
        guest.exec("sleep 100", timeout_s=0.3)
    assert len(running(forever)) == 2


def test_a_command_that_ends_its_waiting_shell_too_still_ends_as_it_does(guest: LinuxGuest):
    output_of(guest, "true")
    assert (
        guest.exec(
            "read -r _ _ _ parent _ </proc/self/stat; kill -9 $parent; exit 5", timeout_s=30
        ).exit_status
        == 5
    )
    assert output_of(guest, "echo again") == "again\n"


def test_a_command_does_not_wait_for_a_child_that_holds_its_output(guest: LinuxGuest, forever: str):
    assert guest.exec(f"echo before; sleep {forever} & exit 3", timeout_s=30).exit_status == 3


def test_of_a_huge_output_the_end_is_kept(guest: LinuxGuest):
    output = output_of(guest, "head -c 50000000 /dev/zero | tr '\\0' x; echo end")
    assert output.endswith("xend\n")
    assert "dropped" in output[:100]
    assert len(output) < 1_100_000


def test_two_commands_run_at_the_same_time(guest: LinuxGuest, tmp_path: Path):
    (tmp_path / "flag").unlink(missing_ok=True)
    waiting = threading.Thread(
        target=guest.exec,
        args=(f"until [ -e {tmp_path}/flag ]; do sleep 0.01; done",),
        kwargs={"timeout_s": 60},
    )
    waiting.start()
    output_of(guest, f"touch {tmp_path}/flag")
    waiting.join(timeout=30)
    assert not waiting.is_alive()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be others")
def test_commands_run_as_whom_the_setup_names(connect: Connect):
    guest = connect(user="nobody", variables={"HOME": "/"})
    assert output_of(guest, "id -un; id -G") == "nobody\n65534\n"
    assert output_of(guest, "id -un; echo $HOME", user="daemon") == "daemon\n/usr/sbin\n"
    guest.close()
    assert output_of(connect(user="1234:5678", variables={"HOME": "/"}), "id -u; id -G") == "1234\n5678\n"


def test_a_user_that_is_not_there_is_said(connect: Connect):
    with pytest.raises(RunnerFailed, match="no user 'nobody-of-this-name'"):
        connect(user="nobody-of-this-name")
    guest = connect()
    with pytest.raises(RunnerFailed, match="no user 'nobody-of-this-name'"):
        guest.exec("true", timeout_s=30, user="nobody-of-this-name")


def test_close_ends_a_command_of_another_thread(guest: LinuxGuest, tmp_path: Path, forever: str):
    raised: list[BaseException] = []

    def run() -> None:
        try:
            guest.exec(f"touch {tmp_path}/started; sleep {forever}", timeout_s=60)
        except RunnerFailed as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    output_of(guest, f"until [ -e {tmp_path}/started ]; do sleep 0.01; done")
    guest.close()
    thread.join(timeout=20)
    assert "closed" in str(raised[0])
    with pytest.raises(RunnerFailed, match="closed"):
        guest.exec("true", timeout_s=20)


def test_a_new_connection_ends_the_commands_of_the_last_and_keeps_what_it_started(
    connect: Connect, forever: str
):
    first = connect()
    started = first.start(f"echo up; exec sleep {forever}", "sleeper")

    def run() -> None:
        with pytest.raises(RunnerFailed):
            first.exec(f"touch ~/ready; exec -a held{forever} sleep 1000", timeout_s=60)

    thread = threading.Thread(target=run)
    thread.start()
    output_of(first, f"until [ -e ~/ready ] && pgrep -x -f 'sleep {forever}'; do sleep 0.01; done")
    assert started.status is None
    first.close()
    thread.join(timeout=20)
    second = connect()
    assert len(running(forever)) == 1
    assert output_of(second, f"pgrep -cf '^held{forever}'") == "0\n"


def test_a_program_that_was_started_says_its_output_and_its_status(guest: LinuxGuest):
    started = guest.start("echo one; read -t 60 x < <(sleep 0.2; echo); exit 3", "program")
    assert started.status is None
    assert started.wait(30) == 3
    assert started.output == "one\n"
