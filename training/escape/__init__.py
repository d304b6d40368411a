"""What tries to get out of the sandbox. The worker runs it before its first run, the tests run all of it at every level."""
