from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from gym_queue.cli.commands import COMMANDS, Live, run_line
from gym_queue.cli.interactive import interact, picture
from gym_queue.cli.viewers import local_place, remote_place
from gym_queue.env.local import LocalGymEnv, make
from gym_queue.env.viewerport import ViewerPort
from gym_queue.errors import NotSupported, RequestInvalid
from gym_queue.protocol.sessions import SessionInfo

SPEC = {
    "id": "seen",
    "runner": "fake",
    "observation": [{"type": "rgb_screen", "resolution": [64, 48]}],
    "action": [{"type": "mouse"}],
    "vnc": {"enable": True, "view_only": False},
}
TASK = {"id": "look", "description": "Look at it.", "init": {"max_steps": 1}}


@pytest.fixture
def env() -> Iterator[LocalGymEnv]:
    with make(SPEC, TASK) as opened:
        yield opened


@pytest.fixture
def live(env: LocalGymEnv) -> Iterator[tuple[Live, list[str]]]:
    said: list[str] = []
    with closing(ViewerPort()) as port:

        def place():
            session = env.get_session_info()
            assert session is not None
            return local_place(env, session, port)

        begun = Live(env, "seen/look", 1, said.append, place)
        begun.begin()
        yield begun, said


def test_commands_act_and_the_limits_of_agents_are_not_those_of_people(live, tmp_path: Path) -> None:
    begun, said = live
    for line in ("mouse 5 6", "mouse 5 6 right", "scroll 2", "type hi", "keys ctrl+s", 'action {"mouse":{}}'):
        run_line(begun, line)  # more than the task's one step
    assert not begun.has_ended
    run_line(begun, f"screenshot {tmp_path}/shot.png")
    assert (tmp_path / "shot.png").read_bytes().startswith(b"\x89PNG")
    run_line(begun, "task")
    assert said[-1] == "Look at it."
    run_line(begun, "reset 7")
    assert begun.seed == 7
    run_line(begun, "info")
    assert "runner_name: FakeRunner" in said
    run_line(begun, "done")
    assert (begun.has_ended, begun.verdict) == (True, None)


@pytest.mark.parametrize(
    "line",
    [
        *("nonsense", "mouse", "mouse x y", "mouse 1 2 sideways", "mouse 999 999", "scroll far", "keys"),
        *("action {", "action []", 'action {"mose": {}}', "reset soon", "screenshot /no/such/folder/a.png"),
    ],
)
def test_a_slip_is_a_sentence_and_the_environment_goes_on(live, line: str) -> None:
    begun, _ = live
    with pytest.raises(RequestInvalid):
        run_line(begun, line)
    run_line(begun, "mouse 1 1")


def test_help_lists_every_command(live) -> None:
    begun, said = live
    run_line(begun, "help")
    assert [line.split()[0] for line in said[-len(COMMANDS) :]] == list(COMMANDS)


def test_a_port_is_opened_for_no_desktop_unless_that_is_asked(live, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, said = live
    monkeypatch.setattr("builtins.input", lambda _prompt: (_ for _ in ()).throw(EOFError))
    assert interact(begun, Console()) == 0
    assert any("whoever has an account on this machine" in line for line in said)
    assert not any("vnc://" in line for line in said)


def test_a_desktop_of_this_process_is_seen_at_a_port_of_this_machine(live) -> None:
    begun, said = live
    run_line(begun, "view")
    address = said[-1].partition("vnc://")[2]
    host, _, port = address.partition(":")
    assert host == "127.0.0.1"
    with socket.create_connection((host, int(port)), timeout=10) as viewer:
        assert viewer.recv(12, socket.MSG_WAITALL).startswith(b"RFB 003.")


def test_without_a_viewer_the_remedy_is_said() -> None:
    with make({**SPEC, "vnc": {}}) as env, closing(ViewerPort()) as port:
        env.reset()
        session = env.get_session_info()
        assert session is not None
        with pytest.raises(NotSupported, match=r"vnc\.enable"):
            local_place(env, session, port)
        with pytest.raises(NotSupported, match=r"vnc\.enable"):
            remote_place("http://m:5800", session)


def test_a_remote_desktop_is_seen_through_its_master() -> None:
    session = SessionInfo(env_id="e1", runner_name="DockerRunner", vnc_url="/envs/e1/vnc", vnc_password="pw")
    lines = "\n".join(remote_place("https://m:5800/", session).lines)
    assert "https://m:5800/dashboard?view=environment&env=e1" in lines
    assert "wss://m:5800/envs/e1/vnc" in lines


def shown(text: str, size: tuple[int, int], **words: str) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=size[0], height=size[1], force_terminal=False)
    console.print(picture(text, size, name="a/b", **words))
    return file.getvalue().splitlines()


def test_a_screen_fills_the_terminal_above_a_line_that_says_what_it_is() -> None:
    lines = shown("one\ntwo", (60, 5))
    assert [line.rstrip() for line in lines] == ["one", "two", "", "", " a/b: Ctrl-] for commands"]


def test_the_task_stands_below_the_screen_in_three_lines_at_most() -> None:
    lines = shown(
        "one", (20, 6), task="Find the largest file and write its name into x.txt, please do it now"
    )
    told = [" Find the largest", " file and write its", " name into x.txt,"]
    assert [line.rstrip() for line in lines] == ["one", "", *told, " a/b: Ctrl-] for co…"]


def test_what_does_not_fit_is_cut_and_said_and_cannot_speak_to_the_terminal() -> None:
    lines = shown("\n".join(["\x1b[31mx" * 30] * 9 + ["[red]last[/]"]), (60, 5))
    assert len(lines) == 5
    assert all(len(line) <= 60 for line in lines)
    assert lines[-2].rstrip() == "[red]last[/]"
    assert "cut: make this terminal larger" in lines[-1]
    assert "\x1b" not in "".join(lines)
    assert "too far" in shown("", (60, 5), note="too far")[-1]
