"""The fast path to an X11 desktop: input by XTEST, pixels by shared memory, over the server's unix socket."""
