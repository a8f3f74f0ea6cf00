"""Which of the events of a thread have arrived is known by their stamps, whatever the order and number of these."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import select
from starlette.applications import Starlette

from literal_server import stamps
from literal_server.purge import purge_at_once
from literal_server.stamps import union
from literal_server.tables import Step, Thread
from tests.literal_server.wire import Wire, gql

pytestmark = pytest.mark.anyio

ranges = st.lists(
    st.tuples(st.integers(1, 60), st.integers(0, 10)).map(lambda pair: [pair[0], pair[0] + pair[1]]), max_size=20
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
LIKE_A_STAMP = st.fixed_dictionaries(
    {
        "thread": st.just("t") | JSON,
        "told": st.dictionaries(st.text(max_size=2), st.tuples(JSON, ranges | JSON).map(list)),
    },
    optional={
        "at": st.integers() | JSON,
        "place": st.tuples(st.text(max_size=2), st.integers() | JSON).map(list) | JSON,
    },
)


def stamp(covers: list[list[int]], of: int = 0, *, writer: str = "w", thread: str = "t", **more: Any) -> dict[str, Any]:
    """Return a stamp of one writer."""
    of = of or max(last for _, last in covers)
    return {"thread": thread, "told": {writer: [of, covers]}, **more}


async def report(wire: Wire, *stamped: tuple[dict[str, Any], Any]) -> dict[str, Any]:
    """Send steps with their stamps in one AddStep, as our recorder does; return the answer's data."""
    steps = [step for step, _ in stamped]
    variables = gql.steps_variables_builder(steps) | {f"stamp_{n}": one for n, (_, one) in enumerate(stamped)}
    data: dict[str, Any] = (await wire.post(gql.steps_query_builder(steps), variables))["data"]
    return data


def step(identity: str, thread: str | None = "t", **more: Any) -> dict[str, Any]:
    return {"id": identity, "threadId": thread, "type": "tool", **more}


async def told(server: Starlette) -> dict[tuple[str, str], tuple[int, list[list[int]]]]:
    """Return by thread and writer the highest number put and the ranges that are covered."""
    async with server.state.api.database.reading() as session:
        rows = (await session.scalars(select(Thread).where(Thread.writers.is_not(None)))).all()
    return {(row.id, name): (one["put"], one["covered"]) for row in rows for name, one in (row.writers or {}).items()}


@given(ranges, st.randoms(use_true_random=False))
def test_ranges_unite_alike_in_any_order(some: list[list[int]], chance: Any) -> None:
    """However ranges are ordered, grouped and repeated, they come to the same: the numbers in them, without overlap."""
    shuffled = [*some, *some]
    chance.shuffle(shuffled)
    cut = chance.randint(0, len(shuffled))

    united = union(some)

    assert union([*union(shuffled[:cut]), *union(shuffled[cut:])]) == united
    assert {n for a, b in united for n in range(a, b + 1)} == {n for a, b in some for n in range(a, b + 1)}
    assert all(one[1] + 1 < two[0] for one, two in pairwise(united))


@given(JSON | LIKE_A_STAMP)
@example({"thread": "t", "told": {"w": [2**53, [[1, 2**53]]]}, "at": 1, "place": ["w", 1]})
def test_any_json_is_read_as_a_stamp_or_as_none(given: Any) -> None:
    """Whatever a client sends, it is a stamp with sound numbers, or it is passed over."""
    read = stamps.read(given)

    if read is not None:
        assert all(1 <= a <= b <= put <= stamps.LARGEST for put, some in read.told.values() for a, b in some)
        assert read.place is None or read.place[0] in read.told


async def test_stamps_are_taken_once_with_what_they_cover(wire: Wire, server: Starlette) -> None:
    """The numbers of stored steps are known, of each writer in each thread; the same again changes nothing."""
    first = [
        (step("1"), stamp([[1, 2]])),
        (step("2"), stamp([[3, 3], [5, 5]])),
        (step("3", "u"), stamp([[1, 1]], thread="u")),
    ]
    for _ in range(2):
        await report(wire, *first)
    await report(wire, (step("2"), stamp([[5, 6]], of=9)), (step("4"), stamp([[1, 1]], writer="other")))

    assert await told(server) == {
        ("t", "w"): (9, [[1, 3], [5, 6]]),
        ("u", "w"): (1, [[1, 1]]),
        ("t", "other"): (1, [[1, 1]]),
    }


async def test_stamps_of_other_changes_are_taken(wire: Wire, server: Starlette) -> None:
    """What is put of the thread itself, and deletions, bear a stamp too; one that was refused counts for nothing."""
    await wire.send(gql.UPSERT_THREAD, {"id": "t", "name": "n", "stamp_0": stamp([[1, 1]])})
    await wire.send(gql.DELETE_STEP, {"id": "never there", "stamp_0": stamp([[2, 2]])})
    body = await wire.post(gql.UPDATE_STEP, {"id": "never there", "stamp_0": stamp([[3, 3]])})

    assert body["errors"]
    assert await told(server) == {("t", "w"): (2, [[1, 2]])}


