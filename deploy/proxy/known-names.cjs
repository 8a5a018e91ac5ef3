/* Loaded before the routing proxy, the one door to the hub and to all workspaces.

A page elsewhere that re-resolves its own name to this address (DNS rebinding) sends that name as
Host: names that are not ours are answered with 400. core/petrihub_core/host_names.py says which
are. The names below the domain are people's own origins, with pages that they wrote themselves:

- such a name has workspaces, and the styles of the page that says why one does not answer;
  everything else is led to the site,
- what a page of one of our origins asks of another is refused, unless somebody follows a link,
- cookies that such a page left for the whole domain, under the names of ours, are taken away.

And where an answer ends before its end, so does the browser's connection: the routing proxy would
leave it open, and a download that was cut would hang instead of failing. */
"use strict";

const http = require("node:http");
const { isIP } = require("node:net");

const given = process.env.PETRIHUB_KNOWN_NAMES;
const UNKNOWN = "This address is not one of this PetriHub.\n";
const FOREIGN = "A page of another address asked for this, so it is refused.\n";
const NOTHING = "There is nothing here.\n";
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
/* what the hub and JupyterLab cannot name with the prefix that keeps others from setting it */
const TOSSED = ["_xsrf", "jupyterhub-session-id"];
const SESSION = "jupyterhub-session-id"; // JupyterHub sets it for the whole domain itself
const AT_A_PERSONS = ["/user/", "/hub/static/", "/hub/petrihub/static/"];
const DEEPEST = 16; // path segments that are looked at

function whose(rule, host) {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+))(?::\d*)?$/.exec((host || "").toLowerCase());
  const name = match && (match[1] || match[2]);
  if (!name) return "";
  if (rule.names.has(name) || isIP(name)) return "site";
  const own = rule.below && name.endsWith(rule.below) && name.slice(0, -rule.below.length);
  return own && LABEL.test(own) ? "person" : "";
}

function isFromAnother(rule, { headers, method }, follows) {
  if (!rule.below) return false;
  const mode = headers["sec-fetch-mode"] || "navigate";
  if (follows && mode === "navigate" && (method === "GET" || method === "HEAD")) return false;
  if (headers["sec-fetch-site"] === "same-site") return true;
  let from = "";
  try {
    from = new URL(headers.origin).host;
  } catch {
    return false; // none, or a page without an origin, which has none of our cookies either
  }
  return from !== (headers.host || "").toLowerCase() && whose(rule, from) !== "";
}

/* Ends cookies of these names that were set for the domain or above it. Ours are for one host. */
function endings(rule, { headers, url }) {
  const names = (headers.cookie || "").split(";").map((each) => each.split("=")[0].trim());
  const twice = TOSSED.filter((name) => names.indexOf(name) !== names.lastIndexOf(name));
  if (!twice.length || (headers["sec-fetch-mode"] || "navigate") !== "navigate") return [];
  const domain = rule.below.slice(1);
  const above = domain.split(".").slice(1, -1).map((_, at) => domain.split(".").slice(at + 1).join("."));
  const paths = ["/"];
  for (const part of url.split(/[?#]/)[0].split("/").slice(1, DEEPEST)) {
    if (part) paths.push(`${paths.at(-1)}${part}`, `${paths.at(-1)}${part}/`);
  }
  return twice.flatMap((name) =>
    [domain, ...above].flatMap((host) =>
      paths
        .filter((path) => name !== SESSION || host !== domain || path !== "/")
        .map((path) => `${name}=; Domain=${host}; Path=${path}; Max-Age=0; Secure`),
    ),
  );
}

function alsoSet(answer, cookies) {
  const writeHead = answer.writeHead;
  answer.writeHead = function () {
    this.setHeader("Set-Cookie", [this.getHeader("Set-Cookie") || [], cookies].flat());
    return writeHead.apply(this, arguments);
  };
}

/* The status and the words or the address with which a request is answered here; else nothing. */
function refusal(rule, request, follows) {
  const kind = whose(rule, request.headers.host);
  if (!kind) return [400, UNKNOWN];
  if (isFromAnother(rule, request, follows)) return [403, FOREIGN];
  if (kind === "site" || AT_A_PERSONS.some((path) => request.url.startsWith(path))) return null;
  const leads = follows && /^(GET|HEAD)$/.test(request.method) && request.url.startsWith("/");
  return leads ? [302, rule.site + request.url] : [404, NOTHING];
}

function guard(server, rule) {
  const emit = server.emit;
  server.emit = function (event, request, answer) {
    if (event !== "request" && event !== "upgrade") return emit.apply(this, arguments);
    const [status, words] = refusal(rule, request, event === "request") || [];
    if (!status) {
      const cookies = event === "request" && rule.below ? endings(rule, request) : [];
      if (cookies.length) alsoSet(answer, cookies);
      return emit.apply(this, arguments);
    }
    if (event === "upgrade") {
      // it is the socket
      answer.end(`HTTP/1.1 ${status} ${http.STATUS_CODES[status]}\r\nConnection: close\r\n\r\n`);
    } else if (status === 302) {
      answer.writeHead(status, { Location: words }).end();
    } else {
      answer.writeHead(status, { "Content-Type": "text/plain", Connection: "close" }).end(words);
    }
    return true;
  };
  return server;
}

/* What an answer is passed on to ends where the answer ends too early. */
const { pipe } = http.IncomingMessage.prototype;
http.IncomingMessage.prototype.pipe = function (to) {
  if (this.statusCode) this.once("close", () => this.complete || to.destroy());
  return pipe.apply(this, arguments);
};

if (given) {
  const { names, below, site } = JSON.parse(given);
  const rule = { names: new Set(names), below, site };
  const create = http.createServer;
  http.createServer = (...options) => guard(create(...options), rule);
  require("node:module").syncBuiltinESMExports();
}
