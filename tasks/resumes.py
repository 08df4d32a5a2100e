"""Resumes: created, updated and deleted in the order in which their user ordered it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from jobs.document import Job
from jobs.resumes import Change, resumes
from providers.base import Usage
from providers.requests import Line, Payload, needed
from tasks.kinds import job
from tasks.patience import patiently
from tasks.run import Run


class ResumeChange(Payload):
    """A change of a resume. `action` says which; UPDATE replaces what is given and leaves the rest."""

    trial = {"action": "DELETE", "resumeId": "send-test"}

    action: Literal["CREATE", "UPDATE", "DELETE"] = Field(description="What to do with the resume.")
    resume_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = Field(
        description="The resume's id, which its user chooses: letters, digits, `_` and `-`.", examples=["ada-2026"]
    )
    template: Line | None = Field(default=None, description="How its PDF is set: `classic`, which is the default, or `modern`.")
    data: dict[str, Any] | None = Field(
        default=None,
        description="What stands in it, in the form of JSON Resume.",
        examples=[{"basics": {"name": "Ada Lovelace", "email": "ada@example.org"}}],
    )

    @model_validator(mode="after")
    def _has_what_its_action_needs(self) -> ResumeChange:
        if self.action == "CREATE" and self.data is None:
            raise needed("data", "action CREATE needs it")
        if self.action == "UPDATE" and self.data is None and self.template is None:
            raise needed("data", "action UPDATE needs it, or a template")
        return self


@dataclass(frozen=True)
class Changed:
    """A change that is applied where other results are stored: under the job's lease."""

    change: Change
    usage: Usage = field(default_factory=Usage)

    def keep(self, job: Job) -> Mapping[str, Any]:
        version = patiently(partial(resumes().apply, job, self.change))
        return {"resume_id": self.change.resume_id, "action": self.change.action, "version": version}


@job("resumes", payload=ResumeChange)
def change_resume(run: Run, request: ResumeChange) -> Changed:
    return Changed(Change(**request.model_dump(by_alias=False)))
