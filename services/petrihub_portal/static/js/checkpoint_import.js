/* Sends the archive of a checkpoint in parts, then waits until the server has checked it. */
const form = document.querySelector("[data-ph-import]");
const PAUSE = 1000;
const PAUSES = [1000, 3000, 10000, 30000]; // before it is asked again after a cut

class Cut extends Error {}

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

async function call(path, options = {}) {
  let answer, told;
  try {
    answer = await fetch(form.dataset.phImport + path, {
      ...options,
      headers: { ...options.headers, "X-XSRFToken": document.body.dataset.xsrf },
    });
    told = await answer.json();
  } catch {
    throw new Cut("The connection was cut. Try it again.");
  }
  if (!answer.ok) throw new Error([told.detail, told.hint].filter(Boolean).join(" "));
  return told;
}

/* What `ask` gives; after a cut it is called again with what the server says of this import. */
async function steadily(state, ask) {
  for (const wait of PAUSES) {
    try {
      return await ask(state);
    } catch (error) {
      if (!(error instanceof Cut)) throw error;
      await pause(wait);
      state = await call(`/${state.id}`).catch(() => state);
    }
  }
  return ask(state);
}

function part(file) {
  return (state) => {
    if (state.state !== "receiving") return state; // the last one had arrived
    const body = new FormData();
    body.set("offset", state.received);
    body.set("part", file.slice(state.received, state.received + state.part_size));
    return call(`/${state.id}/parts`, { method: "POST", body });
  };
}

async function send(file, far) {
  let state = await call("", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ size: file.size }),
  });
  while (state.state === "receiving") {
    state = await steadily(state, part(file));
    far(state.received / state.size);
  }
  return state;
}

async function checked(state) {
  while (state.state === "checking") {
    await pause(PAUSE);
    state = await steadily(state, () => call(`/${state.id}`));
  }
  if (state.state !== "done") throw new Error(state.reason);
  return state;
}

async function bring(event) {
  event.preventDefault();
  const [bar, words, button] = ["progress", "[role=status]", "button"].map((each) => form.querySelector(each));
  bar.hidden = false;
  button.disabled = true;
  try {
    words.textContent = "Sending the file. Stay on this page.";
    const state = await send(form.elements.archive.files[0], (part) => (bar.value = part * 100));
    bar.removeAttribute("value");
    words.textContent = "Checking what is in it. You may leave this page.";
    const done = await checked(state);
    window.location.hash = `checkpoint-${done.result}`;
    window.location.reload();
  } catch (error) {
    words.textContent = error.message || "It could not be sent.";
    bar.hidden = true;
    bar.value = 0;
    button.disabled = false;
  }
}

form?.addEventListener("submit", bring);
