"""What the JSON columns hold, a module a document: see research_app/documents.py and docs/decisions/0029-documents.md."""
