"""An HTTPS and an SMTP server that misbehave as the path or the recipient asks. Arguments: directory with cert.pem and
key.pem. Writes the ports to ports.json, and what it got to requests.jsonl, one JSON object a line."""

import http.server
import json
import os
import socket
import ssl
import sys
import threading
import time

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

directory = sys.argv[1]
lock = threading.Lock()
seen = {}


def record(**what):
    with lock:
        with open(os.path.join(directory, "requests.jsonl"), "a", encoding="utf-8") as file:
            file.write(json.dumps(what) + "\n")


def times(key):
    with lock:
        seen[key] = seen.get(key, 0) + 1
        return seen[key]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        record(path=self.path, body=body, headers={k.lower(): v for k, v in self.headers.items()})
        behaviour = self.path.strip("/").split("/")[0]
        if behaviour == "slow":
            time.sleep(4)
        if behaviour == "cut":  # in the middle of the answer
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status = {"500": 500, "429": 429, "gone": 410, "redirect": 302}.get(behaviour, 200)
        if behaviour == "flaky" and times(self.path) == 1:
            status = 503
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "1800")
        if status == 302:
            self.send_header("Location", "/ok/redirected")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


class Mail:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 no such user"
        if address.startswith("busy@") and times(address) == 1:
            return "451 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        record(recipients=envelope.rcpt_tos, sender=envelope.mail_from, tls=session.ssl is not None,
               user=str(session.auth_data), mail=envelope.content.decode())
        return "250 accepted"


def authenticate(server, session, envelope, mechanism, data):
    is_right = (data.login, data.password) == (b"mailer", b"a password of mail")
    return AuthResult(success=is_right, handled=False, auth_data=data.login.decode())


def tls():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(directory, "cert.pem"), os.path.join(directory, "key.pem"))
    return context


web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
web.daemon_threads = True
web.socket = tls().wrap_socket(web.socket, server_side=True)
threading.Thread(target=web.serve_forever, daemon=True).start()

probe = socket.socket()
probe.bind(("127.0.0.1", 0))
smtp_port = probe.getsockname()[1]
probe.close()
mail = Controller(Mail(), hostname="127.0.0.1", port=smtp_port, tls_context=tls(), require_starttls=True,
                  authenticator=authenticate, auth_required=True, auth_require_tls=True)
mail.start()

temporary = os.path.join(directory, "ports.tmp")
with open(temporary, "w", encoding="utf-8") as file:
    json.dump({"https": web.server_address[1], "smtp": smtp_port}, file)
os.rename(temporary, os.path.join(directory, "ports.json"))
sys.stdin.read()  # until the test closes it
