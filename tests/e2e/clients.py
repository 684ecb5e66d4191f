"""
The stock clients of the control plane, as Debian ships them: boto3, and the `aws` command line.  Both are asked the same way,
by operation and members, so that a test says once what it wants and is answered by each.
"""
import base64
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile


class Refused(Exception):
    """The service answered with an error."""

    def __init__(self, code, message, operation):
        super().__init__(f"{operation}: {code}: {message}")
        self.code, self.message = code, message


class Client:
    """
    One caller at one endpoint.  `called` collects the operations that were answered, for all callers of its class.
    """

    def __init__(self, endpoint, key_id, secret, token=None, region="us-east-1", ca=None):
        self.endpoint, self.key_id, self.secret, self.token, self.region, self.ca = endpoint, key_id, secret, token, region, ca

    def other(self, key_id, secret, token=None):
        """The same client with another key."""
        return type(self)(self.endpoint, key_id, secret, token, self.region, self.ca)

    def iam(self, operation, **members):
        return self.call("iam", operation, members)

    def sts(self, operation, **members):
        return self.call("sts", operation, members)

    def rds(self, operation, **members):
        return self.call("rds", operation, members)

    def call(self, service, operation, members):
        answer = self.ask(service, operation, members)
        self.called.add(f"{service}:{operation}")
        return answer


class Boto3(Client):
    title = "boto3"
    called = set()

    def __init__(self, *args, **how):
        super().__init__(*args, **how)
        self.services = {}

    def service(self, name):
        if name not in self.services:
            import boto3  # pylint: disable=import-outside-toplevel
            from botocore.config import Config  # pylint: disable=import-outside-toplevel
            self.services[name] = boto3.session.Session(self.key_id, self.secret, self.token, self.region).client(
                name, endpoint_url=self.endpoint, verify=self.ca,
                config=Config(retries={"total_max_attempts": 1}, parameter_validation=False, read_timeout=120))
        return self.services[name]

    def ask(self, service, operation, members):
        from botocore import xform_name  # pylint: disable=import-outside-toplevel
        from botocore.exceptions import ClientError  # pylint: disable=import-outside-toplevel
        try:
            answer = getattr(self.service(service), xform_name(operation))(**members)
        except ClientError as error:
            raise Refused(error.response["Error"]["Code"], error.response["Error"].get("Message", ""), operation) from error
        if not answer["ResponseMetadata"].get("RequestId"):
            raise AssertionError(f"{operation}: no RequestId in {answer}")
        return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


class CommandLine(Client):
    title = "aws"
    called = set()
    process = None  # one for all, until the test ends

    def ask(self, service, operation, members):
        from botocore import xform_name  # pylint: disable=import-outside-toplevel
        words = [service, xform_name(operation, "-"), "--cli-input-json", json.dumps(members), "--output", "json"]
        return self.run(words, operation)

    def run(self, words, operation=None):
        """`aws WORD...`; what it printed, read as JSON."""
        status, out, err = self.main([*words, "--endpoint-url", self.endpoint])
        if status:
            found = re.search(r"An error occurred \((\S+)\) when calling the (\w+) operation(?: \(reached max retries: \d+\))?: (.*)", err, re.S)
            if not found:
                raise AssertionError(f"aws {' '.join(words)}: exit status {status}\n{out}{err}")
            raise Refused(found.group(1), found.group(3).strip(), operation or found.group(2))
        return json.loads(out) if out.strip() else {}

    def main(self, words):
        """`aws WORD...`: its exit status, standard output and standard error."""
        if not CommandLine.process:
            # pylint: disable=consider-using-with
            CommandLine.process = subprocess.Popen(["/usr/bin/python3", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        process = CommandLine.process
        print(json.dumps({"words": words, "environment": self.environment()}), file=process.stdin, flush=True)
        answer = process.stdout.readline()
        if not answer:
            raise AssertionError(f"aws {' '.join(words)}: the command line's process has died")
        return json.loads(answer)

    def environment(self):
        made = {"AWS_ACCESS_KEY_ID": self.key_id, "AWS_SECRET_ACCESS_KEY": self.secret, "AWS_DEFAULT_REGION": self.region,
                "AWS_MAX_ATTEMPTS": "1", "AWS_SESSION_TOKEN": self.token, "AWS_CA_BUNDLE": self.ca}
        return {name: value for name, value in made.items() if value}


@contextlib.contextmanager
def environment(variables):
    """With these variables, and none of the user's own configuration."""
    before = dict(os.environ)
    # AWS_DATA_PATH is set by the command line itself, when it is loaded.
    for name in [name for name in os.environ if name.startswith("AWS_") and name != "AWS_DATA_PATH"]:
        del os.environ[name]
    nowhere = os.path.join(tempfile.gettempdir(), "unspill-test-no-such-file")
    os.environ.update(variables, AWS_CONFIG_FILE=nowhere, AWS_SHARED_CREDENTIALS_FILE=nowhere, AWS_EC2_METADATA_DISABLED="true",
                      AWS_PAGER="")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def work():
    """
    The command line's process: its main() for each line of standard input.  Loading it takes most of a second, and it brings
    a botocore of its own, beside which boto3's cannot be loaded.
    """
    from awscli.clidriver import create_clidriver  # pylint: disable=import-outside-toplevel
    for line in sys.stdin:
        asked = json.loads(line)
        out, err = io.StringIO(), io.StringIO()
        with environment(asked["environment"]), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            # A new one each time: it keeps the credentials that it found.
            status = create_clidriver().main(asked["words"])
        print(json.dumps([status, out.getvalue(), err.getvalue()]), flush=True)


BOTH = (Boto3, CommandLine)


def refused(code, ask, *args, **members):
    """ask(...) is answered with the error `code`; its words."""
    try:
        answer = ask(*args, **members)
    except Refused as error:
        if error.code != code:
            raise AssertionError(f"expected {code}, not {error}") from error
        return error.message
    raise AssertionError(f"{args} {members}: expected {code}, not {answer}")


def document(value):
    """A policy document: boto3 decodes it, the command line, too."""
    return value if isinstance(value, dict) else json.loads(value)


def blob(data):
    return base64.b64encode(data).decode()


if __name__ == "__main__":
    work()
