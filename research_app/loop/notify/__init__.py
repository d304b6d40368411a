"""Notify: tell people that it is their turn, each as they wish, at most once per turn and channel.

`announce` writes down who is to be told and in which message; while that message waits, what else comes for the same person
joins it (`pace`). `deliver` sends it through a channel (`channels`) unless its address or server is paused (`breaker`).
"""
