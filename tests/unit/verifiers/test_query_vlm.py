"""``query_vlm`` of program verifiers: asked by the process above them."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gym_queue.errors import VerifierFailed
from tests.unit.verifiers.conftest import Bench
from tests.unit.verifiers.modelserver import BACKENDS, KEY, ModelServer, Reply


@pytest.fixture
def screen(bench: Bench) -> Path:
    path = bench.episode_dir / "final.png"
    Image.new("RGB", (64, 48), (200, 0, 0)).save(path)
    return path


def told(bench: Bench, server: ModelServer, expression: str, backend: str = "anthropic", **more: Any) -> Any:
    return bench.told(f"env_info['query_vlm']({expression})", variables=server.variables(backend), **more)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_model_answers_about_a_screen(
    bench: Bench, server: ModelServer, screen: Path, backend: str
) -> None:
    server.say(backend, '```json\n{"red": true}\n```')
    answered = told(bench, server, "prompt='Is it red?', image=traj['final_screenshot']", backend,
                    traj={"final_screenshot": str(screen)})  # fmt: skip
    text = '```json\n{"red": true}\n```'
    assert answered == {"success": True, "response": text, "parsed": {"red": True}, "error": ""}
    assert base64.b64encode(screen.read_bytes()).decode() in repr(server.seen[0].body)
    assert "Is it red?" in repr(server.seen[0].body)


def test_many_images_paths_or_bytes_are_shown_in_order_and_none_is_passed_over(
    bench: Bench, server: ModelServer, screen: Path
) -> None:
    server.say("anthropic", "two")
    asked = f"'how many?', [{str(screen)!r}, None, open({str(screen)!r}, 'rb').read()], max_tokens=7"
    assert told(bench, server, asked)["response"] == "two"
    body = server.seen[0].body
    assert [part["type"] for part in body["messages"][0]["content"]] == ["image", "image", "text"]
    assert body["max_tokens"] == 7


def test_each_question_has_its_own_images(bench: Bench, server: ModelServer, screen: Path) -> None:
    server.say("anthropic", "x")
    ask = "env_info['query_vlm']"
    bench.told(f"[{ask}('a', image={str(screen)!r}), {ask}('b')]", variables=server.variables("anthropic"))
    assert [len(seen.body["messages"][0]["content"]) for seen in server.seen] == [2, 1]


def test_words_that_are_no_json_are_handed_on(bench: Bench, server: ModelServer) -> None:
    server.say("anthropic", "Yes, quite.")
    assert told(bench, server, "'well?'") == {
        "success": True, "response": "Yes, quite.", "parsed": {}, "error": "",
    }  # fmt: skip


def test_verifiers_written_for_gym_anything_find_its_module(bench: Bench, server: ModelServer) -> None:
    server.say("openai", "yes")
    code = """
        from gym_anything.vlm import get_final_screenshot, query_vlm, sample_trajectory_frames
        def check(traj, env_info, task_info):
            frames = sample_trajectory_frames(traj, num_samples=2)
            return {"passed": query_vlm(prompt="?")["response"] == "yes", "told": [frames, get_final_screenshot(traj)]}
    """
    traj = {"frames": ["a", "b", "c"], "last_frame": "c"}
    verdict = bench.judge(code, variables=server.variables("openai"), traj=traj)
    assert (verdict.passed, verdict.extras["told"]) == (True, [["a", "c"], "c"])


def test_without_a_model_the_verifier_is_told_and_so_is_the_reader_of_its_verdict(
    bench: Bench, server: ModelServer
) -> None:
    code = """
        def check(traj, env_info, task_info):
            answered = env_info["query_vlm"]("what?")
            return {"passed": True, "told": answered}
    """
    verdict = bench.judge(code)
    error = "no model is named for query_vlm: set VLM_BACKEND and VLM_MODEL in verifier_env"
    assert verdict.extras["told"] == {"success": False, "response": "", "parsed": {}, "error": error}
    assert verdict.extras["vlm_error"] == error


def test_a_model_that_fails_fails_the_verification_whatever_the_verifier_makes_of_it(
    bench: Bench, server: ModelServer
) -> None:
    server.answer = lambda _: Reply({"error": {"message": "no credit"}}, 402)
    code = """
        def check(traj, env_info, task_info):
            try:
                env_info["query_vlm"]("what?")
            except BaseException:
                pass
            return {"passed": False}
    """
    with pytest.raises(VerifierFailed, match="402: no credit"):
        bench.judge(code, variables=server.variables("anthropic"))


@pytest.mark.parametrize("missing", ["VLM_MODEL", "ANTHROPIC_API_KEY"])
def test_a_model_that_is_half_named_fails_the_verification(
    bench: Bench, server: ModelServer, missing: str
) -> None:
    variables = server.variables("anthropic")
    del variables[missing]
    with pytest.raises(VerifierFailed, match=f"set {missing} in verifier_env"):
        bench.told("env_info['query_vlm']('what?')", variables=variables)


def test_a_model_that_takes_longer_than_the_verifier_may_is_an_error(
    bench: Bench, server: ModelServer
) -> None:
    def never(_: object) -> Reply:
        server.released.wait()
        return Reply({})

    server.answer = never
    with pytest.raises(VerifierFailed, match=r"did not answer within|ran longer than"):
        told(bench, server, "'what?'", timeout_s=1.0)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("'x', image='/nowhere.png'", "FileNotFoundError"),
        ("'x', image=b'no image'", "image number 1 cannot be read"),
        ("'x', image=b'x' * (11 << 20)", "more than a model can be asked about"),
        ("'x', [b''] * 3", "image number 1 cannot be read"),
        ("None", "prompt"),
        ("'x', max_tokens=-1", "max_tokens"),
        ("'x', temperature=float('nan')", "temperature"),
        ("'x', image=3", "TypeError"),
    ],
)
def test_a_question_that_is_not_valid_is_the_verifiers_error(
    bench: Bench, server: ModelServer, expression: str, reason: str
) -> None:
    with pytest.raises(VerifierFailed, match=reason):
        told(bench, server, expression)
    assert server.seen == []


def test_a_model_sees_no_file_that_the_verifier_may_not(
    bench: Bench, server: ModelServer, tmp_path: Path
) -> None:
    from gym_queue.verifiers.cage import landlock_version

    if not landlock_version():
        pytest.skip("this kernel has no Landlock")
    secret = tmp_path / "secret.png"
    Image.new("RGB", (64, 48)).save(secret)
    with pytest.raises(VerifierFailed, match="PermissionError"):
        told(bench, server, f"'x', image={str(secret)!r}")
    assert server.seen == []


def test_the_key_of_the_worker_is_not_the_verifiers_to_read(
    bench: Bench, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.variables("anthropic").items():
        monkeypatch.setenv(name, value)
    server.say("anthropic", "x")
    code = """
        import os
        def check(traj, env_info, task_info):
            return {"passed": True, "told": [env_info["query_vlm"]("what?"), dict(os.environ)]}
    """
    verdict = bench.judge(code)
    assert verdict.extras["told"][0]["success"]
    assert server.seen[0].headers["x-api-key"] == KEY
    assert KEY not in repr(verdict)
