"""A table cleaned by five rules."""

from terminal_checks import pristine, read_file, verdict


def clean(text):
    header, *lines = text.splitlines()
    rows = [[field.strip() for field in line.split(",")] for line in lines if line.strip()]
    kept = {}
    for number, name, email, city in rows:
        if email:
            kept.setdefault(email.lower(), (number, name, email.lower(), city))
    return [header, *(",".join(row) for row in sorted(kept.values(), key=lambda row: int(row[0])))]


def verify(traj, env_info, task_info):
    with pristine(env_info, "clean_csv") as home:
        expected = clean((home / "people.csv").read_bytes().decode().replace("\r\n", "\n"))
    text = read_file(env_info, "clean.csv") or ""
    lines = text.split("\n")
    rows = [line for line in lines if line]
    return verdict(
        {
            "clean.csv starts with the header": rows[:1] == expected[:1],
            "it has the right rows": sorted(rows[1:]) == sorted(expected[1:]),
            "they are sorted by id": len(rows) > 1 and rows == expected,
        },
        {"it has no blank line": "" not in lines[:-1], "it has no carriage return": "\r" not in text},
    )
