"""Every term of the glossary is defined where it first stands."""

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "site"))
import glossary

LESSONS = {number: glossary.prose(path) for number, path in glossary.lessons().items()}


@pytest.mark.parametrize(("term", "number"), glossary.terms())
def test_a_term_is_defined_where_it_first_stands(term, number):
    place = glossary.where(term, LESSONS[number])
    assert place is not None, f"lesson {number} has no **{term}**"
    earlier = [text for key, texts in LESSONS.items() if key < number for text in texts]
    earlier += LESSONS[number][:place]
    used = re.compile(rf"\b{term}s?\b(?! descent)", re.IGNORECASE)
    assert [text for text in earlier if used.search(text)] == []


def test_no_term_is_there_twice_and_every_lesson_has_some():
    names = [term.lower() for term, _ in glossary.terms()]
    assert len(names) == len(set(names))
    assert set(glossary.TERMS) == {number for number in LESSONS if number != "09"}


def test_the_page_has_every_term_in_a_whole_sentence():
    page = glossary.build()
    for term, _ in glossary.terms():
        words = re.search(rf"^\*\*{term}\*\*: (.*)$", page, re.MULTILINE)[1]
        assert len(words.split()) >= 6, words
