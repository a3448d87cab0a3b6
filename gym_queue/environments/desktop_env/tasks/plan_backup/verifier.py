"""A plan as a dialog wrote it down."""

from desktop_checks import read_text, verdict


def verify(traj, env_info, task_info):
    lines = (read_text(env_info, ".backup.conf") or "").splitlines()
    plan = dict(line.split("=", 1) for line in lines if "=" in line)
    return verdict(
        {
            "the folders are Documents and Pictures": plan.get("folders", "").split()
            == ["Documents", "Pictures"],
            "it runs every week": plan.get("rhythm") == "weekly",
            "it goes to nas.home": plan.get("target") == "nas.home",
        }
    )
