"""
What botocore sends for every operation of the table is understood as what it meant, its signature verified; and what we answer is
understood by it as what we meant.

Smithy's RPC v2 over CBOR is spoken by newer versions of it than Debian 12 has: there those tests are skipped.
"""
import atexit
import base64
import datetime
import json
import os
import random
import subprocess

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.parsers
import botocore.serialize
import botocore.session

from harness import UNSPILL, Skip, check, main

BUILD = os.environ.get("UNSPILL_BUILD") or os.path.dirname(os.path.dirname(os.path.dirname(UNSPILL)))
SEED = int(os.environ.get("UNSPILL_TEST_SEED", "5"))
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
KEYS = botocore.credentials.Credentials("AKIDEXAMPLE", SECRET)
SESSION = botocore.session.get_session()
TARGETS = {"iam": "AWSIdentityManagementV20100508", "rds": "AmazonRDSv19", "sts": "AWSSecurityTokenServiceV20110615"}
CBOR = "smithy-rpc-v2-cbor"
# What the model's limits and patterns refuse is not what is asked here.
REFUSED = ("", "ValidationError", "InvalidParameterValue")
TEXTS = ["a", "team", "x" * 40, "a b", "a&b=c", "<a href=\"b\">", "ä€😀", "100%", "a+b", "a/b", "line\nline", "~-._", " ", "'\"\\"]


class Driver:
    """tests/e2e/aws_driver.c: a line asked, a line answered."""

    def __init__(self):
        self.process = subprocess.Popen([os.path.join(BUILD, "tests/e2e/aws_driver")], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, encoding="utf-8")
        atexit.register(self.close)

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)

    def ask(self, request, output=None):
        now = datetime.datetime.now(datetime.timezone.utc)
        body = request.body or b""
        line = {
            "method": request.method, "target": request.url.split("127.0.0.1:4580", 1)[1],
            # Host is the one that the connection would add.
            "headers": [["Host", "127.0.0.1:4580"]] + [
                [name, value.decode() if isinstance(value, bytes) else str(value)] for name, value in request.headers.items()],
            "body": base64.b64encode(body if isinstance(body, bytes) else body.encode()).decode(),
            "now_us": int(now.timestamp() * 1e6), "secret": SECRET, "output": output}
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


DRIVER = Driver()


def operations():
    for service in TARGETS:
        model = SESSION.get_service_model(service)
        for name in model.operation_names:
            yield service, model.operation_model(name)


def invent(shape, rng, full, depth=0):
    """Some value of the shape, as botocore takes it; with `full` every member is there."""
    if shape.type_name == "structure":
        if depth > 4:
            return {}
        return {name: invent(member, rng, full, depth + 1) for name, member in shape.members.items()
                if full or name in shape.required_members or rng.random() < 0.5}
    if shape.type_name == "list":
        # Query has no word for a structure without members in a list.
        return [invent(shape.member, rng, True, depth + 1) for _ in range(rng.choice((1, 2, 11) if depth < 3 else (1,)))]
    if shape.type_name == "map":
        return {f"key{i}": invent(shape.value, rng, full, depth + 1) for i in range(2)}
    return {
        "string": lambda: rng.choice(shape.enum) if shape.enum else rng.choice(TEXTS), "boolean": lambda: rng.random() < 0.5,
        "integer": lambda: rng.choice((0, 1, -1, 25, 2**31 - 1)), "long": lambda: rng.choice((0, -2**53, 2**62)),
        "float": lambda: rng.choice((0.5, 2.0, -1e9)), "double": lambda: rng.choice((0.1, 1e-7, 3.0)),
        "timestamp": lambda: datetime.datetime(2026, 11, 27, rng.randrange(24), 5, 9, tzinfo=datetime.timezone.utc),
        "blob": lambda: rng.choice((b"\0\1\2", b"plain", b"")),
    }[shape.type_name]()


def plain(value, shape):
    """The same as call.h has it: times are numbers, bytes base64."""
    if shape.type_name == "structure":
        return {name: plain(member, shape.members[name]) for name, member in value.items()}
    if shape.type_name == "list":
        return [plain(member, shape.member) for member in value]
    if shape.type_name == "map":
        return {key: plain(member, shape.value) for key, member in value.items()}
    if shape.type_name == "timestamp":
        return value.timestamp()
    if shape.type_name == "blob":
        return base64.b64encode(value).decode()
    return value


def serialize(service, operation, parameters, protocol, version):
    serializer = botocore.serialize.SERIALIZERS[protocol]()
    metadata = operation.service_model.metadata
    saved = dict(metadata)
    try:
        metadata.update(targetPrefix=TARGETS[service], jsonVersion=version)
        made = serializer.serialize_to_request(parameters, operation)
    finally:
        metadata.clear()
        metadata.update(saved)
    botocore.awsrequest.prepare_request_dict(made, endpoint_url="http://127.0.0.1:4580", user_agent="botocore")
    return botocore.awsrequest.create_request_object(made)


def ask(service, operation, parameters, protocol, version=None, output=None):
    request = serialize(service, operation, parameters, protocol, version)
    botocore.auth.SigV4Auth(KEYS, service, "us-east-1").add_auth(request)
    return DRIVER.ask(request.prepare(), output)


