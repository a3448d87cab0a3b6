"""Faults on a fleet of this machine's: what its clients notice of them, against what they may."""
