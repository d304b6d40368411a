"""Leases for work that is not about one row, such as the reconciler's turn."""

from django.db import models

from research_app.models.lease import Leased


class TaskLease(Leased):
    """One named piece of work that only one process does at a time."""

    name = models.CharField(max_length=60, unique=True)

    def __str__(self) -> str:
        return self.name
