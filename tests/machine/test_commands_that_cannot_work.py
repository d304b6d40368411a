"""A command says in one sentence what stands in its way: no database yet, a later version's, a bad home, a wrong variable."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from research_app.environment import BadEnvironment, Environment, allowed, facts_of, read
from research_app.home import CODE, home
from tests.installation import Installation

pytestmark = pytest.mark.slow
NEED_TABLES = [
    "audit verify",
    "audit head",
    "candidate show demo 1",
    "candidate submit --project demo --patch - --hypothesis why",
    "candidate retry demo 1",
    "loop --project demo --experiments 1",
    "person list",
    "person create lin",
    "person link lin",
    "project list",
    "project create demo",
    "project pause demo",
    "reconcile",
    "screenshots",
]
DJANGO = [
    "changepassword admin",
    "clearsessions",
    "dumpdata auth",
    "createsuperuser --noinput --username a --email a@b.example",
]
OTHERS = ["up", "doctor", "mcp"]


def said(installation: Installation, command: str, **environment: str) -> str:
    """What a command that fails says, on one or a few lines."""
    ended = installation.command(*command.split(), **environment)
    told = (ended.stderr + ended.stdout).strip()
    assert ended.returncode not in (0, None), f"{command}: {told}"
    assert "Traceback" not in told, told
    return told


@pytest.mark.one_in(3)
@pytest.mark.parametrize("command", NEED_TABLES)
def test_before_the_first_start_a_command_says_what_to_do(tmp_path: Path, command: str) -> None:
    told = said(Installation(tmp_path / "home"), command)
    assert (
        told == f"CommandError: Signoff was not started in {tmp_path}/home yet: there is no database. Start it first: make up"
    )
    assert not (tmp_path / "home" / "signoff.sqlite3").exists(), "asking makes no empty database"


@pytest.mark.parametrize("command", DJANGO)
def test_so_do_djangos_own(tmp_path: Path, command: str) -> None:
    told = said(Installation(tmp_path), command)
    assert ("no such table" if command == "dumpdata auth" else "Start it first: make up") in told


def test_the_doctor_says_it_too(tmp_path: Path) -> None:
    assert "there is none yet" in said(Installation(tmp_path), "doctor")


def test_an_agent_without_a_token_is_told_where_to_get_one(tmp_path: Path) -> None:
    assert "Set SIGNOFF_TOKEN" in said(Installation(tmp_path), "mcp")


@pytest.mark.one_in(3)
@pytest.mark.parametrize("command", [*NEED_TABLES, *OTHERS])
def test_a_home_that_cannot_be_made_is_named(tmp_path: Path, command: str) -> None:
    (tmp_path / "file").touch()
    told = said(Installation(tmp_path / "file" / "home"), command)
    assert told == f"{tmp_path}/file/home cannot be made: Not a directory. Set SIGNOFF_HOME to a folder of yours."


@pytest.mark.parametrize("command", ["person list", "up", "doctor", "project list", "mcp"])
def test_a_home_that_another_person_owns_is_named(tmp_path: Path, command: str) -> None:
    if os.getuid():
        pytest.skip("only root can be somebody else")
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder.name.startswith("pytest"):
            folder.chmod(0o755)
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    environment = {**Installation(home).environment, "PYTHONDONTWRITEBYTECODE": "1"}
    arguments = [sys.executable, str(CODE / "manage.py"), *command.split()]
    try:
        ended = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=60, **nobody)
    except PermissionError:
        pytest.skip("nobody may not read this Python or this code")
    if "can't open file" in ended.stderr or "No module named" in ended.stderr:
        pytest.skip("nobody may not read this Python or this code")
    assert ended.returncode == 1 and "Traceback" not in ended.stderr, ended.stderr
    assert f"{home} cannot be read and written by this user." in ended.stderr


@pytest.fixture(scope="module")
def set_up(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """A home with tables of this version."""
    installation = Installation(tmp_path_factory.mktemp("home"))
    installation.migrate()
    return installation


@pytest.fixture
def later(set_up: Installation, tmp_path: Path) -> Installation:
    """The same, written by a later version."""
    copy = tmp_path / "signoff.sqlite3"
    with sqlite3.connect(set_up.home / "signoff.sqlite3") as source, sqlite3.connect(copy) as target:
        source.backup(target)
        target.execute("insert into django_migrations (app, name, applied) values ('research_app', '0999_later', '2027-01-01')")
    return Installation(tmp_path)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("command", [*NEED_TABLES, "up"])
def test_a_database_of_a_later_version_is_left_alone(later: Installation, command: str) -> None:
    told = said(later, command)
    assert "was written by a later version of Signoff: its step 0999_later is not known here." in told
    assert "Use that version, or bring back the backup from before it." in told


def test_the_doctor_names_the_later_version(later: Installation) -> None:
    assert "0999_later is not known here" in said(later, "doctor")


@pytest.mark.parametrize("command", ["project list", "person list"])
def test_a_database_of_an_earlier_version_says_how_it_is_brought_up_to_date(
    set_up: Installation, tmp_path: Path, command: str
) -> None:
    copy = tmp_path / "signoff.sqlite3"
    with sqlite3.connect(set_up.home / "signoff.sqlite3") as source, sqlite3.connect(copy) as target:
        source.backup(target)
        newest = "select max(name) from django_migrations where app = 'research_app'"
        target.execute(f"delete from django_migrations where app = 'research_app' and name = ({newest})")
    told = said(Installation(tmp_path), command)
    assert "is of an earlier version, 1 step behind. Bring it up to date: manage.py migrate" in told


def test_a_broken_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "signoff.sqlite3").write_bytes(b"no database at all" * 1000)
    told = said(Installation(tmp_path), "project list")
    assert "cannot be used: file is not a database. Look at manage.py doctor." in told


def test_with_tables_and_without_a_broker_commands_work(set_up: Installation) -> None:
    assert set_up.command("person", "list").returncode == 0
    made = set_up.command("person", "create", "lin", "--role", "approver")
    assert made.returncode == 0, made.stderr
    assert "lin is an approver." in made.stdout
    assert "eve is a viewer." in set_up.command("person", "create", "eve").stdout
    assert "eve is an operator now." in set_up.command("person", "role", "eve", "operator").stdout


def test_a_home_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.R_OK)
    with pytest.raises(BadEnvironment, match=f"{tmp_path} cannot be read and written by this user. Give it to them, or set"):
        home()


def test_an_empty_key_and_an_unreadable_one_are_named(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("")
    assert f"{tmp_path}/secret_key is empty" in said(Installation(tmp_path), "project list")
    (tmp_path / "secret_key").unlink()
    (tmp_path / "secret_key").mkdir()
    assert f"{tmp_path}/secret_key cannot be read" in said(Installation(tmp_path), "project list")


WRONG = [
    ("PORT", "http", "PORT is 'http': give a whole number from 1 to 65,535"),
    ("PORT", "0", "PORT is '0': give a whole number"),
    ("PORT", "65536", "PORT is '65536': give a whole number"),
    ("PORT", "８０００", "PORT is '８０００': give a whole number"),
    ("SIGNOFF_PROXIES", "my-proxy", "SIGNOFF_PROXIES is 'my-proxy': write addresses or networks"),
    ("SIGNOFF_HOME", "~nobody-of-this-name/x", "Set SIGNOFF_HOME to a folder of yours."),
    ("SITE_URL", "signoff.example.org", "SITE_URL is 'signoff.example.org': write http:// or https://"),
    ("SITE_URL", "https://a.example/path", "SITE_URL is 'https://a.example/path': write http:// or https://"),
    ("SITE_URL", "http://a.example:port", "SITE_URL is 'http://a.example:port': write"),
    ("ALLOWED_HOSTS", "https://a.example", "ALLOWED_HOSTS is 'https://a.example': write host names without http://"),
    ("ALLOWED_HOSTS", "a b", "ALLOWED_HOSTS is 'a b': write host names"),
    (
        "DATABASE_URL",
        "mysql://me:secret@db/x",
        "DATABASE_URL is not what it may be: write an address that begins with postgresql://",
    ),
    ("DATABASE_URL", "postgresql://me:secret@db:port/x", "DATABASE_URL is not what it may be"),
    ("DATABASE_URL", "postgresql://me:secret@db", "DATABASE_URL is not what it may be: name a database or a file"),
    ("DATABASE_URL", "sqlite://:memory:", "DATABASE_URL is not what it may be"),
    ("DATABASE_URL", "nonsense", "DATABASE_URL is not what it may be"),
    ("REDIS_URL", "localhost:6379", "REDIS_URL is not what it may be: write an address that begins with redis://"),
    ("REDIS_URL", "http://me:secret@localhost:6379", "REDIS_URL is not what it may be"),
    ("LOG_LEVEL", "loud", "LOG_LEVEL is 'loud': write one of DEBUG, INFO, WARNING, ERROR, CRITICAL."),
    ("DEBUG", "maybe", "DEBUG is 'maybe': write DEBUG=1 to switch it on"),
    ("LEASE_SECONDS", "soon", "LEASE_SECONDS is 'soon': give a number of seconds from 1 to"),
    ("LEASE_SECONDS", "nan", "LEASE_SECONDS is 'nan': give a number of seconds"),
    ("LEASE_SECONDS", "-5", "LEASE_SECONDS is '-5': give a number of seconds"),
    ("SIGNOFF_RUNS_PER_GPU", "0", "SIGNOFF_RUNS_PER_GPU is '0': give a whole number from 1 to 16"),
    ("EMAIL_PORT", "smtp", "EMAIL_PORT is 'smtp': give a whole number from 1 to 65,535"),
    ("EMAIL_FROM", "Signoff", "EMAIL_FROM is 'Signoff': write an e-mail address"),
    ("EMAIL_USE_TLS", "starttls", "EMAIL_USE_TLS is 'starttls': write EMAIL_USE_TLS=1 to switch it on"),
    ("SIGNOFF_WEBHOOK_HOSTS", "http://hooks", "SIGNOFF_WEBHOOK_HOSTS is 'http://hooks': write host names"),
    ("SIGNOFF_API_READS", "many", "SIGNOFF_API_READS is 'many': give a whole number"),
    ("SIGNOFF_API_SUBMISSIONS", "0", "SIGNOFF_API_SUBMISSIONS is '0': give a whole number"),
    ("SIGNOFF_CHECKPOINTS", "ftp://a.example/x", "SIGNOFF_CHECKPOINTS is 'ftp://a.example/x': write an address"),
    ("SIGNOFF_CHECKPOINT_EVERY", "hourly", "SIGNOFF_CHECKPOINT_EVERY is 'hourly': give a number of seconds"),
]


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("name", "value", "sentence"), WRONG, ids=[f"{name}={value}" for name, value, _ in WRONG])
def test_a_wrong_variable_is_named_with_its_value_and_what_is_allowed(
    tmp_path: Path, name: str, value: str, sentence: str
) -> None:
    told = said(Installation(tmp_path), "check", **{name: value})
    assert sentence in told and len(told.splitlines()) == 1
    assert "secret" not in told


def test_variables_that_exclude_each_other_are_named(tmp_path: Path) -> None:
    told = said(Installation(tmp_path), "check", EMAIL_USE_TLS="1", EMAIL_USE_SSL="yes")
    assert told.startswith("EMAIL_USE_TLS and EMAIL_USE_SSL are both 1: they exclude each other")


def test_a_worker_on_another_host_says_it_too(tmp_path: Path) -> None:
    environment = {**Installation(tmp_path).environment, "PORT": "http"}
    worker = [sys.executable, "-m", "celery", "-A", "research_app", "worker", "-Q", "orchestrate", "-P", "solo"]
    web = [sys.executable, "-m", "research_app.door.serve", "--fd", "0"]
    for command in (worker, web):
        ended = subprocess.run(command, env=environment, cwd=CODE, capture_output=True, text=True, timeout=60)
        assert ended.returncode and "PORT is 'http'" in ended.stderr and "Traceback" not in ended.stderr, ended.stderr


def test_every_variable_that_the_code_reads_is_checked_here_or_needs_no_check() -> None:
    free = {name for name in Environment.model_fields if not allowed(name)}  # any text is good, or others say what is wrong
    elsewhere = {"SIGNOFF_DEVICE", "ANTHROPIC_BASE_URL", "EMAIL_USE_SSL"}  # test_devices_that_are_asked_for
    assert free >= {"SECRET_KEY", "SIGNOFF_HOME"}
    assert set(Environment.model_fields) - free - elsewhere == {name for name, _, _ in WRONG} - {"SIGNOFF_HOME"}


def test_several_wrong_variables_are_told_together(tmp_path: Path) -> None:
    told = said(Installation(tmp_path), "check", PORT="http", DEBUG="maybe", DATABASE_URL="mysql://me:secret@db/x")
    assert [line.partition(" is ")[0] for line in told.splitlines()] == ["PORT", "DATABASE_URL", "DEBUG"]
    assert "secret" not in told


@pytest.mark.parametrize("name", ["SITE_URL", "ANTHROPIC_BASE_URL", "SIGNOFF_CHECKPOINTS", "DATABASE_URL", "REDIS_URL"])
def test_a_password_in_an_address_is_not_repeated(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "ftp://me:pass/word@a.example/x y")
    with pytest.raises(BadEnvironment, match=f"^{name} is not what it may be: write ") as refusal:
        read()
    assert "pass" not in str(refusal.value)


def test_secrets_are_not_in_what_an_environment_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = [name for name, field in Environment.model_fields.items() if facts_of(field)["secret"]]
    assert len(secrets) >= 7
    for name in secrets:
        monkeypatch.setenv(name, "redis://me:dont-tell@a" if name == "REDIS_URL" else "postgresql://me:dont-tell@a/b")
    assert "dont-tell" not in repr(read()) + str(read())
