"""The documents are written in short sentences, and what measures them measures right."""

import pytest

from tests.support.prose import documents, lengths, sentences, table

ENOUGH = 34  # sentences from which a share of 3 % means more than one sentence; shorter documents count in the whole
SHORT_SHARE, LONG_SHARE = 0.5, 0.03
TEXTS = {path: path.read_text(encoding="utf-8") for path in documents()}


@pytest.mark.parametrize(
    "path",
    [path for path, text in TEXTS.items() if len(sentences(text)) >= ENOUGH],
    ids=lambda path: path.name,
)
def test_half_of_a_documents_sentences_are_short_and_hardly_any_is_long(path):
    measured = lengths([TEXTS[path]])
    assert measured.short_share >= SHORT_SHARE and measured.long_share < LONG_SHARE, table([path])


def test_the_same_holds_for_all_documents_together():
    measured = lengths(TEXTS.values())
    assert measured.short_share >= SHORT_SHARE and measured.long_share < LONG_SHARE, table(documents())


def test_tables_code_headings_pictures_and_addresses_are_no_prose():
    text = (
        "# A heading of five words\n\n![a picture of it](x.png)\n\n| a cell of | some words |\n\n"
        "```\nsome code in a fence\n```\n\n    some code that is indented\n\nOne sentence stays here.\n"
    )
    assert sentences(text) == ["One sentence stays here."]


def test_list_items_are_apart_and_their_lines_together():
    text = "Choose one of these:\n\n- the first of\n  two lines\n- the second one\n"
    assert sentences(text) == ["Choose one of these:", "the first of two lines", "the second one"]


def test_points_inside_numbers_names_and_code_end_no_sentence():
    text = "It takes 0.5 s for `a.b. C` here, e.g. Linux. See [the list](docs/list.md). No."
    assert [len(one.split()) for one in sentences(text)] == [9, 3]
