"""SQS's quotas, each with its unit and its source.

Sources: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html and
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html
"""

from __future__ import annotations

MESSAGE_BYTES = 1_048_576
"""The most a message holds, attributes included; also the most a batch holds."""
BATCH_MESSAGES = 10
MESSAGE_ATTRIBUTES = 10
VISIBILITY_SECONDS = 43_200
DELAY_SECONDS = 900
RETENTION_SECONDS_LEAST = 60
RETENTION_SECONDS_MOST = 1_209_600
MAX_RECEIVES_MOST = 1_000
QUEUE_NAME_CHARACTERS = 80
MESSAGE_GROUP = r"[A-Za-z0-9!-/:-@\[-`{-~]{1,128}"
"""https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html#SQS-SendMessage-request-MessageGroupId"""
IN_FLIGHT = 120_000
"""Messages of a queue that are received and not deleted, about."""
FIFO_PER_SECOND = 300
"""Requests of one action, without batches and without the queue's high throughput."""