async def test_a_refused_step_is_not_covered(wire: Wire, server: Starlette) -> None:
    """Of a batch only the stamps of the steps count that were taken."""
    data = await report(
        wire, (step("1"), stamp([[1, 1]])), (step("x" * 2_000), stamp([[2, 2]])), (step("3"), stamp([[3, 3]]))
    )

    assert [data[name]["ok"] for name in sorted(data)] == [True, False, True]
    assert await told(server) == {("t", "w"): (3, [[1, 1], [3, 3]])}


@pytest.mark.parametrize(
    "hostile",
    [
        "t",
        {"thread": "t"},
        {"thread": "t", "told": {"w": [3, [[0, 1]]]}},
        {"thread": "t", "told": {"w": [3, [[2, 1]]]}},
        {"thread": "t", "told": {"w": [3, [[-5, 4]]]}},
        {"thread": "t", "told": {"w": [3, [[1, 4]]]}},
        {"thread": "t", "told": {"w": [10**30, [[1, 10**30]]]}},
        {"thread": "t", "told": {"w": [True, [[True, True]]]}},
        {"thread": "t", "told": {"w" * 1_000: [1, [[1, 1]]]}},
        {"thread": "t", "told": {f"{n}": [1, [[1, 1]]] for n in range(1_000)}},
        {"thread": "t", "told": {"w": [10**6, [[n, n] for n in range(1, 10**5, 2)]]}},
        {"thread": "of nobody", "told": {"w": [1, [[1, 1]]]}},
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_hostile_stamp_is_passed_over(hostile: Any, wire: Wire, server: Starlette) -> None:
    """The step is stored, its neighbour's stamp is taken, and nothing is kept of what makes no sense."""
    data = await report(wire, (step("1"), hostile), (step("2"), stamp([[1, 1]], writer="\ud800")))

    assert data == {f"step{n}": {"ok": True, "message": None} for n in range(2)}
    assert await told(server) == {("t", "\ufffd"): (1, [[1, 1]])}


async def test_more_holes_than_can_be_kept(wire: Wire, server: Starlette) -> None:
    """A writer cannot make the server keep any number of ranges: beyond a thousand the next ones stay uncovered."""
    for start in (1, 2_001):
        await report(wire, (step("1"), stamp([[n, n] for n in range(start, start + 2_000, 2)])))
    await report(wire, (step("1"), stamp([[2, 2]], of=4_000)))

    assert await told(server) == {("t", "w"): (4_000, [[1, 3], *([n, n] for n in range(5, 2_001, 2))])}


async def test_a_step_has_its_writers_lowest_place(wire: Wire, server: Starlette) -> None:
    """A later report, or another writer's, does not move a step; a report without a place gives it none."""
    await report(wire, (step("1"), stamp([[7, 7]])), (step("2"), stamp([[3, 3]], place=["w", 3])))
    await report(wire, (step("1"), stamp([[9, 9]], place=["w", 9])), (step("2"), stamp([[4, 4]], place=["w", 4])))
    await report(wire, (step("2"), stamp([[1, 1]], writer="other", place=["other", 1])), (step("3"), None))

    async with server.state.api.database.reading() as session:
        rows = (await session.scalars(select(Step).order_by(Step.id))).all()
    assert [(row.writer, row.sequence) for row in rows] == [("w", 9), ("w", 3), (None, None)]


async def test_a_step_that_moves_has_its_place_in_the_new_thread(wire: Wire, server: Starlette) -> None:
    """Numbers count what is put in one thread: the place in the old one says nothing in the new one."""
    here, there = stamp([[1, 1]], place=["w", 1]), stamp([[1, 1]], thread="u", writer="x", place=["x", 1])
    await report(wire, (step("a"), here))
    await report(wire, (step("a", "u"), there))
    await report(wire, (step("b"), here), (step("b", "u"), there))
    answer = (await wire.http.get("/api/verbatim/threads/u/certificate")).json()
    assert (answer["state"], answer["unstampedSteps"]) == ("complete", 0)

    await report(wire, (step("a", "v"), None))
    answer = (await wire.http.get("/api/verbatim/threads/v/certificate")).json()
    assert (answer["state"], answer["unstampedSteps"]) == ("not stamped", 1)


async def test_nothing_is_left_of_a_purged_thread(wire: Wire, server: Starlette) -> None:
    """A purge takes the stamps along, and those of late reports are not kept."""
    await report(wire, (step("1"), stamp([[1, 1]])), (step("2", "u"), stamp([[1, 1]], thread="u")))
    await wire.send(gql.DELETE_THREAD, {"thread_id": "t"})
    await purge_at_once(server.state.api.database)
    await report(wire, (step("1"), stamp([[2, 2]])))

    assert await told(server) == {("u", "w"): (1, [[1, 1]])}
