"""The largest file of a tree, hidden folders included."""

from terminal_checks import answer, pristine, verdict


def verify(traj, env_info, task_info):
    with pristine(env_info, "largest_file") as home:
        files = [path for path in (home / "files").rglob("*") if path.is_file()]
        largest = max(files, key=lambda path: path.stat().st_size).relative_to(home)
    found = answer(env_info, "largest.txt").removeprefix("./")
    return verdict({"largest.txt names the largest file, from the home folder on": found == str(largest)})
