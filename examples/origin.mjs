// A stand-in for the API behind the gate: it answers every request with what it was asked, as JSON.
// Usage: node examples/origin.mjs [port]; the first line it prints is its URL.
import { createServer } from "node:http";

const server = createServer((request, response) => {
  const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => name.startsWith("latchkey-")));
  request.resume();
  request.on("end", () => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ method: request.method, path: request.url, headers }) + "\n");
  });
});
server.listen(Number(process.argv[2] ?? 0), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
