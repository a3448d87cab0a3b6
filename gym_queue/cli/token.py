"""``gym-anything token``: named tokens for the clients of this user's masters, which notice changes by themselves."""

from __future__ import annotations

import json
import re
import time
from typing import Annotated, Any

import typer

from gym_queue.cli import options
from gym_queue.cli.tables import print_table
from gym_queue.errors import RequestInvalid
from gym_queue.master.tokens import HIGHEST_PRIORITY, NAME_PATTERN, Grant, TokenFile
from gym_queue.settings import tokens_path

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
LONGEST_S = 100 * 365 * UNITS_S["d"]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Named tokens: clients with quotas, each with its own environments.",
)


@app.command()
def create(
    name: options.TokenName,
    max_envs: options.MaxEnvsOfName = None,
    priority_max: options.PriorityMax = HIGHEST_PRIORITY,
    expires: options.Expires = None,
) -> None:
    """Make a token and show it, once: only its hash is kept. Give it to the client as GYM_ANYTHING_TOKEN.

    Example: gym-anything token create ann --max-envs 20 --priority-max 5 --expires 30d
    """
    if not re.match(NAME_PATTERN, name):
        raise RequestInvalid(
            f"the name {name[:100]!r} is not valid: use letters, digits, '.', '_' and '-', at most 64, a letter or digit first"
        )
    lasts_s = None if expires is None else parse_duration(expires)
    file = TokenFile(tokens_path())
    typer.echo(file.create(name, max_envs=max_envs, priority_max=priority_max, lasts_s=lasts_s))
    typer.echo(f"kept as a hash in {file.path}: nobody can show it again", err=True)


@app.command("list")
def list_tokens(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the names, what each allows and until when; never a token.

    Example: gym-anything token list
    """
    grants = sorted(TokenFile(tokens_path()).grants(), key=lambda grant: grant.name)
    if as_json:
        typer.echo(json.dumps([_shown(grant, time.time()) for grant in grants], indent=2))
    elif not grants:
        typer.echo("there are no named tokens")
    else:
        rows = [_row(grant, time.time()) for grant in grants]
        print_table(("name", "max envs", "priority", "expires"), rows, numbers=("max envs", "priority"))


@app.command()
def revoke(name: options.TokenName) -> None:
    """Take a token's power away. Its environments run on: the cluster token can close them.

    Example: gym-anything token revoke ann
    """
    TokenFile(tokens_path()).revoke(name)
    typer.echo(f"the token named {name} opens nothing any more; masters notice within a second")


def parse_duration(text: str) -> float:
    """Return the seconds that ``30d``, ``12h``, ``15m`` or ``90s`` stand for.

    Raises:
        RequestInvalid: It is none of these, nothing, or more than a hundred years.
    """
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    seconds = int(match[1]) * UNITS_S[match[2]] if match else 0
    if not 0 < seconds <= LONGEST_S:
        raise RequestInvalid(f"--expires: {text[:40]!r} is not a time such as 90s, 15m, 12h or 30d")
    return seconds


def _row(grant: Grant, now: float) -> tuple[object, ...]:
    until = (
        "never"
        if grant.expires_at is None
        else time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(grant.expires_at))
    )
    limit = "any" if grant.max_envs is None else str(grant.max_envs)
    note = " (expired)" if grant.has_expired(now) else ""
    return grant.name, limit, grant.priority_max, until + note


def _shown(grant: Grant, now: float) -> dict[str, Any]:
    return {
        "name": grant.name,
        "max_envs": grant.max_envs,
        "priority_max": grant.priority_max,
        "expires_at": grant.expires_at,
        "has_expired": grant.has_expired(now),
    }
