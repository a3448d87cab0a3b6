"""The number of a backup that a running service reports in its log, after a first attempt failed."""

from terminal_checks import answer, pristine, read_file, verdict


def verify(traj, env_info, task_info):
    with pristine(env_info, "follow_log") as home:
        number = (home / "truth").read_text().strip()
    return verdict(
        {
            "backup_id.txt holds the number of the backup that finished": answer(env_info, "backup_id.txt")
            == number
        },
        {
            "the service has finished the backup": f"backup {number} finished"
            in (read_file(env_info, "service/service.log") or "")
        },
    )
