"""Of findings that overlap, the first in rank stays."""

from hypothesis import given
from hypothesis import strategies as st

from guardrail_detectors.overlaps import without_overlaps

hits = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 10), st.integers(0, 3)).map(
        lambda t: (t[0], t[0] + t[1], t[2])
    )
)


@given(hits)
def test_what_stays_is_what_comparing_all_pairs_leaves(found: list[tuple[int, int, int]]) -> None:
    kept = without_overlaps(found, rank=lambda h: (h[2], h), span=lambda h: (h[0], h[1]))
    slow: list[tuple[int, int, int]] = []
    for hit in sorted(found, key=lambda h: (h[2], h)):
        if all(hit[1] <= other[0] or hit[0] >= other[1] for other in slow):
            slow.append(hit)
    assert kept == sorted(slow, key=lambda h: (h[0], h[1]))
