"""Presets: what ``base`` puts under an environment's own file.

The contents follow the presets of Gym-Anything. None names a ``runner``: names.PRESET_RUNNERS alone says
which runners a preset implies. A Dockerfile is given as it lies in a checkout of Gym-Anything, the folder
from which the corpus' mounts are written too; elsewhere loader.shipped_dockerfile finds the package's own.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from gym_queue.errors import SpecInvalid

SOURCES = "src/gym_anything/presets"
"""Where a checkout of Gym-Anything has its presets' files."""
_DEVICES = [{"type": "mouse"}, {"type": "keyboard"}]
_AUDIO = {"type": "audio_waveform", "sample_rate": 16000, "channels": 1, "chunk_duration_ms": 200}
_SYSTEMD = {
    "user": "root",
    "privileged": True,
    "use_systemd": True,
    "mount_cgroups": True,
    "cgroupns_host": True,
    "tmpfs_run": True,
}


def _desktop(
    width_px: int, height_px: int, *, cpu: int, mem_gb: int, net: bool = True, audio: bool = False
) -> dict[str, Any]:
    screen = {"type": "rgb_screen", "fps": 10, "resolution": [width_px, height_px]}
    return {
        "os_type": "linux",
        "resources": {"cpu": cpu, "mem_gb": mem_gb, "gpu": 0, "net": net},
        "observation": [screen, _AUDIO] if audio else [screen],
        "action": _DEVICES,
        "recording": {"enable": True, "output_dir": "./artifacts"},
    }


def _systemd(folder: str, width_px: int, height_px: int, *, audio: bool = False) -> dict[str, Any]:
    return {
        **_desktop(width_px, height_px, cpu=2, mem_gb=4, audio=audio),
        "dockerfile": f"{SOURCES}/{folder}/Dockerfile",
        "vnc": {"enable": True, "host_port": 5901, "view_only": True},
        "security": _SYSTEMD,
    }


def _phone(api_level: int) -> dict[str, Any]:
    return {
        **_desktop(1080, 2400, cpu=4, mem_gb=4),
        "os_type": "android",
        "avd": {
            "api_level": api_level,
            "variant": "google_apis_playstore",
            "arch": "x86_64",
            "device": "pixel_6",
        },
        "security": {"user": "shell"},
    }


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "x11-lite": {
        **_desktop(1280, 720, cpu=1, mem_gb=2, net=False, audio=True),
        "dockerfile": f"{SOURCES}/x11_lite/Dockerfile",
        "entrypoint": "/workspace/start_app.sh",
        "security": {"user": "root"},
    },
    "ubuntu-gnome": {
        **_desktop(1920, 1080, cpu=2, mem_gb=4, net=False, audio=True),
        "entrypoint": "/workspace/start_gnome.sh",
        "vnc": {"enable": True, "host_port": 5901, "view_only": True},
    },
    "ubuntu-gnome-systemd": _systemd("ubuntu_gnome_systemd", 1366, 768, audio=True),
    "ubuntu-gnome-systemd_highres": _systemd("ubuntu_gnome_systemd_highres", 1920, 1080),
    "ubuntu-gnome-systemd_highres_gimp": {
        **_systemd("ubuntu_gnome_systemd_highres_gimp", 1920, 1080),
        "security": {**_SYSTEMD, "runtime": "sysbox-runc"},
    },
    "windows-11": {
        **_desktop(1920, 1080, cpu=4, mem_gb=8),
        "os_type": "windows",
        "base_qcow2": "base_windows_11.qcow2",
        "vnc": {"enable": True, "host_port": -1},
        "ssh": {"user": "Docker", "shell": "powershell"},
        "security": {"user": "root", "privileged": True},
    },
    "android-14": {
        **_desktop(1920, 1080, cpu=4, mem_gb=4),
        "os_type": "android",
        "base_qcow2": "base_android_14.qcow2",
        "vnc": {"enable": True, "host_port": -1},
        "adb": {"host_port": -1, "guest_port": 5555, "timeout": 180},
        "security": {"user": "root", "privileged": True},
    },
    "android-avd-34": _phone(34),
    "android-avd-35": _phone(35),
    "macos": {
        **_desktop(1920, 1080, cpu=4, mem_gb=8),
        "os_type": "macos",
        "image": "base-macos",
        "ssh": {"user": "lume", "shell": "bash"},
        "security": {"user": "lume"},
    },
    "apptainer-xfce-gpu": {
        **_desktop(1920, 1080, cpu=4, mem_gb=8),
        "resources": {"cpu": 4, "mem_gb": 8, "gpu": 1, "net": True},
        "apptainer": {
            "definition": f"{SOURCES}/apptainer_xfce_gpu/apptainer.def",
            "contain": True,
            "writable_tmpfs": True,
            "enable_gpu": True,
            "env": {"DISPLAY": ":99", "HOME": "/home/ga", "USER": "ga"},
        },
        "step_cycle_ms": 200,
        "security": {"cap_drop": []},
    },
}
"""Preset id → what it puts under a file."""


def with_preset(raw: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Return an env file's content over the preset that its ``base`` names.

    Objects are merged key by key; lists and values of the file replace the preset's; null takes it away.

    Args:
        raw: The content of the file.
        where: What to call the file in an error.

    Raises:
        SpecInvalid: There is no such preset.
    """
    base = raw.get("base")
    if base is None:
        return dict(raw)
    preset = PRESETS.get(base) if isinstance(base, str) else None
    if preset is None:
        raise SpecInvalid(f"{where}: base: no preset {base!r}; the presets are {', '.join(PRESETS)}")
    return _merged(copy.deepcopy(dict(preset)), raw)


def _merged(under: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = {**under, **over}
    for key in under.keys() & over.keys():
        if isinstance(under[key], dict) and isinstance(over[key], Mapping):
            result[key] = _merged(under[key], over[key])
    return result
