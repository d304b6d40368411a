"""The way of a candidate, one module per step: propose, check, train, judge, review, land. Read them in this order."""
