"""Checkpoints: signed heads outside the database, on a schedule, to a file or an address; and an audit beside running work."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from pytest_django.fixtures import Settings

from research_app.audit import checkpoints
from research_app.audit.checkpoints import Checkpoint, NotExported, export, export_due, local_file
from research_app.audit.keys import BadKey
from research_app.audit.report import Kind
from research_app.audit.verify import verify
from research_app.loop.reconcile import reconcile
from research_app.models import Event, TaskLease
from research_app.models.event_kinds import EventKind

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


@pytest.fixture(autouse=True)
def place(settings: Settings, tmp_path: Path) -> Path:
    """A file and a key of this test's own."""
    settings.CHECKPOINTS = str(tmp_path / "elsewhere" / "checkpoints.jsonl")
    settings.CHECKPOINT_KEY = str(tmp_path / "key.pem")
    settings.HOME = tmp_path
    (tmp_path / "key.pem").write_bytes(pem(Ed25519PrivateKey.generate()))
    return tmp_path / "elsewhere" / "checkpoints.jsonl"


def pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def happen(times: int = 1) -> None:
    row, _ = TaskLease.objects.get_or_create(name="of this test")
    for _ in range(times):
        with transaction.atomic():
            Event.objects.record(EventKind.TRIED, row, "a test", None)


def lines(place: Path) -> list[Checkpoint]:
    return [Checkpoint.parse(line) for line in place.read_text().splitlines()] if place.exists() else []


def test_the_reconciler_exports_one_when_the_last_is_old_enough_and_something_happened(settings: Settings, place: Path) -> None:
    happen()
    reconcile()
    reconcile()
    assert [each.sequence for each in lines(place)] == [2], "the first event of this test, and that about the key"
    settings.CHECKPOINT_EVERY = 0
    reconcile()
    assert len(lines(place)) == 1, "nothing happened since"
    happen()
    reconcile()
    first, second = lines(place)
    assert (second.sequence, second.hash) == (3, Event.objects.head())
    assert second.previous == checkpoints.line_hash(first)
    assert verify().whole


def test_the_log_says_once_which_key_signs(place: Path, tmp_path: Path) -> None:
    happen()
    export()
    happen()
    export()
    assert Event.objects.filter(kind="checkpoint key made").count() == 1
    (tmp_path / "key.pem").write_bytes(pem(Ed25519PrivateKey.generate()))
    happen()
    export()
    assert Event.objects.filter(kind="checkpoint key made").count() == 2
    report = verify()
    assert report.whole and report.checked["checkpoints"] == 3, "those of the earlier key count too: the log tells of it"


def test_what_is_signed_with_another_key_is_forged(place: Path) -> None:
    happen()
    export()
    [true] = lines(place)
    forger = Ed25519PrivateKey.generate()
    told = json.loads(true.line) | {"sequence": 1, "key": forger.public_key().public_bytes_raw().hex()}
    made = Checkpoint.parse(json.dumps(told))
    forged = json.dumps(told | {"signature": forger.sign(made.content).hex()})
    place.write_text(forged + "\n")
    assert [fault.kind for fault in verify().faults][:1] == [Kind.CHECKPOINT_FORGED]


def test_a_key_that_cannot_be_used_is_named_with_the_remedy_and_stops_nothing(
    settings: Settings, place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    happen()
    (tmp_path / "key.pem").write_text("no key")
    with pytest.raises(BadKey, match="cannot be used"):
        export()
    with pytest.raises(CommandError, match="cannot be used"):
        call_command("audit", "checkpoint")
    settings.CHECKPOINT_EVERY = 0
    export_due()
    assert "no new checkpoint" in caplog.text
    settings.CHECKPOINT_KEY = str(tmp_path / "missing.pem")
    with pytest.raises(BadKey, match=r"missing\.pem"):
        export()


def test_the_installation_makes_a_private_key_of_its_own(settings: Settings, place: Path, tmp_path: Path) -> None:
    settings.CHECKPOINT_KEY = str(tmp_path / "checkpoint_key.pem")
    happen()
    export()
    assert (tmp_path / "checkpoint_key.pem").stat().st_mode & 0o777 == 0o600


def test_switched_off_there_are_none_and_the_audit_says_what_it_cannot_check(settings: Settings, place: Path) -> None:
    settings.CHECKPOINTS = "off"
    settings.CHECKPOINT_EVERY = 0
    happen()
    export_due()
    report = verify()
    assert report.whole and not lines(place)
    assert any("end of the log" in sentence for sentence in report.unchecked)


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[str]]]:
    """An address that takes lines and gives them back; what it took."""
    taken: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if self.path == "/moved":
                self.send_response(307)
                self.send_header("Location", "/log")
                self.end_headers()
                return
            taken.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.answer(b"")

        def do_GET(self) -> None:
            self.answer("".join(taken).encode())

        def answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", taken
    server.shutdown()
    thread.join()
    server.server_close()


def test_they_go_to_an_address_and_are_compared_with_what_it_has(settings: Settings, receiver: tuple[str, list[str]]) -> None:
    address, taken = receiver
    settings.CHECKPOINTS = f"{address}/log"
    happen(3)
    export()
    assert Checkpoint.parse(taken[0]).sequence == 4
    local_file().unlink()  # who has the database may have this host; the address is another's
    report = verify()
    assert report.whole and report.checked["checkpoints"] == 1
    with connection.cursor() as cursor:
        from research_app.models import append_only

        append_only.remove(connection)
        cursor.execute(f"DELETE FROM {append_only.TABLE} WHERE sequence > 1")
        append_only.install(connection)
    [fault] = verify().faults
    assert (fault.kind, fault.where) == (Kind.LOG_TRUNCATED, "events 2 to 4")


def test_an_address_that_is_away_or_leads_elsewhere_is_told_and_the_local_copy_is_kept(
    settings: Settings, receiver: tuple[str, list[str]]
) -> None:
    address, taken = receiver
    happen()
    for place in (f"{address}/moved", "http://127.0.0.1:9/log"):
        settings.CHECKPOINTS = place
        happen()
        with pytest.raises(NotExported, match=place):
            export()
    assert not taken
    assert len(lines(local_file())) == 2
    assert any("checkpoints at http://127.0.0.1:9/log" in sentence for sentence in verify().unchecked)


def test_an_audit_beside_running_work_sees_one_moment_and_holds_nobody_up() -> None:
    happen()
    stop, written, errors = threading.Event(), [0], []

    def work() -> None:
        try:
            while not stop.is_set():
                happen()
                written[0] += 1
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        reports = [verify() for _ in range(5)]
    finally:
        stop.set()
        thread.join()
    assert not errors
    assert [str(fault) for report in reports for fault in report.faults] == []
    assert written[0] > 10
    assert not connection.in_atomic_block
