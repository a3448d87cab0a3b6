from __future__ import annotations

import pytest

from gym_queue.errors import PathNotFound, RunnerFailed
from gym_queue.runners.qemu.guest.powershell import command_body, decode, quote, windows_path


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("C:\\workspace\\task.json", r"C:\workspace\task.json"),
        ("/workspace/scripts", r"C:\workspace\scripts"),
        ("d:/data/a b", r"d:\data\a b"),
        ("/C:/Users/ga", r"C:\Users\ga"),
        ("~/Desktop", r"C:\Users\ga\Desktop"),
        ("Desktop\\x.txt", r"C:\Users\ga\Desktop\x.txt"),
        ("~", r"C:\Users\ga"),
    ],
)
def test_paths_of_any_system_lead_into_windows(path: str, found: str):
    assert windows_path(path, home=r"C:\Users\ga") == found


@pytest.mark.parametrize(
    "path", ["", "C:relative", "a|b", "what?", "x\0y", r"\\server\share", "a:stream", '"x"']
)
def test_what_windows_cannot_call_a_file_is_no_path(path: str):
    with pytest.raises(PathNotFound, match="is no path inside a Windows guest"):
        windows_path(path, home=r"C:\Users\ga")


def test_every_quote_that_powershell_knows_is_doubled():
    assert quote("it's \u2018here\u2019; `$x`") == "'it''s \u2018\u2018here\u2019\u2019; `$x`'"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain\r\n", "plain\n"),
        ("\ufeffGröße".encode(), "Größe"),
        ("Größe\r\n".encode("utf-16"), "Größe\n"),
        ("Größe".encode("cp437"), "Größe"),
    ],
)
def test_output_is_read_in_the_encoding_it_is_in(data: bytes, text: str):
    assert decode(data) == text


def test_a_shell_that_windows_has_not_is_said():
    with pytest.raises(RunnerFailed, match="has powershell and cmd"):
        command_body("ls", variables={}, base="x", shell="zsh")


def test_variables_are_set_before_the_command():
    body, _ = command_body("$env:A", variables={"A": "it's"}, base="x", shell="")
    assert body.startswith("Set-Item -LiteralPath 'Env:A' -Value 'it''s'\n")
