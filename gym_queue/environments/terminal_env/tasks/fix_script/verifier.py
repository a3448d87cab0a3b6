"""A script that has to work on the file at hand and on one that the agent never saw."""

from pathlib import Path
from tempfile import TemporaryDirectory

from terminal_checks import pristine, verdict

UNSEEN = "id,region,amount\n7,north,41\n8,south,59\n9,east,1000\n"
UNSEEN_NAME = ".unseen orders  of June.csv"
LIMITED = "./report.sh '{name}' & pid=$!; (sleep 10; kill -9 $pid) >/dev/null 2>&1 & wait $pid"
"""Runs the agent's script, which may never end; `timeout` is not everywhere."""


def summary(text):
    amounts = [int(line.rsplit(",", 1)[1]) for line in text.splitlines()[1:]]
    return f"orders {len(amounts)} total {sum(amounts)}"


def verify(traj, env_info, task_info):
    run = env_info["exec_capture"]
    with pristine(env_info, "fix_script") as home:
        orders = (home / "orders of May.csv").read_text()
    with TemporaryDirectory() as folder:
        unseen = Path(folder, "unseen.csv")
        unseen.write_text(UNSEEN)
        env_info["copy_to_env"](str(unseen), UNSEEN_NAME)
    printed = run(LIMITED.format(name="orders of May.csv")).strip()
    printed_unseen = run(LIMITED.format(name=UNSEEN_NAME)).strip()
    run(f"rm -f '{UNSEEN_NAME}'")
    return verdict(
        {
            "report.sh prints the right line for 'orders of May.csv'": printed == summary(orders),
            "report.sh prints the right line for another file": printed_unseen == summary(UNSEEN),
        }
    )
