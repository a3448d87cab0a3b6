from __future__ import annotations

import os
from pathlib import Path

import pytest

from gym_queue.errors import VerifierFailed
from gym_queue.runners.processes import find_processes
from tests.unit.verifiers.conftest import Bench


def body(line: str) -> str:
    return f"import os, sys, time, subprocess\ndef check(traj, env_info, task_info):\n    {line}\n"


@pytest.mark.parametrize(("passed", "score"), [(True, 100), (False, 0), (False, 55.5)])
def test_a_verdict_comes_through(bench: Bench, passed: bool, score: float) -> None:
    verdict = bench.judge(body(f"return {{'passed': {passed}, 'score': {score}, 'feedback': 'well'}}"))
    assert (verdict.passed, verdict.score, verdict.feedback) == (passed, score, "well")


def test_numpy_scalars_are_taken_as_numbers(bench: Bench) -> None:
    code = body("import numpy as np; return {'passed': np.bool_(True), 'score': np.float32(50)}")
    assert bench.judge(code).score == 50


def test_an_exception_is_told_with_its_text_and_the_output(bench: Bench) -> None:
    with pytest.raises(VerifierFailed, match="raised ValueError: no table orders") as caught:
        bench.judge(body("print('looking'); raise ValueError('no table orders')"))
    assert "looking" in str(caught.value)
    assert "Traceback" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("sys.exit(0)", "SystemExit: 0"),
        ("os._exit(7)", r"exited before it returned a verdict \(status 7\)"),
        ("os.kill(os.getpid(), 9)", r"status -9"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("return None", "returned None"),
        ("return {'passed': True, 'score': float('nan')}", "score nan"),
        ("return {'passed': True, 'score': 101}", "score 101"),
        ("return {'passed': True, ('a', 1): 2}", "TypeError"),
        ("x = []; x.append(x); return {'passed': True, 'x': x}", "Circular"),
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("env_info['query_vlm']('')", "query_vlm: prompt"),
        ("env_info['query_vlm'](options=['yes'])", "TypeError"),
    ],
)
def test_what_is_no_verdict_fails_with_its_reason(bench: Bench, line: str, reason: str) -> None:
    with pytest.raises(VerifierFailed, match=reason):
        bench.judge(body(line))


def test_a_message_that_is_too_long_is_refused(bench: Bench) -> None:
    with pytest.raises(VerifierFailed, match="returned more than 16 MB"):
        bench.judge(body("return {'passed': True, 'x': 'y' * (17 << 20)}"))


def test_a_syntax_error_is_told(bench: Bench) -> None:
    with pytest.raises(VerifierFailed, match="SyntaxError"):
        bench.judge("def check(:")


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("absent.py::check", "there is no verifier file"),
        ("verifier.py::absent", "absent"),
        ("no_such_module:check", "ModuleNotFoundError"),
        ("json:absent", "absent"),
    ],
)
def test_a_verifier_that_is_not_there_is_named(bench: Bench, program: str, reason: str) -> None:
    with pytest.raises(VerifierFailed, match=reason):
        bench.judge(body("return {'passed': True}"), program=program)


def test_a_module_of_the_task_folder_can_be_named(bench: Bench) -> None:
    (bench.task_dir / "checks_of_mine.py").write_text(body("return {'passed': True}"))
    assert bench.judge(program="checks_of_mine:check").passed


def test_a_verifier_may_import_its_neighbours(bench: Bench) -> None:
    (bench.task_dir / "neighbour.py").write_text("SCORE = 70")
    verdict = bench.judge(body("import neighbour; return {'passed': True, 'score': neighbour.SCORE}"))
    assert verdict.score == 70


def test_files_of_the_episode_folder_are_not_importable(bench: Bench) -> None:
    (bench.episode_dir / "planted.py").write_text("")
    with pytest.raises(VerifierFailed, match="ModuleNotFoundError"):
        bench.judge(body("import planted"))


@pytest.mark.parametrize(
    "line",
    [
        "time.sleep(1000)",
        "subprocess.run(['sleep', '1000'])",
        "subprocess.Popen(['sleep', '1000'], start_new_session=True).wait()",
        "env_info['exec_capture']('sleep 1000')",
        "[env_info['exec_capture'](':') for _ in iter(int, 1)]",
    ],
)
def test_a_verifier_that_hangs_is_killed_with_its_children(bench: Bench, line: str) -> None:
    with pytest.raises(VerifierFailed, match=r"ran longer than its 0\.4 s and was killed"):
        bench.judge(body(line), timeout_s=0.4)
    assert find_processes(bench.env_id) == []


def test_children_of_a_verifier_end_with_it(bench: Bench) -> None:
    assert bench.judge(body("subprocess.Popen(['sleep', '1000']); return {'passed': True}")).passed
    assert find_processes(bench.env_id) == []


def test_a_daemon_of_a_verifier_neither_delays_it_nor_outlives_the_env(bench: Bench) -> None:
    code = body("subprocess.run('setsid sleep 1000 &', shell=True); return {'passed': True}")
    assert bench.judge(code).passed
    bench.runner.close()
    assert find_processes(bench.env_id) == []


def test_much_output_is_kept_in_the_log_and_its_tail_in_the_error(bench: Bench) -> None:
    with pytest.raises(VerifierFailed, match="the last line") as caught:
        bench.judge(body("print('x' * 5_000_000); print('the last line', flush=True); os._exit(1)"))
    assert len(str(caught.value)) < 3000
    log = (bench.episode_dir / "verifier.log").read_bytes()
    assert log.endswith(b"the last line\n")
    assert len(log) <= 1 << 20


