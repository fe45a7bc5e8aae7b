"""Two OpenAI-compatible models for raters to talk to."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from typing import Any

SAYS = {"tidy": "It is **four**: two and two.", "vague": "Hmm, who can know?"}


class Endpoint(BaseHTTPRequestHandler):
    """Two OpenAI-compatible models; each answers in its own words, with how many messages it was given."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = f"{SAYS[self.path.split('/')[1]]} ({len(asked['messages'])}) {asked['seed']}"
        body = json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass
