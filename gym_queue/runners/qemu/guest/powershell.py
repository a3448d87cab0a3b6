"""Scripts and paths for Windows: all of it is text, made here.

Only files whose names need no quotes are named on a command line, so nothing depends on how the agent, OpenSSH or cmd.exe
quote; what a caller wrote goes into a script file. Source for switches: Microsoft's about_PowerShell_exe (5.1).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from pathlib import PureWindowsPath

from gym_queue.errors import PathNotFound, RunnerFailed

FOLDER = r"C:\Windows\Temp"
POWERSHELL = ("powershell.exe", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-File")
MISSING_STATUS = 44
"""What the script of a copy exits with where there is no such path."""
OEM_CODE_PAGE = "cp437"
"""What old console programs write, where the guest does not say; Windows' own for the United States."""
_NO_NAME = re.compile(r'[<>"|?*\x00-\x1f]|:(?!\\)')

_HEAD = """\
[IO.File]::WriteAllText('{base}.pid', "$PID")
try {{ [Console]::OutputEncoding = New-Object Text.UTF8Encoding $false }} catch {{ }}
$OutputEncoding = New-Object Text.UTF8Encoding $false
$ProgressPreference = 'SilentlyContinue'
"""
_FOOT = """
$gymSucceeded = $?
if ($gymSucceeded) { exit 0 }
if ($LASTEXITCODE) { exit $LASTEXITCODE }
exit 1
"""
_CMD = "& cmd.exe /d /c '{base}.cmd'\nexit $LASTEXITCODE\n"
_PLACE = """\
$ErrorActionPreference = 'Stop'
$target = {target}
if ((Test-Path -LiteralPath $target -PathType Container) -or ${is_folder}) {{
  $how = 'into'; $folder = $target
}} else {{
  $how = 'as'; $folder = [IO.Path]::GetDirectoryName($target)
}}
$made = [IO.Directory]::CreateDirectory($folder)
"$how|$($made.FullName)"
"""
_UNPACK = "& tar.exe -xf '{archive}' -C {folder}\nexit $LASTEXITCODE\n"
_PACK = """\
$source = {source}
if (-not (Test-Path -LiteralPath $source)) {{ exit {missing} }}
$item = Get-Item -LiteralPath $source -Force
& tar.exe --format=pax -cf '{archive}' -C ([IO.Path]::GetDirectoryName($item.FullName)) $item.Name
exit $LASTEXITCODE
"""
_START = "Start-Process -FilePath '{base}.run.cmd' -WindowStyle Hidden\nexit 0\n"
_BACKGROUND = "@{line}\r\n@>{base}.status echo %errorlevel%\r\n"


def windows_path(path: str, *, home: str) -> str:
    r"""Return where a path leads in the guest.

    Args:
        path: As Windows writes it, or as specs of any system do: ``/workspace/x`` is ``C:\workspace\x``.
        home: Where ``~`` and relative paths begin.

    Raises:
        PathNotFound: No file can be called that.
    """
    given = path.replace("/", "\\")
    if given == "~" or given.startswith("~\\"):
        given = "." + given[1:]
    if re.match(r"^\\[A-Za-z]:", given):  # /C:/x, as SFTP writes it
        given = given[1:]
    found = PureWindowsPath(given)
    if not path or _NO_NAME.search(given) or (found.drive and not found.root) or given.startswith("\\\\"):
        raise PathNotFound(f"{path!r} is no path inside a Windows guest")
    return str(PureWindowsPath("C:\\", home, found))


def quote(text: str) -> str:
    """Return a string of PowerShell that stands for itself; its typographic quotes end a string as well."""
    return "'" + re.sub("(['\u2018\u2019\u201a\u201b])", r"\1\1", text) + "'"


def script_file(body: str, *, base: str) -> bytes:
    """Return the script file that a body becomes: UTF-8 with the mark that Windows PowerShell needs to see it as that.

    Args:
        body: What it does.
        base: Path of the files that belong to it, without what comes after the dot.
    """
    return codecs.BOM_UTF8 + (_HEAD.format(base=base) + body).replace("\n", "\r\n").encode()


def command_body(
    command: str, *, variables: Mapping[str, str], base: str, shell: str
) -> tuple[str, bytes | None]:
    """Return the body that runs a command as a shell would, and the file for cmd.exe where that is the shell.

    Raises:
        RunnerFailed: The shell is neither powershell nor cmd.
    """
    lines = [
        f"Set-Item -LiteralPath {quote('Env:' + name)} -Value {quote(value)}"
        for name, value in variables.items()
    ]
    if shell in ("", "powershell"):
        return "\n".join((*lines, "$global:LASTEXITCODE = 0", command)) + _FOOT, None
    if shell != "cmd":
        raise RunnerFailed(
            f"the spec's ssh names the shell {shell!r}: a Windows guest has powershell and cmd"
        )
    batch = f"@echo off\r\nchcp 65001 >nul\r\n{command}\r\n"
    return "\n".join((*lines, _CMD.format(base=base))), batch.encode()


def run_line(base: str) -> tuple[str, ...]:
    """Return the words for cmd.exe that run a script file and put all that it writes into ``<base>.out``."""
    return (*POWERSHELL, f"{base}.ps1", ">", f"{base}.out", "2>&1", "<", "nul")


def copy_line(base: str) -> tuple[str, ...]:
    """Return the words for cmd.exe that copy what was written so far to ``<base>.txt``.

    The agent cannot open a file that a program still writes (it shares no writing), ``type`` can.
    """
    return ("type", f"{base}.out", ">", f"{base}.txt", "2>nul")


def start_body(base: str) -> tuple[str, bytes]:
    """Return the body that starts a script file and leaves it running, and the batch file ``<base>.run.cmd`` for that.

    Its status goes to ``<base>.status`` once it ends.
    """
    line = " ".join(run_line(base))
    return _START.format(base=base), _BACKGROUND.format(line=line, base=base).encode()


def place_body(target: str, *, is_folder: bool) -> str:
    """Return the body that makes the folder a copy goes to, and writes ``into`` or ``as`` and which that is."""
    return _PLACE.format(target=quote(target), is_folder="true" if is_folder else "false")


def unpack_body(archive: str, folder: str) -> str:
    """Return the body that unpacks a tar into a folder."""
    return _UNPACK.format(archive=archive, folder=quote(folder))


def pack_body(archive: str, source: str) -> str:
    """Return the body that packs a file, or a folder under its own name, into a tar."""
    return _PACK.format(archive=archive, source=quote(source), missing=MISSING_STATUS)


def clock_body(unix_s: float) -> str:
    """Return the body that sets the clock."""
    return f"Set-Date -Date ([DateTimeOffset]::FromUnixTimeMilliseconds({unix_s * 1000:.0f}).LocalDateTime) | Out-Null\n"


def decode(data: bytes, *, oem: str = OEM_CODE_PAGE) -> str:
    """Return what a program wrote: UTF-8, UTF-16 where it says so, else the console's own code page; lines end in a newline."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = data.decode("utf-16", errors="replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = _decode_oem(data, oem)
    return text.replace("\r\n", "\n")


def _decode_oem(data: bytes, oem: str) -> str:
    try:
        return data.decode(oem, errors="replace")
    except LookupError:  # a code page that Python has not
        return data.decode(errors="replace")
