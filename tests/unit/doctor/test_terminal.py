from __future__ import annotations

from gym_queue.worker.doctor.terminal import terminal


def test_bash_answers_on_a_pty(linux):
    finding = terminal(linux, 4)
    assert finding.ok, finding.reason


def test_without_bash_the_remedy_installs_it(linux, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = terminal(linux, 4)
    assert (finding.reason, finding.remedy) == ("bash is not installed", "sudo apt-get install -y bash")


def test_a_bash_that_says_nothing_is_not_ok(linux, make_program):
    make_program("bash", "exec sleep 60")
    finding = terminal(linux, 0.3)
    assert "did not answer in 0.3 s" in finding.reason


def test_a_bash_that_ends_at_once_is_not_ok(linux, make_program):
    make_program("bash", "exit 3")
    assert not terminal(linux, 4).ok
