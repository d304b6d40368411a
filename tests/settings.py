"""Settings of the tests: a home of their own, made before anything reads it."""

import os
import shutil
import tempfile

# Processes that tests start share the home; only its maker removes it. Test processes side by side have one each.
OWNER = "TEST_HOME_OF_" + os.environ.get("PYTEST_XDIST_WORKER", "ALL")

if OWNER not in os.environ:
    os.environ["SIGNOFF_HOME"] = tempfile.mkdtemp(prefix="signoff-test-")
    os.environ[OWNER] = str(os.getpid())

from research_app.settings import *  # noqa: E402, F403
from research_app.settings import DATABASES, HOME, STORAGES  # noqa: E402

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, as in use: threads and processes of a test meet in it, which they cannot in memory.
    DATABASES["default"]["TEST"] = {"NAME": str(HOME / "test.sqlite3")}
    # What tests kill are processes, never the machine: a commit need not have reached the disk.
    DATABASES["default"]["OPTIONS"]["init_command"] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"
(HOME / "static").mkdir(exist_ok=True)  # where whitenoise looks
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}  # no collecting first
MEDIA_URL = "/no-media/"  # otherwise the live server of the tests serves files of the checkout under any address
CHECKPOINTS = "off"  # the home outlives the database of each test
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # tests sign in often


def for_tests_of_its_own() -> dict[str, str]:
    """The environment for a run of pytest that a test starts: it makes a home of its own, and takes nobody's database away."""
    ours = ("SIGNOFF_HOME", "PYTEST_", "SIGNOFF_TEST_HOME_OF_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def remove_home() -> None:
    """Remove the home at the end of the tests."""
    if os.environ.get(OWNER) == str(os.getpid()):
        shutil.rmtree(HOME, ignore_errors=True)
