"""A mail server that keeps what it is sent, each mail as JSON, taken apart by Python's own
parser of mail. Arguments: folder, port, then any of --tls, --starttls, --auth."""

import asyncio
import json
import os
import ssl
import sys
from email import message_from_bytes, policy

from aiosmtpd.smtp import SMTP, AuthResult

folder, port, options = sys.argv[1], int(sys.argv[2]), sys.argv[3:]


def told(name):
    """A file that a test writes to change what is answered."""
    path = os.path.join(folder, name)
    return open(path).read().strip() if os.path.exists(path) else ""


class Handler:
    count = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address == told("refuse"):
            return "550 5.1.1 there is no such mailbox"
        if told("busy"):
            with open(os.path.join(folder, "was_busy"), "a") as file:
                file.write("x")
            return "451 4.7.1 come again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = message_from_bytes(envelope.content, policy=policy.default)
        parts = [
            {"type": part.get_content_type(), "text": part.get_content()}
            for part in mail.walk()
            if not part.is_multipart()
        ]
        kept = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": server.transport.get_extra_info("ssl_object") is not None,
            "login": session.auth_data and session.auth_data.decode(),
            "kind": mail.get_content_type(),
            "headers": {name.lower(): str(value) for name, value in mail.items()},
            "parts": parts,
            "defects": [str(defect) for defect in mail.defects],
        }
        Handler.count += 1
        name = os.path.join(folder, f"{Handler.count:03}.json")
        with open(name + ".new", "w") as file:
            json.dump(kept, file)
        os.rename(name + ".new", name)
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    is_right = (data.login, data.password) == (b"kozmic", b"p/w+d & more")
    if is_right:
        session.auth_data = data.login
    return AuthResult(success=is_right, handled=False, auth_data=data.login)


def context():
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(os.path.join(folder, "leaf.pem"), os.path.join(folder, "leaf.key"))
    return made


def smtp():
    arguments = {"hostname": "sink.example.org", "enable_SMTPUTF8": True}
    if "--starttls" in options:
        arguments |= {"tls_context": context(), "require_starttls": True}
    if "--auth" in options:
        arguments |= {
            "authenticator": authenticate,
            "auth_required": True,
            "auth_require_tls": "--starttls" in options,
        }
    return SMTP(Handler(), **arguments)


async def main():
    wrapped = context() if "--tls" in options else None
    loop = asyncio.get_running_loop()
    server = await loop.create_server(smtp, "127.0.0.1", port, ssl=wrapped)
    await server.serve_forever()


asyncio.run(main())
