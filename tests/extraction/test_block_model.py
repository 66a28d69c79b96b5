"""The table, its evaluation in plain Python, and the model that is shipped."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from newsmill.extraction.body.block_model import load_shipped_model, parse_model, to_probability

TABLE = {
    "version": "test",
    "threshold": 0.5,
    "features": ["linked", "kept"],
    "trees": [[0, 0.5, [1, 0.5, -1.0, 1.0, 0.2], -2.0, 0.0], [1, 0.5, -0.5, 0.5, 0]],
}


def test_a_tree_takes_the_lower_branch_up_to_its_threshold():
    model = parse_model(json.dumps(TABLE))
    assert [model.compute_odds(row) for row in ((0.5, 1.0), (0.5, 0.5), (0.6, 1.0))] == [1.5, -1.5, -1.5]


def test_rows_come_in_the_order_of_the_table():
    model = parse_model(json.dumps(TABLE))
    assert model.make_rows({"other": [9, 9], "kept": [1, 0], "linked": [0.1, 0.9]}) == [(0.1, 1), (0.9, 0)]


def test_the_features_that_spoke_for_the_outcome_are_named_with_their_values():
    model, row = parse_model(json.dumps(TABLE)), (0.9, 1.0)
    features = model.explain(row, model.compute_odds(row))
    assert [(name, value) for name, value, _ in features] == [("linked", 0.9)]
    assert features[0][2] == pytest.approx(-2.0)


def test_probability_is_bounded_and_monotone():
    assert [round(to_probability(odds), 3) for odds in (-1e9, -1, 0, 1, 1e9)] == [0.0, 0.269, 0.5, 0.731, 1.0]


def test_a_broken_table_is_refused():
    with pytest.raises((KeyError, ValueError)):
        parse_model('{"features": []}')


def test_the_shipped_model_is_small():
    assert len((files("newsmill.extraction.body") / "block_model.json").read_bytes()) <= 100_000
    assert 0 < load_shipped_model().threshold < 1
