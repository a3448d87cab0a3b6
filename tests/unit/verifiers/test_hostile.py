"""What a verifier may not do, and that nothing is left of one that tries."""

from __future__ import annotations

import os
import secrets
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from gym_queue.errors import VerifierFailed
from gym_queue.runners.processes import find_processes
from gym_queue.verifiers.cage import CAP_DAC_READ_SEARCH, landlock_version
from tests.unit.verifiers.conftest import Bench

SECRET = "tok-in-a-file"
needs_landlock = pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock")
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root gives verifiers another user")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="orphans are found by Linux's subreapers")


@pytest.fixture(autouse=True)
def nothing_left(bench: Bench, tmp_path: Path) -> Iterator[None]:
    yield
    assert find_processes(bench.env_id) == []
    assert sorted(path.name for path in tmp_path.iterdir() if "verifier" in path.name) == []


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(SECRET)
    path.chmod(0o600)
    return path


def program(lines: str) -> str:
    head = "import os, signal, sys, time, subprocess\ndef check(traj, env_info, task_info):\n"
    return head + textwrap.indent(textwrap.dedent(lines), "    ")


def sleepers(mark: str) -> list[psutil.Process]:
    return [each for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"] == ["sleep", mark]]


@needs_landlock
@pytest.mark.parametrize(
    "attempt",
    [
        "open({path!r}).read()",
        "os.symlink({path!r}, 'link'); open('link').read()",
        "subprocess.run(['cat', {path!r}], check=True)",
        "os.link({path!r}, 'here')",
        "env_info['copy_to_env']({path!r}, 'x')",
        "os.symlink({path!r}, 'link'); env_info['copy_to_env']('link', 'x')",
        "open({path!r}, 'w')",
        "os.truncate({path!r}, 0)",
        "os.unlink({path!r})",
    ],
)
def test_the_token_file_can_be_neither_read_nor_changed(bench: Bench, token_file: Path, attempt: str) -> None:
    with pytest.raises(VerifierFailed, match=r"PermissionError|cat.*exit status 1|Invalid cross-device"):
        bench.judge(program(attempt.format(path=str(token_file)) + "\nreturn {'passed': True}"))
    assert token_file.read_text() == SECRET


@needs_landlock
@pytest.mark.parametrize("where", ["environ", "mem", "fd/0"])
def test_the_programs_above_it_are_closed_to_it(bench: Bench, where: str) -> None:
    for pid in ("os.getppid()", str(os.getpid())):
        with pytest.raises(VerifierFailed, match="PermissionError"):
            bench.judge(program(f"open(f'/proc/{{{pid}}}/{where}', 'rb').read(1)"))


@needs_landlock
@pytest.mark.parametrize("folder", ["env_info['episode_dir']", "os.path.dirname(__file__)"])
def test_what_is_judged_and_its_own_code_are_read_only(bench: Bench, folder: str) -> None:
    for kept in (bench.episode_dir, bench.task_dir):
        (kept / "planted").write_text("seen")
    assert bench.told(f"open({folder} + '/planted').read()") == "seen"
    for attempt in ("open({}, 'a')", "os.unlink({})", "os.truncate({}, 0)", "os.mkdir({} + '.d')"):
        with pytest.raises(VerifierFailed, match="PermissionError"):
            bench.told(attempt.format(f"{folder} + '/planted'"))


@needs_root
@needs_landlock
@pytest.mark.parametrize("path", ["/etc/shadow", "/root", "/var/log"])
def test_the_systems_secrets_are_closed_to_it(bench: Bench, path: str) -> None:
    with pytest.raises(VerifierFailed, match="PermissionError"):
        bench.judge(program(f"open({path!r}).read() if os.path.isfile({path!r}) else os.listdir({path!r})"))


@needs_landlock
@pytest.mark.parametrize("path", ["/", ".", str(Path.home())])
def test_a_module_path_that_holds_the_users_home_opens_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir("/")
    monkeypatch.setenv("PYTHONPATH", path)
    with pytest.raises(VerifierFailed, match="PermissionError"):
        bench.told(f"os.listdir({path!r} if {path!r} != '.' else '/')")


@needs_root
def test_roots_verifiers_run_as_a_user_of_their_own(bench: Bench) -> None:
    first, second = (bench.told("[*os.getresuid(), *os.getresgid(), os.getgroups()]") for _ in range(2))
    assert set(first[:6]) == {first[0]}
    assert first[0] not in (0, second[0])
    assert first[6] == []
    held = bench.told("int(open('/proc/self/status').read().partition('CapEff:')[2].split()[0], 16)")
    assert held & ~(1 << CAP_DAC_READ_SEARCH) == 0
    assert bench.told("os.getuid()", user="nobody") == 65534
    assert bench.told("os.getuid()", user="4711") == 4711
    with pytest.raises(VerifierFailed, match="no user 'nobody-of-that-name'"):
        bench.told("1", user="nobody-of-that-name")


@needs_root
@needs_landlock
@pytest.mark.parametrize("user", [None, "root"])
def test_a_verifier_works_in_closed_folders_whoever_it_runs_as(bench: Bench, user: str | None) -> None:
    bench.episode_dir.chmod(0o700)
    bench.task_dir.chmod(0o700)
    (bench.episode_dir / "traj.jsonl").write_text("{}")
    (bench.episode_dir / "traj.jsonl").chmod(0o600)
    code = """
        import json, os, sqlite3, tempfile, subprocess
        from pathlib import Path
        def check(traj, env_info, task_info):
            json.loads(Path(env_info["episode_dir"], "traj.jsonl").read_text())
            env_info["exec_capture"]("mkdir -p d/e; echo data > d/e/f; chmod 600 d/e/f")
            env_info["copy_from_env"]("d", "got")
            env_info["copy_to_env"]("got", "again")
            with tempfile.NamedTemporaryFile() as file:
                env_info["copy_from_env"]("again/e/f", file.name)
                text = file.read().decode()
            subprocess.run(["bash", "-c", "echo $0 > made"], check=True)
            assert os.access("made", os.W_OK) and os.access(env_info["episode_dir"], os.X_OK)
            return {"passed": text == "data\\n" and Path("made").exists()}
    """
    assert bench.judge(code, user=user).passed


@linux_only
@pytest.mark.parametrize(
    "lines",
    [
        "while True: os.fork()",
        "while True:\n    if os.fork(): os._exit(0)",
        "subprocess.run(['bash', '-c', 'f() { f | f & }; f; wait'])",
    ],
)
def test_a_fork_bomb_is_bounded_and_ended(bench: Bench, lines: str) -> None:
    with pytest.raises(VerifierFailed):
        bench.judge(program(f"{lines}\nreturn {{'passed': True, 'score': -1}}"), timeout_s=1.0, processes=24)


@linux_only
@pytest.mark.parametrize("end", ["return {'passed': True}", "os._exit(3)", "time.sleep(1000)"])
def test_daemons_end_with_their_verifier_however_they_detached_themselves(bench: Bench, end: str) -> None:
    mark = f"{3600 + secrets.randbelow(10**9)}.5"
    code = program(
        f"""
        for how in ("", "setsid", "env -i setsid", "nohup", "env -i setsid nohup"):
            subprocess.run(f"({{how}} sleep {mark} >/dev/null 2>&1 &) &", shell=True)
        {end}
        """
    )
    if end.startswith("return"):
        assert bench.judge(code).passed
    else:
        with pytest.raises(VerifierFailed):
            bench.judge(code, timeout_s=1.0)
    assert sleepers(mark) == []


@needs_landlock
@pytest.mark.parametrize("number", ["SIGTERM", "SIGKILL", "SIGSTOP", "SIGHUP"])
def test_it_cannot_signal_the_programs_above_it(bench: Bench, number: str) -> None:
    for pid in ("os.getppid()", str(os.getpid())):
        with pytest.raises(VerifierFailed, match="PermissionError"):
            bench.judge(program(f"os.kill({pid}, signal.{number})"))


def test_a_gigabyte_of_output_neither_fills_the_disk_nor_hides_the_verdict(bench: Bench) -> None:
    code = program(
        "data = b'x' * (1 << 20)\nfor _ in range(1024): os.write(1, data)\nreturn {'passed': True}"
    )
    assert bench.judge(code).passed
    assert (bench.episode_dir / "verifier.log").stat().st_size <= 1 << 20


@pytest.mark.parametrize(
    ("lines", "limits", "reason"),
    [
        ("'x' * (1 << 30)", {"memory_bytes": 512 << 20}, "MemoryError"),
        ("open('big', 'wb').write(b'x' * 2_000_000)", {"file_bytes": 1_000_000}, "File too large"),
        ("while True: pass", {"cpu_s": 1}, "used more CPU time than it may"),
        ("import resource; return {'passed': resource.getrlimit(resource.RLIMIT_CORE) != (0, 0)}", {}, None),
    ],
)
def test_what_it_uses_is_limited(
    bench: Bench, lines: str, limits: dict[str, Any], reason: str | None
) -> None:
    if reason is None:
        assert not bench.judge(program(lines), **limits).passed
        return
    with pytest.raises(VerifierFailed, match=reason):
        bench.judge(program(lines), **limits)


@pytest.mark.parametrize(
    "raw",
    [
        "b'nonsense\\n'",
        "b'[]\\n'",
        "b'{}\\n'",
        "b'{\"result\": ' + b'[' * 100_000 + b']' * 100_000 + b'}\\n'",
        "b'{\"result\": {\"passed\": true, \"score\": ' + b'9' * 10_000 + b'}}\\n'",
        "b'\\xff\\xfe\\n'",
        'b\'{"result": {"passed": true, "score": Infinity}}\\n\'',
        'b\'{"call": "copy_to_env", "arguments": ["/etc/passwd", "x"]}\\n\'',
        'b\'{"call": "copy_to_env", "arguments": {}}\\n\'',
        'b\'{"call": [], "arguments": 1}\\n\'',
    ],
)
def test_what_it_writes_into_the_conversation_itself_is_no_verdict(bench: Bench, raw: str) -> None:
    code = program(
        f"""
        import socket, stat
        for fd in range(3, 64):
            try:
                if stat.S_ISSOCK(os.fstat(fd).st_mode):
                    os.write(fd, {raw})
            except OSError:
                continue
        os._exit(0)
        """
    )
    with pytest.raises(VerifierFailed):
        bench.judge(code)


@pytest.mark.parametrize(
    "extra",
    [
        "float('nan')",
        "[float('inf')]",
        "{'a': {'b': -float('inf')}}",
        "10 ** 30",
        "'\\ud800'",
        "{'\\ud800': 1}",
        "__import__('functools').reduce(lambda inner, _: [inner], range(500), 1)",
    ],
)
def test_extras_that_no_reply_could_carry_are_refused(bench: Bench, extra: str) -> None:
    with pytest.raises(VerifierFailed, match="returned"):
        bench.judge(program(f"return {{'passed': True, 'extra': {extra}}}"))


def test_its_folder_is_removed_whatever_it_makes_there(bench: Bench) -> None:
    code = program(
        """
        os.makedirs("closed/inner")
        open("closed/inner/file", "w").close()
        os.symlink("/", "root")
        os.mkfifo("fifo")
        os.chmod("closed/inner", 0)
        os.chmod("closed", 0)
        for _ in range(1500):
            os.mkdir("deep")
            os.chdir("deep")
        return {"passed": True}
        """
    )
    assert bench.judge(code).passed


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        ("os.mkfifo('fifo'); env_info['copy_to_env']('fifo', 'x')", "SpecialFileError|named pipe"),
        (
            "env_info['copy_to_env']('/dev/zero', 'x')",
            "File too large|not a regular|Forbidden|PathNotFound|is not",
        ),
        ("env_info['copy_to_env']('/dev/tty', 'x')", "Error"),
    ],
)
def test_only_files_and_folders_can_be_handed_in(bench: Bench, lines: str, kind: str) -> None:
    with pytest.raises(VerifierFailed, match=kind):
        bench.judge(program(lines), file_bytes=1 << 20)


@needs_root
def test_files_that_are_closed_to_another_user_are_copied_where_the_kernel_gives_no_other_way(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gym_queue.verifiers.folder.can_read_all", lambda: False)
    bench.episode_dir.chmod(0o700)
    (bench.episode_dir / "frame_00000.png").write_text("png")
    shown = bench.told(
        "[open(traj['frames'][0]).read(), os.path.dirname(traj['frames'][0]) == env_info['episode_dir'], traj['n']]",
        traj={"frames": [str(bench.episode_dir / "frame_00000.png")], "n": 1},
    )
    assert shown == ["png", True, 1]
