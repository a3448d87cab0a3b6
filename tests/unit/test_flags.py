"""Flags of master and worker reach their settings, every one of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings
from typer.testing import CliRunner

from gym_queue.cli import master, worker
from gym_queue.cli.common import settings_of
from gym_queue.errors import RequestInvalid
from gym_queue.settings import MasterSettings, WorkerSettings

KEYS = {"token", "worker_token"}
"""Parameters that are no settings: a program that logs its settings logs no key of the fleet."""


@pytest.mark.parametrize(("serve", "kind"), [(master.serve, MasterSettings), (worker.serve, WorkerSettings)])
def test_every_parameter_bears_the_name_of_its_setting(
    serve: Callable[..., None], kind: type[BaseSettings]
) -> None:
    assert set(inspect.signature(serve).parameters) - set(kind.model_fields) == KEYS


def test_what_is_not_given_leaves_the_defaults() -> None:
    nothing = dict.fromkeys(WorkerSettings.model_fields)
    assert settings_of(WorkerSettings, {**nothing, "no_auth": False, "env_roots": [], "token": "t"}) == (
        WorkerSettings()
    )


def test_what_is_given_is_taken_nought_included(tmp_path: Path) -> None:
    given = {
        "port": 0,
        "no_auth": True,
        "cache_max_gb": 0.0,
        "checkpoint_dir": tmp_path,
        "env_roots": [tmp_path],
    }
    settings = settings_of(WorkerSettings, {**given, "cache_max_age_days": 2.5})
    assert settings == WorkerSettings(
        port=0,
        no_auth=True,
        cache_max_gb=0,
        checkpoint_dir=tmp_path,
        env_roots=(tmp_path,),
        cache_max_age_days=2.5,
    )


@pytest.mark.parametrize(
    "flags", [["--cache-max-gb", "-1"], ["--cache-max-age-days", "0"], ["--timeout", "0"]]
)
def test_a_wrong_value_is_refused_by_its_setting_s_name(flags: list[str]) -> None:
    refused = CliRunner().invoke(worker.app, flags).exception
    assert isinstance(refused, RequestInvalid)
    assert f"GYM_ANYTHING_WORKER_{flags[0][2:].replace('-', '_').upper()}" in str(refused)


@pytest.mark.parametrize("given", ["", "  ", "the-workers"])
def test_a_metrics_token_is_one_of_its_own(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GYM_ANYTHING_TOKENS_FILE", str(tmp_path / "tokens.json"))
    with pytest.raises(RequestInvalid, match="--metrics-token"):
        master.keyring("c", own_token=True, worker_token="the-workers", metrics=SecretStr(given))
    keys = master.keyring("c", own_token=True, worker_token="the-workers", metrics=SecretStr(" m\n"))
    assert keys.who("m").role == "metrics"


def test_a_metrics_token_comes_from_its_variable_too_and_is_in_no_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GYM_ANYTHING_MASTER_METRICS_TOKEN", "hush-hush")
    token = MasterSettings().metrics_token
    assert token is not None
    assert token.get_secret_value() == "hush-hush"
    assert "hush" not in repr(MasterSettings())
