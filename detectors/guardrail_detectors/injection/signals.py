"""What attacks say, as expressions over folded text (lower case, no accents), with weights.

A weight is how much one signal alone speaks for an attack, in [0, 1): in typed text, and in text
that came from a picture or a tool, where instructions have no business. Each family counts once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from guardrail_detectors.normalise import folded_char

if TYPE_CHECKING:
    import re2


@dataclass(frozen=True)
class Signal:
    """One family of expressions."""

    family: str
    typed: float
    untrusted: float
    patterns: tuple[str, ...]


# Gaps between words: OCR loses spaces, attackers add marks.
_S = r"[\s\W_]{0,4}"


def _near(gap: int) -> str:
    """Up to `gap` characters that stay in the sentence."""
    return rf"[^.!?\n]{{0,{gap}}}?"


_VERB = (
    r"(?:ignor(?:e|es|ing)|disregard(?:s|ing)?|forget(?:ting)?|overlook|overrid(?:e|es|ing)|bypass"
    r"|circumvent|neglect|discard|do\s*n(?:o|')?t\s*(?:follow|obey|listen|comply|adhere)"
    r"|stop\s*(?:following|obeying)|pay\s*no\s*attention\s*to|set\s*aside|erase|delete|drop|skip)"
)
_BEFORE = (
    r"(?:previous(?:ly)?|prior|above|earlier|preceding|foregoing|former|initial|original|existing"
    r"|current|all|any|your|every|the\s*system|my\s*(?:previous|last|other)|these|those)"
)
_ORDERS = (
    r"(?:instruction|prompt|rule|direction|directive|guideline|command|order|constraint|context"
    r"|restriction|polic(?:y|ies)|filter|safeguard|programming|training|conversation|message"
    r"|task|request|assignment|system\s*message|content)s?"
)
_ASSISTANT = (
    r"(?:ai|a\.i\.|llm|gpt(?:-?\d\w*)?|chat\s?gpt|claude|gemini|copilot|llama|assistant|chat\s?bot|bot"
    r"|language\s*model|ai\s*(?:model|agent|system|assistant)|agent|vision\s*model)s?"
)
_ACT = (
    r"(?:ignore|disregard|forget|say|write|output|print|respond|reply|answer|tell|send|forward|email"
    r"|approve|include|add|mention|recommend|suggest|call|execute|run|transfer|pay|click|open|visit"
    r"|delete|remove|state|describe|claim|report|return|reveal|repeat|append|start|end|use|do|set"
    r"|mark|rate|classify|conclude|translate|summari[sz]e|refuse|stop|follow|act|pretend|insert)"
)

SIGNALS: tuple[Signal, ...] = (
    Signal(
        "override",
        0.86,
        0.93,
        (
            rf"{_VERB}{_S}(?:(?:all|any|everything|each|every)\b)?{_near(24)}{_BEFORE}{_near(28)}\b{_ORDERS}\b",
            rf"{_VERB}{_S}(?:everything|anything|all|what(?:ever)?){_near(30)}"
            r"\b(?:above|before|previous(?:ly)?|earlier|told|said|prior|instructed|learned)\b",
            rf"\b(?:forget|disregard){_S}(?:everything|all)\b{_near(30)}"
            r"\b(?:know|rules|instructions|told|assignments?|tasks?)\b",
            rf"\b(?:previous|prior|above|earlier|original|system)\s*{_ORDERS}{_near(30)}"
            r"\b(?:no\s*longer\s*(?:apply|valid|matter)|(?:are|is|were|was)\s*(?:now\s*)?"
            r"(?:void|cancel+ed|revoked|obsolete|superseded|overridden|outdated|deprecated))",
            rf"\b(?:instead\s*of|rather\s*than)\s*(?:following|obeying){_near(20)}{_ORDERS}\b",
        ),
    ),
    Signal(
        "override_other_languages",
        0.86,
        0.93,
        (
            # German, Dutch
            r"\b(?:ignorier\w*|vergiss\w*|vergessen\s+sie|missachte\w*|beachte\s+nicht|negeer\w*|vergeet)\b"
            r"[^.!?\n]{0,40}\b(?:anweisung\w*|instruktion\w*|regeln?|vorgaben?|befehle?|auftrage?|prompts?"
            r"|instructies?|opdrachten|alles\s+(?:davor|bisherige|wat))\b",
            # French
            r"\b(?:ignore[rsz]?|oublie[rsz]?|ne\s+tiens?\s+pas\s+compte|neglige[rz]?)\b[^.!?\n]{0,40}"
            r"\b(?:instructions?|consignes?|regles?|directives?|ordres?|tout\s+ce\s+qui\s+precede)\b",
            # Spanish, Portuguese, Italian, Romanian
            r"\b(?:ignora\w*|ignore[mn]?|olvid\w*|esquec\w*|dimentica\w*|desconsider\w*|descart\w*|uita)\b"
            r"[^.!?\n]{0,40}\b(?:instruc\w+|istruzion\w*|instructiun\w*|ordenes|ordens|reglas|regras|regole"
            r"|indicacion\w*|directrices|todo\s+lo\s+anterior|tudo\s+o\s+que|tutto\s+(?:quello|cio))\b",
            # Russian, Ukrainian, Bulgarian
            r"(?:игнорируи\w*|проигнорируи\w*|игнорирати|ігноруи\w*|забудь\w*|забуди|не\s+обращаи)"
            r"[^.!?\n]{0,40}(?:инструкци\w*|інструкці\w*|указани\w*|правил\w*|команд\w*|вказівк\w*|все[, ]+что)",
            # Polish, Czech, Croatian
            r"\b(?:zignoruj\w*|ignoruj\w*|zapomnij\w*|zapomen\w*|ignoriraj\w*|zaboravi\w*)\b[^.!?\n]{0,40}"
            r"\b(?:instrukcj\w*|polecen\w*|zasad\w*|pokyn\w*|instrukc\w*|upute|naredb\w*)\b",
            # Turkish
            r"(?:onceki|yukaridaki|tum)\b[^.!?\n]{0,30}(?:talimat\w*|komut\w*|yonerge\w*)[^.!?\n]{0,20}"
            r"(?:yoksay|gormezden\s+gel|unut|dikkate\s+alma|goz\s*ardi)",
            # Vietnamese, Indonesian, Swahili
            r"\b(?:bo\s+qua|quen|lam\s+ngo|abaikan|lupakan|puuza|sahau)\b[^.!?\n]{0,40}"
            r"\b(?:huong\s+dan|chi\s+dan|lenh|chi\s+thi|instruksi|perintah|petunjuk|maagizo|maelekezo)\b",
            # Arabic, Persian
            r"(?:تجاهل|انس|اهمل|تغاض|نادیده)[^.!?\n]{0,40}(?:التعليمات|تعليمات|الاوامر|الإرشادات|الارشادات|القواعد|دستور)",
            # Hindi
            r"(?:निर्देश|आदेश|निरदेश|नियम)[^.!?\n।]{0,40}(?:अनदेखा|नजरअदाज|नजरअंदाज|भूल|अनदखा)"
            r"|(?:अनदेखा|भूल)[^.!?\n।]{0,40}(?:निर्देश|आदेश|निरदेश)",
            # Chinese, Japanese, Korean
            r"(?:忽略|无视|忘记|忘掉|不要理会|無視|忽視|忘記|别管)[^。！？\n]{0,20}(?:指令|指示|提示|规则|規則|命令|要求|说明|内容)",
            r"(?:指示|命令|プロンプト|ルール|フロンフト|ルール|设定)[^。！？\n]{0,16}(?:無視|忘れ|忽略|无视)",
            r"(?:지시|명령|지침|규칙|프롬프트)[^.!?\n]{0,20}(?:무시|잊)",
            # Greek, Thai
            r"(?:αγνοησ\w*|ξεχασ\w*|παραβλεψ\w*)[^.!?\n]{0,40}(?:οδηγι\w*|εντολ\w*|κανον\w*)",
            r"(?:ละเว้น|เพิกเฉย|ลืม|ไม่ต้องสนใจ)[^\n]{0,40}(?:คำสั่ง|คำแนะนำ|กฎ)",
        ),
    ),
    Signal(
        "extract",
        0.8,
        0.85,
        (
            r"\b(?:reveal|show|print|repeat|output|display|tell|give|disclose|leak|expose|share|dump"
            r"|write|recite|translate|summari[sz]e|quote|echo|copy|paste|return|spell|encode|send|list"
            r"|what(?:'?s|\s+is|\s+are|\s+were|\s+was)|read)\b"
            rf"{_near(40)}\b(?:system\s*(?:prompt|message|instruction)s?|(?:initial|hidden|secret"
            r"|original|internal|confidential|developer|pre-?prompt|starting)\s*"
            r"(?:prompt|instruction|message|rule|directive|guideline)s?|preprompt)\b",
            r"\b(?:repeat|print|output|copy|write|recite|echo|return|translate)\b[^.!?\n]{0,30}"
            r"\b(?:(?:words|text|everything|all|content|instructions|prompt|sentences?|paragraphs?|messages?)\s*"
            r"(?:that\s*(?:is|are|was|were)\s*)?(?:above|before\s*this|preceding|so\s*far)|above\s*(?:text|prompt"
            r"|instructions|words))\b",
            r"\byour\s*(?:(?:exact|full|entire|complete|own|secret|initial|original|system)\s*){1,3}"
            r"(?:instructions|prompt|rules|guidelines|configuration)\b",
            r"\byour\s*(?:instructions|prompt|rules|guidelines)\b[^.!?\n]{0,20}"
            r"\b(?:verbatim|word\s*for\s*word|in\s*full|exactly|above|were\s*given)\b",
            r"\b(?:zeig\w*|nenn\w*|gib\w*|verrate\w*|drucke)\b[^.!?\n]{0,40}\bsystem-?\s*(?:prompt|anweisung\w*|nachricht)\b",
            r"\b(?:muestra\w*|revela\w*|dime|imprime|mostre|mostra\w*|affiche\w*|revele\w*|montre\w*|rivela\w*)\b"
            r"[^.!?\n]{0,40}\b(?:prompt|instrucciones|instrucoes|instructions|istruzioni|consignes?)\b",
            r"(?:系统提示|系統提示|システムプロンプト|システィムフロンフト|시스템\s*프롬프트|системн\w+\s+(?:промпт|инструкц|сообщен))",
        ),
    ),
    Signal(
        "role_marks",
        0.6,
        0.85,
        (
            r"<\|(?:im_start|im_end|system|user|assistant|endoftext|start_header_id|eot_id)\|>",
            r"\[/?inst\]|<</?sys>>|<\s*/?\s*(?:system|system_prompt|instructions?)\s*>",
            r"(?:^|\n)\s*#{2,}\s*(?:system|instruction|new\s*instruction|developer)s?\b",
            r"(?:^|\n)\s*\[?\(?(?:system|developer)(?:\s*(?:message|prompt|note|override|instruction))?\s*[\])]?\s*:\s*\w",
            r"\b(?:begin|start|end)\s*(?:of\s*)?(?:new\s*)?(?:system|admin|developer)\s*(?:prompt|message|instruction)",
            r"-{3,}\s*(?:end|begin|start)\s*(?:of\s*)?(?:user|system|the)?\s*(?:prompt|input|instructions?|context|document|data)",
            r"(?:^|\n)\s*(?:assistant|ai)\s*:\s*(?:sure|of\s*course|absolutely|okay)\b",
        ),
    ),
    Signal(
        "new_task",
        0.5,
        0.75,
        (
            r"\b(?:your\s*(?:new|only|real|true|actual|updated|next|primary|sole)|the\s*(?:real|true|actual))\s*"
            r"(?:task|goal|instructions?|role|objective|job|mission|purpose|directive)s?\b",
            r"\bnew\s*(?:instructions?|rules?|directives?|orders?)\s*(?:[:;-]|are|is|below|follow|for\s*you)",
            r"\b(?:important|urgent|critical|attention|mandatory)\b[!:\s]{0,4}(?:new\s*)?"
            r"(?:message|instruction|notice|note|update|directive)s?\s*(?:from|to|for)\s*(?:me|the|your|my|you|all)\b"
            r"[^.!?\n]{0,20}",
            r"\bstrictly\s*adhere\s*to\s*the\s*following\b",
            r"\b(?:before|first|after)[^.!?\n]{0,40}\b(?:you\s*must|please)\s*(?:do|complete|perform|execute)"
            r"[^.!?\n]{0,20}\bfollowing\b",
            r"\b(?:admin|root|sudo|debug|maintenance|god|developer|dan|jailbreak|unrestricted)\s*"
            r"(?:mode|override|access)\b[^.!?\n]{0,30}(?:enabled|activated?|on\b|granted|:|engaged|enter|output)",
            r"\b(?:enter|enable|activate|switch\s*(?:in)?to|you\s*are\s*(?:now\s*)?in)\s*(?:\w+\s*){0,2}"
            r"(?:developer|debug|admin|god|dan|jailbreak|unrestricted|maintenance|sudo)\s*mode\b",
            r"\bneue\s*(?:anweisung\w*|aufgabe|instruktion\w*)\s*:|\bnuevas?\s*(?:instruccion\w*|tarea)\s*:"
            r"|\bnouvelles?\s*(?:instructions?|consignes?|tache)\s*:|新(?:的)?(?:指令|任务)|新しい指示|новая\s*(?:задача|инструкция)",
        ),
    ),
    Signal(
        "persona",
        0.72,
        0.85,
        (
            r"\bdo\s*anything\s*now\b|\bdan\s*(?:mode|prompt|\d+(?:\.\d)?)\b|\bstay\s*a\s*dan\b|\bjailbr(?:eak|oken)\w*",
            r"\b(?:without|no|free\s*(?:of|from)|bypass(?:es|ing)?|not\s*bound\s*by|unbound\s*by|ignor(?:e|es|ing)"
            r"|no\s*longer\s*(?:bound|restricted|limited)|not\s*(?:restricted|limited)\s*by|freed\s*from)\b"
            r"[^.!?\n]{0,30}\b(?:restrictions?|filters?|censorship|limitations?|moral(?:s|ity)?|ethic(?:s|al)?\b[^.!?\n]{0,16}"
            r"|openai'?s?[^.!?\n]{0,20}polic\w+|content\s*polic\w+|safety\s*(?:guidelines|rules|filters?|protocols?)"
            r"|(?:typical\s*)?confines\s*of\s*ai)\b",
            r"\b(?:unfiltered|uncensored|unrestricted|amoral|unethical|immoral|lawless|evil)\b[^.!?\n]{0,30}"
            r"\b(?:ai|assistant|chat\s?bot|bot|model|response|answer|persona|version|character|confidant)\b",
            r"\b(?:will|must|should|can|shall)\s*(?:never|not|n't)\s*(?:refuse|reject|decline|say\s*(?:no|you\s*can))",
            r"\b(?:never|do\s*not|don'?t)\s*(?:refuse|apologi[sz]e|say\s*(?:you|that\s*you|\"?i)\s*can(?:no|')t)"
            r"|\b(?:do\s*not|don'?t|never)\s*(?:include|add|give)[^.!?\n]{0,30}\b(?:warnings?|disclaimers?|ethical|moral)",
            r"\b(?:pretend|imagine|assume|roleplay|act)\b[^.!?\n]{0,40}\b(?:no\s*(?:rules|restrictions|limits|guidelines|laws)"
            r"|anything\s*is\s*(?:allowed|possible|legal)|not\s*an\s*ai)\b",
            r"\b(?:stay|remain)\s*in\s*character\b[^.!?\n]{0,60}|\bopposite\s*mode\b|\bhypothetical\s*(?:response|scenario)\b"
            r"[^.!?\n]{0,50}\b(?:illegal|unethical|harmful|no\s*rules)",
            r"\b(?:start|begin)\s*(?:your|the|each|every)?\s*(?:response|reply|answer|output|sentence)\s*with\b[^.\n]{0,10}"
            r"[\"'“(\[]?\s*(?:sure|absolutely|of\s*course|certainly|yes|here|\[)",
            r"\b(?:two|both)\s*(?:different\s*)?(?:responses|answers|ways)\b[^.!?\n]{0,60}\b(?:gpt|classic|jailbroken|developer|dan)\b",
        ),
    ),
    Signal(
        "say_exactly",
        0.35,
        0.7,
        (
            r"\b(?:just|only|simply|instead|now)\s*,?\s*(?:say|print|output|write|respond|reply|answer)\b[^.!?\n]{0,12}"
            r"(?:with|:|[\"'“«])",
            r"\b(?:respond|reply|answer|output)\s*(?:only\s*)?with\s*(?:only\s*)?[\"'“«]",
            r"\b(?:print|say|output|write|repeat)\s*(?:the\s*(?:word|phrase|text|following)s?\s*)?[\"'“«][^\"'”»\n]{2,60}[\"'”»]",
            r"\b(?:instead|and\s*then|now)\s*,?\s*(?:you\s*(?:must|should|will)\s*)?(?:tell|give|write|say|output)\b",
        ),
    ),
    Signal(
        "secrecy",
        0.45,
        0.8,
        (
            r"\b(?:do\s*not|don'?t|never|without)\s*(?:mention(?:ing)?|tell(?:ing)?|inform(?:ing)?|alert(?:ing)?"
            r"|reveal(?:ing)?|notify(?:ing)?|disclos(?:e|ing)|warn(?:ing)?|let(?:ting)?)\b[^.!?\n]{0,30}"
            r"\b(?:the\s*)?(?:user|human|customer|anyone|owner|this\s*(?:message|instruction|note)|them)\b",
            r"\bkeep\s*(?:this|it|that)\s*(?:a\s*)?(?:secret|hidden|confidential|quiet|between\s*us)\b",
        ),
    ),
    Signal(
        "addressed",
        0.3,
        0.78,
        (
            rf"\b(?:note|message|instructions?|attention|hey|dear|hello|hi|important|notice|reminder|memo|psa|to\s*(?:the|any|all))\b"
            rf"[^.!?\n]{{0,24}}\b(?:to|for)?\s*(?:any|all|the|our|my|your|fellow)?\s*\b{_ASSISTANT}\b\s*(?:[:,!;-]|reading|processing|that|who|please|you|must|should|is\b)",
            rf"\bif\s*you(?:'re|\s*are)\s*(?:an?\s*|the\s*)?(?:\w+\s*)?{_ASSISTANT}\b",
            rf"\b{_ASSISTANT}\s*[:,!-]\s*(?:please\s*|you\s*(?:must|should|will)\s*|kindly\s*|now\s*|always\s*)?{_ACT}\b",
            rf"\b{_ASSISTANT}\s*(?:must|should|shall|will|has\s*to|needs?\s*to|are\s*(?:required|instructed|asked)\s*to)\s*"
            rf"(?:now\s*|always\s*|only\s*|also\s*)?{_ACT}\b",
            r"\b(?:as|you\s*are)\s*an?\s*(?:helpful\s*)?(?:ai|language\s*model|llm)\s*(?:assistant|model)?[^.!?\n]{0,40}"
            r"\byou\s*(?:must|should|will|have\s*to|need\s*to)\b",
            r"\b(?:when|while|before|after)\s*(?:summari[sz]ing|processing|reading|answering|describing|analy[sz]ing|translating|responding)\b"
            r"[^.!?\n]{0,60}\b(?:you\s*(?:must|should)|please|also|always|make\s*sure|include|mention|say|recommend|ignore)\b",
        ),
    ),
    Signal(
        "misreport",
        0.3,
        0.8,
        (
            r"\b(?:do\s*not|don'?t|never)\s*(?:mention|describe|acknowledge|discuss|talk\s*about|refer\s*to|report)"
            r"[^.!?\n]{0,60}(?:in|of|from|on)\s*(?:this|the)\s*(?:image|picture|photo|page|document|screenshot|text|e-?mail)",
            r"\b(?:do\s*not|don'?t|never)\s*(?:mention|describe|acknowledge|discuss|talk\s*about|refer\s*to)[^!?\n]{0,90}\binstead\b",
            r"\binstead\s*,\s*(?:say|mention|print|describe|answer|reply|respond|tell|claim|output|reveal)",
            r"\b(?:ignore|disregard|forget)\s*(?:about\s*)?(?:the|this|that|what\s*the|any)?\s*"
            r"(?:user(?:'?s)?|question|query|picture|image|photo)s?\b[^.!?\n]{0,60}"
            r"\b(?:instead|and\s*(?:just\s*|only\s*)?(?:say|describe|tell|reply|respond|answer|print|claim))\b",
            rf"\b{_ASSISTANT}\s*(?:reading|viewing|seeing|scanning|looking\s*at|analy[sz]ing)\s*(?:this|the)",
            r"\bsay\s*nothing\s*(?:about|of)\s*(?:this|the)\b",
            r"\b(?:print|mention|reveal|output|say|tell|display)\s*(?:out\s*)?(?:me\s*)?the\s*"
            r"(?:password|secret\s*(?:key|code|word)|api\s*key|access\s*code)\b",
        ),
    ),
    Signal(
        "exfiltrate",
        0.4,
        0.78,
        (
            r"\b(?:send|forward|e-?mail|transmit|upload|post|leak|exfiltrate|submit|share|copy)\b[^.!?\n]{0,80}"
            r"\b(?:passwords?|credentials?|api[\s_-]?keys?|tokens?|secrets?|conversations?|chat\s*history|history"
            r"|(?:personal|private|user|sensitive|confidential)\s*(?:data|information|details)|security\s*codes?|system\s*prompt"
            r"|all\s*(?:files?|emails?|messages?|contacts?|documents?))\b[^!?\n]{0,60}(?:https?://|\bto\b)",
            r"!\[[^\]\n]{0,80}\]\(https?://[^)\s]{0,300}[?&][^)\s]{0,80}(?:=|%7b|\{|\$)",
            r"\b(?:append|add|include|insert|embed)\b[^.!?\n]{0,50}\b(?:user'?s?|conversation|data|secret|password|history)\b"
            r"[^.!?\n]{0,40}\b(?:url|link|query|image|parameter)s?\b",
        ),
    ),
    Signal(
        "act_for_me",
        0.0,
        0.45,
        (
            r"\b(?:please|kindly|could\s*you|can\s*you|i\s*(?:want|need)\s*you\s*to|make\s*sure\s*(?:to|you)|you\s*(?:must|should|have\s*to))\b"
            r"[^.!?\n]{0,20}\b(?:send|transfer|forward|e-?mail|delete|grant|share|retrieve|access|download|install|execute|run"
            r"|unlock|disable|open|book|schedule|post|update|change|reset|buy|purchase|pay|withdraw|add\s*me|create)\b",
            r"\b(?:say|write|output|print|respond|reply|answer)\b[^.!?\n]{0,24}\b(?:that|with)\b",
        ),
    ),
)

# Words that show that a text speaks about attacks rather than being one.
ABOUT = (
    r"\bprompt\s*-?\s*injections?\b|\b(?:attackers?|researchers?|phishing|security\s*(?:team|course"
    r"|training))\b|\bwhat\s*does\b|\b(?:the\s*)?(?:meaning\s*of|phrase)\b"
)


@dataclass(frozen=True)
class Hit:
    """A signal at a place in a text."""

    signal: int
    start: int
    end: int


class _Signals:
    def __init__(self) -> None:
        import re2

        self._all = re2.Set.SearchSet(_options())
        self._single: list[tuple[int, re2._Regexp[bytes]]] = []
        for number, signal in enumerate(SIGNALS):
            for pattern in map(_folded, signal.patterns):
                self._all.Add(pattern)
                self._single.append((number, re2.compile(pattern.encode(), _options())))
        self._all.Add("")  # always matches, so that a failed search can be told from none
        self._all.Compile()
        self._about = re2.compile(ABOUT.encode(), _options())

    def hits(self, data: bytes) -> Iterator[Hit]:
        """Every place of every signal; offsets are in bytes of `data`, UTF-8."""
        every = range(len(self._single))
        matched = self._all.Match(data) or []
        for index in matched if len(every) in matched else every:
            if index == len(every):
                continue
            number, pattern = self._single[index]
            for match in pattern.finditer(data):
                yield Hit(number, match.start(), match.end())

    def is_about(self, data: bytes) -> bool:
        return self._about.search(data) is not None


def _folded(pattern: str) -> str:
    """A pattern with its words as folded text has them."""
    return "".join(char if char.isascii() else folded_char(char) for char in pattern)


def _options() -> re2.Options:
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = 128 << 20
    return options


@lru_cache(maxsize=1)
def load_signals() -> _Signals:
    """The compiled signals, once a process."""
    return _Signals()
