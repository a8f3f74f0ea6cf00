"""The garbage collector of a process that makes the review pages."""

import gc


def spare_the_collector() -> None:
    """Let the garbage collector look at what is new, and that less often: what was imported is there to stay.

    A page of a long thread makes a hundred thousand objects, and a quarter of its time went into looking for cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
