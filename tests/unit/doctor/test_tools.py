from __future__ import annotations

import dataclasses

import pytest

from gym_queue.runners import command
from gym_queue.worker.doctor import tools


def test_qemu_versions_are_read_from_what_the_programs_print(make_program, linux):
    make_program("qemu-system-x86_64", "echo 'QEMU emulator version 8.2.2 (Debian 1:8.2.2+ds-0ubuntu1)'")
    make_program("qemu-img", "echo 'qemu-img version 8.2.2'; echo Copyright")
    assert tools.qemu_system(linux, 4).details == {"qemu-system-x86_64": "8.2.2"}
    assert tools.qemu_img(linux, 4).details == {"qemu-img": "8.2.2"}


def test_a_qemu_that_is_too_old_is_said(make_program, linux):
    make_program("qemu-system-x86_64", "echo 'QEMU emulator version 6.2.0'")
    finding = tools.qemu_system(linux, 4)
    assert (finding.ok, finding.reason) == (False, "qemu-system-x86_64 6.2.0 is too old: QEMU 7 is needed")


def test_on_arm_the_arm_machine_emulator_is_asked(make_program, linux):
    make_program("qemu-system-aarch64", "echo 'QEMU emulator version 9.0.1'")
    assert tools.qemu_system(dataclasses.replace(linux, machine="aarch64"), 4).ok


@pytest.mark.parametrize(
    ("system", "distributions", "remedy"),
    [
        ("Linux", {"debian"}, "sudo apt-get install -y qemu-utils"),
        ("Linux", {"fedora"}, "sudo dnf install -y qemu-img"),
        ("Linux", {"arch"}, "install QEMU's qemu-img"),
        ("Darwin", set(), "brew install qemu"),
    ],
)
def test_the_remedy_for_a_missing_tool_is_the_platforms(
    linux, tmp_path, monkeypatch, system, distributions, remedy
):
    monkeypatch.setenv("PATH", str(tmp_path))
    here = dataclasses.replace(linux, system=system, distributions=frozenset(distributions))
    assert tools.qemu_img(here, 4).remedy == remedy


def test_a_hanging_program_fails_at_the_deadline(make_program, linux):
    make_program("qemu-img", "sleep 60")
    assert tools.qemu_img(linux, 0.3).reason == "qemu-img --version did not end in 0.3 s"


def test_the_deadline_ends_the_programs_children_too(make_program):
    make_program("parent", "echo begun; sleep 60 & wait")
    # Output comes only once nobody holds the pipe, so that the child must be gone.
    assert command.run(["parent"], timeout_s=0.5) == command.Ended(None, "begun\n")


def test_a_failing_program_is_quoted(make_program):
    make_program("adb", "echo 'libusb.so: not found' >&2; exit 127")
    finding = tools.version("adb", "version", remedy="", timeout_s=4)
    assert finding.reason == "adb version exited 127: libusb.so: not found"


def test_a_program_that_prints_no_version_is_not_ok(make_program):
    make_program("adb", "echo hello")
    assert tools.version("adb", "version", remedy="", timeout_s=4).reason == "adb version printed no version"


def test_a_file_that_is_no_program_is_not_ok(make_program):
    make_program("junk", "").write_bytes(b"\x7fELF junk")
    finding = tools.version("junk", "version", remedy="reinstall", timeout_s=4)
    assert (finding.ok, finding.remedy) == (False, "reinstall")


def test_the_emulator_and_adb_of_the_sdk_are_found(make_program, linux, tmp_path, monkeypatch):
    monkeypatch.setenv("ANDROID_HOME", str(tmp_path))
    for folder, name, text in (
        ("emulator", "emulator", "Android emulator version 35.2.10.0 (build_id 1)"),
        ("platform-tools", "adb", "Android Debug Bridge version 1.0.41"),
    ):
        (tmp_path / folder).mkdir()
        make_program(name, f"echo '{text}'").rename(tmp_path / folder / name)
    assert tools.android_sdk(linux, 4).ok
    assert tools.emulator(linux, 4).details == {"emulator": "35.2.10.0"}
    assert tools.adb(linux, 4).details == {"adb": "1.0.41"}


def test_refused_user_namespaces_say_why_and_what_helps(make_program, linux):
    make_program("unshare", "echo 'unshare: Operation not permitted' >&2; exit 1")
    finding = tools.user_namespaces(linux, 4)
    assert finding.reason.endswith("unshare: Operation not permitted")
    assert "sysctl" in str(finding.remedy)


def test_apptainer_off_linux_is_told_to_use_linux(linux, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "Linux" in str(tools.apptainer(dataclasses.replace(linux, system="Darwin"), 4).remedy)
