"""A disk with room, what must stay on it, and two services: one that writes again, one that wastes no more."""

from vm_checks import LAST_COMMAND, inspect, number, properties, sha256, unchanged, verdict

DAYS = [f"2024-05-0{day}" for day in range(1, 4)]
MIB = 1 << 20
GROWS = """\
before=$(stat -c %s /srv/data/readings/today.csv)
for look in $(seq 40); do
  systemctl -q is-active recorder || break
  [ "$(stat -c %s /srv/data/readings/today.csv)" -gt "$before" ] && echo yes && break
  sleep 0.2
done
"""


def repeated(line, size):
    """Return what the setup wrote: a line again and again, cut at a size."""
    whole = f"{line}\n".encode()
    return (whole * (size // len(whole) + 1))[:size]


def kept_files():
    """Return the digests of the files that must stay, by their path below the disk."""
    readings = {f"readings/{day}.csv": repeated(f"{day} 12:00:00, 21.5 degrees", 200000) for day in DAYS}
    photos = {f"photos/{day}.raw": repeated(f"a pixel of the photo of {day}", 2000000) for day in DAYS}
    today = {"-": repeated("2024-05-07 11:59:59, 20.0 degree", 4096)}
    return {path: sha256(content) for path, content in {**readings, **photos, **today}.items()}


def verify(traj, env_info, task_info):
    said = inspect(
        env_info,
        settle=LAST_COMMAND,
        grows=GROWS,
        recorder="systemctl show recorder -p ActiveState,UnitFileState,MainPID",
        indexer="systemctl show indexer -p ActiveState,UnitFileState,MainPID",
        traced="main=$(systemctl show indexer -p MainPID --value); ls -l /proc/$main/fd | grep -c /srv/data/",
        trace="(trace=no; . /etc/indexer.conf; echo $trace)",
        room="findmnt -nbo SIZE,AVAIL --mountpoint /srv/data -t ext4",
        source="losetup -nO BACK-FILE $(findmnt -no SOURCE --mountpoint /srv/data)",
        files="cd /srv/data && sha256sum photos/* readings/2024*; head -c 4096 readings/today.csv | sha256sum",
        programs="sha256sum /usr/local/bin/recorder /usr/local/bin/indexer",
    )
    recorder, indexer = properties(said["recorder"]), properties(said["indexer"])
    size, free = (number(each) for each in [*said["room"].split(), "-1", "-1"][:2])
    found = {path: digest for digest, path in (line.split(None, 1) for line in said["files"].splitlines())}
    is_quiet = said["trace"] != "yes" and said["traced"] == "0"
    return verdict(
        {
            "16 MB are free on /srv/data": free >= 16 * MIB,
            "the recorder is active and writes readings": recorder.get("ActiveState") == "active"
            and said["grows"] == "yes",
            "the indexer is active and traces no more": indexer.get("ActiveState") == "active" and is_quiet,
        },
        {
            "photos and readings are all as they were": found == kept_files(),
            "the disk is the same one of 32 MB": 0 < size <= 32 * MIB
            and said["source"] == "/var/lib/station.img",
            "both services start at boot": recorder.get("UnitFileState") == "enabled"
            and indexer.get("UnitFileState") == "enabled",
            "their programs are the same": unchanged(said["programs"], "recorder", "indexer"),
        },
    )
