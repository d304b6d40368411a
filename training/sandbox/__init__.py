"""Runs untrusted code where it can reach nothing but its own folder; see docs/explanation/sandbox.md."""

from training.sandbox.confinement import Confinement, Level, confined
from training.sandbox.probe import NoSandbox, ProbeResult, best_level, level_for, probe

__all__ = ["Confinement", "Level", "NoSandbox", "ProbeResult", "best_level", "confined", "level_for", "probe"]
