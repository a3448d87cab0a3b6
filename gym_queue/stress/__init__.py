"""Load on a fleet: null environments through a real master and real workers."""
