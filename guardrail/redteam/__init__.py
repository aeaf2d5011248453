"""Attacks made to order, to try a policy on what nobody has seen."""
