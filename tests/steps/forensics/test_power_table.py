from __future__ import annotations

from steps.forensics.documents import PowerRow
from steps.forensics.power_table import power_table


def row(mapping, corruption, wanted, *, enough=True, gap=20, seeds=None):
    return PowerRow(
        generator="java",
        mapping=mapping,
        method="seeds" if seeds else "algebra",
        corruption=corruption,
        largest_gap=gap,
        draws_wanted=wanted,
        enough=enough,
        seeds=seeds,
    )


def test_mappings_of_which_the_same_is_true_share_a_line_and_others_do_not():
    *_, first, second = power_table(
        [
            row("mod", 0.0, 9),
            row("mod", 0.05, 1200, enough=False),
            row("digits_mod", 0.0, 9, gap=0),
            row("digits_mod", 0.05, None, enough=False),
            row("next_int", 0.0, 9),
            row("next_int", 0.05, 1200, enough=False),
        ]
    )
    assert first == "| java | algebra | mod, next_int | 9, gap 20 | (1,200, gap 20) |"
    assert second == "| java | algebra | digits_mod | 9, gap 0 | - |"


def test_the_head_has_a_column_for_each_share():
    head = power_table([row("mod", 0.25, 9), row("mod", 0.1, 8)])[2]
    assert head == "| generator | by | mappings | 10% | 25% |"


def test_a_search_of_seeds_says_how_many():
    *_, two = power_table([row("mod", 0.0, 6, seeds=1 << 24), row("mod", 0.1, 9, seeds=1000)])
    assert two == "| java | seeds | mod | 6, gap 20, 2^24 seeds | 9, gap 20, 1,000 seeds |"
