"""Modes of a tree by four rules; files are worth as much as folders."""

from terminal_checks import pristine, verdict

RULES = {
    "folders have mode 750": "-type d ! -perm 750",
    ".sh files have mode 750": "-type f -name '*.sh' ! -perm 750",
    ".pem files have mode 600": "-type f -name '*.pem' ! -perm 600",
    "all other files have mode 640": "-type f ! -name '*.sh' ! -name '*.pem' ! -perm 640",
}


def verify(traj, env_info, task_info):
    run = env_info["exec_capture"]
    with pristine(env_info, "permissions") as home:
        expected = {str(path.relative_to(home)) for path in (home / "share").rglob("*")} | {"share"}
    names = set(run("find share").splitlines())
    goals = {text: run(f"find share {rule}").strip() == "" for text, rule in RULES.items()}
    return verdict(goals, {"no file was added or removed": names == expected})
