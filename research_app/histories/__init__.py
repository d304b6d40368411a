"""Histories in and out: results tables of other loops, the exports of a project's own, and its report.

import: results_table (one file) → bring_in (rows, with commits of repository/foreign.py) → the page web/imported.py
        evidence/reported.py says what such a table is worth; rejudge turns one of its rows into an ordinary candidate
"""
