"""A service that is asked for its notes, and whose process is looked at: others may answer at its port."""

import uuid

from vm_checks import FILES, LAST_COMMAND, inspect, properties, unchanged, verdict

ASK = """\
ask() { # METHOD [TEXT]: what the service answers, without its head
  exec 3<>/dev/tcp/127.0.0.1/8080 || return
  printf '%s / HTTP/1.0\\r\\nContent-Length: %d\\r\\n\\r\\n%s' "$1" ${#2} "$2" >&3
  timeout 5 sed '1,/^\\r*$/d' <&3
  exec 3>&-
}
for look in $(seq 60); do
  systemctl -q is-active notes || break
  (: <>/dev/tcp/127.0.0.1/8080) && break
  sleep 0.2
done
"""
LISTENS = """\
inode=$(awk '$2 == "0100007F:1F90" && $4 == "0A" {print $10}' /proc/net/tcp)
[ -n "$inode" ] && ls -l /proc/$main/fd | grep -c "socket:\\[$inode\\]"
"""
"""Whether the service itself has the port: 127.0.0.1:8080, listened at."""


def verify(traj, env_info, task_info):
    note = f"A note of the examiner: {uuid.uuid4().hex}"
    said = inspect(
        env_info,
        settle=LAST_COMMAND + ASK,
        unit="systemctl show notes -p ActiveState,UnitFileState,FragmentPath,NeedDaemonReload,MainPID",
        owner="main=$(systemctl show notes -p MainPID --value); stat -c %U /proc/$main",
        words="tr '\\0' ' ' </proc/$main/cmdline",
        listens=LISTENS,
        old="ask GET",
        post=f"ask POST '{note}'",
        new="ask GET",
        file="cat /var/lib/notes/notes.txt",
        modes="stat -c %a /var/lib/notes /var/lib/notes/notes.txt",
        program="sha256sum /opt/notes/bin/notes-server",
    )
    unit = properties(said["unit"])
    notes = (FILES / "notes.txt").read_text().splitlines()
    is_its_own = said["owner"] == "notes" and "/opt/notes/bin/notes-server" in said["words"].split()
    answers = said["listens"] == "1"
    enabled = unit.get("UnitFileState") == "enabled" and unit.get("NeedDaemonReload") == "no"
    return verdict(
        {
            "notes.service is active and runs its program as the user notes": unit.get("ActiveState")
            == "active"
            and is_its_own,
            "it lists the notes it had at port 8080": answers and set(notes) <= set(said["old"].splitlines()),
            "it keeps a new note": answers and note in said["new"] and note in said["file"].splitlines(),
            "it starts at boot, by the unit as it is on disk": enabled
            and unit.get("FragmentPath", "").startswith(("/etc/", "/lib/", "/usr/")),
        },
        {
            "its notes are all there": set(notes) <= set(said["file"].splitlines()),
            "nobody else may read them": closed(said["modes"]),
            "its program is the same": unchanged(said["program"], "notes-server"),
        },
    )


def closed(modes):
    """Whether others can neither read nor change the notes, for the folder's mode or the file's."""
    folder, file = (int(mode, 8) for mode in [*modes.split(), "777", "777"][:2])
    return folder & 0o7 == 0 or (file & 0o7 == 0 and folder & 0o2 == 0)
