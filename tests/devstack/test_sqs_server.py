"""SQS and S3 on the laptop."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from urllib.parse import urlsplit

import boto3
import requests

from queues.clients import make_client
from tests.workers import PATIENCE_SECONDS


def test_forty_long_polls_leave_room_for_the_send_that_ends_them(queues: dict[str, str]) -> None:
    url = next(url for name, url in queues.items() if name.endswith("articles"))
    clients = [make_client("sqs", read_seconds=PATIENCE_SECONDS) for _ in range(40)]
    with ThreadPoolExecutor(len(clients)) as threads:
        polls = [threads.submit(client.receive_message, QueueUrl=url, WaitTimeSeconds=20) for client in clients]
        for start in range(0, len(clients), 10):
            entries = [{"Id": str(number), "MessageBody": str(number)} for number in range(start, start + 10)]
            make_client("sqs").send_message_batch(QueueUrl=url, Entries=entries)
        received = [len(poll.result().get("Messages", [])) for poll in polls]
    assert received == [1] * len(clients)  # which ones is moto's affair: polls of the same moment may get the same


def test_a_long_poll_gets_the_next_message_of_a_group_once_the_one_before_is_deleted(queues: dict[str, str]) -> None:
    client = make_client("sqs", read_seconds=PATIENCE_SECONDS)
    poll = {"QueueUrl": next(url for name, url in queues.items() if name.endswith("resumes.fifo")), "WaitTimeSeconds": 20}
    for body in ("first", "second"):
        client.send_message(QueueUrl=poll["QueueUrl"], MessageBody=body, MessageGroupId="ada", MessageDeduplicationId=body)
    (first,) = client.receive_message(**poll)["Messages"]
    with ThreadPoolExecutor(1) as thread:
        second = thread.submit(client.receive_message, **poll)
        client.receive_message(QueueUrl=poll["QueueUrl"], WaitTimeSeconds=1)  # so that the other has begun
        assert not second.done()
        client.delete_message(QueueUrl=poll["QueueUrl"], ReceiptHandle=first["ReceiptHandle"])
        assert [message["Body"] for message in second.result().get("Messages", [])] == ["second"]


def test_a_file_in_s3_is_read_whole_in_parts_and_by_a_presigned_url(sqs: str) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="files")
    body = bytes(range(256)) * 4096
    s3.put_object(Bucket="files", Key="a b/ü+c.bin", Body=body)
    assert s3.get_object(Bucket="files", Key="a b/ü+c.bin", Range="bytes=255-256")["Body"].read() == b"\xff\x00"
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "files", "Key": "a b/ü+c.bin"})
    assert requests.get(url, timeout=PATIENCE_SECONDS).content == body


def test_a_connection_stays_open_between_requests(sqs: str) -> None:
    address = urlsplit(sqs)
    connection = HTTPConnection(str(address.hostname), address.port, timeout=PATIENCE_SECONDS)
    connection.request("GET", "/moto-api/data.json")
    connection.getresponse().read()
    kept = connection.sock
    connection.request("GET", "/moto-api/data.json")
    assert connection.getresponse().status == 200
    assert connection.sock is kept
    connection.close()
