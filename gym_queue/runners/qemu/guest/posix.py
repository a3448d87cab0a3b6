"""Scripts for the shell of a guest: what runs a command as somebody, ends it, and moves files. All of it is text, made here.

The scripts keep to what Debian's dash and coreutils, BusyBox and Android's toybox have in common. A command's output
goes to a file first: a child that it leaves behind would hold a pipe open, and the agent wait for it for ever.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gym_queue.errors import RunnerFailed
from gym_queue.runners.tail import MAX_OUTPUT_BYTES, Tail

KEPT_BYTES = MAX_OUTPUT_BYTES - 64
"""Most of a command's output that is kept; its size goes before it."""
EXEC_MARK = "GYM_EXEC_ID"
"""The variable that every process of one command inherits."""

_COMMAND = """\
out={out}
(umask 077 && : >"$out") || exit 1
session=$(command -v setsid)
cd {home} 2>/dev/null || cd /
$session {argv} </dev/null >"$out" 2>&1 &
wait $!
status=$?
{tail}
exit "$status"
"""
_TAIL = """wc -c <"$out"; tail -c {limit} "$out"; rm -f "$out" """
_BACKGROUND = """\
out={out}
(umask 077 && : >"$out") || exit 1
session=$(command -v setsid)
cd {home} 2>/dev/null || cd /
: "$($session sh -c 'exec >"$0" 2>&1; "$@"; echo "$?" >"$0.status"' "$out" {argv} </dev/null &)"
"""
"""Ends once the command has left the script's session, and let go of its output: a carrier may kill what is there then."""
_KILLER = """\
read -r own </proc/$$/stat
set -- ${own##*) }
own=$3
for round in 1 2 3 4 5 6 7 8 9 10; do
  doomed=$(grep -ls "MARK" /proc/[0-9]*/environ 2>/dev/null)
  [ -n "$doomed" ] || exit 0
  for file in $doomed; do
    pid=${file#/proc/}
    pid=${pid%/environ}
    { read -r line <"/proc/$pid/stat"; } 2>/dev/null || continue
    set -- ${line##*) }
    [ "$3" = "$own" ] || kill -KILL -- "-$3"
    kill -KILL "$pid"
  done 2>/dev/null
done
exit 1
"""
"""Kills what carries the mark, and its process groups, until none is left; never its own group, which may be the agent's."""
_PROBE = """\
id -u
if [ "$(id -u)" != 0 ]; then
  if sudo -n true; then
    echo sudo
  elif [ "$(su 0 id -u)" = 0 ]; then
    echo su
  fi
fi 2>/dev/null </dev/null
for each in setpriv bash; do
  command -v "$each" >/dev/null && echo "$each"
done
exit 0
"""
_FIND_ACCOUNT = """\
getent passwd {name} 2>/dev/null || grep -E {pattern} /etc/passwd || exit 3
"""
_PLACE = """\
target={target}
if [ -d "$target" ] || {is_folder}; then
  mkdir -p -- "$target" && cd -P -- "$target" && printf 'into\\n%s' "$PWD"
else
  mkdir -p -- "$(dirname -- "$target")" && cd -P -- "$(dirname -- "$target")" && printf 'as\\n%s' "$PWD"
fi"""


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody inside."""

    name: str
    uid: int
    gid: int
    home: str
    is_known: bool = True
    """Whether the guest has an entry for it, and so its groups."""


ROOT = Account("root", 0, 0, "/root")


_ROOT_WORDS = {"sudo": ("sudo", "-n", "--"), "su": ("su", "0")}


@dataclass(frozen=True, slots=True)
class Ways:
    """Whom a carrier works as, and what it can become from there."""

    uid: int
    tools: frozenset[str] = frozenset()
    """What the guest has of sudo (without a password), su (Android's), setpriv and bash."""

    @property
    def root(self) -> tuple[str, ...] | None:
        """The words before a command that run it as root; None where there is no way."""
        if self.uid == 0:
            return ()
        return next((words for tool, words in _ROOT_WORDS.items() if tool in self.tools), None)

    def become(self, who: Account) -> tuple[str, ...]:
        """Return the words before a command that run it as somebody.

        Raises:
            RunnerFailed: The image has no way to that.
        """
        if who.uid == self.uid:
            return ()
        if self.uid == 0 and "setpriv" in self.tools:
            groups = "--init-groups" if who.is_known else "--clear-groups"
            return ("setpriv", f"--reuid={who.uid}", f"--regid={who.gid}", groups, "--")
        if self.uid == 0:
            raise RunnerFailed(
                f"the image has no setpriv, so nothing can run as {who.name} in it: install util-linux (Alpine: setpriv) in it"
            )
        if who.uid == 0 and self.root is not None:
            return self.root
        if "sudo" in self.tools:
            return ("sudo", "-n", "-u", f"#{who.uid}", "--")
        raise RunnerFailed(
            f"the guest's account with uid {self.uid} may not become {who.name}: let sudo allow it without a password, or log in as root"
        )


def probe_script() -> str:
    """Return a script that tells what ``read_ways`` reads."""
    return _PROBE


def read_ways(text: str) -> Ways:
    """Return what the probe found.

    Raises:
        RunnerFailed: That was no POSIX shell.
    """
    first, *rest = text.split() or [""]
    if not first.isdigit():
        raise RunnerFailed(
            f"the guest's shell does not know `id -u`; it says: {text.strip()[:200] or 'nothing'}"
        )
    return Ways(int(first), frozenset(rest))


def find_account_script(user: str) -> str:
    """Return a script that writes the entry of an account, by name or number; it exits with 3 where there is none."""
    name = user.partition(":")[0]
    pattern = f"^{name}:|^[^:]*:[^:]*:{name}:" if name.isdigit() else f"^{name}:"
    return _FIND_ACCOUNT.format(name=shlex.quote(name), pattern=shlex.quote(pattern))


def read_account(user: str, entry: str) -> Account:
    """Return whom a spec's ``user`` means.

    Args:
        user: A name, a number, or either with ``:`` and the number of a group.
        entry: Its line of the guest's /etc/passwd; empty where it has none.

    Raises:
        RunnerFailed: It is a name that the guest does not know, or a group that is no number.
    """
    name, _, group = user.partition(":")
    fields = entry.strip().split(":")
    if group and not group.isdigit():
        group = "" if group == name else group
    if group and not group.isdigit():
        raise RunnerFailed(
            f"the group {group} of the user {user!r} must be a number in a guest without our helper"
        )
    if len(fields) >= 6:
        return Account(fields[0], int(fields[2]), int(group or fields[3]), fields[5] or "/")
    if not name.isdigit():
        raise RunnerFailed(
            f"the image has no account {name!r}: make it there, or name another user in the spec"
        )
    return Account(name, int(name), int(group or name), "/", is_known=False)


def in_shell(command: str, shell: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    """Return the words that run a command in a shell with some variables."""
    return ["env", *(f"{name}={value}" for name, value in variables.items()), *shell, command]


def command_script(argv: Sequence[str], *, mark: str, home: str, folder: str) -> str:
    """Return a script that runs a command to its end; it writes how long the output is, and its end, and exits as it did.

    Args:
        argv: The words of the command.
        mark: Of this command alone: letters and digits.
        home: Where it starts.
        folder: Where its output is put meanwhile.
    """
    return _COMMAND.format(
        out=output_file(folder, mark), home=shlex.quote(home), argv=shlex.join(argv), tail=_tail()
    )


def background_script(argv: Sequence[str], *, mark: str, home: str, folder: str) -> str:
    """Return a script that starts a command and leaves it running; its status goes beside its output once it ends."""
    return _BACKGROUND.format(out=output_file(folder, mark), home=shlex.quote(home), argv=shlex.join(argv))


def output_file(folder: str, mark: str) -> str:
    """Return where a command's output is put."""
    return f"{folder}/.gym-exec-{mark}"


def kill_script(*, mark: str, root: Sequence[str] | None, folder: str) -> str:
    """Return a script that ends all of one command, and writes its output as ``command_script`` does.

    Args:
        mark: The command's.
        root: The words that make a command run as root; None where there is no way.
        folder: Where its output is.
    """
    killer = shlex.join([*(root or ()), "sh", "-c", _KILLER.replace("MARK", f"{EXEC_MARK}={mark}")])
    out = output_file(folder, mark)
    kept = f"{out}.killed"
    keep = f"ln {out} {kept} 2>/dev/null || cp {out} {kept} || exit 1"  # its own script removes its output in the end
    return f"{keep}\n{killer}\nout={kept}\n{_tail()}\nrm -f {out}\n"


def look_script(*, mark: str, folder: str) -> str:
    """Return a script that writes the status of a command in the background, if it ended, and the end of its output."""
    out = output_file(folder, mark)
    return f'out={out}\ncat "$out.status" 2>/dev/null || echo -\ntail -c {MAX_OUTPUT_BYTES // 16} "$out"\n'


def place_script(target: str, *, is_folder: bool) -> str:
    """Return a script that makes the folder a copy goes to; it writes ``into`` or ``as``, and which folder that is."""
    return _PLACE.format(target=shlex.quote(target), is_folder="true" if is_folder else "false")


def read_output(text: str) -> str:
    """Return what a command wrote, from what its script wrote: a note says how much of it was dropped."""
    size, _, kept = text.partition("\n")
    dropped = int(size) - KEPT_BYTES if size.strip().isdigit() else 0
    return Tail.note(max(0, dropped)) + kept


def _tail() -> str:
    return _TAIL.format(limit=KEPT_BYTES)
