"""Channels by which people are told, a module each, which holds a CHANNEL (research_app/loop/notify/channel.py)."""
