"""A merge commit of two known branches, whose conflict is settled as asked."""

import subprocess

from terminal_checks import pristine, verdict


def verify(traj, env_info, task_info):
    run = env_info["exec_capture"]
    with pristine(env_info, "merge_conflict") as home:
        main, feature = git(home, "rev-parse", "main", "feature").split()
        files = {
            name: git(home, "show", f"{branch}:{name}")
            for name, branch in (("README", "main"), ("NOTES", "feature"))
        }
        settings = git(home, "show", "main:settings.conf").splitlines()
        settings[2] = git(home, "show", "feature:settings.conf").splitlines()[2]
    parents = run("git -C project rev-list --parents -n 1 main").split()[1:]
    merged = run("git -C project show main:settings.conf")
    changes = run("git -C project status --porcelain --untracked-files=no")
    return verdict(
        {
            "main ends in a merge of main and feature": parents == [main, feature],
            "settings.conf on main has the timeout of main and the retries of feature": merged.splitlines()
            == settings,
            "README and NOTES are on main as they were": all(
                run(f"git -C project show main:{name}") == text for name, text in files.items()
            ),
        },
        {"nothing is left uncommitted": changes == ""},
    )


def git(home, *words):
    done = subprocess.run(
        ["git", "-C", str(home / "project"), *words], check=True, capture_output=True, text=True
    )
    return done.stdout
