/* Waits until the workspace has stopped, then goes back to the workspaces. */
import { hub, baseUrl } from "./hub.js";

const { owner, name } = document.getElementById("ph-stopping").dataset;

async function look() {
  try {
    const server = await hub("GET", ["users", owner, "servers", name]);
    if (server?.pending === "stop") {
      window.setTimeout(look, 1500);
      return;
    }
  } catch {
    window.setTimeout(look, 3000);
    return;
  }
  window.location.replace(`${baseUrl}home`);
}

window.setTimeout(look, 1500);
