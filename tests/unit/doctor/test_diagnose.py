from __future__ import annotations

import dataclasses
import io
import json
import threading

import pytest
from rich.console import Console

from gym_queue.names import RUNNERS
from gym_queue.worker.doctor import (
    Finding,
    HostReport,
    KvmReport,
    KvmState,
    RunnerReport,
    diagnose,
    render,
)
from gym_queue.worker.doctor.diagnose import judge, needs
from gym_queue.worker.doctor.extras import extras
from gym_queue.worker.doctor.gather import gather


def test_every_runner_but_fake_is_judged_and_local_is_ready_here():
    report = diagnose(implemented={"local", "fake"})
    assert [runner.name for runner in report.runners] == [name for name in RUNNERS if name != "fake"]
    assert report.ready == ("local",)
    assert report.kvm is not None
    assert all(runner.remedy for runner in report.runners if not runner.ready)


def test_the_report_survives_json():
    report = diagnose(["local"], implemented={"local"})
    shape = json.loads(report.model_dump_json())
    assert set(shape) == {"hostname", "os", "cpus", "memory_bytes", "kvm", "runners", "extras"}
    assert set(shape["runners"][0]) == {
        *("name", "ready", "reason", "remedy", "details", "missing", "implemented"),
    }
    assert HostReport.model_validate(shape) == report


def test_kvm_is_not_probed_for_runners_that_do_without():
    assert diagnose(["local"], implemented={"local"}).kvm is None


def test_fake_is_ready_when_named():
    assert diagnose(["fake"], implemented={"fake"}).ready == ("fake",)


def test_an_unknown_runner_is_reported_not_raised():
    (report,) = diagnose(["quemu"], implemented={"local"}).runners
    assert (report.ready, report.reason) == (False, "there is no runner of that name")


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_runner_all_of_whose_needs_are_met_is_ready_only_if_this_version_has_it(runner, linux):
    found = {need: Finding(ok=True, reason=f"{need} is there") for need in needs(runner, linux)}
    assert judge(runner, linux, found, {runner}).ready
    lacking = judge(runner, linux, found, set())
    assert not lacking.ready
    assert lacking.reason.endswith(f", but this version has no {runner} runner yet")


def test_each_missing_need_is_named_with_its_remedy(linux):
    found = {need: Finding(ok=True, reason=need) for need in needs("avd", linux)}
    found |= {
        "kvm": Finding(ok=False, reason="no kvm", remedy="get kvm"),
        "apptainer": Finding(ok=False, reason="no apptainer", remedy="get apptainer"),
    }
    report = judge("avd", linux, found, {"avd"})
    assert (report.reason, report.remedy) == ("no kvm; no apptainer", "get kvm; get apptainer")
    assert judge("apptainer", linux, found, {"apptainer"}).reason == "no apptainer"


@pytest.mark.parametrize("runner", ["qemu", "qemu_native"])
def test_qemu_needs_no_apptainer_and_emulates_only_where_it_may(runner, linux):
    found = {need: Finding(ok=True, reason=need) for need in needs(runner, linux)}
    assert "apptainer" not in found
    found["kvm"] = Finding(ok=False, reason="no kvm", remedy="get kvm")
    refused = judge(runner, linux, found, {runner})
    assert (refused.ready, refused.reason) == (False, "no kvm")
    assert "--allow-emulation" in str(refused.remedy)
    allowed = judge(runner, linux, found, {runner}, allow_emulation=True)
    assert allowed.ready
    assert "emulated" in allowed.reason
    assert allowed.details["acceleration"] == "tcg"
    assert not judge(
        "avd_native", linux, {**found, **all_of("avd_native", linux, but="kvm")}, {"avd_native"}
    ).ready


def all_of(runner, linux, *, but):
    return {need: Finding(ok=True, reason=need) for need in needs(runner, linux) if need != but}


def test_a_probe_that_hangs_or_raises_is_a_finding_and_its_neighbours_answer(caplog):
    release = threading.Event()

    def hang() -> Finding:
        release.wait()
        return Finding(ok=True, reason="late")

    def crash() -> Finding:
        raise RuntimeError("boom")

    good = Finding(ok=True, reason="fine")
    found = gather({"hang": hang, "crash": crash, "good": lambda: good}, deadline_s=0.5)
    release.set()
    assert found["good"] is good
    assert "did not end in 0.5 s" in found["hang"].reason
    assert "boom" in found["crash"].reason
    assert "the probe crash failed" in caplog.text


def test_each_thing_that_is_missing_has_its_own_remedy(linux):
    found = {"terminal": Finding(ok=False, reason="no bash", remedy="sudo apt-get install -y bash")}
    (missing,) = judge("local", linux, found, {"local"}).missing
    assert (missing.reason, missing.remedy) == ("no bash", "sudo apt-get install -y bash")


def test_what_is_not_in_this_version_is_one_line_unless_it_was_asked_for(linux):
    report = diagnose(["avf", "fake"], implemented={"fake"})
    for whole in (False, True):
        console = Console(file=io.StringIO(), width=200)
        console.print(render(report, whole=whole))
        assert isinstance(console.file, io.StringIO)
        text = console.file.getvalue()
        assert ("not in this version: avf" in text) is not whole
        assert ("use a Mac" in text) is whole


def test_extras_say_what_they_are_for_and_how_they_are_got_here(linux, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    redis = next(each for each in extras(linux) if each.name == "redis-server")
    assert (redis.ok, redis.remedy) == (False, "sudo apt-get install -y redis-server")
    assert "broker" in redis.purpose
    mac = dataclasses.replace(linux, system="Darwin", distributions=frozenset())
    assert next(each for each in extras(mac) if each.name == "redis-server").remedy == "brew install redis"


def test_a_table_shows_verdicts_reasons_and_remedies_verbatim():
    kvm = KvmReport(ok=False, device="/dev/kvm", state=KvmState.ABSENT, reason="there is no /dev/kvm")
    runners = (
        RunnerReport(name="local", ready=True, reason="bash answers on a pty"),
        RunnerReport(name="docker", ready=False, reason="no SDK", remedy="pip install gym-queue[docker]"),
    )
    report = HostReport(hostname="h1", os="Linux", cpus=2, memory_bytes=2**30, kvm=kvm, runners=runners)
    console = Console(file=io.StringIO(), width=120)
    console.print(render(report))
    assert isinstance(console.file, io.StringIO)
    lines = [line.split() for line in console.file.getvalue().splitlines()]
    assert ["✓", "local:", "bash", "answers", "on", "a", "pty"] in lines
    assert ["✗", "docker:", "no", "SDK"] in lines
    assert ["→", "pip", "install", "gym-queue[docker]"] in lines
    assert ["KVM:", "✗", "there", "is", "no", "/dev/kvm"] in lines
