/** Says that a file could not be saved: with real-time editing JupyterLab itself only logs it. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import type { Event } from '@jupyterlab/services';

const SCHEMA = 'https://schema.jupyter.org/jupyter_collaboration/session/v1';

/** What the server says of one open document. */
interface Told {
  path?: unknown;
  level?: unknown;
  action?: unknown;
  msg?: unknown;
}

export const saving: JupyterFrontEndPlugin<void> = {
  id: '@petrihub/lab:saving',
  description: 'Says that a file could not be saved, until it is.',
  autoStart: true,
  activate: (lab: JupyterFrontEnd) => {
    const shown = new Map<string, string>(); // notifications by path
    lab.serviceManager.events.stream.connect((_, event: Event.Emission) => {
      const { path, level, action, msg } = event as Told;
      if (event.schema_id !== SCHEMA || typeof path !== 'string') {
        return;
      }
      if (level === 'ERROR' && String(msg).startsWith('Error saving file')) {
        const known = shown.get(path);
        // one for each file, however often it is tried
        if (known === undefined || !Notification.manager.has(known)) {
          shown.set(path, Notification.error(words(path), { autoClose: false }));
        }
      } else if (action === 'save' && shown.has(path)) {
        Notification.dismiss(shown.get(path));
        shown.delete(path);
      }
    });
  }
};

/** The server does not tell the reason: a full disk, or a lost one. Longer texts are cut. */
function words(path: string): string {
  const name = path.slice(path.lastIndexOf('/') + 1);
  return `${name} could not be saved. Is there no room left? Or is the storage lost? Save again later: until then, your changes are only in this tab.`;
}
