"""Which provider does a job: the one the job names, else the one the settings name."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from jobs.errors import ProviderRefused
from providers.base import Provider
from settings import settings

PROVIDERS = {
    "local": "providers.local:LocalProvider",
    "service": "providers.service:ServiceProvider",
    "openai": "providers.openai:OpenAIProvider",
    "replicate": "providers.replicate:ReplicateProvider",
}


def provider_named(name: str | None = None) -> Provider:
    """The provider of that name, or the default one. Its module, and so its SDK, is loaded when first asked for.

    Raises:
        ProviderRefused: there is no such provider, or it is not set up.
    """
    return _made(name or settings().provider_name)


@cache
def _made(name: str) -> Provider:
    if name not in PROVIDERS:
        raise ProviderRefused(f"There is no provider {name!r}. There are: {', '.join(PROVIDERS)}.")
    module, _, attribute = PROVIDERS[name].partition(":")
    provider: Provider = getattr(import_module(module), attribute).from_settings(settings())
    return provider
