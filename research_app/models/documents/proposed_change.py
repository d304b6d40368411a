"""What came in as a candidate, or as its newest revision: edits or a patch, with who made it and why."""

from pydantic import InstanceOf

from research_app.documents import Document, Whole

Code = InstanceOf[str]  # as it came, also where it is no text that can be written as UTF-8


class ProposedChange(Document):
    """A change before it was made a commit. `edits` are (path, old, new); with a `patch` there are none."""

    edits: tuple[tuple[Code, Code, Code], ...] = ()
    patch: Code = ""
    author: Code = ""
    submitted_by: Whole | None = None
    message: Code = ""

    @property
    def names_submitter(self) -> bool:
        """Whether it says who handed it in: a revision does, also where that was nobody with an account."""
        return "submitted_by" in self.model_fields_set
