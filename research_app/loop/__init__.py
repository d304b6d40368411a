"""The life of a candidate, a folder per step. Read them in this order; each folder's main module has the folder's name.

proposed      propose/propose.py     propose()      proposers are asked in rounds; what comes back is entered
              propose/conversation/  converse()     Claude at work: tools, transcript, token budget
checking      check/check.py         check()        applies, allowed paths, parses, new, what a reviewer should know
screening     train/train.py         train_next()   a device takes the most valuable run, trains it, records the outcome
replicating   judge/judge.py         judge()        after every run: what follows, and whether another run can change it
confirming
shortlisted   scale_up/shortlist.py  approve_scale_ups()   gate 1: a person's click, with its price
scaling up    scale_up/scale_up.py   scale_up()     both arms on larger rungs: does the gain transfer?
ready         review/review.py       approve()      gate 2: a person's vote, on exactly what was seen
landing       land/land.py           land()         the only code that moves the baseline branch

stacks/       several candidates together, and what each brings      notify/     who is told what, when and where
project/      how a project begins, is tried, ends                   attention/  what rests without a reason is said
runs.py       the only code that changes a run's state and adds up its cost
disclosure.py the only code that says what a proposer may know
reconcile.py  finds what should be running and is not                tasks.py    thin Celery tasks
"""
