"""Views of a version: built from its own tables, after these are verified and before it is published."""

from __future__ import annotations

from dataclasses import dataclass

from ..storage import frozen_views
from ..storage.views import definitions
from . import frozen
from .work import Report, Work


@dataclass(frozen=True, slots=True)
class Build:
    """Build every view of the datastack."""


def build(work: Work, _: Build) -> Report:
    """Build the views that the version's tables allow, and say why it lacks the others."""
    plan = work.plan
    views = definitions(work.connection, plan.stack.name)
    database = frozen.build(work)
    told = frozen_views.build(work.cluster, database, views, plan.version_plan.tables, plan.version_plan.split)
    return Report(sum(each == "built" for each in told.values()), {"views": told})
