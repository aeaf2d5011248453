"""Formats of credentials, written from the providers' documentation of their keys.

Each pattern is RE2 syntax; its group named `v`, or else the whole match, is the secret value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from guardrail_detectors.secrets.values import (
    is_base64_text,
    is_basic_credential,
    is_jwt,
    is_key_value,
    is_mixed,
    is_password,
    is_spoken_password,
    is_url_password,
)

LABELS = (
    "ANTHROPIC_KEY",
    "API_KEY",
    "AWS_KEY",
    "AZURE_KEY",
    "GITHUB_TOKEN",
    "GITLAB_TOKEN",
    "GOOGLE_KEY",
    "JWT",
    "OPENAI_KEY",
    "PASSWORD",
    "PRIVATE_KEY",
    "SLACK_TOKEN",
    "STRIPE_KEY",
)


@dataclass(frozen=True)
class Format:
    """One way in which a secret is written. `check` looks at the value (and may refuse it)."""

    label: str
    pattern: str
    score: float = 0.95
    check: Callable[[str], bool] | None = None


def _formats(label: str, *patterns: str, score: float = 0.95) -> list[Format]:
    return [Format(label, pattern, score) for pattern in patterns]


UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

PROVIDERS = [
    *_formats(
        "AWS_KEY",
        r"\b(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z0-9]{16}\b",
        r"(?i)(?:aws|amazon|secret_?access_?key|secretaccesskey)[\w.\-]{0,40}['\"]?\s{0,3}"
        r"(?:=|:|:=|=>|==|,)\s{0,3}['\"]?(?P<v>[A-Za-z0-9/+]{40})(?:$|[^A-Za-z0-9/+=])",
        r"(?i)aws_?session_?token['\"]?\s{0,3}[=:]\s{0,3}['\"]?(?P<v>[A-Za-z0-9/+]{100,}={0,2})",
        r"\bABSK[A-Za-z0-9+/]{109,269}={0,2}",
    ),
    *_formats(
        "GITHUB_TOKEN",
        r"\bgh[pousr]_[A-Za-z0-9]{36,255}\b",
        r"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b",
    ),
    *_formats(
        "GITLAB_TOKEN",
        r"\bgl(?:agent|cbt|dt|ffct|ft|imt|oas|pat|ptt|rt|rtr|soat)-[\w\-]{20,}(?:\.[\w\-.]{2,40})?",
        r"\bGR1348941[\w\-]{20}",
    ),
    *_formats("ANTHROPIC_KEY", r"\bsk-ant-[a-z0-9]{3,12}-[\w\-]{20,}"),
    *_formats(
        "STRIPE_KEY", r"\b(?:sk|rk)_(?:live|test|prod)_[A-Za-z0-9]{10,}", r"\bwhsec_[\w+/=]{24,}"
    ),
    *_formats(
        "SLACK_TOKEN",
        r"\bxox[abceoprs]-(?:[0-9A-Za-z]{1,40}-){1,5}[0-9A-Za-z]{8,}",
        r"\bxoxe\.xox[bp]-\d-[A-Za-z0-9]{100,}",
        r"\bxapp-\d-[A-Z0-9]{6,}-\d+-[a-z0-9]{30,}",
        r"hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/[\w+/]{30,}",
    ),
    *_formats(
        "GOOGLE_KEY",
        r"\bAIza[\w\-]{35}",
        r"\bGOCSPX-[\w\-]{28}",
        r"\bya29\.[\w\-]{20,}",
        r"\b1//0[\w\-]{40,}",
    ),
    *_formats(
        "AZURE_KEY",
        r"(?i)\bAccountKey\s?=\s?(?P<v>[A-Za-z0-9+/]{86}==)",
        r"(?i)\bSharedAccess(?:Key|Signature)\s?=\s?(?P<v>[A-Za-z0-9+/]{43}=)",
        r"(?:^|[^\w~.\-])(?P<v>[\w~.\-]{3}\dQ~[\w~.\-]{31,34})(?:$|[^\w~.\-])",
        r"[?&]sig=(?P<v>[A-Za-z0-9%+/]{43,70}(?:%3D|=))",
        r"\b[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}\b",
    ),
    *_formats(
        "PRIVATE_KEY",
        r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----",
        r"PuTTY-User-Key-File-[23]: [\w\-]+",
        r"\bAGE-SECRET-KEY-1[0-9A-Z]{58}\b",
    ),
    Format("JWT", r"\beyJ[\w\-]{10,}\.(?:[\w\-]{6,}|\.)[\w\-.]*", check=is_jwt),
    Format("OPENAI_KEY", r"\bsk-(?:proj-|svcacct-|admin-|None-)?[\w\-]{20,}", 0.9, is_mixed),
    *_formats(
        "API_KEY",
        r"\b(?:npm_[A-Za-z0-9]{36}|pypi-AgE[\w\-]{50,}|rubygems_[a-f0-9]{48}|CLOJARS_[a-z0-9]{60})",
        r"_authToken\s?=\s?['\"]?(?P<v>[A-Za-z0-9][\w\-+/=.]{7,})",
        r"\bSG\.[\w\-]{16,32}\.[\w\-]{16,64}",
        r"\b(?:AC|SK)[a-z0-9]{32}\b",
        r"\b\d{8,10}:(?P<v>AA[\w\-]{33})\b",
        r"\b[MNO][A-Za-z\d_\-]{23,27}\.[\w\-]{6}\.[\w\-]{27,38}",
        r"discord(?:app)?\.com/api/webhooks/\d{17,20}/[\w\-]{60,}",
        r"\b(?:hf|api_org)_[A-Za-z]{34,40}\b",
        r"\bdo[oprt]_v1_[a-f0-9]{64}\b",
        r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b",
        r"\b(?:EAAA[\w\-]{60}|sq0[a-z]{3}-[\w\-]{22,43})",
        r"\b(?:key-[0-9a-f]{32}|[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8})\b",
        r"\b[0-9a-f]{32}-us\d{1,2}\b",
        r"\bv1\.0-[a-f0-9]{24}-[a-f0-9]{146}\b",
        r"\bdapi[a-f0-9]{32}(?:-\d)?\b",
        r"\bHRKU-AA[\w\-]{58}",
        r"\bAT(?:ATT|CTT)3[\w=\-]{60,}",
        r"\bATBB[A-Za-z0-9]{32}\b",
        r"\bsl\.(?:u\.)?[\w\-]{100,}",
        r"\bfig[dour]h?_[\w\-]{36,}",
        r"\b(?:lin_api|lin_oauth|ntn)_[A-Za-z0-9]{32,}\b",
        r"\bsecret_[A-Za-z0-9]{43}\b",
        r"\bpat[A-Za-z0-9]{14}\.[a-f0-9]{64}\b",
        r"\b(?:glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}|glc_[A-Za-z0-9+/]{32,}={0,2})",
        r"\bNR(?:AK|JS|II|IQ)-[A-Za-z0-9\-_]{19,32}",
        r"\bdp\.(?:audit|ct|pt|sa|scim|st)\.(?:[a-z0-9\-]{2,35}\.)?[A-Za-z0-9]{40,44}\b",
        r"\bpscale_(?:tkn|pw|oauth)_[\w=.\-]{32,64}",
        r"\bPMA[KT]-[a-f0-9]{24}-[a-f0-9]{34}\b",
        r"\b(?:pul-[a-f0-9]{40}|sq[apu]_[a-f0-9]{40}|sbp_[a-f0-9]{40}|sb_secret_[\w\-]{30,})",
        r"\bsntry[su]_[A-Za-z0-9+/=_\-]{60,}",
        r"\b[A-Za-z0-9]{14}\.atlasv1\.[\w\-=]{60,70}",
        r"\b(?:hv[bsr]\.[\w\-]{24,}|s\.[A-Za-z0-9]{24}\b)",
        r"\b(?:r8_[A-Za-z0-9]{37}|gsk_[A-Za-z0-9]{52}|pplx-[A-Za-z0-9]{48}|xai-[A-Za-z0-9]{80})\b",
        r"\b(?:pcsk_[A-Za-z0-9]{5,6}_[A-Za-z0-9]{60,}|lsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10})\b",
        r"\b(?:sk|pk)-lf-" + UUID,
        r"\bsk_[a-f0-9]{48}\b",
        r"\bre_[A-Za-z0-9]{8}_[A-Za-z0-9]{20,}\b",
        r"\bph[csx]_[A-Za-z0-9]{40,}\b",
        r"\brzp_(?:live|test)_[A-Za-z0-9]{14,}\b",
        r"\baccess_token\$(?:production|sandbox)\$[a-z0-9]{16}\$[a-f0-9]{32}",
        r"\baccess-(?:sandbox|development|production)-" + UUID,
        r"\b(?:CCIPAT_\w{20,}|bkua_[a-f0-9]{40}|nfp_\w{36,}|FlyV1 fm\d[\w+/=,]{40,})",
        r"\bdckr_[op]at_[\w\-]{27,}",
        r"\b(?:tfp_[\w\-.]{40,}|pn[bu]_[A-Za-z0-9]{36}|aio_[A-Za-z0-9]{28})\b",
        r"(?:^|[^\w.])(?P<v>ico-[A-Za-z0-9]{32})\b",
        r"\brdme_[a-z0-9]{70}\b",
        r"\bdt0[a-z]\d{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}\b",
        r"\bEZ[AT]K[A-Za-z0-9]{54}\b",
        r"\b(?:duffel|shippo)_(?:test|live)_[\w\-=]{40,43}",
        r"\bFLW(?:SECK|PUBK)_TEST-[A-Ha-h0-9]{12,32}",
        r"\bxkeysib-[a-f0-9]{64}-[A-Za-z0-9]{16}\b",
        r"\bLTAI[A-Za-z0-9]{12,20}\b",
        r"(?:^|[\s=:\"'@])(?P<v>AKC[A-Za-z0-9]{10,}|AP[\dABCDEF][A-Za-z0-9]{8,})(?:$|[\s\"'@;,])",
        r"\bcmVmd[A-Za-z0-9]{59}\b",
        r"\bCFPAT-[\w\-]{43}",
        r"\bs-s4t2(?:ud|af)-[a-f0-9]{64}\b",
        r"\b[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk\b",
        r"\bsk\.eyJ[\w\-]{40,}\.[\w\-]{20,}",
        r"\bAPI-[A-Z0-9]{26}\b",
        r"\bsha256~[\w\-]{43}",
        r"\btskey-[a-z]{3,10}-[\w\-]{20,}",
        r"\bsgp_(?:[a-fA-F0-9]{16}_|local_)?[a-fA-F0-9]{40}\b",
        r"\bops_eyJ[A-Za-z0-9+/]{100,}={0,3}",
        r"\bA3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}\b",
        r"\bAQVN[\w\-]{35,38}",
        r"\bt1\.[A-Z0-9a-z_\-]{6,}={0,2}\.[\w\-]{86}={0,2}",
        r"\bEAA[A-Za-z0-9]{90,}\b",
        r"\bsk-or-v1-[a-f0-9]{64}\b",
        r"\b(?:PRIVATE-TOKEN|X-Auth-Token|X-API-Key)['\"]?:\s?(?P<v>[\w\-]{16,})",
        r"\bfio-u-[\w\-]{64}",
        r"https://[\w.\-]+\.webhook\.office\.com/webhookb2/[\w@\-]{20,}/IncomingWebhook/[a-z0-9]{32}/[\w\-]{36}",
    ),
]

# What stands between the name of a setting and its value in code, configuration and forms.
ASSIGN = r"['\"`\]]{0,3}\s{0,4}(?:[=:]{1,3}|[:?|!+]?={1,2}|=>|:-)\s{0,4}"
SECRET_NAME = (
    r"(?:pass(?:word|wd|phrase|code)|passwort|kennwort|contrase(?:ñ|n)a|senha|mot[ _]de[ _]passe"
    r"|wachtwoord|lösenord|hasło|пароль|密码|密碼|パスワード|비밀번호|\w{0,20}[_\-.]?pwd|\w{0,20}_pass|\w{0,20}_pw)"
)
KEY_NAME = (
    r"(?:(?:api|access|auth|account|app|application|client|consumer|customer|deploy|encryption"
    r"|license|master|private|secret|service|session|shared|signing|storage|subscription)"
    r"[_\-. ]?(?:key|token|secret)|secret|token|credentials?|apikey|[\w\-]{1,30}[_\-]key)"
)
NAME_TAIL = r"(?P<t>[\w\-]{0,20})"

# A quoted value that the text ends in counts too: it may be cut off, or still be coming.
GENERIC = [
    Format(
        "PASSWORD",
        r"(?i)"
        + SECRET_NAME
        + NAME_TAIL
        + ASSIGN
        + r"(?P<v>\"[^\"\n]{4,}(?:\"|$)|'[^'\n]{4,}(?:'|$)"
        r"|`[^`\n]{4,}(?:`|$)|[^\s\"'`]{6,})",
        0.8,
        is_password,
    ),
    Format(
        "PASSWORD",
        r"(?i)\b" + SECRET_NAME + r"\s+(?:is|ist|es|est|è|é|to|was|lautet)\s*:?\s+"
        r"(?P<v>\"[^\"\n]{4,}(?:\"|$)|'[^'\n]{4,}(?:'|$)|\S{6,})",
        0.7,
        is_spoken_password,
    ),
    Format(
        "API_KEY",
        r"(?i)" + KEY_NAME + NAME_TAIL + ASSIGN + r"(?P<v>\"[^\"\s]{8,}(?:\"|$)|'[^'\s]{8,}(?:'|$)"
        r"|`[^`\s]{8,}(?:`|$)|[^\s\"'`<>]{8,})",
        0.8,
        is_key_value,
    ),
    Format(
        "API_KEY",
        r"(?i)(?:"
        + KEY_NAME
        + r"|"
        + SECRET_NAME
        + r")"
        + NAME_TAIL
        + r"(?:['\"],\s{0,3}|\(|\.\w{2,12}\()"
        r"(?P<v>\"[^\"\s]{8,}(?:\"|$)|'[^'\s]{8,}(?:'|$))",
        0.8,
        is_key_value,
    ),
    Format(
        "API_KEY",
        r"(?i)-{1,2}[\w\-]{0,30}(?:"
        + KEY_NAME
        + r"|"
        + SECRET_NAME
        + r")[ =](?P<v>['\"]?[^\s'\"<>]{8,})",
        0.8,
        is_key_value,
    ),
    Format(
        "API_KEY",
        r"(?i)<[\w\-]{0,30}(?:" + KEY_NAME + r"|" + SECRET_NAME + r")" + NAME_TAIL + r">\s{0,20}"
        r"(?P<v>[^\s<>]{6,})(?:\s{0,20}</|$)",
        0.8,
        is_key_value,
    ),
    Format(
        "API_KEY",
        r"(?i)\bAuthorization['\"]?\s?[:=,]\s?['\"]?(?:Bearer|Token|ApiKey|Key)\s+"
        r"(?P<v>[\w\-.~+/]{12,}={0,2})",
        0.85,
        is_base64_text,
    ),
    Format("API_KEY", r"\bBearer\s+(?P<v>[\w\-.~+/]{20,}={0,2})", 0.8, is_base64_text),
    Format(
        "PASSWORD",
        r"(?i)\bAuthorization['\"]?\s?[:=,]\s?['\"]?Basic\s+(?P<v>[A-Za-z0-9+/]{8,}={0,2})",
        0.9,
        is_basic_credential,
    ),
    Format(
        "PASSWORD",
        r"(?i)\b[a-z][a-z0-9+.\-]{1,20}://[^\s:/?#@'\"<>\[\]{}]{0,100}:(?P<v>[^\s/?#@'\"<>\[\]]{3,150})"
        r"@[\w.\-\[]",
        0.9,
        is_url_password,
    ),
    Format(
        "PASSWORD",
        r"\bcurl\b[^\n]{0,300}\s(?:-u|--user)[ =]?['\"]?[\w.@\-]{1,60}:(?P<v>[^\s'\"]{4,})",
        0.85,
        is_url_password,
    ),
]

FORMATS = tuple(PROVIDERS + GENERIC)
