"""Cameras of the network that tests start: they break off, refuse, fall silent and come back."""

import base64
import io
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

import av

CREDENTIALS = base64.b64encode(b"user:geheim").decode()

SDP = """v=0
o=- 0 0 IN IP4 127.0.0.1
s=camera
c=IN IP4 127.0.0.1
t=0 0
m=video 0 RTP/AVP 96
a=rtpmap:96 H264/90000
a=fmtp:96 packetization-mode=1
a=control:track0
""".replace("\n", "\r\n")

ANSWERS = {
    "OPTIONS": ("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN", ""),
    "DESCRIBE": ("Content-Type: application/sdp", SDP),
    "SETUP": ("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1", ""),
}


class Camera:
    """Sends MPEG-TS, or the H.264 in it, all there is; then it stays connected and silent.

    Its first visitor is cut off after two thirds, its second is refused.
    """

    def __init__(self, content: bytes, *, visits: int = 0) -> None:
        self.content, self.visits = content, visits
        self.closing = threading.Event()

    def next_visit(self) -> bytes:
        """What this visitor gets; nothing: it is refused."""
        self.visits += 1
        if self.visits == 1:
            return self.content[: 2 * len(self.content) // 3]
        return b"" if self.visits == 2 else self.content

    def stay(self) -> None:
        """Keeps a visitor that has got all."""
        if self.visits > 1:
            self.closing.wait(60)

    @contextmanager
    def online(self, protocol: Literal["http", "rtsp"]) -> Iterator[str]:
        """Its address, with a user, a password and a token."""
        camera = self
        server: socketserver.TCPServer

        class Http(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if not (content := camera.next_visit()):
                    self.send_error(503)
                    return
                self.send_response(200)
                self.end_headers()
                with suppress(ConnectionError):
                    self.wfile.write(content)
                    camera.stay()

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        class Rtsp(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with suppress(ConnectionError):
                    _serve_rtsp(self, camera)

        if protocol == "http":
            server = ThreadingHTTPServer(("127.0.0.1", 0), Http)
        else:
            server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Rtsp)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            port = server.server_address[1]
            yield f"{protocol}://user:geheim@127.0.0.1:{port}/video?token=verborgen"
        finally:
            self.closing.set()
            server.shutdown()
            thread.join()
            server.server_close()


def _serve_rtsp(handler: socketserver.StreamRequestHandler, camera: Camera) -> None:
    """One connection: the requests of RTSP up to PLAY, then RTP in the same connection."""
    while line := handler.rfile.readline().decode():
        method = line.split(" ")[0]
        headers = dict(iter(lambda: _read_header(handler), ("", "")))
        known = CREDENTIALS in headers.get("authorization", "") or method == "OPTIONS"
        content = camera.next_visit() if method == "PLAY" and known else b""
        if not known:
            status, more, body = "401 Unauthorized", 'WWW-Authenticate: Basic realm="camera"', ""
        elif method == "PLAY" and not content:
            status, more, body = "503 Service Unavailable", "Session: 1", ""
        else:
            status, (more, body) = "200 OK", ANSWERS.get(method, ("Session: 1", ""))
        answer = f"RTSP/1.0 {status}\r\nCSeq: {headers.get('cseq', '0')}\r\n{more}\r\n"
        handler.wfile.write(f"{answer}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        if content:
            for packet in _rtp(content):
                handler.wfile.write(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
            camera.stay()
            return


def _read_header(handler: socketserver.StreamRequestHandler) -> tuple[str, str]:
    name, _, value = handler.rfile.readline().decode().strip().partition(":")
    return name.lower(), value.strip()


def _rtp(content: bytes) -> Iterator[bytes]:
    """The H.264 of MPEG-TS, one RTP packet for each of its units."""
    sequence = 0
    with av.open(io.BytesIO(content)) as container:
        for packet in container.demux(video=0):
            units = [
                unit.rstrip(b"\0") for unit in bytes(packet).split(b"\0\0\1") if unit.strip(b"\0")
            ]
            for unit in units:
                last = unit is units[-1]
                ticks = int((packet.pts or 0) * packet.time_base * 90_000) & 0xFFFFFFFF
                yield struct.pack(">BBHII", 0x80, 96 | last << 7, sequence, ticks, 1) + unit
                sequence = sequence + 1 & 0xFFFF
