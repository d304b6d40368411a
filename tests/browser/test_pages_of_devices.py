"""Pages of devices, trials and settings: nothing is wider than the window, from a telephone to a desk, in both themes."""

import os
from pathlib import Path

import pytest

from research_app.models import Device, Trial
from tests.browser.conftest import SignIn
from tests.everything import make_everything
from tests.factories import make_user

pytestmark = pytest.mark.django_db(transaction=True)
WIDTHS = (1440, 1024, 390)


def addresses() -> dict[str, str]:
    project = make_everything()
    Trial.objects.update(device_seconds=123.4)
    Device.objects.update(refusal="")
    trials = {f"trial-{each.state}": f"/new-project/{each.pk}/" for each in Trial.objects.order_by("pk")}
    own = {"settings": f"/projects/{project.slug}/settings/", "project": f"/projects/{project.slug}/"}
    return {"fleet": "/fleet/", "new-project": "/new-project/", **own, **trials}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_window(sign_in: SignIn, scheme: str) -> None:
    pages, grace = addresses(), make_user("zoe", role="operator")
    pictures = os.environ.get("PICTURES")
    for width in WIDTHS:
        window = sign_in(grace, viewport={"width": width, "height": 900}, color_scheme=scheme)
        for name, address in pages.items():
            window.goto(address)
            window.wait_for_load_state("load")
            if pictures:
                window.screenshot(path=Path(pictures) / f"{name}-{width}-{scheme}.png", full_page=True)
            assert window.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
