"""Reports that are merged before they are sent leave the server with the step that it would have had without that."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from literal_server import ingest
from literal_server.ingest import StepReport
from literal_server.tables import Step
from recording.lanes import BATCH, BATCH_SIZES, Lanes
from recording.updates import Update, merged_step, merged_thread

TEXTS = st.sampled_from([None, "", "a", "b"])
OBJECTS = st.sampled_from([None, {}, {"content": ""}, {"content": "a"}, {"content": "b", "more": 1}])
GENERATION_KEYS = st.sampled_from(["model", "messages", "tokenCount", "error"])
GENERATION_VALUES: st.SearchStrategy[Any] = st.sampled_from([None, "", [], "a", "b", 1])
BODY = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["undefined", "run", "tool"]),
        "name": TEXTS,
        "parentId": TEXTS,
        "error": TEXTS,
        "input": OBJECTS,
        "output": OBJECTS,
        "metadata": OBJECTS,
        "tags": st.sampled_from([None, [], ["x"]]),
        "generation": st.dictionaries(GENERATION_KEYS, GENERATION_VALUES),
    },
)


@st.composite
def lives(draw: st.DrawFn) -> list[dict[str, Any]]:
    """The reports of one step as one writer makes them: begun, then ended once, then perhaps changed by a person."""
    before = draw(st.lists(BODY, max_size=3))
    after = draw(st.lists(BODY, max_size=2))
    begun = [
        body | {"startTime": str(draw(st.integers(1, 3)))} for body in draw(st.lists(BODY, min_size=1, max_size=3))
    ]
    ended = draw(BODY) | {"startTime": draw(st.sampled_from([None, "2"])), "endTime": "7"}
    return [*begun, *before, ended, *after]


def stored(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the server holds after these reports."""
    step = Step(project_id="p", id="s", type="undefined", is_error=False)
    names = {"parentId": "parent_id", "startTime": "start_time", "endTime": "end_time"}
    for report in reports:
        values = {names.get(key, key): value for key, value in report.items() if value is not None}
        for moment in ("start_time", "end_time"):
            values |= {moment: int(values[moment])} if moment in values else {}
        ingest.merge_step(step, StepReport(id="s", **values))
    columns = {column.key for column in Step.__mapper__.column_attrs} - {"stamps"}  # from which report, not what
    return {name: getattr(step, name) for name in columns}


@settings(max_examples=300, deadline=None)
@given(lives(), st.data())
def test_merging_changes_nothing(reports: list[dict[str, Any]], data: st.DataObject) -> None:
    """However the reports of a step are gathered into fewer, the server stores the same step."""
    gathered: list[dict[str, Any]] = []
    for number, report in enumerate(reports):
        told = {key: value for key, value in report.items() if value is not None}
        if number and data.draw(st.booleans(), label="gather"):
            gathered[-1] = merged_step(gathered[-1], told)
        else:
            gathered.append(told)

    assert stored(gathered) == stored(reports)


def test_scores_and_attachments_add_up() -> None:
    """What a server adds to a step, one report after the other, is not replaced in between."""
    assert merged_step({"scores": [1], "attachments": [2]}, {"scores": [3]}) == {"scores": [1, 3], "attachments": [2]}


def test_metadata_of_threads_is_merged_by_key() -> None:
    """A thread's later report adds to its metadata, takes keys out by null, and keeps the name it does not tell."""
    earlier = {"name": "n", "metadata": {"a": 1, "b": 2}}

    assert merged_thread(earlier, {"participant": "ada", "metadata": {"b": None}}) == {
        "name": "n",
        "participant": "ada",
        "metadata": {"a": 1, "b": None},
    }


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["step", "step", "step", "thread", "deletion"]))),
    st.lists(st.booleans(), min_size=1, max_size=8),
)
def test_lanes_keep_the_order_within_each_thread(puts: list[tuple[str, Any]], fates: list[bool]) -> None:
    """Whatever is put and however often a batch fails, each thread's updates leave in order, each once."""
    lanes = Lanes()
    for number, (lane, kind) in enumerate(puts):
        lanes.add(Update(number, lane, kind, str(number), {}, 0.0))
    left: list[Update] = []
    tries = 0
    while lanes.count:
        batch = lanes.take(BATCH, 0.0)
        assert len(batch) in BATCH_SIZES
        assert all(update.kind == "step" for update in batch) or len(batch) == 1
        tries += 1
        if tries <= len(fates) and not fates[tries - 1]:
            lanes.give_back(batch)
        else:
            lanes.done(batch)
            left += batch

    for lane in "abc":
        numbers = [update.number for update in left if update.lane == lane]
        assert numbers == [number for number, put in enumerate(puts) if put[0] == lane]
    assert (lanes.size, lanes.oldest(), lanes.next_due()) == (0, None, None)
