"""The texts that people see on the page and in messages are short, and what collects them collects them all."""

import pytest

from tests.project.test_prose import LONG_SHARE, SHORT_SHARE
from tests.support.page_texts import (
    Text,
    module_texts,
    page_texts,
    python_texts,
    registry_texts,
    script_texts,
    table,
)
from tests.support.prose import lengths, sentences, words

LONGEST = 45  # words
PAGE, PYTHON, REGISTRIES = page_texts(), python_texts(), registry_texts()


def assert_short(texts: list[Text]) -> None:
    measured = lengths(each.text for each in texts)
    assert measured.short_share >= SHORT_SHARE and measured.long_share < LONG_SHARE, table(texts)
    too_long = [(each.place, one) for each in texts for one in sentences(each.text) if words(one) > LONGEST]
    assert not too_long


@pytest.mark.parametrize("texts", [PAGE, PYTHON, REGISTRIES], ids=["page", "python", "registries"])
def test_half_of_the_sentences_are_short_and_hardly_any_is_long(texts):
    assert_short(texts)


def test_the_texts_are_really_there():
    """A reader that finds nothing would pass the test above."""
    page = " ".join(each.text for each in PAGE)
    assert len(PAGE) > 150 and len(PYTHON) > 400 and len(REGISTRIES) > 40
    for shown in (
        "Flag or unflag this image",  # a row of the shortcut sheet
        "Overlap (Dice) with held-out labels: 0 none, 1 identical.",  # a title
        "Open an image first.",  # a toast
        "PNG, JPEG, TIFF, NIfTI, NRRD, MHA, DICOM. Masks in a folder",  # two literals joined by +
        "X is signed in to “X” here",  # a template
        "1 file was not imported",  # in a condition
    ):
        assert shown in page


@pytest.mark.parametrize(
    "planted",
    [
        'toast("SENTENCE", "info");',
        "const node = element('p', { title: 'SENTENCE' });",
        'setText(node, found ? "Done" : "SENTENCE");',
        "say(`${count} images: ${found ? `SENTENCE` : 'none'}`);",
        'const parts = text.split(/["`]/); say("SENTENCE");',
        'say("SENT" +\n  "ENCE");',
        "const half = rows / 2; // it's half\nsay(`SENTENCE`); const third = rows / 3;",
    ],
)
def test_one_long_sentence_in_a_script_is_found(planted):
    sentence = "It is " + "very " * LONGEST + "long."
    half = len(sentence) // 2
    script = (
        planted.replace("SENTENCE", sentence)
        .replace("SENT", sentence[:half])
        .replace("ENCE", sentence[half:])
    )
    assert sentence in [text for _, text in script_texts(script)]
    with pytest.raises(AssertionError):
        assert_short([*PAGE, *(Text("planted.js", text) for _, text in script_texts(script))])


def test_one_long_sentence_in_a_module_is_found_and_docstrings_are_none():
    sentence = "It is " + "very " * LONGEST + "long: X."
    module = f'"""A docstring of more than four words."""\nraise ValueError(f"{sentence.replace("X", "{name}")}")\n'
    assert module_texts(module) == [(2, sentence)]
    with pytest.raises(AssertionError):
        assert_short([*PYTHON, Text("planted.py", sentence)])


def test_selectors_styles_markup_and_queries_are_no_texts():
    script = (
        "find('input, select, [role=tab], textarea'); a('rgba(2, 6, 23, 0.7)'); b('M1 2 L3 4 L5 6z');"
        'c(`${x}px var(--a) 1px solid`); d(\'<svg viewBox="0 0 2 2" width="2">\'); // a comment of some words'
    )
    assert script_texts(script) == []
    assert module_texts("run('select id, name from images where id = ?'); log(*'abcd')") == []
