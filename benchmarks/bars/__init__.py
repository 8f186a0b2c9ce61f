"""Bars as data: what `benchmarks/bars.yaml` promises, measured one after another."""
