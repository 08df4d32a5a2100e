"""What a model at Replicate takes: each has a schema of its own, and refuses what it does not know.

Only `prompt` is asked of all. Size, shape and length are told in whatever words the model has for them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from jobs.errors import ProviderRefused

NAME = re.compile(r"(?P<owner>[\w.-]+)/(?P<name>[\w.-]+)(?::(?P<version>\w+))?")
LENGTHS = ("duration", "seconds", "video_length", "num_seconds")
SYSTEM = ("system_prompt", "system_instruction")
MOST_TOKENS = ("max_tokens", "max_new_tokens", "max_completion_tokens")
ARTICLE_TOKENS = 16_000

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Wish:
    """What is wanted of a model."""

    prompt: str
    system: str | None = None
    """What a text model is told before the prompt."""
    width: int | None = None
    height: int | None = None
    seconds: int | None = None


@dataclass(frozen=True)
class Model:
    """A model and the inputs that it knows. `version` is None where Replicate keeps the model up to date itself."""

    path: str
    version: str | None
    inputs: Mapping[str, Schema] = field(repr=False)

    @classmethod
    def path_of(cls, name: str) -> str:
        """Where the API describes a model, or the version that its name names.

        Raises:
            ProviderRefused: it is no name of a model.
        """
        found = NAME.fullmatch(name)
        if found is None:
            raise ProviderRefused(f"{name!r} names no model at Replicate: write owner/name, or owner/name:version.")
        path = f"/models/{found['owner']}/{found['name']}"
        return f"{path}/versions/{found['version']}" if found["version"] else path

    @classmethod
    def read(cls, name: str, told: Mapping[str, Any]) -> Self:
        """The model that the API's answer describes.

        Raises:
            ProviderRefused: it has no inputs, or takes no prompt.
        """
        path, _, version = cls.path_of(name).partition("/versions/")
        described = told if version else told.get("latest_version") or {}
        if not version and not told.get("is_official"):
            version = str(described.get("id") or "")
        schemas = _at(described, "openapi_schema", "components", "schemas")
        inputs = {
            named: _resolved(schema, schemas)
            for named, schema in _at(schemas, "Input", "properties").items()
            if isinstance(schema, dict)
        }
        if "prompt" not in inputs:
            raise ProviderRefused(f"The model {name!r} takes no prompt. Name another one.")
        return cls(path, version or None, inputs)

    def input_for(self, wish: Wish) -> dict[str, Any]:
        """The wish in the model's own words."""
        made: dict[str, Any] = {"prompt": wish.prompt}
        if wish.system is not None:
            system = self._first(SYSTEM)
            made |= {system: wish.system} if system else {"prompt": f"{wish.system}\n\n{wish.prompt}"}
            if tokens := self._first(MOST_TOKENS):
                made[tokens] = self._nearest(tokens, ARTICLE_TOKENS)
        if wish.width and wish.height:
            made |= self._shape(wish.width, wish.height)
        if wish.seconds and (length := self._first(LENGTHS)):
            made[length] = self._nearest(length, wish.seconds)
        return made

    def _shape(self, width: int, height: int) -> dict[str, Any]:
        if self.inputs.keys() >= {"width", "height"}:
            made: dict[str, Any] = {"width": self._nearest("width", width), "height": self._nearest("height", height)}
            if "custom" in _choices(self.inputs.get("aspect_ratio", {})):  # else these two mean nothing
                made["aspect_ratio"] = "custom"
            return made
        for named, separator in (("aspect_ratio", ":"), ("size", "x"), ("size", "*")):
            shapes = [each for each in _choices(self.inputs.get(named, {})) if _ratio(each, separator)]
            if shapes:
                return {named: min(shapes, key=lambda each: abs(math.log(_ratio(each, separator) * height / width)))}
        return {}

    def _nearest(self, named: str, wanted: int) -> Any:
        """The nearest to `wanted` that this input allows."""
        schema = self.inputs[named]
        choices = [each for each in _choices(schema) if _is_number(each)]
        if choices:
            return min(choices, key=lambda each: abs(float(each) - wanted))
        least, most = schema.get("minimum", wanted), schema.get("maximum", wanted)
        return min(max(wanted, least), most)

    def _first(self, names: Sequence[str]) -> str | None:
        return next((named for named in names if named in self.inputs), None)


def _at(value: Any, *names: str) -> Mapping[str, Any]:
    for named in names:
        value = value.get(named) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _resolved(schema: Schema, schemas: Mapping[str, Any]) -> Schema:
    """An input's schema, with that which it refers to: choices have schemas of their own."""
    parts = [schema, *schema.get("allOf", [])]
    named = [part["$ref"].rpartition("/")[2] for part in parts if isinstance(part, dict) and "$ref" in part]
    return {name: value for part in named for name, value in _at(schemas, part).items()} | dict(schema)


def _choices(schema: Schema) -> list[Any]:
    found = schema.get("enum")
    return found if isinstance(found, list) else []


def _ratio(shape: object, separator: str) -> float:
    """Width by height of `16:9`; 0 where it is no shape."""
    width, _, height = str(shape).partition(separator)
    return int(width) / int(height) if width.isdecimal() and height.isdecimal() and int(height) and int(width) else 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and value.isdecimal())
