from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outrider.errors import UsageError
from outrider.plan import Plan

finite = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
plans = st.builds(
    Plan,
    name=st.text(),
    drafter=st.text(),
    controller=st.text(),
    num_draft_tokens=st.none() | st.integers(0, 10_000),
    verification=st.text(),
    record=st.dictionaries(st.text(), values, max_size=4),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plans)
def test_what_is_saved_is_loaded(tmp_path: Path, plan: Plan) -> None:
    path = tmp_path / "plan.json"
    plan.save(path)
    assert Plan.load(path) == plan


def test_keys_that_are_left_out_keep_their_defaults(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text('{"drafter": "ngram"}')
    assert Plan.load(path) == Plan(drafter="ngram")
    path.write_text("{}")
    assert Plan.load(path) == Plan()


def test_a_key_that_does_not_exist_is_named_with_its_nearest(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text('{"drafer": "ngram"}')
    with pytest.raises(UsageError, match=r"plan\.json: 'drafer'; did you mean 'drafter'"):
        Plan.load(path)


WRONG = [
    *((key, value) for key in ("name", "drafter", "controller", "verification")
      for value in (3, None, True, ["ngram"])),
    *(("num_draft_tokens", value) for value in ("4", 4.0, True, [4], -1)),
    *(("record", value) for value in (None, [], "measured", False)),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_a_value_that_it_cannot_have_is_named(tmp_path: Path, key: str, value: object) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({key: value}))
    with pytest.raises(UsageError, match=rf"plan\.json has .* as its {key}\.$") as raised:
        Plan.load(path)
    assert repr(value) in str(raised.value)


def test_every_key_has_such_a_test() -> None:
    assert {key for key, _ in WRONG} == {f.name for f in fields(Plan)}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not JSON"),
        (b"drafter: ngram", "is not JSON"),
        (b'{"drafter": "ngram"', "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b'["ngram"]', "is not a JSON object"),
        (b"null", "is not a JSON object"),
    ],
)
def test_what_is_no_plan_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=sentence):
        Plan.load(path)


def test_files_that_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.json cannot be read: No such file"):
        Plan.load(tmp_path / "absent.json")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        Plan.load(tmp_path)
    with pytest.raises(UsageError, match="cannot be written: No such file"):
        Plan().save(tmp_path / "absent" / "plan.json")
    with pytest.raises(UsageError, match="cannot be written: Is a directory"):
        Plan().save(tmp_path)


def test_a_file_is_for_people_too(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    plan = Plan(name="quick", drafter="mixed", num_draft_tokens=4, record={"speedup": 1.5})
    plan.save(path)
    text = path.read_text()
    assert text.endswith("}\n")
    assert len(text.splitlines()) > 6
    assert json.loads(text) == asdict(plan)


def test_changes_are_made_and_nothing_else_is() -> None:
    plan = Plan(name="quick", drafter="suffix", controller="cost", record={"a": 1})
    assert plan.but() is plan
    assert plan.but(num_draft_tokens=0).num_draft_tokens == 0
    changed = plan.but(drafter="ngram", verification="typical")
    assert asdict(changed) == asdict(plan) | {"drafter": "ngram", "verification": "typical"}


def test_a_draft_model_is_short_for_its_drafter() -> None:
    for drafter in (None, "model"):
        changed = Plan().but(drafter=drafter, draft_model="small.gguf")
        assert changed.drafter == "model:draft_model=small.gguf"
    # What stands in the plan gives way; what is asked for beside it does not.
    assert Plan(drafter="ngram").but(draft_model="a").drafter == "model:draft_model=a"
    for drafter in ("ngram", "none", "model:draft_model=other"):
        with pytest.raises(UsageError, match=f"for the drafter 'model', not for '{drafter}'"):
            Plan().but(drafter=drafter, draft_model="small.gguf")


def test_only_no_drafter_is_plain() -> None:
    assert Plan(drafter="none").plain
    assert not Plan(drafter="ngram").plain


@pytest.mark.parametrize(
    ("drafter", "model"),
    [
        ("mixed", None),
        ("recycle:k=4", None),
        ("model:draft_model=a/b.gguf", "a/b.gguf"),
        ("model:through_text=true,draft_model=small,threads=1", "small"),
    ],
)
def test_a_plan_knows_the_model_it_drafts_with(drafter: str, model: str | None) -> None:
    assert Plan(drafter=drafter).draft_model == model


def test_a_plan_knows_whom_it_was_tuned_for() -> None:
    assert Plan().tuned_for("anything")
    assert Plan(record={"fingerprint": "a"}).tuned_for("a")
    assert not Plan(record={"fingerprint": "a"}).tuned_for("b")
