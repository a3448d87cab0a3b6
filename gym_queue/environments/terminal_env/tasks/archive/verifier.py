"""An archive of some files of a folder, and its checksum."""

import hashlib
import io
import tarfile

from terminal_checks import pristine, read_bytes, read_file, verdict


def contents(data):
    """Return the archive's files by name; None when it is no gzipped tar."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            files = [member for member in archive if member.isfile()]
            return {member.name.removeprefix("./"): archive.extractfile(member).read() for member in files}
    except (tarfile.TarError, OSError, EOFError):
        return None


def verify(traj, env_info, task_info):
    with pristine(env_info, "archive") as home:
        paths = [path for path in (home / "photos").rglob("*") if path.is_file()]
        pictures = {str(path.relative_to(home)): path.read_bytes() for path in paths if path.suffix != ".tmp"}
        everything = {str(path.relative_to(home)) for path in paths}
    data = read_bytes(env_info, "photos.tar.gz") or b""
    checksum = (read_file(env_info, "photos.tar.gz.sha256") or "").split()
    names = env_info["exec_capture"]("find photos -type f").splitlines()
    return verdict(
        {
            "photos.tar.gz holds the pictures and nothing else": contents(data) == pictures,
            "photos.tar.gz.sha256 holds its checksum and its name": checksum
            in ([hashlib.sha256(data).hexdigest(), mark + "photos.tar.gz"] for mark in ("", "*")),
        },
        {"the folder photos is as it was": set(names) == everything},
    )
