"""
`unspill serve` as a process: first start, one at a time, settings, TLS, clients that misbehave, its end, and what is in its log.
"""
import http.client
import json
import os
import random
import re
import resource
import signal
import socket
import ssl
import subprocess
import time
import urllib.parse

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from harness import Skip, check, find_binary, free_port, main, note, sandbox, TOP, wait_for

BINARY = find_binary(TOP)
HOME = sandbox("home")
BELOW = os.path.join(HOME, ".serve")
LOG = sandbox("serve.err")
PATIENCE = 60

secrets = set()  # none of these may be in any log
key = None
account = None


class Serve:
    """A serve in the foreground; its log is added to LOG."""

    def __init__(self, *words, **environment):
        self.port = free_port()
        self.log = open(LOG, "ab")  # pylint: disable=consider-using-with
        self.tls = "--tls-certificate" in words
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            [BINARY, "serve", "--listen", f"127.0.0.1:{self.port}", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=self.log, env={**os.environ, "UNSPILL_HOME": HOME, **environment}, encoding="utf-8")
        self.told = ""
        while not self.told.endswith(f":{self.port}\n"):
            line = self.process.stdout.readline()
            check(line, f"serve did not start: {log()[-2000:]}")
            self.told += line

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        """Its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait(PATIENCE)
        self.process.stdout.close()
        self.log.close()
        return code

    def connect(self):
        if self.tls:
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=PATIENCE, context=trusting())
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def dial(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def ask(self, connection=None, credentials=None, service="sts", **parameters):
        """Signed; (status, text)."""
        with_own = connection or self.connect()
        parameters.setdefault("Action", "GetCallerIdentity")
        parameters.setdefault("Version", {"sts": "2011-06-15", "iam": "2010-05-08"}[service])
        body, headers = signed(self.port, credentials or key, service, parameters)
        with_own.request("POST", "/", body, headers)
        answer = with_own.getresponse()
        text = answer.read().decode()
        if not connection:
            with_own.close()
        return answer.status, text

    def is_heard(self):
        status, text = self.ask()
        return status == 200 and f"<Account>{account}</Account>" in text


def trusting():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def signed(port, credentials, service, parameters):
    request = AWSRequest("POST", f"http://127.0.0.1:{port}/", data=urllib.parse.urlencode(parameters).encode(),
                         headers={"Content-Type": "application/x-www-form-urlencoded", "Host": f"127.0.0.1:{port}"})
    SigV4Auth(credentials, service, "us-east-1").add_auth(request)
    secrets.add(request.headers["Authorization"].split("Signature=")[1])
    return request.body, dict(request.headers)


def log():
    with open(LOG, encoding="utf-8", errors="replace") as file:
        return file.read()


def credentials_in(text):
    found = Credentials(re.search(r"aws_access_key_id (\S+)", text).group(1),
                        re.search(r"aws_secret_access_key (\S+)", text).group(1))
    secrets.add(found.secret_key)
    return found


def refused(*words, says, code):
    """One line, and no serve."""
    done = subprocess.run([BINARY, "serve", *words], stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", timeout=PATIENCE,
                          env={**os.environ, "UNSPILL_HOME": HOME}, check=False)
    what = f"serve {' '.join(words)}: exit {done.returncode}, says {done.stderr!r} {done.stdout!r}"
    check(done.returncode == code, what)
    check(len(done.stderr.splitlines()) == 1 and not done.stdout, f"not one line: {what}")
    for word in says:
        check(word in done.stderr, f"{word!r} is missing: {what}")


def wait_for_log(text, since):
    wait_for(lambda: text in log()[since:], PATIENCE, f"{text!r} in the log")


def the_first_start_shows_a_key_once_and_it_works():
    global key, account
    with Serve() as serve:
        account = re.search(r"Account (\d{12}) ", serve.told).group(1)
        key = credentials_in(serve.told)
        check(f"--endpoint-url http://127.0.0.1:{serve.port} " in serve.told, serve.told)
        status, text = serve.ask()
        check(status == 200 and f"<Arn>arn:aws:iam::{account}:root</Arn>" in text, text)
        check(serve.end() == 0, "exit code")
    with Serve() as serve:
        check("aws_secret" not in serve.told and "Account" not in serve.told, serve.told)
        check(serve.is_heard(), "with the same key")
    check(os.stat(BELOW).st_mode & 0o777 == 0o700, "others cannot enter")
    for name in os.listdir(BELOW):
        check(os.stat(os.path.join(BELOW, name)).st_mode & 0o077 == 0, f"others can read {name}")


def a_state_directory_has_one_serve_and_an_address_too():
    with Serve() as serve:
        refused("--listen", f"127.0.0.1:{free_port()}", says=["another 'unspill serve'"], code=5)
        check(serve.is_heard(), "the first goes on")
        port = free_port()
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", port))
            taken.listen()
            serve.end()
            refused("--listen", f"127.0.0.1:{port}", says=[f"127.0.0.1:{port}", "in use"], code=8)


def what_would_open_the_door_too_far_is_refused():
    refused("--listen", "0.0.0.0:4599", says=["0.0.0.0:4599", "TLS"], code=2)
    refused("--listen", "[::]:4599", says=["[::]:4599", "TLS"], code=2)
    refused("--listen", "0.0.0.0:4599", "--test-reset", says=["--test-reset"], code=2)
    refused("--listen", "localhost", says=["localhost", "127.0.0.1:4580"], code=2)
    refused("--tls-key", "/nowhere", says=["both"], code=2)
    refused("--region", "Not A Region", says=["region"], code=2)
    os.chmod(BELOW, 0o755)
    refused(says=[BELOW, "chmod"], code=9)
    os.chmod(BELOW, 0o700)


def write_settings(text):
    with open(os.path.join(BELOW, "serve.json"), "w", encoding="utf-8") as file:
        file.write(text)


def settings_are_read_again_on_sighup_and_bad_ones_change_nothing():
    for bad, says in (("{", "line 1"), ('{"listn": "x"}', "listn"), ('{"connections_max": "many"}', "connections_max"),
                      ('{"listen": "0.0.0.0:80"}', "TLS")):
        write_settings(bad)
        refused(says=[says], code=2 if says == "TLS" else 6)
    write_settings('{"log_requests": false}')
    with Serve() as serve:
        since = len(log())
        check(serve.is_heard(), "heard")
        write_settings('{"log_requests": true}')
        serve.signal(signal.SIGHUP)
        wait_for_log("settings have been read", since)
        check(" sts:GetCallerIdentity 200 " not in log()[since:], "it was not to be logged")
        check(serve.is_heard(), "heard")
        wait_for_log(" sts:GetCallerIdentity 200 ", since)
        write_settings('{"requests_per_second": 1}')
        since = len(log())
        serve.signal(signal.SIGHUP)
        wait_for_log("settings have been read", since)
        status, text = wait_for(lambda: answer if (answer := serve.ask())[0] != 200 else None, PATIENCE, "it to be too much")
        check(status == 400 and "<Code>Throttling</Code>" in text and "Rate exceeded" in text, text)
        wait_for(lambda: serve.ask()[0] == 200, PATIENCE, "it to be enough again")
        since = len(log())
        write_settings("no JSON")
        serve.signal(signal.SIGHUP)
        wait_for_log("settings are not changed", since)
        wait_for(serve.is_heard, PATIENCE, "it to go on")
    os.unlink(os.path.join(BELOW, "serve.json"))


def make_certificate(name):
    files = sandbox("chain.pem"), sandbox("key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", f"/CN={name}", "-out", files[0], "-keyout", files[1]], check=True, stderr=subprocess.DEVNULL)
    os.chmod(files[1], 0o600)
    return files


def shown_certificate(serve):
    """In PEM."""
    return ssl.get_server_certificate(("127.0.0.1", serve.port))


def a_new_certificate_is_shown_after_sighup_and_old_connections_go_on():
    chain, private = make_certificate("first")
    with Serve("--tls-certificate", chain, "--tls-key", private) as serve:
        old = serve.connect()
        check(serve.ask(old)[0] == 200, "over TLS")
        with open(chain, encoding="ascii") as file:
            check(shown_certificate(serve) == file.read(), "the first certificate")
        since = len(log())
        make_certificate("second")
        serve.signal(signal.SIGHUP)
        wait_for_log("the certificate has been read", since)
        with open(chain, encoding="ascii") as file:
            check(shown_certificate(serve) == file.read(), "the second certificate")
        check(serve.ask(old)[0] == 200, "the old connection")
        old.close()
        with serve.dial() as plain:
            plain.sendall(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
            check(b"200" not in plain.recv(100), "no plain text")


def who_holds_back_or_overdoes_it_does_not_stop_others():
    write_settings('{"connections_max": 64}')
    beginnings = [b"", b"POST / HT", b"POST / HTTP/1.1\r\nHost: h\r\nX: ",
                  b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nAction=Get"]
    with Serve() as serve:
        known = serve.connect()
        check(serve.ask(known)[0] == 200, "heard before")
        crowd = []
        for number in range(800):
            crowd.append(serve.dial())
            try:
                crowd[-1].sendall(beginnings[number % len(beginnings)])
            except OSError:
                pass  # it was cut off already
            if number % 80 == 0:
                check(serve.is_heard(), f"beside {number}")
        check(serve.ask(known)[0] == 200, "who was there before")
        known.close()
        # As much as nobody has to say, with a length, without, and said to be more than there is.
        huge = serve.connect()
        huge.request("POST", "/", b"x" * (3 << 20), {"Content-Type": "application/x-www-form-urlencoded"})
        answer = huge.getresponse()
        check(answer.status == 413 and b"RequestEntityTooLarge" in answer.read(), "too large")
        huge.close()
        with serve.dial() as more:
            more.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n")
            check(b" 413 " in more.recv(100), "told at once")
        with serve.dial() as long_head:
            try:
                long_head.sendall(b"GET /" + b"a" * 200000)
                check(b" 414 " in long_head.recv(100) or True, "no crash is enough")
            except ConnectionError:
                pass
        check(serve.is_heard(), "after all")
        for one in crowd:
            one.close()
        check(serve.end() == 0, "it ended by itself")
    os.unlink(os.path.join(BELOW, "serve.json"))


def resident(serve):
    """KiB of memory."""
    with open(f"/proc/{serve.process.pid}/status", encoding="utf-8") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))


def times_to_be_heard(serve, count):
    """Of new connections, and of one that is kept; the longest comes last."""
    took = []
    kept = serve.connect()
    for number in range(count):
        start = time.monotonic()
        check(serve.ask(kept if number % 2 else None)[0] == 200, f"not heard: {number}")
        took.append(time.monotonic() - start)
    kept.close()
    return sorted(took)


def thousands_of_connections_stop_nobody():
    """
    5,500 that stay, idle, with half a head, half a body or an answer that they do not take; then 1,500 more than may stay.
    """
    stay, more = 5500, 1500
    need = stay + more + 500
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < need:
        raise Skip(f"a process may have {hard} files open, and this takes {need}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    write_settings(json.dumps({"connections_max": stay + 100}))
    beginnings = [b"", b"POST / HTTP/1.1\r\nHost: h\r\nX: ", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9000\r\n\r\nAction=Get",
                  b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n"]
    with Serve() as serve:
        alone, before = times_to_be_heard(serve, 100), resident(serve)
        crowd = []
        for number in range(stay):
            crowd.append(serve.dial())
            crowd[-1].sendall(beginnings[number % len(beginnings)])
        beside, filled = times_to_be_heard(serve, 100), resident(serve)
        gone = 0
        for one in crowd:
            one.setblocking(False)
            try:
                gone += one.recv(1, socket.MSG_PEEK) == b""
            except BlockingIOError:
                pass
        check(not gone, f"{gone} of {stay} were cut off, and there is room for {stay + 100}")
        for number in range(more):
            crowd.append(serve.dial())
        over, full = times_to_be_heard(serve, 100), resident(serve)
        for title, took in (("alone", alone), (f"beside {stay}", beside), (f"beside {stay + more}", over)):
            note(f"{title}: {took[50] * 1000:.1f} ms in the middle, {took[-1] * 1000:.1f} ms at most")
        note(f"memory: {before >> 10} MiB, {filled >> 10} MiB, {full >> 10} MiB: {(filled - before) / stay:.1f} KiB each")
        check(beside[50] < 0.5 and over[50] < 0.5, "others hold up who asks")
        check(filled - before < 20 * stay, "a connection that says nothing costs too much")
        for one in crowd:
            one.close()
        check(serve.is_heard(), "after all")
        check(serve.end() == 0, "it ended by itself")
    os.unlink(os.path.join(BELOW, "serve.json"))


def whatever_bytes_come_it_goes_on():
    words = [b"POST / HTTP/1.1\r\n", b"GET /?", b"Host: h\r\n", b"Content-Length: 20\r\n", b"\r\n\r\n", b"\x00\xff\xfe", b"{\"a\":",
             b"Authorization: AWS4-HMAC-SHA256 Credential=", b"X-Amz-Target: IAM.", b"Transfer-Encoding: chunked\r\n", b"ffffffffff\r\n",
             b"Content-Type: application/x-amz-json-1.1\r\n", b"smithy-protocol: rpc-v2-cbor\r\n", b"Action=ListUsers&", b"%zz%00",
             b"X-Amz-Security-Token: ", b"POST /service/IAM/operation/ListUsers HTTP/1.1\r\n", b"\xbf\x9f\x5f" * 30]
    with Serve() as serve:
        for _ in range(300):
            with serve.dial() as one:
                try:
                    one.sendall(b"".join(random.choices(words, k=random.randint(1, 12))))
                    one.shutdown(socket.SHUT_WR)
                    # What is no whole line is answered by nothing; a busy machine may take longer: that is as good.
                    one.settimeout(0.1)
                    one.recv(1000)
                except OSError:
                    pass
        check(serve.is_heard(), "heard")
        check(serve.end() == 0, "it ended by itself")


def sigterm_answers_what_has_begun():
    with Serve() as serve:
        idle = serve.connect()
        check(serve.ask(idle)[0] == 200, "heard")
        body, headers = signed(serve.port, key, "sts", {"Action": "GetCallerIdentity", "Version": "2011-06-15"})
        half = serve.dial()
        half.sendall(b"POST / HTTP/1.1\r\nContent-Length: %d\r\nExpect: 100-continue\r\n" % len(body) +
                     "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode() + b"\r\n")
        check(b"100" in half.recv(100), "it has begun")
        since = len(log())
        serve.signal(signal.SIGTERM)
        wait_for_log("ending", since)
        check(idle.sock.recv(1) == b"", "idle connections end")
        half.sendall(body)
        answer = b""
        while piece := half.recv(1000):
            answer += piece
        check(answer.startswith(b"HTTP/1.1 200") and account.encode() in answer, answer)
        check(serve.process.wait(PATIENCE) == 0, "exit code")
        check(not os.path.exists(os.path.join(BELOW, "http.sock")), "the socket is gone")


def the_administrator_needs_no_key_on_the_local_socket():
    with Serve():
        with socket.socket(socket.AF_UNIX) as local:
            local.connect(os.path.join(BELOW, "http.sock"))
            local.sendall(b"GET /?Action=GetCallerIdentity&Version=2011-06-15 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            answer = b""
            while piece := local.recv(1000):
                answer += piece
        check(f"arn:aws:iam::{account}:root".encode() in answer, answer)


def systemd_is_told_and_its_journal_gets_no_secret():
    path = sandbox("notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(PATIENCE)
        with Serve(NOTIFY_SOCKET=path) as serve:
            check(b"READY=1" in manager.recv(1000), "ready")
            serve.signal(signal.SIGHUP)
            check(b"RELOADING=1" in manager.recv(1000) and b"READY=1" in manager.recv(1000), "reloading")
            serve.end()
            check(b"STOPPING=1" in manager.recv(1000), "stopping")
    other = sandbox("other")
    with open(sandbox("journal"), "w+", encoding="utf-8") as journal:
        stat = os.fstat(journal.fileno())
        process = subprocess.Popen(  # pylint: disable=consider-using-with
            [BINARY, "serve", "--listen", f"127.0.0.1:{free_port()}"], stdin=subprocess.DEVNULL, stdout=journal, stderr=journal,
            env={**os.environ, "UNSPILL_HOME": other, "JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"})
        file = os.path.join(other, ".serve", "root-access-key")
        wait_for(lambda: os.path.exists(file) and "get-caller-identity" in open(file, encoding="utf-8").read(), PATIENCE, "the file")
        process.terminate()
        check(process.wait(PATIENCE) == 0, "exit code")
        with open(file, encoding="utf-8") as text:
            secret = credentials_in(text.read()).secret_key
        check(os.stat(file).st_mode & 0o777 == 0o600, "others cannot read it")
        journal.seek(0)
        said = journal.read()
        check(secret not in said and file in said, said)


def is_gone(pid):
    """Or waits to be reaped, by whoever has adopted it."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def in_the_background_it_has_a_log_and_a_process_number():
    port = free_port()
    done = subprocess.run([BINARY, "serve", "--background", "--listen", f"127.0.0.1:{port}"], stdin=subprocess.DEVNULL,
                          capture_output=True, encoding="utf-8", timeout=PATIENCE, env={**os.environ, "UNSPILL_HOME": HOME}, check=False)
    check(done.returncode == 0 and f"127.0.0.1:{port}" in done.stdout, str(done))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", "/health")
    check(connection.getresponse().status == 200, "it answers")
    connection.close()
    refused("--background", "--listen", f"127.0.0.1:{free_port()}", says=["another"], code=5)
    with open(os.path.join(BELOW, "serve.pid"), encoding="ascii") as file:
        pid = int(file.read())
    with open(os.path.join(BELOW, "serve.log"), encoding="utf-8") as file:
        check("serving account" in file.read(), "the log")
    os.rename(os.path.join(BELOW, "serve.log"), os.path.join(BELOW, "serve.log.1"))
    os.kill(pid, signal.SIGHUP)
    wait_for(lambda: os.path.exists(os.path.join(BELOW, "serve.log")), PATIENCE, "a new log")
    os.kill(pid, signal.SIGTERM)
    # The file goes while the state is still ours, or it might be that of the next one.
    wait_for(lambda: is_gone(pid), PATIENCE, "its end")
    check(not os.path.exists(os.path.join(BELOW, "serve.pid")), "serve.pid")


