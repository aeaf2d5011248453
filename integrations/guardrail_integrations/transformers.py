"""Local models of transformers held to a declared output while they write it.

    tokens = model.generate(**inputs, max_new_tokens=400, **constrained(Invoice, model, tokenizer))

Every token that could not be continued to a document of the schema is masked (llguidance). The
mask of the next token is worked out while the model computes its logits.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from guardrail import ContentError, MissingExtra, NotRun, SchemaError
from guardrail.structure import for_decoding, shape_of

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

Bias = NDArray[np.float32]  # 0 for a token that may come next, minus infinity for any other

# The eight tokens of a byte of llguidance's mask, lowest bit first.
_BIAS_OF_BYTE: Bias = np.where(
    np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little") == 1,
    np.float32(0),
    np.float32(-np.inf),
)

_tokenizers: weakref.WeakKeyDictionary[Any, dict[Any, LLTokenizer]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def constrained(output: Any, model: Any, tokenizer: Any, *, levels: int = 3) -> dict[str, Any]:
    """Arguments for one `model.generate`, or for a text-generation pipeline.

    `output` is a pydantic model, dataclass, TypedDict, other type, or a JSON Schema as a mapping;
    `tokenizer` a fast tokenizer, or a processor that has one. A schema that contains itself does so
    `levels` times at most. Batches, sampling and beams are supported; each sequence has a matcher
    of its own. Make new arguments for every call.

    The answer ends with the end-of-sequence token once the document is complete. Where
    `max_new_tokens` comes first it is cut off, and `guard` says so.

    Raises SchemaError for a schema that cannot be held to, MissingExtra without llguidance.
    """
    inner = getattr(tokenizer, "tokenizer", tokenizer)
    config = model.config.get_text_config()
    known = _tokenizer(inner, config.vocab_size, _ends(model, inner))
    constraint = Constraint(known, grammar_of(output, levels), config.vocab_size)
    return {"logits_processor": [constraint.mask], "stopping_criteria": [constraint.prepare]}


def grammar_of(output: Any, levels: int = 3) -> str:
    """The grammar of a declared output, for llguidance."""
    import json

    LLMatcher = _llguidance().LLMatcher  # noqa: N806
    schema = for_decoding(shape_of(output).schema, levels)
    options = {"whitespace_flexible": False}
    grammar = str(LLMatcher.grammar_from_json_schema(json.dumps(schema), defaults=options))
    wrong, said = LLMatcher.validate_grammar_with_warnings(grammar)
    if wrong:
        if said[0].startswith("oneOf"):
            reason = "forms that may overlap cannot be held to: use anyOf, or a tag that differs"
            raise SchemaError("#", "oneOf", reason)
        raise SchemaError("#", "", f"it cannot be held to: {said[0].partition(chr(10))[0]}")
    return grammar


@dataclass
class _Row:
    """A sequence: the tokens it has, of which its matcher took those before its end."""

    matcher: LLMatcher
    tokens: list[int]
    ended: bool = False


class Constraint:
    """What holds the sequences of one `generate` to a grammar.

    `prepare` is called when tokens are chosen and begins to work out the masks of the next ones;
    `mask` is called with the logits and applies them.
    """

    def __init__(self, tokenizer: LLTokenizer, grammar: str, vocabulary: int) -> None:
        self._first = _llguidance().LLMatcher(tokenizer, grammar, log_level=0)
        _sound(self._first)
        self._ends = frozenset(tokenizer.eos_tokens)
        self._words = (vocabulary + 31) // 32
        self._rows: list[_Row] = []
        self._prompt: int | None = None  # tokens of the prompt
        self._coming: tuple[list[list[int]], Future[Bias]] | None = None

    def prepare(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """A stopping criterion that never stops; see above."""
        import torch

        if self._prompt is not None:
            chosen = input_ids[:, self._prompt :].tolist()
            self._coming = chosen, _worker().submit(self._bias, chosen)
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)

    def mask(self, input_ids: Any, scores: Any) -> Any:
        """A logits processor: everything that may not come next is set to minus infinity."""
        import torch

        if self._prompt is None:
            self._prompt = input_ids.shape[1]
        sequences = input_ids[:, self._prompt :].tolist()
        chosen, coming = self._coming or ([], None)
        self._coming = None
        bias = None if coming is None else coming.result()
        if bias is None or chosen != sequences:  # of more beams than go on
            bias = self._bias(sequences)
        held = torch.from_numpy(bias[:, : scores.shape[-1]])
        return scores + held.to(scores.device, scores.dtype)

    def _bias(self, sequences: list[list[int]]) -> Bias:
        """Bring the matchers up to the tokens chosen, and work out what may come next."""
        self._follow(sequences)
        bits = np.zeros((len(sequences), self._words), np.uint32)
        for row, mask in zip(self._rows, bits, strict=True):
            if row.ended:
                for token in self._ends:
                    mask[token // 32] |= np.uint32(1 << token % 32)
                continue
            row.matcher.unsafe_compute_mask_ptr(mask.ctypes.data, mask.nbytes)
            _sound(row.matcher)
        return _BIAS_OF_BYTE.take(bits.view(np.uint8), axis=0).reshape(len(sequences), -1)

    def _follow(self, sequences: list[list[int]]) -> None:
        """Each sequence goes on from the row that it continues: its own, or, as beams change
        places, another; a row that several continue is copied for all but the last."""
        sources = [self._continued(index, tokens) for index, tokens in enumerate(sequences)]
        left = Counter(id(source) for source in sources)
        rows = []
        for tokens, source in zip(sequences, sources, strict=True):
            left[id(source)] -= 1
            matcher = source.matcher if not left[id(source)] else source.matcher.deep_copy()
            row = _Row(matcher, tokens, source.ended)
            for token in tokens[len(source.tokens) :]:
                # Beams may hold forbidden tokens, with a score of minus infinity.
                row.ended = (
                    row.ended or token in self._ends or not matcher.try_consume_tokens([token])
                )
            rows.append(row)
        self._rows = rows

    def _continued(self, index: int, tokens: list[int]) -> _Row:
        for row in (*self._rows[index : index + 1], *self._rows):
            if row.tokens in (tokens[:-1], tokens):
                return row
        return _Row(self._first.deep_copy(), [])


def _sound(matcher: LLMatcher) -> None:
    if matcher.is_error():
        said = matcher.get_error().partition("\n")[0][:200]
        raise NotRun(f"constrained decoding: the grammar is too complex, or {said}")


@lru_cache(maxsize=1)
def _worker() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=4, thread_name_prefix="guardrail-mask")


def _llguidance() -> Any:
    try:
        import llguidance
    except ImportError:
        raise MissingExtra("llguidance", "constrained") from None
    return llguidance


def _ends(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """The tokens that end a sequence, as `generate` knows them."""
    given = model.generation_config.eos_token_id
    given = tokenizer.eos_token_id if given is None else given
    ends = tuple(given) if isinstance(given, (list, tuple)) else (given,)
    if None in ends:
        raise ContentError("model", "no_end", "its generation_config names no eos_token_id")
    return ends


def _tokenizer(tokenizer: Any, vocabulary: int, ends: tuple[int, ...]) -> LLTokenizer:
    """The tokenizer in llguidance's form: made once, as it takes about a second."""
    _llguidance()
    import llguidance.hf

    with _lock:
        known = _tokenizers.setdefault(tokenizer, {})
        if (vocabulary, ends) not in known:
            known[vocabulary, ends] = llguidance.hf.from_tokenizer(
                tokenizer, n_vocab=vocabulary, eos_token=list(ends)
            )
        return known[vocabulary, ends]
