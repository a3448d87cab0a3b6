"""A setting as the kernel has it now, and as it comes out when the boot's own service has run again."""

from vm_checks import LAST_COMMAND, inspect, verdict

WANTED = "524288"
KEPT = {"vm/swappiness": "10", "net/core/somaxconn": "1024"}
SHOW = "cat /proc/sys/fs/inotify/max_user_watches"


def verify(traj, env_info, task_info):
    said = inspect(
        env_info,
        settle=LAST_COMMAND,
        now=f"now=$({SHOW}); echo $now",
        boot="sysctl -qw fs.inotify.max_user_watches=8000 vm.swappiness=60 net.core.somaxconn=4096\n"
        f"systemctl restart systemd-sysctl && {SHOW}",
        kept=f"cd /proc/sys && cat {' '.join(KEPT)}",
        back="sysctl -qw fs.inotify.max_user_watches=$now",
    )
    return verdict(
        {
            f"fs.inotify.max_user_watches is {WANTED} now": said["now"] == WANTED,
            f"it is {WANTED} after a boot": said["boot"] == WANTED,
        },
        {"the other settings hold after a boot": said["kept"].split() == list(KEPT.values())},
    )
