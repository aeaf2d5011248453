"""Street addresses: number and street in the orders that are usual in eleven languages."""

from __future__ import annotations

NAME = r"[A-ZÀ-ÖØ-Þ][\w'’.\-]{1,24}"
GAP = r"(?:,? |,?\n ?)"
STATES = (
    "A[AEKLPRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|P[AR]|RI"
    "|S[CD]|T[NX]|UT|V[AIT]|W[AIVY]"
)
ZIP = rf"(?:{GAP}{NAME}(?: {NAME}){{0,2}})?{GAP}(?:{STATES}) \d{{5}}(?:-\d{{4}})?\b"
UK_POSTCODE = r"[A-Z]{1,2}\d[A-Z\d]? ?\d[ABD-HJLNP-UW-Z]{2}\b"
UNIT = rf"(?:{GAP}(?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|Room|Rm|#)\.? ?[\w\-]{{1,6}}\b)?"
ENGLISH = (
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq"
    r"|Terrace|Ter|Parkway|Pkwy|Highway|Hwy|Circle|Cir|Trail|Crescent|Gardens|Grove|Mews|Close|Way)"
)
GERMANIC = (
    r"(?:straße|strasse|str\.|weg|platz|allee|gasse|damm|ufer|straat|laan|plein|kade|dreef"
    r"|gatan|vägen|gade|vej|veien|gata|katu)"
)
NO_STREET = r"(?:Arbeits|Sitz|Steh|Stell|Park|Spiel|Tabellen|Speicher)platz|Brigade|Dekade|Arkade"
FRENCH = r"(?:[Rr]ue|[Aa]venue|av\.|[Bb]oulevard|[Bb]d|[Pp]lace|[Cc]hemin|all[ée]e|impasse|quai|cours|route)"
ROMANCE = (
    r"(?:Calle|C/|Avenida|Avda\.?|Av\.|Paseo|Plaza|Camino|Via|Viale|Piazza|Corso|Largo|Rua|Travessa"
    r"|Alameda|Praça)"
)
TOWN = rf"(?:{GAP}\d{{4,5}}(?: [A-Z]{{2}})? {NAME}(?: {NAME})?)?"

ADDRESSES = (
    (
        rf"(?<![\w.,/\-])\d{{1,5}}[A-Za-z]?(?:[\-/]\d{{1,4}})? (?:[NSEW]\.? )?(?:{NAME} |\d{{1,3}}(?:st|nd|rd|th) )"
        rf"{{1,4}}?{ENGLISH}\b\.?{UNIT}(?:{ZIP}|(?:{GAP}{NAME}){{0,2}}{GAP}{UK_POSTCODE})?",
        0.8,
    ),
    (
        rf"(?<!\w)(?:\d{{1,4}} )?(?:{NAME} ){{0,2}}(?!{NO_STREET})[A-ZÀ-ÖØ-Þ][\w\-]{{1,30}}{GERMANIC} \d{{1,4}}"
        rf"(?: ?[a-zA-Z]\b)?{TOWN}",
        0.8,
    ),
    (
        rf"(?<!\w)(?:Am|An der|Auf der|Im|In der|Zum|Zur|Unter den|Alte|Neue|Große|Kleine) {NAME} \d{{1,4}}"
        rf"[a-z]?{GAP}\d{{5}} {NAME}",
        0.7,
    ),
    (
        rf"(?<![\w.,])\d{{1,4}}(?: ?(?:bis|ter))?,? {FRENCH} (?:(?:de la|de|du|des|d'|de l'|la|le|les) ?)?"
        rf"{NAME}(?:[ \-](?:{NAME}|de|la|du)){{0,4}}(?:{GAP}\d{{5}} {NAME}(?: {NAME})?)?",
        0.8,
    ),
    (
        rf"(?<!\w){ROMANCE} (?:(?:de la|de los|del|de|da|do|dos|della|dei|d') ?)?{NAME}"
        rf"(?: (?:{NAME}|de|la|del|da|do|e|y)){{0,4}},? (?:n[º°.o]{{1,2}} ?)?\d{{1,4}}(?!\d){TOWN}",
        0.8,
    ),
    (
        r"(?<!\w)(?:(?i:P\.? ?O\.? Box|Postfach|Postbox|Postboks|Bo[iî]te [Pp]ostale|Apartado(?: de [Cc]orreos)?"
        rf"|Casella [Pp]ostale|Caixa [Pp]ostal) \d{{1,6}}\b)(?:{ZIP})?",
        0.8,
    ),
    (
        rf"(?<!\w)(?i:(?:(?:PSC|Unit|CMR) \d{{3,5}},? Box \d{{3,5}}|US(?:S|NS|CGC|NV) [\w\-]{{2,20}}){GAP}"
        r"[AFD]PO (?:AA|AE|AP) \d{5}\b)",
        0.85,
    ),
    (rf"(?<!\w){NAME}(?: {NAME}){{0,2}}, ?(?:{STATES}) \d{{5}}(?:-\d{{4}})?\b", 0.65),
)
# These count only beside a word such as "address".
LOOSE = (
    (rf"(?<![\w.,/\-])\d{{1,5}}[a-zA-Z]? (?:{NAME}[ ]?){{1,5}}(?<! )(?: \d{{1,4}}\b)?{UNIT}", 0.05),
    (rf"(?<!\w){NAME}(?: {NAME}){{0,4}},? \d{{1,4}}[a-zA-Z]?\b(?![.,:]\d){UNIT}{TOWN}", 0.05),
    (r"[一-鿿ぁ-ヿ]{2,20}\d{1,4}(?:[\-丁目番地号号弄室]{1,2}\d{0,4}){0,4}", 0.05),
)
POSTCODES = (
    (r"(?<![\w.,/\-])\d{5}(?:-\d{3,4})?(?![\w/\-])(?![.,]\d)", 0.4),
    (r"(?<!\w)[A-Z]{1,2}\d[A-Z\d]? ?\d[ABD-HJLNP-UW-Z]{2}(?!\w)", 0.4),
    (r"(?<!\w)[ABCEGHJ-NPRSTVXY]\d[A-Z][ \-]?\d[A-Z]\d(?!\w)", 0.4),
    (r"(?<![\w.,/\-])\d{4} ?[A-Z]{2}(?!\w)|(?<![\w.,/\-])\d{3}-\d{4}(?![\w\-])", 0.4),
)
