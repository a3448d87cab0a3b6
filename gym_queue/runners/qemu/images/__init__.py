"""Disk images that virtual machines start from: a recipe builds them, or somebody imports them."""
