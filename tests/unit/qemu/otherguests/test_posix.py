from __future__ import annotations

import pytest

from gym_queue.errors import RunnerFailed
from gym_queue.runners.qemu.guest.posix import (
    ROOT,
    Account,
    Ways,
    command_script,
    read_account,
    read_output,
    read_ways,
)

GA = Account("ga", 1000, 1000, "/home/ga")
ENTRY = "ga:x:1000:1000:Gym:/home/ga:/bin/bash\n"


@pytest.mark.parametrize(
    ("ways", "who", "words"),
    [
        (Ways(1000), GA, ()),
        (
            Ways(0, frozenset({"setpriv"})),
            GA,
            ("setpriv", "--reuid=1000", "--regid=1000", "--init-groups", "--"),
        ),
        (Ways(1000, frozenset({"sudo"})), ROOT, ("sudo", "-n", "--")),
        (Ways(1001, frozenset({"sudo"})), GA, ("sudo", "-n", "-u", "#1000", "--")),
        (Ways(2000, frozenset({"su"})), ROOT, ("su", "0")),
    ],
)
def test_a_command_becomes_somebody_by_what_the_image_has(ways: Ways, who: Account, words: tuple[str, ...]):
    assert ways.become(who) == words


@pytest.mark.parametrize(
    ("ways", "who", "says"),
    [
        (Ways(0), GA, "has no setpriv"),
        (Ways(1000), ROOT, "may not become root"),
        (Ways(2000, frozenset({"su"})), GA, "may not become ga"),
    ],
)
def test_an_image_with_no_way_to_an_account_is_said(ways: Ways, who: Account, says: str):
    with pytest.raises(RunnerFailed, match=says):
        ways.become(who)


@pytest.mark.parametrize(
    ("user", "entry", "found"),
    [
        ("ga", ENTRY, GA),
        ("1000:1000", ENTRY, GA),
        ("ga:27", ENTRY, Account("ga", 1000, 27, "/home/ga")),
        ("4000:5000", "", Account("4000", 4000, 5000, "/", is_known=False)),
    ],
)
def test_a_user_is_read_by_name_or_number(user: str, entry: str, found: Account):
    assert read_account(user, entry) == found


@pytest.mark.parametrize(
    ("user", "says"), [("nobody-here", "no account 'nobody-here'"), ("ga:wheel", "must be a number")]
)
def test_a_user_that_cannot_be_is_said(user: str, says: str):
    with pytest.raises(RunnerFailed, match=says):
        read_account(user, "" if user == "nobody-here" else ENTRY)


def test_a_shell_that_is_none_is_said():
    with pytest.raises(RunnerFailed, match="does not know `id -u`; it says: 'id' is not recognized"):
        read_ways("'id' is not recognized as an internal command")


def test_a_command_is_one_word_of_its_script_whatever_it_holds():
    command = "echo '$(reboot)' \"`x`\" {braces}\n%s"
    assert "'\"'\"'$(reboot)'\"'\"'" in command_script(
        ["bash", "-lc", command], mark="m", home="/", folder="/tmp"
    )


def test_output_that_was_cut_says_how_much_is_missing():
    assert read_output("3\nabc") == "abc"
    assert read_output(f"{(1 << 20) - 64 + 5}\nabc").startswith(
        "[5 bytes of output before this were dropped]\nabc"
    )
