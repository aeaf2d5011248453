"""Parts of a call and the map from characters to boxes."""

from hypothesis import given
from hypothesis import strategies as st

from guardrail.content import Box, Content, Image, Limits, Region, Text


def test_replace_changes_only_the_named_part() -> None:
    content = Content((Text("a", name="one"), Image(b"x", name="images/0"), Text("b", name="two")))
    changed = content.replace({"two": Text("c", name="two")})
    assert [text.text for text in changed.texts] == ["a", "c"]
    assert changed.images == content.images


def test_limits_are_no_part_of_a_pictures_identity() -> None:
    assert Image(b"x") == Image(b"x", limits=Limits(max_images=1))


@given(st.integers(1, 200), st.data())
def test_a_box_covers_its_characters_and_stays_in_the_line(
    length: int, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, length - 1))
    end = data.draw(st.integers(start + 1, length))
    line = Box(10, 20, 10 + 8 * length, 34)
    text = Text("x" * length, origin="images/0", regions=(Region(0, length, line),))
    ((box, frame),) = text.boxes(start, end)
    assert frame == 0
    assert line.x0 <= box.x0 <= line.x0 + 8 * start
    assert line.x0 + 8 * end <= box.x1 <= line.x1


def test_a_standing_region_is_covered_whole() -> None:
    text = Text("abcd", origin="images/0", regions=(Region(0, 4, Box(0, 0, 10, 80)),))
    assert text.boxes(1, 2) == ((Box(0, 0, 10, 80), 0),)
