"""The benchmark itself runs, in small."""

from __future__ import annotations

from ci.bench.results import throughput


def test_throughput_measures_what_it_says() -> None:
    measured = throughput(few=5, many=20, rounds=1, each=1)
    assert (measured.few_rows, measured.many_rows) == (5, 20)
    assert min(measured.per_second_few, measured.per_second_many, measured.per_second_by_script, measured.ratio) > 0
