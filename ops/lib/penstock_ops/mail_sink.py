"""A mail server that keeps what it is given: each mail a JSON line {message_id, to, from, subject, at_ms} in <dir>/mail/mails,
written before the mail is accepted.

<dir>/mail/control, while it exists, makes it misbehave. Each line is "ANSWER [RECIPIENT]", the first that fits decides:
451, 550 …    this answer to the message, which is not kept
lost-before   the connection breaks before the message is kept
lost-after    the message is kept, then the connection breaks without an answer
RECIPIENT: a part of an address it is limited to."""
import asyncio
import email
import email.policy
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

from . import ROOT, ports
from .processes import Server, private_folder


class MailSink(Server):
    role = "mail"

    def __init__(self, run_dir: Path, port: int = 0):
        super().__init__(run_dir)
        self.port = port or ports.any_free()
        self.url = f"smtp://{ports.HOST}:{self.port}"
        self.dir = self.run_dir / "mail"

    def argv(self) -> list[str]:
        return [sys.executable, "-m", "penstock_ops.mail_sink", str(self.port), str(self.dir)]

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "PYTHONPATH": str(ROOT / "ops" / "lib"), "PYTHONDONTWRITEBYTECODE": "1"}

    def require_port(self) -> None:
        ports.require_free(self.port, "mail sink", "PENSTOCK_MAIL_PORT")

    def prepare(self) -> None:
        private_folder(self.dir)

    def is_ready(self) -> bool:
        try:
            with socket.create_connection((ports.HOST, self.port), 1) as s:
                return s.recv(4) == b"220 "
        except OSError:
            return False

    def mails(self) -> list[dict]:
        kept = self.dir / "mails"
        return [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()] if kept.exists() else []

    def misbehave(self, *lines: str) -> None:
        """As the control file says; without lines it behaves again."""
        fresh = self.dir / "control.new"
        fresh.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        fresh.rename(self.dir / "control")


def _scripted(control: Path, recipients: list[str]) -> str:
    try:
        lines = control.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    for line in lines:
        answer, _, part = line.strip().partition(" ")
        if answer and any(part in to for to in recipients):
            return answer
    return ""


class _Handler:
    def __init__(self, folder: Path):
        self.control = folder / "control"
        self.mails = os.open(folder / "mails", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def handle_DATA(self, server, session, envelope) -> str:  # noqa: N802: the name is aiosmtpd's
        answer = _scripted(self.control, envelope.rcpt_tos)
        if answer.isdigit():
            return f"{answer} as scripted"
        if answer != "lost-before":
            self._keep(envelope)
        if answer.startswith("lost-"):
            server.transport.abort()
        return "250 kept"

    def _keep(self, envelope) -> None:
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        mail = {"message_id": str(message["Message-ID"] or "").strip("<> "), "to": envelope.rcpt_tos, "from": envelope.mail_from,
                "subject": str(message["Subject"] or ""), "at_ms": time.time_ns() // 1_000_000}
        os.write(self.mails, (json.dumps(mail, ensure_ascii=False) + "\n").encode())


async def _serve(port: int, folder: Path) -> None:
    from aiosmtpd.smtp import SMTP  # here, since only this process needs the venv

    loop = asyncio.get_running_loop()
    handler = _Handler(folder)
    server = await loop.create_server(lambda: SMTP(handler, enable_SMTPUTF8=True, hostname="localhost"), ports.HOST, port)
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    async with server:
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), Path(sys.argv[2])))
