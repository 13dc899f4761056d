// A handler of text.count (types.conf): HANDLER_SECRET=whsec_… node handler.js PORT
const { createHmac, timingSafeEqual } = require("node:crypto");
const key = Buffer.from(process.env.HANDLER_SECRET.replace(/^whsec_/, ""), "base64");

require("node:http").createServer(async (request, response) => {
  const head = request.headers, body = Buffer.concat(await request.toArray());
  const signed = Buffer.concat([Buffer.from(`${head["webhook-id"]}.${head["webhook-timestamp"]}.`), body]);
  const mine = Buffer.from("v1," + createHmac("sha256", key).update(signed).digest("base64")), theirs = Buffer.from(head["webhook-signature"]);
  const good = mine.length === theirs.length && timingSafeEqual(mine, theirs) && Math.abs(Date.now() / 1000 - head["webhook-timestamp"]) < 300;
  response.writeHead(good ? 200 : 401).end(JSON.stringify(good ? { words: JSON.parse(body).text.split(/\s+/).length } : {}));
}).listen(process.argv[2], "127.0.0.1");
