"""Stories in which everything goes wrong at once, chosen by a seed and told for as long as one likes: ``make soak``.

Each story is a module with ``play(stage)``: it lets this client and others work on real brokers or a FakeCluster while
connections are cut, bytes are changed, signals come, members leave and brokers die, and then compares what became of each message
with what everybody was told. Whoever reads back is not this client.
"""
