"""The order of what waits: a lane for each thread, kept in order; batches are drawn from all lanes that may go."""

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from recording.updates import Kind, Update

BATCH_BYTES = 1_000_000
# A server keeps the documents it has parsed, one for each number of steps: so not every number occurs.
BATCH_SIZES = (48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1)
BATCH = BATCH_SIZES[0]
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0


@dataclass(slots=True)
class _Lane:
    waiting: deque[Update] = field(default_factory=deque)
    pause: float = 0.0
    not_before: float = 0.0


class Lanes:
    """All that waits. A report of something that waits already, and is not being sent, is merged into it."""

    def __init__(self) -> None:
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()
        self._latest: dict[tuple[str, str], Update] = {}
        self.size = 0
        self.count = 0

    def __iter__(self) -> Iterator[Update]:
        for lane in self._lanes.values():
            yield from lane.waiting

    def __len__(self) -> int:
        """The number of threads of which something waits."""
        return len(self._lanes)

    def lane_of(self, step_id: str) -> str:
        """Return the lane in which the step waits, else one of its own."""
        known = self._latest.get(("step", step_id))
        return known.lane if known else step_id

    def waiting_for(self, update: Update) -> Update | None:
        """Return what waits and can take this update in."""
        known = self._latest.get((update.kind, update.key))
        return known if known and not known.under_way else None

    def tells_of(self, kind: Kind, key: str) -> bool:
        """Tell whether something of this waits, or is being sent."""
        return (kind, key) in self._latest

    def merge(self, waiting: Update, update: Update) -> None:
        """Merge an update into the one that waits."""
        self.size -= waiting.size
        waiting.take_in(update)
        self.size += waiting.size

    def add(self, update: Update) -> None:
        """Put an update at the end of its lane."""
        self._lanes.setdefault(update.lane, _Lane()).waiting.append(update)
        self.size += update.size
        self.count += 1
        if update.kind == "deletion":
            self._latest.pop(("step", update.key), None)  # what comes after it is not merged into what came before
        else:
            self._latest[(update.kind, update.key)] = update

    def take(self, most: int, now: float) -> list[Update]:
        """Return the next batch: steps of all lanes that may go at `now`, or anything else alone; it is under way then.

        The lanes that were asked go to the end of the line.
        """
        batch: list[Update] = []
        size = 0
        for update in self._due(now):
            if batch and size + update.size > BATCH_BYTES:
                break
            batch.append(update)
            size += update.size
            if update.kind != "step" or len(batch) == most:
                break
        fitting = next(number for number in BATCH_SIZES if number <= max(1, len(batch)))
        del batch[fitting:]
        for update in batch:
            update.under_way = True
        for lane in {update.lane: None for update in batch}:
            self._lanes.move_to_end(lane)
        return batch

    def _due(self, now: float) -> Iterator[Update]:
        """Yield what may be sent together: of each lane the steps at its head, and what is no step only when first."""
        nothing_yet = True
        for lane in self._lanes.values():
            if lane.not_before > now:
                continue
            for update in lane.waiting:
                if update.kind != "step" and not nothing_yet:
                    break
                nothing_yet = False
                yield update

    def give_back(self, batch: Iterable[Update]) -> None:
        """Let a batch that could not be sent wait again, in its old place."""
        for update in batch:
            update.under_way = False

    def pause(self, name: str, now: float, at_least: float) -> None:
        """Leave a lane alone for a while that grows each time, until something of it is done."""
        lane = self._lanes[name]
        lane.pause = min(max(lane.pause * 2, FIRST_PAUSE_SECONDS, at_least), 4 * LONGEST_PAUSE_SECONDS)
        lane.not_before = now + lane.pause

    def next_due(self) -> float | None:
        """Return the moment at which the first lane may go, None where nothing waits."""
        return min((lane.not_before for lane in self._lanes.values()), default=None)

    def done(self, batch: Sequence[Update]) -> None:
        """Let go of what is settled, wherever in its lane it stands."""
        for update in batch:
            lane = self._lanes[update.lane]
            lane.waiting.remove(update)  # it stands at the head, or near it
            lane.pause = lane.not_before = 0.0
            self.size -= update.size
            self.count -= 1
            if self._latest.get((update.kind, update.key)) is update:
                del self._latest[(update.kind, update.key)]
            if not lane.waiting:
                del self._lanes[update.lane]

    def holds(self, lane: str | None, up_to: int) -> bool:
        """Tell whether anything of a lane (of any, for None) that was put no later than number `up_to` still waits."""
        lanes = self._lanes.values() if lane is None else [self._lanes.get(lane, _Lane())]
        return any(one.waiting and one.waiting[0].number <= up_to for one in lanes)

    def oldest(self) -> float | None:
        """Return when the oldest that waits was put, None where nothing waits."""
        return min((lane.waiting[0].put_at for lane in self._lanes.values()), default=None)
