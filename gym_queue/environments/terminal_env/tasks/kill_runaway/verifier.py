"""One of three background jobs stopped for good. A job lives as long as its log grows."""

import time

from terminal_checks import pristine, verdict

NAMES = {"billing", "mailing", "indexing"}
LIMIT_S = 5.0
GROWTH_LINES = 4


def lengths(env_info):
    output = env_info["exec_capture"](
        "for n in billing mailing indexing; do echo $n $(wc -l <jobs/$n.log); done"
    )
    pairs = [line.split() for line in output.splitlines()]
    return {
        pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[0] in NAMES and pair[1].isdigit()
    }


def growth(env_info, names):
    """Watch until all of ``names`` have logged some lines, or time is up; return how all logs grew."""
    start, deadline = lengths(env_info), time.monotonic() + LIMIT_S
    while True:
        now = lengths(env_info)
        grown = {name: now.get(name, 0) - start.get(name, 0) for name in NAMES}
        is_clear = all(grown[name] >= GROWTH_LINES for name in names) or not names <= now.keys()
        if is_clear or time.monotonic() > deadline:
            return grown
        time.sleep(0.1)


def verify(traj, env_info, task_info):
    with pristine(env_info, "kill_runaway") as home:
        runaway = (home / "truth").read_text().strip()
    others = NAMES - {runaway}
    grown = growth(env_info, others)
    return verdict(
        {f"the job {runaway} has stopped": grown[runaway] == 0},
        {f"the job {name} still runs": grown[name] >= GROWTH_LINES for name in sorted(others)},
    )
