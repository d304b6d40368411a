"""Write the table of docs/reference/ends.md from the tests."""

import os

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "research_app.settings"
django.setup()

from tests.ends.table import DOCUMENT, written  # noqa: E402

DOCUMENT.write_text(written())
