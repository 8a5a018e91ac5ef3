/** A guest's side: whose workspace this is and what one may do, and a word when it is over. */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Dialog, showDialog } from '@jupyterlab/apputils';
import { Poll } from '@lumino/polling';
import { Widget } from '@lumino/widgets';

import { me } from './api';

const EVERY_MS = 5_000;

/** Adds the banner and watches whether it is still true. */
export function showBanner(lab: JupyterFrontEnd, mode: string, owner: string, site: string): void {
  const banner = new Widget();
  banner.id = 'petrihub-banner';
  banner.addClass('petrihub-Banner');
  banner.node.setAttribute('role', 'status');
  const strong = document.createElement('strong');
  strong.textContent = mode === 'view' ? 'View only' : 'Working together';
  banner.node.append(strong, ` in the workspace of ${owner}`);
  lab.shell.add(banner, 'top', { rank: 900 });
  watch(lab, mode, owner, site);
}

function watch(lab: JupyterFrontEnd, mode: string, owner: string, site: string): void {
  const poll = new Poll({
    name: '@petrihub/lab:guest',
    frequency: { interval: EVERY_MS, backoff: true, max: 30_000 },
    factory: async () => {
      const here = await me(lab.serviceManager.serverSettings);
      if (here?.mode === mode) {
        return;
      }
      poll.dispose();
      if (here) {
        const can = here.mode === 'work' ? 'work in it' : 'only look';
        await say('This changed', `In this workspace of ${owner} you may now ${can}.`, 'Reload');
        location.reload();
      } else {
        const text = `${owner} has ended it, or its time is over. What was saved is saved.`;
        await say('You are out of this workspace', text, 'Home');
        location.assign(`${site}/services/portal/`);
      }
    }
  });
}

async function say(title: string, body: string, label: string): Promise<void> {
  await showDialog({ title, body, buttons: [Dialog.okButton({ label })] });
}
