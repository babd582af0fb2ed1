"""The time that a piece of work takes, for the benches."""

import time


def timed(work, clock=time.perf_counter):
    """Seconds by `clock` of one call, and what it returned."""
    start = clock()
    answer = work()
    return clock() - start, answer
