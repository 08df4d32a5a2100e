"""The secret that a user's webhooks are signed with, as Standard Webhooks has it: `whsec_` and base64.

It is made when it is first asked for, and stays. Whoever signs needs the secret itself, so it stands in MongoDB as it is.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from secrets import token_bytes

from pymongo import ReturnDocument

from jobs.database import available, database
from jobs.expressions import NOW, new_or_kept

PREFIX = "whsec_"
SECRET_BYTES = 32


def webhook_secret(user_id: str) -> str:
    """The user's secret, the same at each call.

    Raises:
        DatabaseUnavailable: MongoDB is away.
    """
    made = {"_id": user_id, "secret": PREFIX + b64encode(token_bytes(SECRET_BYTES)).decode()}
    with available():
        kept = database().collection("webhook_secrets").find_one_and_update(
            {"_id": user_id}, new_or_kept(made, created_at=NOW), upsert=True, return_document=ReturnDocument.AFTER
        )  # fmt: skip
    assert kept is not None  # an upsert that answers the document after it
    return str(kept["secret"])


def signed(secret: str, *, webhook_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers that let the receiver tell that `body` is ours, new, and not heard before."""
    content = f"{webhook_id}.{timestamp}.".encode() + body
    signature = hmac.digest(b64decode(secret.removeprefix(PREFIX)), content, hashlib.sha256)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{b64encode(signature).decode()}",
    }
