"""Text replaced in some files of a tree; the others are byte for byte as before."""

from terminal_checks import pristine, read_bytes, verdict

OLD, NEW = b"http://old.example.com", b"https://www.example.org"


def verify(traj, env_info, task_info):
    with pristine(env_info, "find_replace") as home:
        before = {
            path.relative_to(home): path.read_bytes() for path in (home / "site").rglob("*") if path.is_file()
        }
    after = {path: read_bytes(env_info, str(path)) for path in before}
    chosen = {path for path in before if path.suffix in (".html", ".css") and "vendor" not in path.parts}
    goals = {
        f"{path} has the new address": after[path] == before[path].replace(OLD, NEW)
        for path in sorted(chosen)
    }
    names = set(env_info["exec_capture"]("find site -type f").splitlines())
    return verdict(
        goals,
        {
            "files that were not meant are as they were": all(
                after[path] == before[path] for path in before.keys() - chosen
            ),
            "no file was added or removed": names == {str(path) for path in before},
        },
    )
