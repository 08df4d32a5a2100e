"""AWS's rights before the tests' AWS: who has a policy may do what it allows, and nothing else.

moto's own enforcement asks for rights that AWS does not know (`sqs:SendMessageBatch`) and knows no resource of some actions. So
its judgement of policies is used here, with the action and the resource that AWS would ask about.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from moto.iam.access_control import IAMPolicy, PermissionResult

from devstack.sqs_server import REGION
from tests.http_proxy import Answer, HttpProxy, Request, Upstream
from tests.sqs_rules import SINGLE_ACTION, error

ACCOUNT = "123456789012"
S3_MISSING = 404
Used = set[tuple[str, str]]


class Rights(HttpProxy):
    """Stands before SQS, S3 and CloudWatch. An access key without a policy may do everything.

    `used` are the actions and resources that each access key asked for, `denied` those of them that it was refused.
    """

    def __init__(self, host: str, port: int) -> None:
        self.policies: dict[str, dict[str, Any]] = {}
        self.used: dict[str, Used] = defaultdict(set)
        self.denied: dict[str, Used] = defaultdict(set)
        self._noting = Lock()
        super().__init__(host, port)

    def answer(self, request: Request, upstream: Upstream) -> Answer:
        key, service = _signed_by(request)
        if key not in self.policies:
            return upstream.ask(request)
        for action, resource in _asked(service, request):
            if not self._allows(key, f"{service}:{action}", resource):
                return _denied(service, action)
        answer = upstream.ask(request)
        if service == "s3" and request.method == "GET" and answer.status == S3_MISSING:
            bucket = f"arn:aws:s3:::{_path(request)[0]}"
            return answer if self._allows(key, "s3:ListBucket", bucket) else _denied(service, "ListBucket")
        return answer

    def _allows(self, key: str, action: str, resource: str) -> bool:
        policy = IAMPolicy({"policy_document": json.dumps(self.policies[key])})
        is_allowed = policy.is_action_permitted(action, resource) is PermissionResult.PERMITTED
        with self._noting:
            self.used[key].add((action, resource))
            if not is_allowed:
                self.denied[key].add((action, resource))
        return is_allowed


def _signed_by(request: Request) -> tuple[str, str]:
    """The access key and the service, of the signature in the header or in the address."""
    credential = parse_qs(urlsplit(request.path).query).get("X-Amz-Credential", [""])[0]
    found = re.search(r"Credential=([^,]+)", f"{request.headers.get('authorization', '')} Credential={credential}")
    scope = str(found[1]).split("/") if found else []
    if len(scope) < 4:
        return "", ""
    return scope[0], {"monitoring": "cloudwatch"}.get(scope[3], scope[3])


def _asked(service: str, request: Request) -> list[tuple[str, str]]:
    """The actions on resources that AWS would ask rights for."""
    if service in {"sqs", "cloudwatch"} and not request.body:
        return []  # cut off by its sender's end
    if service == "sqs":
        action = request.headers["x-amz-target"].partition(".")[2]
        content = json.loads(request.body or b"{}")
        name = str(content.get("QueueUrl") or content.get("QueueName")).rpartition("/")[2]
        resource = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
        also = [("TagQueue", resource)] if action == "CreateQueue" and content.get("tags") else []
        return [(SINGLE_ACTION.get(action, action), resource), *also]
    if service == "s3":
        bucket, key = _path(request)
        action = {"PUT": "PutObject", "GET": "GetObject", "DELETE": "DeleteObject"}[request.method]
        return [(action, f"arn:aws:s3:::{bucket}/{key}")]
    if service == "cloudwatch":
        action = request.headers["x-amz-target"].partition(".")[2]
        name = json.loads(request.body).get("AlarmName", "*") if action != "PutMetricData" else "*"  # that may come compressed
        return [(action, f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}")]
    return []


def _path(request: Request) -> tuple[str, str]:
    bucket, _, key = unquote(urlsplit(request.path).path).strip("/").partition("/")
    return bucket, key


def _denied(service: str, action: str) -> Answer:
    text = f"User is not authorized to perform: {service}:{action}"
    if service == "s3":
        body = f"<Error><Code>AccessDenied</Code><Message>{text}</Message></Error>"
        return Answer(403, (("Content-Type", "application/xml"),), body.encode())
    return error("AccessDenied", text, status=403)
