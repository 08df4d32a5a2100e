"""From a resume to the bytes of its PDF, set by Typst (https://typst.app/docs).

The PDF is PDF/A-2a and PDF/UA-1: every font is inside, its text can be taken out in reading order and read aloud. The same
resume, template and day make the same bytes.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from jobs.errors import InvalidPayload
from tasks.resume_pdf.json_resume import JsonResume
from tasks.resume_pdf.sheet import sheet

if TYPE_CHECKING:
    from typst import Fonts

Template = Literal["classic", "modern"]
TEMPLATES: tuple[Template, ...] = get_args(Template)

STANDARDS: list[Literal["a-2a", "ua-1"]] = ["a-2a", "ua-1"]
NOT_SHOWN = re.compile(r'the text `"(?P<text>.+?)"` could not be displayed', re.DOTALL)
ESCAPED = re.compile(r"\\u\{(?P<code>[0-9a-f]+)\}")
"""As Typst writes characters that can't be seen."""


def as_pdf(resume: JsonResume, template: Template, day: datetime) -> bytes:
    """The resume as a PDF that was made on this day.

    Raises:
        InvalidPayload: it holds characters that no font at hand can show.
    """
    import typst  # 30 MB that the web process, which reads the payload's schema, does without

    directory = Path(str(files("tasks.resume_pdf"))) / "templates"
    try:
        return typst.compile(
            directory / f"{template}.typ",
            root=directory,
            font_paths=_fonts(),
            sys_inputs={"sheet": json.dumps(sheet(resume)), "day": f"{day:%Y-%m-%d}"},
            format="pdf",
            pdf_standards=[*STANDARDS],
            timestamp=int(day.timestamp()),
        )
    except typst.TypstError as error:
        if found := NOT_SHOWN.search(str(error)):
            text = ESCAPED.sub(lambda escaped: chr(int(escaped["code"], 16)), found["text"])
            named = ", ".join(f"{each} (U+{ord(each):04X})" for each in text)
            raise InvalidPayload(
                f"No font here can show {named}. Leave it out, or install one on the worker (Debian: fonts-noto-cjk)."
            ) from error
        raise


@cache
def _fonts() -> Fonts:
    """Typst's own, Source Sans Pro, and for the scripts that these lack what the system has."""
    from typst import Fonts

    return Fonts(font_paths=[str(files("font_source_sans_pro") / "files")])
