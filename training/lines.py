"""Lines of a file or stream that grows, of bounded length, wherever its chunks begin and end."""

from __future__ import annotations

from training.left_out import LINE_LIMIT, LONG_POINTS, LeftOut


class Lines:
    """Feed it chunks; it returns the lines that ended in them. What is longer than LINE_LIMIT is counted and left out."""

    def __init__(self, left_out: LeftOut) -> None:
        self.left_out = left_out
        self.partial = b""
        self.skipping = False  # within a line that is too long

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that end in this chunk, without those that are too long."""
        *lines, self.partial = (self.partial + chunk).split(b"\n")
        if self.skipping:
            self.skipping = not lines
            lines, self.partial = lines[1:], b"" if self.skipping else self.partial
        if len(self.partial) > LINE_LIMIT:
            self.left_out.count(LONG_POINTS)
            self.partial, self.skipping = b"", True
        short = [line for line in lines if len(line) <= LINE_LIMIT]
        if len(short) < len(lines):
            self.left_out.count(LONG_POINTS, len(lines) - len(short))
        return short

    def rest(self) -> bytes:
        """A last line without an end."""
        last, self.partial = self.partial, b""
        return last
