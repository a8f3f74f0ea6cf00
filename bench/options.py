"""What is asked of every room of the bench."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """How long and with whom to measure.

    Args:
        quick: A short form, within seconds, which proves that the bench runs; its figures mean nothing.
        peers: Whether others' programs are measured too; they are installed into `.bench/`.
        growth: How many steps the record grows to, for the rooms that watch it grow.
    """

    quick: bool = False
    peers: bool = True
    growth: int = 1_000_000
