"""Random documents written byte by byte under a grammar."""

from __future__ import annotations

import random
from functools import lru_cache
from typing import Any

import numpy as np
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from guardrail_integrations.transformers import grammar_of

END = 256


class Bytes:
    """A vocabulary of single bytes."""

    eos_token_id = END
    bos_token_id = None
    tokens = (*(bytes([number]) for number in range(256)), b"<end>")
    special_token_ids = (END,)

    def __call__(self, text: Any) -> list[int]:
        return list(text if isinstance(text, bytes) else text.encode())


@lru_cache(maxsize=1)
def tokenizer() -> LLTokenizer:
    return LLTokenizer(TokenizerWrapper(Bytes()), n_vocab=END + 1, eos_token=END)


def written(output: Any, seed: int, *, levels: int = 2, most: int = 3_000) -> str | None:
    """One document, every byte drawn from those allowed; None where it does not end in time.

    Quotes and ends are drawn more often than chance has it, so that texts end.
    """
    matcher = LLMatcher(tokenizer(), grammar_of(output, levels), log_level=0)
    rng, text = random.Random(seed), bytearray()
    for _ in range(most):
        bits = np.zeros(9, np.uint32)
        matcher.unsafe_compute_mask_ptr(bits.ctypes.data, bits.nbytes)
        assert not matcher.is_error(), matcher.get_error()
        allowed = np.flatnonzero(np.unpackbits(bits.view(np.uint8), bitorder="little"))
        likely = [one for one in allowed if one in (END, ord('"'), ord("]"), ord("}"))]
        token = int(rng.choice(likely if likely and rng.random() < 0.3 else allowed))
        if token == END:
            return text.decode()
        text.append(token)
        assert matcher.consume_token(token)
    return None
