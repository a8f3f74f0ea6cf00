"""What a process has used: seconds of processor time and resident memory, from `/proc`."""

import os
from pathlib import Path

from tests.app_process import children

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return the seconds, user's and system's, that a process has spent so far with all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def cpu_seconds_below(pid: int) -> float:
    """Return the same for all that a process has started and that runs still, and what they have started."""
    return sum(cpu_seconds(child) + cpu_seconds_below(child) for child in children(pid))


def resident_megabytes(pid: int) -> float:
    """Return the resident memory of a process in MB (10**6 bytes)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def process_tree_megabytes(pid: int) -> float:
    """Return the resident memory of a process and of those it has started, in MB; pages they share count once."""
    try:
        told = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile, as helpers at a start do
        return 0.0
    kilobytes = sum(int(line.split()[1]) for line in told.splitlines() if line.startswith("Pss:"))
    return kilobytes * 1_024 / 1e6 + sum(process_tree_megabytes(child) for child in children(pid))
