"""The audit: recomputes from what is stored, and names the first row that is not what it was; see docs/explanation/audit.md.

    verify       puts the checks together, on one snapshot of the database
    chain        every event in order: hashes, gaps, swaps; the heads that landings and checkpoints name
    index        what the events vouch for, row by row, on disk: memory does not grow with history
    rows         rows against their seals: altered, deleted, added
    evidence     evidence against its hash, its runs and its events
    votes        votes against what was seen, stages against their events
    diffs        diffs against their hashes and against git
    baseline     baseline versions against git: commits by hand, forged trailers
    checkpoints  signed heads, written on a schedule to where the database's owner cannot reach

Imports models and repository, and nothing of the loop.
"""
