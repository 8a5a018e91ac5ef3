/* Loaded before the routing proxy: requests for names that are not ours are answered with 400.

A page elsewhere that re-resolves its own name to this address (DNS rebinding) sends that name as
Host. This is the one door to the hub and to all workspaces, so it is refused here.
core/petrihub_core/host_names.py says which names are ours. */
"use strict";

const http = require("node:http");
const { isIP } = require("node:net");

const given = process.env.PETRIHUB_KNOWN_NAMES;
const WORDS = "This address is not one of this PetriHub.\n";

function known(rule, host) {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+))(?::\d*)?$/.exec((host || "").toLowerCase());
  const name = match && (match[1] || match[2]);
  return Boolean(
    name &&
      (rule.names.has(name) || (rule.below && name.endsWith(rule.below)) || isIP(name)),
  );
}

function guard(server, rule) {
  const emit = server.emit;
  server.emit = function (event, request, answer) {
    if ((event !== "request" && event !== "upgrade") || known(rule, request.headers.host)) {
      return emit.apply(this, arguments);
    }
    if (event === "request") {
      answer.writeHead(400, { "Content-Type": "text/plain", Connection: "close" }).end(WORDS);
    } else {
      answer.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"); // it is the socket
    }
    return true;
  };
  return server;
}

if (given) {
  const { names, below } = JSON.parse(given);
  const rule = { names: new Set(names), below };
  const create = http.createServer;
  http.createServer = (...options) => guard(create(...options), rule);
  require("node:module").syncBuiltinESMExports();
}
