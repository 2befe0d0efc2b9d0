"""Results as notebooks show them: escaped, and readable on light and on dark pages."""

from __future__ import annotations

import re

from unrolled.tasks.outputs.labels.results import LabelledStep, mark
from unrolled.tasks.outputs.next.results import Completion, GeneratedText, Suggested
from unrolled.tasks.uses.label.results import LabelledRecording, segmented


def test_what_a_language_model_adds_is_paler_than_what_it_was_given() -> None:
    suggested = Suggested(text="u & me", log_prob=-1.0, score=-0.1, words=3)
    completion = Completion(typed="<b> yo", shown=suggested, threshold=-0.5, suggestions=(suggested,))
    page = '<div style="white-space:pre-wrap">&lt;b&gt; yo<span style="opacity:.6">u &amp; me</span></div>'
    assert completion._repr_html_() == page
    assert GeneratedText(prompt="<b> yo", text="u & me", seed=1)._repr_html_() == page
    unsure = completion.model_copy(update={"shown": None})
    assert unsure._repr_html_().endswith('<span style="opacity:.6"></span></div>')


def test_marks_are_translucent_and_keep_the_colour_of_the_text() -> None:
    step = mark(LabelledStep(text="Ann", start=0, end=3, label="PER", score=0.9))
    labels = ["rest", "wave", "wave", "rest"]
    bar = LabelledRecording(**segmented(labels, [0.9] * 4, 25.0, "rest"))._repr_html_()
    for page in (step, bar):
        grounds = re.findall(r"background:([a-z]+)\(([^)]*)\)", page)
        assert grounds
        assert all("/" in colour for _, colour in grounds), page
    assert "color:inherit" in step
    assert bar.count("color:inherit") == 1
