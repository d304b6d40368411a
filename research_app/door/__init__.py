"""The door: what stands between the network and the application, so that nobody holds it up or fills it; see
docs/explanation/door.md.

serve        starts the web server with its limits
connections  how many connections there may be, and how long one may take to ask, to send, and to read
limits       how large a request may be, who may send a large one, and how many are at work at once
throttle     how often a password may be tried, before any is hashed
text         what no text may hold
"""
