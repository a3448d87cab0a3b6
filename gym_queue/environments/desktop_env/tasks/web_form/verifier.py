"""A form filled in and sent, as the page's own server got it."""

import json

from desktop_checks import read_text, verdict


def verify(traj, env_info, task_info):
    lines = (read_text(env_info, ".signups.jsonl") or "").splitlines()
    sent = json.loads(lines[-1]) if lines else {}
    return verdict(
        {
            "the name and the address are Amara's": sent.get("name", "").strip() == "Amara Okafor"
            and sent.get("email", "").strip() == "amara@example.org",
            "the course is the one on keeping bees": sent.get("course") == "bees",
            "a vegetarian lunch was asked for": sent.get("lunch") == "yes",
            "no newsletter was asked for": bool(sent) and "newsletter" not in sent,
        },
        {"the form was sent once": len(lines) == 1} if lines else None,
    )