def test_bytes_that_are_not_text_in_the_output_do_no_harm(bench: Bench) -> None:
    with pytest.raises(VerifierFailed, match="status 1"):
        bench.judge(body("os.write(1, bytes(range(256))); os._exit(1)"))


def test_the_verifier_sees_its_own_variables_and_none_of_ours(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GYM_ANYTHING_TOKEN", "secret")
    monkeypatch.setenv("VLM_API_KEY", "ours")
    seen = bench.told("dict(os.environ)", variables={"VLM_API_KEY": "theirs", "HOME": "/"})
    assert seen["VLM_API_KEY"] == "theirs"
    assert seen["HOME"] == "/"
    assert "secret" not in repr(seen)
    assert set(seen) & set(os.environ) <= {
        "PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH", "HOME",
        "PYTHONDONTWRITEBYTECODE", "TMPDIR", "VLM_API_KEY",
    }  # fmt: skip


def test_the_verifier_starts_in_a_folder_of_its_own_with_nothing_to_read(bench: Bench) -> None:
    asked = "[os.getcwd(), os.environ['HOME'], os.environ['TMPDIR'], os.listdir(), sys.stdin.read()]"
    folder, home, tmp, inside, given = bench.told(asked)
    assert (home, tmp, inside, given) == (folder, folder, [], "")
    assert not Path(folder).exists()


def test_env_info_and_task_info_say_what_was_judged(bench: Bench) -> None:
    keys = bench.told("sorted(env_info)")
    assert keys == [
        "container", "copy_from_env", "copy_to_env", "env_id", "episode_dir", "exec_capture",
        "get_final_screenshot", "get_first_screenshot", "query_vlm", "sample_trajectory_frames",
    ]  # fmt: skip
    (bench.episode_dir / "frame").touch()
    shown = bench.told("[env_info['env_id'], os.listdir(env_info['episode_dir'])]")
    assert (shown[0], "frame" in shown[1]) == (bench.env_id, True)
    info = bench.told("task_info", metadata={"want": 3})
    assert (info["task_id"], info["metadata"], info["task_spec"]["id"]) == ("t", {"want": 3}, "t")


def test_exec_capture_returns_all_output_whatever_the_status(bench: Bench) -> None:
    assert bench.told("env_info['exec_capture'](cmd='echo out; echo err >&2; exit 3')") == "out\nerr\n"


def test_a_nul_in_a_command_is_an_error_of_the_verifier(bench: Bench) -> None:
    with pytest.raises(VerifierFailed, match="SandboxCallFailed"):
        bench.told("env_info['exec_capture']('a\\0b')")


def test_copies_go_both_ways_and_relative_to_the_verifiers_folder(bench: Bench) -> None:
    code = """
        from pathlib import Path
        def check(traj, env_info, task_info):
            Path("given").write_text("data")
            env_info["copy_to_env"](host_src="given", dst="inside/it")
            env_info["copy_from_env"](src="inside/it", host_dst=Path("got"))
            return {"passed": Path("got").read_text() == "data"}
    """
    assert bench.judge(code).passed
    assert not Path("got").exists()


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        ("copy_from_env('absent', 'x')", "FileNotFoundError"),
        ("copy_from_env('/etc/passwd', 'x')", "PermissionError"),
        ("copy_from_env('../../x', 'x')", "PermissionError"),
        ("copy_to_env('absent', 'x')", "FileNotFoundError"),
        ("copy_to_env('/etc/hostname', '/etc/x')", "PermissionError"),
    ],
)
def test_copies_raise_what_files_raise(bench: Bench, call: str, kind: str) -> None:
    code = f"""
        def check(traj, env_info, task_info):
            copy_from_env, copy_to_env = env_info["copy_from_env"], env_info["copy_to_env"]
            try:
                {call}
            except {kind}:
                return {{"passed": True}}
    """
    assert bench.judge(code).passed


@pytest.mark.parametrize(
    ("count", "n", "expected"),
    [
        (0, 5, []),
        (3, 5, [0, 1, 2]),
        (5, 1, [0]),
        (9, 5, [0, 2, 4, 6, 8]),
        (10, 3, [0, 4, 9]),
        (3, 0, []),
        (3, -1, []),
    ],
)
def test_sampled_frames_are_evenly_spaced(bench: Bench, count: int, n: int, expected: list[int]) -> None:
    traj = {"frames": list(range(count))}
    assert bench.told(f"env_info['sample_trajectory_frames'](traj, {n})", traj=traj) == expected


def test_screenshots_are_those_of_the_trajectory(bench: Bench) -> None:
    traj = {"first_frame": "a", "last_frame": "b", "final_screenshot": None}
    asked = "[env_info['get_first_screenshot'](traj), env_info['get_final_screenshot'](traj)]"
    assert bench.told(asked, traj=traj) == ["a", "b"]
    assert bench.told(asked, traj={**traj, "final_screenshot": "c"}) == ["a", "c"]


def test_a_long_trajectory_comes_through(bench: Bench) -> None:
    traj = {"steps": [{"idx": i, "text": "x" * 1000} for i in range(2000)]}
    assert bench.told("len(traj['steps'])", traj=traj) == 2000
