"""What tests of a cluster, of a client or of a runner need; ``testing.conformance`` needs pytest."""

from gym_queue.testing.fleet import Fleet, FleetSetup, Program

__all__ = ["Fleet", "FleetSetup", "Program"]
