"""The program inside a Linux guest: runs as root on its Python (3.7 or later), carried in as one file by ``install``.

The host talks to it over one virtio-serial port. Nothing but the standard library, and imports relative: the same
modules lie in a zip file there.
"""
