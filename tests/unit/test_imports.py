"""What programs load: master and workers hold no library that only environments and agents use."""

from __future__ import annotations

import subprocess
import sys


def test_servers_and_clients_load_no_library_of_pictures():
    code = """
        import sys
        import gym_queue.cli.master, gym_queue.cli.worker, gym_queue.client
        print(sorted({"numpy", "PIL", "av", "docker"} & set(sys.modules)))
    """.replace("        ", "")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
