"""What images this package can build itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gym_queue.errors import RequestInvalid


@dataclass(frozen=True, slots=True)
class Recipe:
    """A system made of a distribution's packages alone, and what is changed in it."""

    name: str
    suite: str
    """The distribution's release."""
    folder: Path
    """Holds packages.txt, dpkg.cfg, files, configure.sh and init.sh."""
    virtual_bytes: int
    """Size of the disk that the guest sees."""
    append: str
    """The kernel's options."""
    user: str
    display: str

    @property
    def packages(self) -> list[str]:
        """Those that are asked for; what they need comes with them."""
        return (self.folder / "packages.txt").read_text().split()


DEBIAN_X11 = Recipe(
    name="debian-x11",
    suite="bookworm",
    folder=Path(__file__).parent / "recipes" / "debian_x11",
    virtual_bytes=8 << 30,
    append=(
        "root=/dev/vda rw quiet loglevel=3 net.ifnames=0 consoleblank=0 systemd.show_status=0 "
        # what an emulated processor pays for and a disposable machine has no use of
        "mitigations=off nowatchdog audit=0 apparmor=0 selinux=0 random.trust_cpu=on rcupdate.rcu_expedited=1 "
        "cryptomgr.notests no_timer_check 8250.nr_uarts=1"
    ),
    user="ga",
    display=":0",
)
RECIPES: Mapping[str, Recipe] = {DEBIAN_X11.name: DEBIAN_X11}


def find_recipe(name: str) -> Recipe:
    """Return a recipe.

    Raises:
        RequestInvalid: There is none of this name.
    """
    if name not in RECIPES:
        raise RequestInvalid(
            f"there is no recipe {name[:80]!r}, only {', '.join(RECIPES)}: other images are imported, "
            "by gym-anything image import FILE.qcow2 --name NAME"
        )
    return RECIPES[name]
