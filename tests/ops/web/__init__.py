"""Tests of what operates a run from outside."""
