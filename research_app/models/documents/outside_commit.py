"""A commit that a move outside Signoff brought to the baseline branch."""

from research_app.documents import Part, Text


class OutsideCommit(Part):
    """One commit. `claims` are the candidates that its trailers say it lands: untrusted, like its subject and author."""

    commit: Text
    subject: Text = ""
    author: Text = ""
    at: Text = ""
    claims: tuple[Text, ...] = ()
