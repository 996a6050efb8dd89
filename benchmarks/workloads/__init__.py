"""What each client is made to do, each as its own documentation says: one module a client, each run in a fresh process.

All of them get acks=all, what makes them fastest, and queues so large that these are not what is measured; ours has its defaults.
"""

from __future__ import annotations
