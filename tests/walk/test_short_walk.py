"""The short walk: in about a minute the loop takes candidates through most stages, and every page stays open meanwhile.

`make walk` walks the whole way.
"""

from pathlib import Path

import pytest

from research_app.home import CODE
from research_app.models import Stage
from tests.walk.report import printed, summary
from tests.walk.stages import ENDS
from tests.walk.stories import STORIES
from tests.walk.walk import Plan, Walk


def test_every_stage_is_an_end_that_some_story_reaches() -> None:
    told = {end for story in STORIES for end in story.reaches}
    assert {stage.value.replace("_", " ") for stage in Stage} - set(ENDS) == set()
    assert told - set(ENDS) == set()


@pytest.mark.slow
def test_every_page_opens_while_the_loop_works(tmp_path: Path) -> None:
    walk = Walk(CODE, tmp_path, Plan(short=True, calm=15))
    walk.run()
    if walk.faults:
        pytest.fail(printed(walk, summary(walk)), pytrace=False)
    assert all(walk.covered(end) for end in walk.plan.ends)
    assert len(walk.crawl.cells) > 300
