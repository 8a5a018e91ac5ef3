/** The plugin for storage: in the status bar how the mounted folders are, where there are any. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IStatusBar } from '@jupyterlab/statusbar';
import { Poll } from '@lumino/polling';

import { ask } from '../api';
import type { Mount } from './item';
import { StorageItem } from './item';

const EVERY_MS = 10_000;

export const mounts: JupyterFrontEndPlugin<void> = {
  id: '@petrihub/lab:mounts',
  description: 'Says in the status bar whether the mounted storage is there.',
  autoStart: true,
  optional: [IStatusBar],
  activate: (lab: JupyterFrontEnd, bar: IStatusBar | null) => {
    if (!bar) {
      return;
    }
    const item = new StorageItem();
    const poll = new Poll({
      name: '@petrihub/lab:mounts',
      standby: 'when-hidden',
      frequency: { interval: EVERY_MS, backoff: true, max: 60_000 },
      factory: async () => {
        const answer = await ask(lab.serviceManager.serverSettings, 'mounts');
        item.tell(((await answer.json()) as { mounts: Mount[] | null }).mounts ?? []);
      }
    });
    const shown = bar.registerStatusItem('@petrihub/lab:mounts', {
      item,
      align: 'left',
      rank: 990,
      isActive: () => item.mounts.length > 0,
      activeStateChanged: item.changed
    });
    item.disposed.connect(() => {
      poll.dispose();
      shown.dispose();
    });
  }
};