def nothing_empty(value):
    """Without empty structures, which Query does not send."""
    if isinstance(value, dict):
        return {key: nothing_empty(member) for key, member in value.items() if member != {}}
    return [nothing_empty(member) for member in value] if isinstance(value, list) else value


def check_inputs(protocol, version=None):
    rng = random.Random(SEED)
    for service, operation in operations():
        for full in (False, True):
            shape = operation.input_shape
            parameters = invent(shape, rng, full) if shape else {}
            done = ask(service, operation, parameters, protocol, version)
            name = f"{service}.{operation.name}"
            check(done["operation"] == name and done["signed"] == "" and done["fault"] in REFUSED, f"{name} {parameters}: {done}")
            want = plain(parameters, shape) if shape else {}
            check(nothing_empty(done["input"]) == nothing_empty(want), f"{name}: {want} became {done['input']}")


def query_of_every_operation_arrives_as_it_was_meant():
    check_inputs("query")


def json_1_0_of_every_operation_arrives_as_it_was_meant():
    check_inputs("json", "1.0")


def json_1_1_of_every_operation_arrives_as_it_was_meant():
    check_inputs("json", "1.1")


def speaks_cbor():
    return CBOR in botocore.serialize.SERIALIZERS


def cbor_of_every_operation_arrives_as_it_was_meant():
    if not speaks_cbor():
        raise Skip(f"botocore {botocore.__version__} has no {CBOR}")
    check_inputs(CBOR)


def presigned_urls_are_verified():
    rng = random.Random(SEED)
    for service, operation in operations():
        request = serialize(service, operation, invent(operation.input_shape, rng, False) if operation.input_shape else {}, "query", None)
        request.method, request.params, request.data = "GET", request.data, b""
        del request.headers["Content-Type"]
        botocore.auth.SigV4QueryAuth(KEYS, service, "us-east-1", expires=60).add_auth(request)
        done = DRIVER.ask(request.prepare())
        check(done["signed"] == "" and done["operation"] == f"{service}.{operation.name}", f"{operation.name}: {done}")


def without_inputs(operation):
    """The least that the operation takes: what is wrong with it must not be what is tested here."""
    return not operation.input_shape or not operation.input_shape.required_members


def every_answer_is_understood_in_each_protocol():
    rng = random.Random(SEED)
    protocols = [("query", None), ("json", "1.0"), ("json", "1.1")] + [(CBOR, None)] * speaks_cbor()
    count = 0
    for service, operation in operations():
        if not without_inputs(operation) or not operation.output_shape:
            continue
        for protocol, version in protocols:
            shape = operation.output_shape
            output = invent(shape, rng, True)
            done = ask(service, operation, {}, protocol, version, plain(output, shape))
            check(done["fault"] == "" and done["status"] == 200, f"{operation.name}: {done}")
            body = base64.b64decode(done["answer"])
            parsed = botocore.parsers.create_parser(protocol).parse({"status_code": 200, "headers": {}, "body": body}, shape)
            parsed.pop("ResponseMetadata")
            check(nothing_empty(parsed) == nothing_empty(output), f"{operation.name}: {output} became {parsed} by {body}")
            count += 1
    check(count > 100, f"{count}")


def a_fault_is_the_exception_of_the_model():
    model = SESSION.get_service_model("iam")
    operation = model.operation_model("GetUser")
    done = ask("iam", operation, {"UserName": "?"}, "query")
    parsed = botocore.parsers.create_parser("query").parse(
        {"status_code": done["status"], "headers": {}, "body": base64.b64decode(done["answer"])}, operation.output_shape)
    check(parsed["Error"]["Code"] == "ValidationError" and parsed["Error"]["Type"] == "Sender", f"{parsed}")
    check(len(parsed["ResponseMetadata"]["RequestId"]) == 36, f"{parsed}")
    for version in ("1.0", "1.1"):
        done = ask("iam", operation, {"UserName": "?"}, "json", version)
        parsed = botocore.parsers.create_parser("json").parse(
            {"status_code": done["status"], "headers": {}, "body": base64.b64decode(done["answer"])}, operation.output_shape)
        check(parsed["Error"]["Code"] == "ValidationException" and "userName" in parsed["Error"]["Message"], f"{parsed}")
    if speaks_cbor():
        done = ask("iam", operation, {"UserName": "?"}, CBOR)
        parsed = botocore.parsers.create_parser(CBOR).parse(
            {"status_code": done["status"], "headers": {}, "body": base64.b64decode(done["answer"])}, operation.output_shape)
        check(parsed["Error"]["Code"] == "ValidationException" and "userName" in parsed["Error"]["Message"], f"{parsed}")


main(
    query_of_every_operation_arrives_as_it_was_meant,
    json_1_0_of_every_operation_arrives_as_it_was_meant,
    json_1_1_of_every_operation_arrives_as_it_was_meant,
    cbor_of_every_operation_arrives_as_it_was_meant,
    presigned_urls_are_verified,
    every_answer_is_understood_in_each_protocol,
    a_fault_is_the_exception_of_the_model,
)
