"""Answers of a declared form: the schema, reading an answer under it, whole or as it comes."""

from guardrail.structure.problems import Problem
from guardrail.structure.progress import Progress
from guardrail.structure.shape import Reading, Shape, shape_of

__all__ = ["Problem", "Progress", "Reading", "Shape", "shape_of"]
