"""Says what runners this host can run, by trying, and what would make the others run."""

from gym_queue.worker.doctor.diagnose import diagnose
from gym_queue.worker.doctor.preflight import Usable, preflight
from gym_queue.worker.doctor.render import render
from gym_queue.worker.doctor.report import Finding, HostReport, KvmReport, KvmState, RunnerReport

__all__ = [
    "Finding",
    "HostReport",
    "KvmReport",
    "KvmState",
    "RunnerReport",
    "Usable",
    "diagnose",
    "preflight",
    "render",
]
