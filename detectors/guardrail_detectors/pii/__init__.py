"""Personal data in text: contact data, cards and accounts, identity numbers of many countries.

Presidio's recognisers decide what a number is; this package decides which of them run, which
words must stand beside a match, and what never counts. Labels and the recognisers behind them
are listed in `labels.KINDS`.
"""

from __future__ import annotations

from importlib.metadata import version

from guardrail.detector import Detector, Spec, View
from guardrail.verdict import Finding, Span
from guardrail_detectors.pii.labels import COUNTRIES, LABELS, NAMED

VERSION = "1"
WINDOW = 256  # the longest beginning that is not known yet, an address with a word behind it
BEFORE = 384  # a card's number, a code beside it, and the words about them
NAMES_WINDOW = 1_000  # a name is known from the sentences about it
PHONE_REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "IN", "BR", "AU", "JP")


def pii(
    *,
    entities: list[str] | None = None,
    countries: list[str] | None = None,
    phone_regions: list[str] | None = None,
    ner: str | None = None,
) -> Detector:
    """Finds personal data and says exactly which characters it is.

    Scores: 0.9 and more for values with a check digit and a form of their own (cards, IBAN,
    e-mail), 0.65 to 0.99 for numbers with a word beside them that names them, 0.6 to 0.85 for
    forms without a check. Numbers that nothing tells apart from an order number are no findings.

    Args:
        entities: the labels to look for; all when left out. PERSON and LOCATION need `ner`.
        countries: two-letter codes of the countries whose identity, tax, health, licence and
            passport numbers are looked for; all that are known when left out.
        phone_regions: two-letter codes of the countries whose national telephone numbers,
            without +, are looked for. Numbers that begin with + are always found.
        ner: name of an installed spaCy model, such as en_core_web_sm, that finds names of
            persons and places. Slow (40 ms for 1,000 characters) and wrong more often.
    """
    labels = _entities(entities, ner)
    chosen_countries = frozenset(_codes("countries", countries, COUNTRIES))
    regions = tuple(phone_regions) if phone_regions is not None else PHONE_REGIONS
    for region in regions:
        if len(region) != 2 or not region.isupper():
            raise ValueError("phone_regions: two capital letters each, such as US or DE")
    spec = Spec(
        name="pii",
        version=f"{VERSION}/{version('presidio-analyzer')}/{version('phonenumbers')}",
        labels=labels,
        threshold=0.5,
        model=ner,
        window=WINDOW if ner is None else NAMES_WINDOW,
        before=BEFORE,
    )
    patterns = frozenset(labels) - frozenset(NAMED)

    def run(view: View) -> list[Finding]:
        from guardrail_detectors.pii.scan import Hit, find_pii, resolve, scanner

        scan = scanner(patterns, chosen_countries, regions)
        findings = []
        for part in view.texts:
            hits: list[Hit] = find_pii(part.text, scan)
            if ner is not None:
                from guardrail_detectors.pii.names import find_names

                named = [hit for hit in find_names(part.text, ner) if hit.label in labels]
                hits = resolve(iter([*hits, *named]))
            findings += [
                Finding(spec.name, hit.label, hit.score, Span(part.name, hit.start, hit.end))
                for hit in hits
            ]
        return findings

    def quick(view: View) -> list[Finding] | None:
        from guardrail_detectors.pii.scan import at_once, scanner

        scan = scanner(patterns, chosen_countries, regions)
        return run(view) if all(at_once(part.text, scan) for part in view.texts) else None

    def warm() -> object:
        from guardrail_detectors.pii.scan import find_pii, scanner

        if ner is not None:
            from guardrail_detectors.pii.names import load

            load(ner)
        return find_pii("+1 212 555 0123", scanner(patterns, chosen_countries, regions))

    return Detector(spec, run, warm, quick if ner is None else None)


def _entities(entities: list[str] | None, ner: str | None) -> tuple[str, ...]:
    known = (*LABELS, *NAMED) if ner is not None else LABELS
    if entities is None:
        return known
    unknown = [label for label in entities if label not in known]
    if not unknown and entities:
        return tuple(label for label in known if label in entities)
    hint = "; these need ner" if set(unknown) & set(NAMED) else ""
    raise ValueError(f"entities: choose some of {', '.join(known)}, not {unknown}{hint}")


def _codes(name: str, chosen: list[str] | None, known: tuple[str, ...]) -> tuple[str, ...]:
    if chosen is None:
        return known
    unknown = [code for code in chosen if code.lower() not in known]
    if unknown:
        raise ValueError(f"{name}: choose some of {', '.join(known)}, not {unknown}")
    return tuple(code.lower() for code in chosen)
