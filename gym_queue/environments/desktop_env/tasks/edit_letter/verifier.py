"""A word replaced everywhere, saved under another name."""

from desktop_checks import FILES, read_text, verdict


def verify(traj, env_info, task_info):
    before = (FILES / "letter.txt").read_text()
    final = read_text(env_info, "Documents/letter_final.txt")
    moved = before.replace("Tuesday", "Thursday")
    is_there = final is not None
    return verdict(
        {
            "there is a letter_final.txt": is_there,
            "Thursday stands wherever Tuesday stood": is_there and final.rstrip() == moved.rstrip(),
        },
        {"letter.txt is as it was": read_text(env_info, "Documents/letter.txt") == before},
    )
