"""
A keeper that is none: speaks docs/control.md on a socket, with answers written beforehand.

`answers` maps what is asked for to a result, to an (error code, message) pair, to a list of progress objects that ends
with one of these, or to a function of the request that gives one of these.  HANG keeps silent until the caller goes
away, GONE hangs up.
"""
import json
import os
import socket
import threading

HANG, GONE = object(), object()


class FakeKeeper:
    def __init__(self, directory, answers):
        self.answers, self.asked = answers, []
        self.hanging, self.hung_up = threading.Event(), threading.Event()
        self.path = os.path.join(directory, "run/control.sock")
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(16)
        threading.Thread(target=self.listen, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        os.unlink(self.path)

    def listen(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, client.makefile("rwb") as lines:
            for line in lines:
                request = json.loads(line)
                self.asked.append(request)
                try:
                    if not self.answer(client, lines, request):
                        return
                except OSError:
                    return

    def answer(self, client, lines, request):
        answer = self.answers.get(request["do"], ("bad-request", f"no answer for {request['do']}"))
        if callable(answer):
            answer = answer(request)
        for part in answer if isinstance(answer, list) else [answer]:
            if part is GONE:
                return False
            if part is HANG:
                self.hanging.set()
                client.recv(1)
                self.hung_up.set()
                return False
            if isinstance(part, tuple):
                part = {"ok": False, "error": {"code": part[0], "message": part[1]}}
            elif "progress" not in part:
                part = {"ok": True, "result": part}
            lines.write(json.dumps(part).encode() + b"\n")
            lines.flush()
        return True

    def requests(self, do):
        return [request for request in self.asked if request["do"] == do]
