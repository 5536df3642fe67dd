"""What a person sees of a run: its losses as a table, curves, a page, and the film of its pictures."""

from farm.execution.run_report.report import RunReport

__all__ = ["RunReport"]
