"""Stand-ins for the service's programs, found before the real ones through PYTHONPATH. They start at once."""

from __future__ import annotations

from pathlib import Path

_SERVER = """
    import http.server, os, socket, sys

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = f"{NAME} {os.getpid()}".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    def serve(number):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer, bind_and_activate=False)
        server.socket = socket.socket(fileno=number)
        server.serve_forever()
"""

_PROGRAMS = {
    "localcave": "NAME = 'localcave'\n" + _SERVER + "\n    serve(int(sys.argv[sys.argv.index('--fd') + 1]))\n",
    "gunicorn": "NAME = 'web'\n"
    + _SERVER
    + "\n    serve(int(next(w for w in sys.argv if w.startswith('--bind=')).rpartition('/')[2]))\n",
    # A worker with a child of its own, as a pool has, that waits at Redis for messages.
    "celery": """
    import os, subprocess, sys, time
    if "worker" in sys.argv:
        import redis
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
        print("child", child.pid, flush=True)
        client = redis.Redis.from_url(os.environ["CELERY_BROKER_URL"])
        while True:
            try:
                client.brpop(["process"])
            except redis.RedisError:  # the broker fell; a real worker waits for it, too
                time.sleep(0.05)
    print("beat", flush=True)
    time.sleep(3600)
""",
}


def write(folder: Path, **instead: str) -> Path:
    """Write the modules to `folder`; `instead` replaces the text of some by name."""
    folder.mkdir()
    for name, text in {**_PROGRAMS, **instead}.items():
        (folder / f"{name}.py").write_text("\n".join(line.removeprefix("    ") for line in text.splitlines()))
    return folder
