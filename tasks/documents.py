"""Documents: a resume set as a PDF."""

from __future__ import annotations

from functools import partial
from io import BytesIO
from typing import Annotated

from pydantic import Field, StringConstraints, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from jobs.errors import InvalidPayload
from jobs.mail import MailAddress
from jobs.resumes import resumes
from providers.base import Generated, MediaFile
from providers.requests import Payload, needed
from tasks.kinds import job
from tasks.patience import patiently
from tasks.results import Media
from tasks.resume_pdf.json_resume import JsonResume
from tasks.resume_pdf.rendering import TEMPLATES, Template, as_pdf
from tasks.run import Run

EXAMPLE = {
    "basics": {
        "name": "Ada Lovelace",
        "label": "Analyst",
        "email": "ada@example.org",
        "summary": "Writes programs for machines that are still to be built.",
        "location": {"city": "London", "countryCode": "GB"},
    },
    "work": [
        {
            "name": "Analytical Engines",
            "position": "Programmer",
            "startDate": "1842-10",
            "highlights": ["Published the first program, with notes three times as long as the paper"],
        }
    ],
    "education": [{"institution": "University of London", "area": "Mathematics", "endDate": "1841"}],
    "skills": [{"name": "Mathematics", "keywords": ["Bernoulli numbers", "Difference engines"]}],
}


class DocumentRequest(Payload):
    """A resume as a PDF: `resume` itself, or the `resumeId` of one that is stored."""

    trial = {"resume": EXAMPLE}

    resume: JsonResume | None = Field(default=None, description="The resume, as https://jsonresume.org/schema describes it.")
    resume_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = Field(
        default=None, description="Instead of `resume`: the id of one of your stored resumes, letters, digits, `_` and `-`."
    )
    template: Template | None = Field(
        default=None,
        description="How it is set: `classic` or `modern`. Left out: as the stored resume says, else `classic`.",
    )
    user_email: MailAddress | None = Field(default=None, description="Who gets a mail when the PDF is there.")

    @model_validator(mode="after")
    def _has_one_resume(self) -> DocumentRequest:
        if self.resume is None and self.resume_id is None:
            raise needed("resume", "send it, or the resumeId of a stored one")
        if self.resume is not None and self.resume_id is not None:
            raise PydanticCustomError("not_together", "resume and resumeId", {"field": "resumeId", "other": "resume"})
        return self


@job("documents", payload=DocumentRequest)
def set_document(run: Run, request: DocumentRequest) -> Media:
    resume, template = _resume_and_template(run, request)
    run.progress(20, "Setting the pages")
    pdf = as_pdf(resume, template, run.job.created_at)
    return Media(Generated(files=[MediaFile(name="resume.pdf", content_type="application/pdf", file=BytesIO(pdf))]))


def _resume_and_template(run: Run, request: DocumentRequest) -> tuple[JsonResume, Template]:
    if request.resume is not None:
        return request.resume, request.template or "classic"
    stored = patiently(partial(resumes().get, run.job.user_id, str(request.resume_id)))
    if stored is None:
        raise InvalidPayload(f"There is no resume {request.resume_id!r}. Create it first, or send the resume itself.")
    its_own = next((name for name in TEMPLATES if name == stored.template), None)
    try:
        resume = JsonResume.model_validate(dict(stored.data))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()[:10])
        raise InvalidPayload(f"The resume {request.resume_id!r} can't be set. Correct it and order again: {faults}") from None
    return resume, request.template or its_own or "classic"
