"""RemoteVectorEnv against a real worker."""

from __future__ import annotations

import math

import pytest

from gym_queue.client import AsyncRemoteGymEnv, RemoteVectorEnv
from gym_queue.errors import ActionInvalid, EnvLost, RequestInvalid, SpecNotFound
from tests.service.client.conftest import ENV, TOKEN, running_worker
from tests.service.client.test_remote import CLICK, env_processes, live_envs
from tests.waiting import wait_until

ENDS = {"id": "short", "init": {"max_steps": 2}}


@pytest.fixture(scope="module")
def roomy_url():
    with running_worker(lambda app: app, max_envs=16) as url:
        yield url


def config(url, task=None, **options):
    return {"remote_url": url, "env_spec": ENV, "task_spec": task, "token": TOKEN, **options}


def texts(result):
    return [each["cli_stdout"]["text"] for each in result.observations]


def pngs(result):
    return [each["screen"].png() for each in result.observations]


def test_sixteen_environments_are_driven_at_once_and_closed(roomy_url):
    with RemoteVectorEnv([config(roomy_url)] * 16) as envs:
        screens = pngs(envs.reset(seed=1))
        assert len(set(screens)) == 16
        assert pngs(envs.reset(seed=range(1, 17))) == screens
        counts = [index % 3 for index in range(16)]
        result = envs.step([CLICK * count for count in counts], wait_between_actions=0)
        observations, rewards, dones, infos = result
        assert texts(result) == [f"{count} actions" for count in counts]
        assert (rewards, dones, result.errors) == ([0.0] * 16, [False] * 16, [None] * 16)
        assert [info["step"] for info in infos] == [0] * 16
        assert len(live_envs(roomy_url)) == len(observations) == 16
    envs.close()
    assert live_envs(roomy_url) == {}


def test_functions_open_environments_too(roomy_url):
    def opened():
        return AsyncRemoteGymEnv.make(roomy_url, ENV, token=TOKEN, metadata={"made": "by hand"})

    with RemoteVectorEnv([opened, config(roomy_url)]) as envs:
        assert live_envs(roomy_url)[envs.envs[0].env_id]["metadata"] == {"made": "by hand"}


def test_the_step_after_the_last_resets_instead(roomy_url):
    tasks = [ENDS, None]
    with RemoteVectorEnv([config(roomy_url, task) for task in tasks], autoreset=True) as envs:
        envs.reset()
        results = [envs.step([CLICK, CLICK], 0) for _ in range(4)]
    assert [result.dones for result in results] == [
        [False, False],
        [True, False],
        [False, False],
        [False] * 2,
    ]
    assert texts(results[2]) == ["0 actions", "3 actions"]
    assert (results[2].infos[0], results[2].rewards[0]) == ({"autoreset": True}, 0.0)
    assert texts(results[3]) == ["1 actions", "4 actions"]


def test_without_autoreset_an_ended_environment_says_so_and_can_be_reset_alone(roomy_url):
    with RemoteVectorEnv([config(roomy_url), config(roomy_url)]) as envs:
        envs.reset()
        assert envs.step([[], []], mark_done=[True, False]).dones == [True, False]
        result = envs.step([CLICK, CLICK])
        assert "reset" in str(result.errors[0])
        assert envs.reset_one(0, seed=1).error is None
        assert envs.step([CLICK, CLICK]).errors == [None, None]


def test_a_killed_environment_is_an_error_in_its_place_and_can_be_opened_anew(roomy_url):
    before = {each.pid for each in env_processes()}
    with RemoteVectorEnv([config(roomy_url)]) as first:
        first.reset()
        (process,) = [each for each in env_processes() if each.pid not in before]
        victim = first.envs[0].env_id
        shared = config(roomy_url, env_id=victim)  # the same environment
        with RemoteVectorEnv([config(roomy_url), shared, config(roomy_url)], autoreset=True) as envs:
            envs.reset()
            process.kill()
            process.wait(10)
            for _ in range(2):
                result = envs.step([CLICK] * 3, 0)
                assert [type(each) for each in result.errors] == [type(None), EnvLost, type(None)]
                assert math.isnan(result.rewards[1])
                assert (result.observations[1], result.dones[1]) == (None, False)
            with pytest.raises(ExceptionGroup, match="1 of 3") as caught:
                result.raise_errors()
            assert caught.value.exceptions[0].__notes__ == ["environment 1 of 3"]
            assert result.results[2].info["step"] == 1


def test_a_lost_environment_can_be_opened_anew(roomy_url):
    before = {each.pid for each in env_processes()}
    with RemoteVectorEnv([config(roomy_url)], autoreset=True) as envs:
        envs.reset()
        (process,) = [each for each in env_processes() if each.pid not in before]
        process.kill()
        process.wait(10)
        assert isinstance(envs.step([CLICK]).errors[0], EnvLost)
        envs.reopen(0)
        assert envs.step([CLICK]).infos == [{"autoreset": True}]
        assert envs.step([CLICK]).errors == [None]


def test_errors_are_raised_where_that_was_asked_for(roomy_url):
    with RemoteVectorEnv([config(roomy_url)] * 2, raise_errors=True) as envs:
        envs.reset()
        with pytest.raises(ExceptionGroup) as caught:
            envs.step([CLICK, [{"mouse": {"clik": 1}}]])
        assert caught.group_contains(ActionInvalid)
        assert envs.step([CLICK, CLICK]).infos[0]["step"] == 1


def test_when_one_cannot_be_opened_none_stays_open(roomy_url):
    missing = {"remote_url": roomy_url, "env_dir": "/no/such/env", "token": TOKEN}
    with pytest.raises(ExceptionGroup) as caught:
        RemoteVectorEnv([config(roomy_url), missing, config(roomy_url)])
    assert caught.group_contains(SpecNotFound, match="/no/such/env")
    wait_until(lambda: live_envs(roomy_url) == {}, 10)  # one that was being opened is closed when it is open


def test_what_is_not_one_for_each_is_refused(roomy_url):
    with RemoteVectorEnv([config(roomy_url)] * 2) as envs:
        for wrong in (
            lambda: envs.step([CLICK]),
            lambda: envs.reset(seed=[1]),
            lambda: envs.step([[]] * 2, mark_done=[True]),
        ):
            with pytest.raises(RequestInvalid, match="give one for each"):
                wrong()
    with pytest.raises(RequestInvalid, match="keywords or a function"):
        RemoteVectorEnv(["http://host"])  # type: ignore[list-item]
