"""The walk: a whole Signoff on small fast projects, in which a researcher acts, and every page is opened while the loop works.

    make walk                       the whole of it, into var/walk.json
    make walk ARGS="--tree folder"  the same walk over another checkout, for example of an earlier commit

It knows of Signoff only what a person and a machine see: pages, commands, logs, and the tables of its database (read only),
so that it walks over older trees as well. To let it grow:

    projects.py   a project: its training code and its file
    stories.py    what the researcher does, one function for each thing; the stages that a story reaches stand at its head
    stages.py     the stages and ends that must be passed, and how each is seen in the database
    budgets.py    the most queries and seconds of each page
    logs.py       warnings that are explained
"""
