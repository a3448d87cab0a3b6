"""The accounts that a spec asks for, as shell commands that root runs inside."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Protocol

from gym_queue.errors import EnvTimeout, RunnerFailed, SpecInvalid
from gym_queue.runners.base import ExecResult
from gym_queue.specs.env import UserAccount

MAKE_TIMEOUT_S = 180.0
"""In an emulated machine on a busy host each account takes seconds."""
_NAME = re.compile(r"[a-z_][a-z0-9_.-]{0,31}\$?")  # useradd(8)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class RunAsRoot(Protocol):
    """Runs a script inside as root."""

    def __call__(self, script: str, *, timeout_s: float) -> ExecResult:
        """Return what became of it; raises EnvTimeout."""


def make_accounts(accounts: Sequence[UserAccount], run: RunAsRoot, where: str) -> None:
    """Make accounts inside.

    Args:
        accounts: What a spec asks for; none is fine.
        run: Runs a script there.
        where: Which place, in words of an error: "the container".

    Raises:
        SpecInvalid: A name is none, or a value cannot be written to a file of lines.
        RunnerFailed: They cannot be made. No password is shown.
    """
    if not accounts:
        return
    names = ", ".join(each.name for each in accounts)
    try:
        result = run(account_script(accounts), timeout_s=MAKE_TIMEOUT_S)
    except EnvTimeout:  # it shows the command, with its passwords
        raise RunnerFailed(f"the accounts {names} were not made in {where} in {MAKE_TIMEOUT_S:g} s") from None
    if result.exit_status != 0:
        raise RunnerFailed(f"the accounts {names} cannot be made in {where}: {result.output.strip()}")


def account_script(accounts: Sequence[UserAccount]) -> str:
    """Return what makes the accounts; it ends at the first command that fails.

    An account that the image has is left as it is, but for password, groups and sudo.

    Raises:
        SpecInvalid: A name is none, or a value cannot be written to a file of lines.
    """
    lines = ["set -e", "umask 022"]
    for account in accounts:
        _check(account)
        lines += _make(account)
        lines += _permit(account)
    return "\n".join(lines)


def _check(account: UserAccount) -> None:
    permissions = account.permissions
    names = [account.name, *permissions.groups, *filter(None, [permissions.primary_group])]
    for name in names:
        if not _NAME.fullmatch(name):
            raise SpecInvalid(f"user_accounts: {name!r} is no name for an account or a group")
    for name, value in permissions.env_vars.items():
        if not _VARIABLE.fullmatch(name) or "\n" in value:
            raise SpecInvalid(f"user_accounts: {account.name}: env_vars: {name} is no variable of one line")
    if "\n" in (account.password or ""):
        raise SpecInvalid(f"user_accounts: {account.name}: a password is of one line")


def _make(account: UserAccount) -> list[str]:
    permissions = account.permissions
    lines = []
    primary = permissions.primary_group or account.name
    gid = account.gid if account.gid is not None else account.uid
    wanted = f"-g {gid} " if gid is not None else ""
    lines.append(f"getent group {primary} >/dev/null || groupadd {wanted}{primary}")
    lines += [f"getent group {group} >/dev/null || groupadd {group}" for group in permissions.groups]
    options = ["useradd", "-g", primary, "-s", permissions.shell, "-m" if permissions.create_home else "-M"]
    if account.uid is not None:
        options += ["-u", str(account.uid)]
    if permissions.home_dir is not None:
        options += ["-d", permissions.home_dir]
    if permissions.system_user:
        options.append("-r")
    made = shlex.join([*options, account.name])
    return [*lines, f"getent passwd {account.name} >/dev/null || {made}"]


def _permit(account: UserAccount) -> list[str]:
    permissions, name = account.permissions, account.name
    lines = []
    if permissions.groups:
        lines.append(f"usermod -a -G {','.join(permissions.groups)} {name}")
    if account.password is not None:
        lines.append(f"printf '%s\\n' {shlex.quote(f'{name}:{account.password}')} | chpasswd")
    if permissions.sudo or permissions.sudo_nopasswd:
        rule = f"{name} ALL=(ALL:ALL) {'NOPASSWD: ' if permissions.sudo_nopasswd else ''}ALL"
        file = f"/etc/sudoers.d/{name.replace('.', '_')}"  # sudo passes over names with a dot
        lines.append(f"mkdir -p /etc/sudoers.d && printf '%s\\n' {shlex.quote(rule)} > {file}")
        lines.append(f"chmod 440 {file}")
    if permissions.env_vars:
        lines += _export(name, permissions.env_vars)
    return lines


def _export(name: str, variables: dict[str, str]) -> list[str]:
    exports = "".join(f"export {key}={shlex.quote(value)}\n" for key, value in variables.items())
    return [
        f"home=$(getent passwd {name} | cut -d: -f6)",
        f'printf %s {shlex.quote(exports)} > "$home/.env_vars"',
        f'chown {name}: "$home/.env_vars"',
        'for file in .profile .bashrc; do printf ". ~/.env_vars\\n" >> "$home/$file"; done',
    ]
