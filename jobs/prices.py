"""What generations cost: `PRICES`, by provider and model. Where there is no price, no cost is known."""

from __future__ import annotations

from collections.abc import Mapping

from settings import settings


def cost_of(provider: str, model: str, used: Mapping[str, float]) -> float | None:
    """What so much of each unit costs with this model, by the price of the model or else of all of its provider's models."""
    table = settings().price_table
    prices = table.get(f"{provider}/{model}") or table.get(f"{provider}/*")
    return sum(price * used.get(unit, 0) for unit, price in prices.items()) if prices else None


def costs(provider: str) -> bool:
    """Whether anything of the provider has a price."""
    return any(name.startswith(f"{provider}/") for name in settings().price_table)
