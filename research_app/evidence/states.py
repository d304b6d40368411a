"""Closed sets that evidence keeps: names of states, which stay as they are stored."""

from typing import Literal

HealthState = Literal["healthy", "quarantined", "invalid"]
GuardStatus = Literal["within", "uncertain", "exceeded", "not comparable"]
