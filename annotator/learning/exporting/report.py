"""report.html: how good an exported model is, in one file that needs no network."""

import base64
from collections.abc import Iterator, Sequence
from html import escape

from annotator.learning.exporting.card import ExportFacts, intended_use, limits, training_data
from annotator.learning.exporting.curve import curve_of
from annotator.learning.exporting.judged_cases import JudgedCase
from annotator.learning.exporting.pictures import PROPOSED, SAID
from annotator.learning.quality.model_quality import what_would_judge
from learners.text import count_of
from storage.rounds import RoundRow

SHOWN = 3  # best cases, and as many worst ones
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1b2330; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 0.5rem 0 1.5rem; }
th, td { border-bottom: 1px solid #d5dae2; padding: 0.25rem 0.9rem 0.25rem 0; text-align: left; }
td.number { font-variant-numeric: tabular-nums; text-align: right; }
figure { display: inline-block; margin: 0 1rem 1rem 0; vertical-align: top; max-width: 360px; }
figcaption { font-size: 13px; overflow-wrap: anywhere; }
"""


def report_of(facts: ExportFacts, curve: Sequence[RoundRow]) -> str:
    """`curve`: the learner's finished rounds, oldest first."""
    title = f"{facts.card.learner}: {', '.join(facts.names.values())}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        _paragraph(_number(facts)),
        *_objects(facts),
        _paragraph(intended_use(facts)),
        "<h2>What it learned from</h2>",
        _paragraph(_learned(facts)),
        "<h2>Limits</h2>",
        "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in limits(facts)) + "</ul>",
        "<h2>Held-out Dice over rounds</h2>",
        _curve(curve),
        *_cases(facts),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>"
        + "\n".join(parts)
        + "</body></html>\n"
    )


def _learned(facts: ExportFacts) -> str:
    told = training_data(facts)
    kinds = ", ".join(f"{count} {name}" for name, count in told["modalities"].items())
    return (
        f"{count_of(told['images'], 'image')}{f' ({kinds})' if kinds else ''}, "
        f"{count_of(told['labelled_slices'], 'labelled slice')}, {told['annotator_minutes']:g} minutes of labelling. "
        f"{count_of(len(facts.judged.cases), 'further image')} judged it."
    )


def _curve(rounds: Sequence[RoundRow]) -> str:
    drawn = curve_of(rounds)
    if drawn is None:
        return _paragraph("No round was judged: no held-out label was there to judge by.")
    return drawn + _paragraph("Where the line breaks, other images judge from then on.")


def _number(facts: ExportFacts) -> str:
    quality = facts.quality
    if quality is None:
        return "Nobody knows how good it is: no held-out label was there to judge by."
    each = ", ".join(
        f"{name} {quality.per_class[c]:.3f}" for c, name in facts.names.items() if c in quality.per_class
    )
    return f"Held-out Dice {quality.dice:.3f}" + (f" ({each})" if each else "")


def _objects(facts: ExportFacts) -> Iterator[str]:
    """How well it finds numbered objects, where such judge it."""
    if not facts.objects:
        return
    yield "<h2>Objects</h2><ul>" + "".join(f"<li>{escape(line)}</li>" for line in facts.objects) + "</ul>"
    yield _paragraph(
        "An object is found where its IoU with a true one is above the limit. AP is found / (found + missed + "
        "invented), over limits from 0.5 to 0.95. PQ is the panoptic quality at 0.5."
    )


def _cases(facts: ExportFacts) -> Iterator[str]:
    judged, names = facts.judged, facts.names
    if not judged.cases:
        yield "<h2>Cases</h2>" + _paragraph(
            f"Nothing judges the model. In the app, {what_would_judge(facts.store)}."
        )
        return
    ranked = sorted((case for case in judged.cases if case.dice), key=lambda case: case.mean_dice or 0.0)
    legend = f"<p>Outlines: {_underlined('people', SAID)}, {_underlined('the model', PROPOSED)}.</p>"
    worst = ranked[: min(SHOWN, -(-len(ranked) // 2))]
    best = ranked[len(worst) :][-SHOWN:][::-1]
    yield "<h2>Worst cases</h2>" + legend + "".join(map(_figure, worst))
    if best:
        yield "<h2>Best cases</h2>" + "".join(map(_figure, best))
    yield "<h2>Every class and case</h2>" + _paragraph(
        "Dice counts labelled voxels. The distance is the larger of the two directed 95th percentiles between the "
        "surfaces (Hausdorff, 95 %). “In slices” means within labelled slices, where not all of a volume is labelled."
    )
    yield _table(judged.cases, names)
    if judged.left_out:
        yield _paragraph(
            f"{count_of(judged.left_out, 'held-out image')} could not be judged in time or read."
        )


def _underlined(word: str, colour: tuple[int, int, int]) -> str:
    return f'<span style="border-bottom: 3px solid rgb{colour}">{word}</span>'


def _table(cases: Sequence[JudgedCase], names: dict[int, str]) -> str:
    rows = [
        f"<tr><td>{escape(case.name)}</td><td>{escape(names[c])}</td>"
        f'<td class="number">{case.dice[c]:.3f}</td><td class="number">{_distance(case, c)}</td></tr>'
        for case in cases
        for c in names
        if c in case.dice
    ]
    head = "<tr><th>case</th><th>class</th><th>Dice</th><th>95 % Hausdorff</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"


def _distance(case: JudgedCase, class_id: int) -> str:
    """None where one of the two says that the class is not there."""
    if class_id not in case.distance:
        return "none"
    return f"{case.distance[class_id]:.2f} {case.unit}" + (" in slices" if case.in_slices else "")


def _figure(case: JudgedCase) -> str:
    data = base64.b64encode(case.picture.png).decode("ascii")
    told = ", ".join(
        part for part in (case.name, case.picture.place, f"Dice {case.mean_dice or 0:.3f}") if part
    )
    return (
        f'<figure><img alt="{escape(told, quote=True)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(told)}</figcaption></figure>"
    )


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"
