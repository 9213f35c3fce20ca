"""Containers one after the other: what one writes to stdout is what the next reads from stdin."""

from __future__ import annotations

from wherry.pipeline.collecting import collect
from wherry.pipeline.result import PipelineResult, Stage
from wherry.pipeline.running import Pipeline, Start, pipeline

__all__ = ["Pipeline", "PipelineResult", "Stage", "Start", "collect", "pipeline"]
