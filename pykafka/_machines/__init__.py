"""Pure state machines: they take ``now``, return decisions, and never touch a socket, a thread, a clock or randomness."""
