"""Two settings of one section changed, and nothing else."""

from configparser import ConfigParser, Error

from terminal_checks import pristine, read_file, verdict


def parse(text):
    parser = ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except Error:
        return {}
    return {name: dict(parser[name]) for name in parser.sections()}


def verify(traj, env_info, task_info):
    with pristine(env_info, "edit_config") as home:
        before = (home / "app/server.conf").read_text()
        port = (home / "app/new_port.txt").read_text().strip()
    text = read_file(env_info, "app/server.conf") or ""
    after = parse(text)
    server = after.get("server", {})
    expected = parse(before)
    expected["server"].update(port=port, debug="off")
    return verdict(
        {
            "the port of [server] is the one in new_port.txt": server.get("port") == port,
            "debug of [server] is off": server.get("debug") == "off",
        },
        {
            "the other settings are as they were": {
                **after,
                "server": {**server, "port": port, "debug": "off"},
            }
            == expected,
            "the comment is still there": before.splitlines()[0] in text.splitlines(),
        },
    )
