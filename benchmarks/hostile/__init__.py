"""What hostile clients, senders, readers and upstreams do to a running service, and whether it holds.

`python -m benchmarks.hostile [NAME ...]` starts a real service for each attack, in a memory group of 3 GiB where the
machine has one, sends the attack from this process, and measures hits, memory and answers meanwhile. Everything goes to
127.0.0.1, every loop is bounded in count and time, and only processes that were started here are ended.
"""
