"""A cron file read as cron reads it, and its job run as cron runs it: a minute is long to wait for."""

import re
import shlex

from vm_checks import LAST_COMMAND, inspect, unchanged, verdict

FILE = "/etc/cron.d/report"
PROGRAM = "/usr/local/bin/stock-report"
ANY = ("*", "*/1")
MINUTES = (*ANY, "0-59", "0-59/1")
VARIABLE = re.compile(r"\s*(\w+)\s*=\s*(.*?)\s*")
AS_BEFORE = """\
reports reports 750 /srv/reports
root root 755 /srv/stock
root reports 640 /srv/stock/stock.csv
reports
nogroup"""


def jobs(text):
    """Return (times, user, command, variables) of each job of a file in /etc/cron.d."""
    found, variables = [], {}
    for line in text.splitlines():
        count = 1 if line.lstrip().startswith("@") else 5
        words = line.split(None, count + 1)
        if line.lstrip().startswith("#"):
            continue
        if assigned := VARIABLE.fullmatch(line):
            variables[assigned[1]] = assigned[2].strip("\"'")
        elif len(words) == count + 2:
            found.append((words[:count], words[count], words[-1].strip(), dict(variables)))
    return found


def is_accepted(owner, end):
    """Whether cron takes the file: root's own, a file, written by root alone, its last line ended."""
    kind, _, mode = owner.rpartition(" ")
    return kind == "root regular file" and int(mode, 8) & 0o22 == 0 and end == "\\n"


def is_every_minute(times):
    return len(times) == 5 and times[0] in MINUTES and all(each in ANY for each in times[1:])


def as_cron(job):
    """Return a command that runs a job as cron does: as its user, with few variables, by its shell."""
    _, user, command, variables = job
    shown = {"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "LOGNAME": user, "HOME": "/", **variables}
    words = ["runuser", "-u", user, "--", "env", "-i", *(f"{name}={value}" for name, value in shown.items())]
    return shlex.join([*words, shown["SHELL"], "-c", command])


def run(env_info, job):
    """Run the job; return whether it wrote the report anew, as its user."""
    said = inspect(
        env_info,
        start="date '+%F %T'",
        run=f"timeout 20 {as_cron(job)}",
        report="stat -c %U /srv/reports/stock.txt; cat /srv/reports/stock.txt",
    )
    written = re.fullmatch(r"(\w+)\nstock of (.{19}): 353 pieces, counted by (\w+)", said["report"])
    return written is not None and written[2] >= said["start"] and {written[1], written[3]} == {job[1]}


def verify(traj, env_info, task_info):
    said = inspect(
        env_info,
        settle=LAST_COMMAND,
        text=f"cat {FILE}",
        owner=f"stat -c '%U %F %a' {FILE}",
        end=f"tail -c 1 {FILE} | od -An -c",
        files=f"grep -rsl {PROGRAM} /etc/crontab /etc/cron.* /var/spool/cron/crontabs",
        cron="systemctl is-active cron; systemctl is-enabled cron",
        rights="stat -c '%U %G %a %n' /srv/reports /srv/stock /srv/stock/stock.csv; id -nG reports; id -nG nobody",
        program=f"sha256sum {PROGRAM} /srv/stock/stock.csv",
    )
    mine = [job for job in jobs(said["text"]) if PROGRAM in job[2].split()]
    accepted = is_accepted(said["owner"], said["end"])
    is_right = accepted and len(mine) == 1 and mine[0][1] == "reports"
    return verdict(
        {
            "cron accepts /etc/cron.d/report": accepted,
            "it runs the program as reports": is_right,
            "it runs it every minute, and the report is written": is_right
            and is_every_minute(mine[0][0])
            and run(env_info, mine[0]),
        },
        {
            "cron runs, and starts at boot": said["cron"].split() == ["active", "enabled"],
            "no other crontab runs the program": said["files"] in ("", FILE),
            "owners, permissions and groups are as before": said["rights"] == AS_BEFORE,
            "program and stock are the same": unchanged(said["program"], "stock-report", "stock.csv"),
        },
    )
