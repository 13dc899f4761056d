"""Every example of /openapi.json is sent as it stands, and every answer fits the schema that it promises."""
import json

import jsonschema
import pytest

from penstock_ops import ports
from stack import WAIT_S, Client, new_key

REFUND = "payments_refund"


@pytest.fixture(scope="module")
def document(stack):
    return Client(stack.api.url).get("/openapi.json").json()


@pytest.fixture(scope="module")
def operations(document):
    return {op["operationId"]: (method.upper(), path, op) for path, item in document["paths"].items() for method, op in item.items()}


def schema_check(document: dict, schema: dict, value) -> None:
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", "components": document["components"], **schema}
    jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker()).validate(value)


def check_answer(document: dict, operation: dict, answer) -> None:
    """The status is one that the operation lists, or its body is the problem of "default"."""
    promised = operation["responses"].get(str(answer.status_code), operation["responses"]["default"])
    content = promised.get("content")
    if content is None:
        assert not answer.content
        return
    media = answer.headers["Content-Type"].split(";")[0]
    assert media in content, f"{answer.status_code} {media} {answer.text}"
    if media.startswith("text/"):
        return
    for text in answer.text.splitlines() if media == "application/x-ndjson" else [answer.text]:
        schema_check(document, content[media]["schema"], json.loads(text))


def send(client, operations, name: str, parameters: dict):
    method, path, operation = operations[name]
    headers = {}
    for parameter in operation["parameters"]:
        if parameter["in"] == "path":
            path = path.replace("{%s}" % parameter["name"], parameters.get(parameter["name"], parameter.get("example", "")))
        elif parameter["name"] == "Idempotency-Key":
            headers["Idempotency-Key"] = new_key()
    data = None
    if "requestBody" in operation:
        media, content = next(iter(operation["requestBody"]["content"].items()))
        if "example" in content:
            headers["Content-Type"] = media
            data = content["example"] if isinstance(content["example"], str) else json.dumps(content["example"])
    assert "{" not in path, path
    return client.ask(method, path, headers=headers, data=data)


def linked(operations, answer, source: str) -> dict:
    """{operation: its parameters}, as the links of an answer say."""
    response = operations[source][2]["responses"][str(answer.status_code)]
    found = {}
    for name, link in response.get("links", {}).items():
        found[name] = {k: answer.json()[v.removeprefix("$response.body#/")] for k, v in link["parameters"].items()}
        assert name == link["operationId"]
    return found


def sources_of(operations) -> dict:
    """{operation: the one whose answer links to it}"""
    return {name: source for source, (_, _, op) in operations.items()
            for response in op["responses"].values() for name in response.get("links", {})}


def run(client, document, operations, name: str):
    """The example of an operation, after the one whose answer it needs."""
    source = sources_of(operations).get(name)
    parameters = {}
    if source is not None:
        first = run(client, document, operations, source)
        parameters = linked(operations, first, source)[name]
    if name == REFUND:
        send(client, operations, "payments_capture", parameters)
    answer = send(client, operations, name, parameters)
    check_answer(document, operations[name][2], answer)
    return answer


def test_document__is_openapi_3_1_with_an_example_for_every_body(document, operations):
    assert document["openapi"] == "3.1.0"
    assert len(operations) > 25
    for _, path, operation in operations.values():
        assert operation["summary"] and operation["responses"]["default"]
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert "example" in content, path
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_document__examples_fit_the_schemas_of_their_bodies(document, operations):
    for _, _, operation in operations.values():
        for media, content in operation.get("requestBody", {}).get("content", {}).items():
            example = json.loads(content["example"]) if media == "application/x-ndjson" else content["example"]
            schema_check(document, content["schema"], example)


def test_document__lists_the_job_types_that_can_be_posted(document):
    types = document["x-job-types"]
    assert types["order.place"]["key_required"] and types["demo.noop"]["durability"] == "stream"
    assert "payment.sync" not in types and "event.deliver" not in types


# What an example says when it is sent as it stands to a Penstock that just runs.
EXPECTED = {"jobs_post": 202, "jobs_batch": 200, "jobs_list": 200, "jobs_get": 200, "jobs_events": 200, "jobs_cancel": (200, 409), "jobs_retry": 409, "jobs_snooze": 409, "jobs_progress": (200, 409),
            "orders_post": 201, "orders_get": 200, "orders_cancel": 200, "payments_get": 200, "payments_capture": 200,
            "payments_void": 200, "payments_refund": (200, 201), "notifications_post": 202, "notifications_get": 200,
            "queues_patch": 200, "bulk_post": 202, "bulk_pause": (200, 404), "bulk_resume": (200, 404), "limits_list": 200, "limits_put": 200, "limits_delete": (200, 404), "queues_list": 200, "queues_get": 200, "queues_pause": 200, "queues_resume": 200, "schedules_post": (200, 201),
            "schedules_list": 200, "schedules_get": 200, "schedules_put": 200, "schedules_pause": 200, "schedules_resume": 200,
            "schedules_run": 202, "schedules_delete": 200, "dlq_list": 200, "dlq_retry": 202,
            "workers_list": 200, "workers_get": 404, "workers_jobs": 404, "workers_quiet": 404, "workers_resume": 404, "workers_stop": 404, "slo_list": 200, "slo_report": 200, "scale_list": 200, "scale_get": 200, "scale_put": 200,
            "health": 200, "livez": 200, "readyz": 200, "metrics": 200,
            "openapi": 200, "dlq_groups": 200, "dlq_discard": 200, "dlq_restore": 200, "session_post": 401, "session_get": 200,
            "session_delete": 204, "live": 200, "live_history": 200, "audit_list": 200, "settings": 200, "jobs_detail": 200, "jobs_attempt": (200, 404), "jobs_replay": 409,
            "orders_timeline": 200, "payments_timeline": 200, "notifications_timeline": 200}
ENDLESS = {"live"}


def test_document__has_no_operation_that_is_not_tried(operations):
    assert set(operations) == set(EXPECTED)


@pytest.mark.parametrize("name", [n for n in EXPECTED if n != "queues_pause" and n not in ENDLESS])
def test_example__works_as_it_stands(client, document, operations, name):
    if name == "queues_resume":  # one leaves the queue paused, the other takes that back
        assert run(client, document, operations, "queues_pause").status_code == EXPECTED["queues_pause"]
    answer = run(client, document, operations, name)
    expected = EXPECTED[name]
    assert answer.status_code in (expected if isinstance(expected, tuple) else (expected,)), answer.text
    assert answer.elapsed.total_seconds() < WAIT_S


def test_dead_jobs__with_payloads_of_any_kind_then_as_promised(stack, client, document, operations):
    job = client.enqueue("demo.fail", {"permanent": True})["id"]
    assert ports.wait_until(lambda: stack.sql("SELECT count(*) FROM platform.dead_job WHERE id = %s", job) == [(1,)], WAIT_S)
    for payload in '{"permanent":true}', "[1]":
        stack.sql("UPDATE platform.dead_job SET payload = convert_to(%s, 'UTF8') WHERE id = %s", payload, job)
        answer = client.get("/v1/dlq?payload=true&queue=default")
        assert json.loads(payload) in [item["payload"] for item in answer.json()["items"] if item["id"] == job]
        check_answer(document, operations["dlq_list"][2], answer)
        check_answer(document, operations["jobs_detail"][2], client.get(f"/v1/jobs/{job}/detail"))
    stack.sql("UPDATE platform.dead_job SET discarded_at = now() WHERE id = %s", job)
