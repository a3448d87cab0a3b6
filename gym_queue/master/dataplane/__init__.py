"""The byte proxy: environments' calls go to their worker as bytes, all else to the ASGI app behind it."""
