"""A handler of text.count (types.conf): HANDLER_SECRET=whsec_… python3 handler.py PORT"""
import base64, hmac, http.server, json, os, sys, time

KEY = base64.b64decode(os.environ["HANDLER_SECRET"].removeprefix("whsec_"))

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        head, body = self.headers, self.rfile.read(int(self.headers["Content-Length"]))
        signed = f"{head['webhook-id']}.{head['webhook-timestamp']}.".encode() + body
        mine = "v1," + base64.b64encode(hmac.digest(KEY, signed, "sha256")).decode()
        good = hmac.compare_digest(mine, head["webhook-signature"]) and abs(time.time() - int(head["webhook-timestamp"])) < 300
        self.send_response(200 if good else 401)
        self.end_headers()
        self.wfile.write(json.dumps({"words": len(json.loads(body)["text"].split())} if good else {}).encode())

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
