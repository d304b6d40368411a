"""What the formats share: records as flat rows, and what stands beside them."""

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

from django.utils import timezone

from research_app.histories.records import CandidateRecord, Export, RunRecord
from research_app.strict_json import strict
from research_app.version import VERSION


def row_of(record: CandidateRecord | RunRecord) -> dict[str, Any]:
    """A record by its columns, in their order."""
    return {each.name: getattr(record, each.name) for each in fields(record)}


def plain(value: Any) -> Any:
    """A value as strict JSON has it: times as ISO 8601, numbers that are not finite as null."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return strict(value)


def write_about(export: Export, folder: Path) -> None:
    """about.json: what was exported, by which version, in which unit, and what is left out."""
    project = export.project
    metric = project.file.metric
    versions = project.baseline_versions.order_by("number").values("number", "commit", "created_at")
    about = {
        "project": project.slug,
        "metric": {"name": metric.name, "key": metric.key, "direction": metric.direction, "source": metric.source},
        "effects": "in the metric's unit, positive where the candidate is better; null where health hides it",
        "left_out": "scores on the hidden shard, votes, findings, and whether an undecided candidate is an A/A candidate",
        "policy_version": project.policy_version,
        "baselines": [plain(row) for row in versions],
        "exported_at": plain(timezone.now()),
        "signoff": VERSION,
    }
    (folder / "about.json").write_text(json.dumps(about, indent=2, allow_nan=False) + "\n", encoding="utf-8")
