"""What is said of settings that can't be used."""

from __future__ import annotations

from typing import Any

import pytest

from settings import SettingsError, settings


@pytest.mark.parametrize("address", ["smtp://ada:p/w@mail.example.org:587", "ada:secret@mail.example.org"])
def test_a_password_in_an_address_that_can_not_be_used_is_not_shown(address: str, environment: Any) -> None:
    environment(SMTP_URL=address)
    with pytest.raises(SettingsError, match=r"SMTP_URL='.*…@mail\.example\.org.*' can't be used") as refused:
        settings()
    assert "ada" not in str(refused.value)
