"""NOTICE.md names everything that an installation brings along."""

import re

from research_app.home import CODE


def test_every_pinned_package_stands_in_the_notices_with_its_licence() -> None:
    pinned = re.findall(r"^([A-Za-z0-9_.-]+)(?:\[.*?\])?==", (CODE / "requirements.txt").read_text(), re.MULTILINE)
    listed = dict(re.findall(r"^\| (\S+) \| (.*) \|$", (CODE / "NOTICE.md").read_text(), re.MULTILINE))
    assert len(pinned) > 60
    assert [name for name in pinned if not listed.get(name)] == []
    assert sorted(set(listed) - {*pinned, "package"}) == []
