"""A webhook's host and a mail server, each real, local and obedient: they keep what arrives and answer as they are told."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Webhook:
    """What was posted, and with what the next posts are answered: a status, or "hang up" after reading the post."""

    def __init__(self) -> None:
        self.posts: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.answers: list[int | str] = []
        self.bodies: list[bytes] = []
        self.by_path: dict[str, int | str] = {}
        self.retry_after = ""
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/T0/secret-part"


@contextmanager
def webhook() -> Iterator[Webhook]:
    """Serve until the block ends."""
    kept = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            plain = self.headers["Content-Type"] != "application/json"
            kept.posts.append({"text": body.decode()} if plain else json.loads(body))
            kept.bodies.append(body)
            kept.paths.append(self.path)
            kept.headers.append(dict(self.headers))
            answer = kept.answers.pop(0) if kept.answers else kept.by_path.get(self.path, 200)
            if answer == "hang up":
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            self.send_response(int(answer))
            if answer == 302:
                self.send_header("Location", f"http://127.0.0.1:{kept.port}/elsewhere")
            if kept.retry_after:
                self.send_header("Retry-After", kept.retry_after)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Mailbox:
    """The mails that arrived, and with what commands are answered instead of "250": {"DATA": "451 …"} or "hang up"."""

    def __init__(self) -> None:
        self.mails: list[str] = []
        self.recipients: list[str] = []
        self.asked: list[str] = []  # the verbs of its conversations
        self.refusals: dict[str, str] = {}
        self.port = 0


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """A mail server on a socket until the block ends: enough of SMTP for one sender at a time."""
    kept = Mailbox()
    listener = socket.create_server(("127.0.0.1", 0))
    kept.port = listener.getsockname()[1]

    def converse(connection: socket.socket) -> None:
        file = connection.makefile("rb")

        def say(line: str) -> None:
            connection.sendall(f"{line}\r\n".encode())

        say("220 test")
        for raw in file:
            line = raw.decode().strip()
            verb = line.split(":")[0].split(" ")[0].upper()
            answer = kept.refusals.get(verb)
            kept.asked.append(verb)
            if verb == "DATA" and answer is None:
                say("354 go on")
                lines = []
                while (part := file.readline().decode()) not in (".\r\n", ""):
                    lines.append(part)
                kept.mails.append("".join(lines))
                answer = kept.refusals.get("END")
            if answer == "hang up":
                return
            if verb == "RCPT" and answer is None:
                kept.recipients.append(line.partition(":")[2].strip("<> "))
            say(answer or ("221 bye" if verb == "QUIT" else "250 fine"))
            if verb == "QUIT":
                return

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # closed: the test is over
            with connection:
                converse(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
