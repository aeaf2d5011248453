"""Answers of a declared form: the schema, reading an answer under it, whole or as it comes."""

from guardrail.structure.bounded import for_decoding
from guardrail.structure.problems import Problem
from guardrail.structure.progress import Progress
from guardrail.structure.shape import WRAPPED, Reading, Shape, shape_of

__all__ = ["WRAPPED", "Problem", "Progress", "Reading", "Shape", "for_decoding", "shape_of"]
