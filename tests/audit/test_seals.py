"""What an event keeps of a row: enough to name the column that was altered, and not enough to guess what it held."""

from datetime import UTC, datetime, timedelta, timezone

from research_app.models.seal import Sealed, altered, plain, storable

ROW = {
    "score": 2.187,
    "hidden_score": 2.204,
    "facts": {"flops": 6e10, "data": "é"},
    "finished_at": datetime(2026, 11, 1, tzinfo=UTC),
}


def changed(**columns: object) -> list[str]:
    return altered(Sealed("run 1", ROW).seal(), Sealed("run 1", ROW | columns))


def test_a_row_that_is_as_it_was_is_not_altered() -> None:
    assert changed() == []
    assert changed(facts={"data": "é", "flops": 60_000_000_000}) == []  # in whatever order and form the database has it
    assert changed(finished_at=datetime(2026, 11, 1, 2, tzinfo=timezone(timedelta(hours=2)))) == []


def test_the_columns_that_were_altered_are_named() -> None:
    assert changed(score=2.1) == ["score"]
    assert changed(hidden_score=None, facts={}) == ["hidden_score", "facts"]
    assert changed(finished_at=datetime(2026, 11, 1, 0, 0, 0, 1, tzinfo=UTC)) == ["finished_at"]


def test_a_seal_is_of_one_row_alone() -> None:
    """Two runs with the same content cannot stand for each other."""
    assert altered(Sealed("run 1", ROW).seal(), Sealed("run 2", ROW)) != []


def test_a_column_that_a_later_version_no_longer_has_is_left_out() -> None:
    seal = Sealed("run 1", ROW | {"old": 1}).seal()
    assert altered(seal, Sealed("run 1", ROW)) == []
    assert altered(seal, Sealed("run 1", ROW | {"score": 0})) == ["score"]


def test_a_hidden_value_cannot_be_tried_out_on_its_own() -> None:
    """The short digest of a column depends on the whole row: with another fact, the same score reads otherwise."""
    one, other = (Sealed("run 1", ROW | {"facts": {"seconds": seconds}}).seal() for seconds in (15.2031, 15.2032))
    assert one["columns"]["hidden_score"] != other["columns"]["hidden_score"]
    assert len(one["columns"]["hidden_score"]) == 8


def test_figures_have_one_form_in_both_databases() -> None:
    assert plain([1.0, -0.0, 1e22, 0.1]) == [1, 0, 10**22, 0.1]
    assert repr(storable({"a": [1e22, -0.0, 1.0, 0.1]})) == repr({"a": [10**22, 0.0, 1.0, 0.1]})
