/* Calls to JupyterHub's REST API, signed in by the cookie and checked by the XSRF token. */
const page = document.body.dataset;

export class HubError extends Error {}

/** The answer as JSON (null when empty); HubError with the hub's words when refused. */
export async function hub(method, path, body) {
  const url = `${page.baseUrl}api/${path.map(encodeURIComponent).join("/")}`;
  let answer;
  try {
    answer = await fetch(url, {
      method,
      headers: { "Content-Type": "application/json", "X-XSRFToken": page.xsrf },
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
    });
  } catch {
    throw new HubError("The hub does not answer. Check your connection, then try again.");
  }
  const text = await answer.text();
  if (answer.ok) return text && answer.headers.get("Content-Type")?.includes("json") ? JSON.parse(text) : null;
  throw new HubError(wordsOf(answer.status, text));
}

function wordsOf(status, text) {
  if (status === 401 || status === 403) {
    return "You are signed out, or this is not yours to do. Load the page again and sign in.";
  }
  try {
    const { message } = JSON.parse(text);
    if (message) return message;
  } catch {
    // not JSON: an error page of a proxy in between
  }
  return `The hub answered with an error (${status}). Try again; if it stays, tell your administrator.`;
}

export const person = page.user;
export const baseUrl = page.baseUrl;
