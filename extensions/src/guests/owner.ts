/** The owner's side: who else is inside, in the status bar, and the way to the page of shares. */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { IStatusBar } from '@jupyterlab/statusbar';
import { Poll } from '@lumino/polling';
import { Widget } from '@lumino/widgets';

import type { Guest } from './api';
import { me } from './api';

const EVERY_MS = 10_000;

/** Adds the item; `page` is where the workspace is shared. */
export function showGuests(lab: JupyterFrontEnd, bar: IStatusBar, page: string): void {
  const link = document.createElement('a');
  link.className = 'petrihub-Guests';
  link.href = page;
  link.target = '_blank';
  link.rel = 'noopener';
  const item = new Widget({ node: link });
  const shown = bar.registerStatusItem('@petrihub/lab:guests', { item, align: 'left', rank: 1000 });
  tell(link, []);
  const poll = new Poll({
    name: '@petrihub/lab:guests',
    standby: 'when-hidden',
    frequency: { interval: EVERY_MS, backoff: true, max: 60_000 },
    factory: async () => {
      const here = await me(lab.serviceManager.serverSettings);
      tell(link, here?.guests ?? []);
    }
  });
  item.disposed.connect(() => {
    poll.dispose();
    shown.dispose();
  });
}

function tell(link: HTMLElement, guests: readonly Guest[]): void {
  const [first, ...others] = guests;
  link.classList.toggle('petrihub-mod-inside', first !== undefined);
  if (!first) {
    link.textContent = 'Share';
    link.title = 'Let somebody look at this workspace, or work in it with you';
    return;
  }
  link.textContent = others.length ? `${guests.length} guests` : `${first.name} is here`;
  const lines = guests.map(
    guest => `${guest.name}: ${guest.mode === 'work' ? 'works with you' : 'looks'}`
  );
  link.title = [...lines, 'Click to see and end shares'].join('\n');
}
