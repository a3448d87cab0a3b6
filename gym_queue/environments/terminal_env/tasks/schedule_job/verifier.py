"""A crontab read as cron reads it: any spelling of the same times is right."""

import re

from terminal_checks import pristine, read_file, verdict

DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def number(word):
    return DAYS.index(word) if word in DAYS else int(word)


def values(field, low, high):
    """Return the numbers a crontab field means: ``*``, ``5``, ``mon-fri``, ``*/15`` and lists of them."""
    found = set()
    for part in field.lower().split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            start, end = low, high
        else:
            start = number(first)
            end = number(last) if dash else high if step else start
        if not low <= start <= end <= high:
            raise ValueError(part)
        found.update(range(start, end + 1, int(step or 1)))
    return {0 if high == 7 and value == 7 else value for value in found}


def jobs(text):
    """Return (times, command) of each job; times is None where a field is wrong."""
    found = []
    for line in text.splitlines():
        words = line.split(None, 5)
        if len(words) < 6 or words[0].startswith("#"):
            continue
        try:
            times = [values(word, *limits) for word, limits in zip(words, FIELDS, strict=False)]
        except ValueError:
            times = None
        found.append((times, words[5].strip()))
    return found


def runs(found, script):
    return [times for times, command in found if command.removeprefix("$HOME/").endswith(f"bin/{script}.sh")]


def verify(traj, env_info, task_info):
    with pristine(env_info, "schedule_job") as home:
        hour, minute = map(int, re.findall(r"(\d\d):(\d\d)", (home / "request.txt").read_text())[0])
        before = (home / "crontab.txt").read_text()
    text = read_file(env_info, "crontab.txt") or ""
    found = jobs(text)
    wanted = [{minute}, {hour}, set(range(1, 32)), set(range(1, 13)), {1, 2, 3, 4, 5}]
    return verdict(
        {
            "bin/backup.sh is scheduled once, as asked": runs(found, "backup") == [wanted],
            "bin/report.sh is no longer scheduled": text != "" and runs(found, "report") == [],
        },
        {
            "bin/rotate.sh runs as before": runs(found, "rotate") == runs(jobs(before), "rotate"),
            "SHELL is set as before": "SHELL=/bin/sh" in text.splitlines(),
        },
    )
