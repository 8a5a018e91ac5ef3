/** The plugin for shared workspaces: a word to guests, a glance for the owner. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { PageConfig } from '@jupyterlab/coreutils';
import { IStatusBar } from '@jupyterlab/statusbar';

import { showBanner } from './guest';
import { showGuests } from './owner';
import { onlyLook } from './viewing';

export const guests: JupyterFrontEndPlugin<void> = {
  id: '@petrihub/lab:guests',
  description: 'Says to guests what they may do here, and to the owner who is inside.',
  autoStart: true,
  optional: [IStatusBar],
  activate: (lab: JupyterFrontEnd, bar: IStatusBar | null) => {
    const owner = PageConfig.getOption('hubServerUser');
    const site = PageConfig.getOption('hubHost');
    const mode = PageConfig.getOption('petrihubMode');
    if (!owner) {
      return; // no hub, no guests
    }
    if (mode) {
      showBanner(lab, mode, owner, site);
      if (mode === 'view') {
        onlyLook(lab);
      }
    } else if (bar) {
      const workspace = encodeURIComponent(PageConfig.getOption('hubServerName'));
      showGuests(lab, bar, `${site}/services/portal/workspaces/${workspace}/sharing`);
    }
  }
};
