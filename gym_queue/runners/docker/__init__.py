"""The ``docker`` runner: a container each, its screen over the X socket that it shares with the worker."""