def a_long_list_comes_in_pages():
    names = [f"paged{i}" for i in range(5)]
    with Serve() as serve:
        for name in reversed(names):
            check(serve.ask(service="iam", Action="CreateUser", UserName=name)[0] == 200, name)
        seen, marker, pages = [], {}, 0
        while pages == 0 or marker:
            status, text = serve.ask(service="iam", Action="ListUsers", MaxItems=2, **marker)
            check(status == 200, text)
            seen += re.findall("<UserName>(.*?)<", text)
            marker = {"Marker": found.group(1)} if (found := re.search("<Marker>(.*?)<", text)) else {}
            check(bool(marker) == ("<IsTruncated>true<" in text), text)
            pages += 1
        check([name for name in seen if name in names] == names and len(seen) == len(set(seen)), str(seen))
        check(pages == (len(seen) + 1) // 2, f"{pages} pages")
        status, text = serve.ask(service="iam", Action="ListUsers", Marker="no marker")
        check(status == 400 and "<Code>ValidationError<" in text, text)
        for name in names:
            check(serve.ask(service="iam", Action="DeleteUser", UserName=name)[0] == 200, name)


def a_test_reset_forgets_everything_and_only_where_it_is_asked_for():
    unsigned = {"Content-Length": "0"}
    test_key = Credentials("FOOBARKEY", "whatever")
    with Serve() as serve:
        check(serve.ask(credentials=test_key)[0] == 403, "no such key")
        connection = serve.connect()
        connection.request("POST", "/moto-api/reset", b"", unsigned)
        check(connection.getresponse().status >= 400, "no such thing")
        connection.close()
    with Serve("--test-reset") as serve:
        status, text = serve.ask(credentials=test_key)
        check(status == 200 and "<Account>123456789012</Account>" in text, text)
        status, text = serve.ask(credentials=Credentials("111122223333", "whatever"))
        check(status == 200 and "<Account>111122223333</Account>" in text, text)
        check(serve.ask(credentials=test_key, service="iam", Action="CreateUser", UserName="ana")[0] == 200, "made")
        check(serve.ask(credentials=test_key, service="iam", Action="GetUser", UserName="ana")[0] == 200, "there")
        connection = serve.connect()
        connection.request("POST", "/moto-api/reset", b"", unsigned)
        check(connection.getresponse().status == 200, "reset")
        connection.close()
        check(serve.ask(credentials=test_key, service="iam", Action="GetUser", UserName="ana")[0] == 404, "forgotten")
        check(serve.is_heard(), "the machine's own account is not")


def no_secret_is_in_any_log_nor_in_the_clear_in_the_state():
    with Serve() as serve:
        status, text = serve.ask(service="iam", Action="CreateUser", UserName="bob")
        check(status == 200, text)
        status, text = serve.ask(service="iam", Action="CreateAccessKey", UserName="bob")
        check(status == 200, text)
        made = Credentials(re.search("<AccessKeyId>(.*?)<", text).group(1), re.search("<SecretAccessKey>(.*?)<", text).group(1))
        secrets.add(made.secret_key)
        check(serve.ask(credentials=made)[0] == 200, "the new key works")
        status, text = serve.ask(Action="GetSessionToken")
        check(status == 200, text)
        session = Credentials(*(re.search(f"<{name}>(.*?)<", text).group(1) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")))
        secrets.update((session.secret_key, session.token))
        check(serve.ask(credentials=session)[0] == 200, "the session works")
        # Secrets in places where they do not belong.
        serve.ask(Action=made.secret_key)
        serve.ask(service="iam", Action="GetUser", UserName=made.secret_key)
        presigned = AWSRequest("GET", f"http://127.0.0.1:{serve.port}/?Action=GetCallerIdentity&Version=2011-06-15")
        SigV4QueryAuth(session, "sts", "us-east-1", expires=60).add_auth(presigned)
        secrets.add(presigned.url.split("X-Amz-Signature=")[1])
        connection = serve.connect()
        connection.request("GET", presigned.url.split(str(serve.port))[1])
        check(connection.getresponse().status == 200, "presigned")
        connection.close()
    logs = [LOG] + [os.path.join(BELOW, name) for name in os.listdir(BELOW) if name.startswith(("serve.log", "state.db"))]
    check(len(logs) >= 4, str(logs))
    for path in logs:
        with open(path, "rb") as file:
            text = file.read()
        for secret in secrets:
            check(secret.encode() not in text, f"a secret is in {path}")
            check(urllib.parse.quote(secret, safe="").encode() not in text, f"a secret is in {path}")
    note(f"{len(secrets)} secrets looked for in {len(logs)} files")


if __name__ == "__main__":
    main(
        the_first_start_shows_a_key_once_and_it_works,
        a_state_directory_has_one_serve_and_an_address_too,
        what_would_open_the_door_too_far_is_refused,
        settings_are_read_again_on_sighup_and_bad_ones_change_nothing,
        a_new_certificate_is_shown_after_sighup_and_old_connections_go_on,
        who_holds_back_or_overdoes_it_does_not_stop_others,
        thousands_of_connections_stop_nobody,
        whatever_bytes_come_it_goes_on,
        sigterm_answers_what_has_begun,
        the_administrator_needs_no_key_on_the_local_socket,
        systemd_is_told_and_its_journal_gets_no_secret,
        in_the_background_it_has_a_log_and_a_process_number,
        a_long_list_comes_in_pages,
        a_test_reset_forgets_everything_and_only_where_it_is_asked_for,
        no_secret_is_in_any_log_nor_in_the_clear_in_the_state,
    )
