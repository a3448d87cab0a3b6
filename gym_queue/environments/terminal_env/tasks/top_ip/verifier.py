"""The address with the most requests that were answered with 404, and how many they were."""

from collections import Counter

from terminal_checks import answer, pristine, verdict


def verify(traj, env_info, task_info):
    with pristine(env_info, "top_ip") as home:
        rows = [line.split() for line in (home / "access.log").read_text().splitlines()]
    address, count = Counter(row[0] for row in rows if row[8] == "404").most_common(1)[0]
    words = answer(env_info, "top.txt").split()
    return verdict(
        {
            "top.txt names the right address": words[:1] == [address],
            "the right count follows, and nothing else": words[1:] == [str(count)],
        }
    )
