"""Finding the prompts, pictures and answers in what callers pass and models return."""

from guardrail.reading.answers import Answer, read_answer
from guardrail.reading.arguments import Reading, read_arguments
from guardrail.reading.streams import read_delta, write_delta

__all__ = ["Answer", "Reading", "read_answer", "read_arguments", "read_delta", "write_delta"]
