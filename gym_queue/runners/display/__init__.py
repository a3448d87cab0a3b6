"""The fast path to an X11 desktop: input by XTEST, pixels by shared memory, over the server's unix socket."""

from gym_queue.runners.display.x11 import X11Display

__all__ = ["X11Display"]
