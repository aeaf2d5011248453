"""Measuring checks on labelled data: figures, their intervals, and reports."""
