"""signup.py LOG PORT: serves a form and appends each answer that comes to LOG, one JSON object a line."""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qsl

PAGE = """<!DOCTYPE html><html><head><title>{title}</title><style>
body {{ font-family: sans-serif; margin: 30px 60px; background: #f4f1ea; color: #333 }}
h1 {{ color: #2b5d34 }}
td {{ padding: 8px 16px 8px 0 }}
</style></head><body><h1>{title}</h1>{body}</body></html>"""
FORM = """<form method="post" action="/signup"><table>
<tr><td>Name</td><td><input type="text" name="name" size="40"></td></tr>
<tr><td>E-mail</td><td><input type="text" name="email" size="40"></td></tr>
<tr><td>Course</td><td>
<input type="radio" name="course" value="pruning" checked> Pruning fruit trees<br>
<input type="radio" name="course" value="bees"> Keeping bees<br>
<input type="radio" name="course" value="compost"> Making compost</td></tr>
<tr><td>Extras</td><td>
<input type="checkbox" name="lunch" value="yes"> Vegetarian lunch<br>
<input type="checkbox" name="newsletter" value="yes" checked> Newsletter</td></tr>
<tr><td></td><td><input type="submit" value="Sign up"></td></tr>
</table></form>"""


class Desk(BaseHTTPRequestHandler):
    """Answers a browser."""

    def do_GET(self):
        self.reply("Sign up for a course", FORM)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with Path(sys.argv[1]).open("a") as log:
            log.write(json.dumps(dict(parse_qsl(body))) + "\n")
        self.reply("Thank you", "<p>Your place is kept. See you in the garden!</p>")

    def reply(self, title, body):
        page = PAGE.format(title=title, body=body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)


HTTPServer(("127.0.0.1", int(sys.argv[2])), Desk).serve_forever()
