/** The plugins, and nothing else. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ILayoutRestorer } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IFileBrowserFactory } from '@jupyterlab/filebrowser';
import { ILauncher } from '@jupyterlab/launcher';
import { IRunningSessionManagers } from '@jupyterlab/running';

import { Api } from './api';
import { openFromAddress } from './apps/address';
import { addFileMenu } from './apps/files';
import { AppsModel } from './apps/model';
import { addApps } from './apps/plugin';
import { addRunning } from './apps/running';
import { checkpoints } from './checkpoints/plugin';
import { guests } from './guests/plugin';
import { addCards } from './launcher/plugin';
import { mounts } from './mounts/plugin';
import { saving } from './saving';

const plugin: JupyterFrontEndPlugin<void> = {
  id: '@petrihub/lab:apps',
  description: 'The apps of this PetriHub workspace: launcher tiles, tabs and "Open in".',
  autoStart: true,
  optional: [
    ILauncher,
    ICommandPalette,
    ILayoutRestorer,
    IFileBrowserFactory,
    IRunningSessionManagers
  ],
  activate: async (
    lab: JupyterFrontEnd,
    launcher: ILauncher | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    browsers: IFileBrowserFactory | null,
    running: IRunningSessionManagers | null
  ) => {
    const model = new AppsModel(new Api(lab.serviceManager.serverSettings));
    try {
      await model.load();
    } catch (error) {
      // JupyterLab itself must come up, with or without us
      console.error('The list of apps could not be read.', error);
      return;
    }
    addApps(lab, model, palette, restorer);
    openFromAddress(lab, model);
    if (launcher) {
      addCards(launcher, model);
    }
    if (browsers) {
      addFileMenu(lab, model, browsers);
    }
    if (running) {
      addRunning(running, model, lab.commands);
    }
  }
};

export default [plugin, guests, checkpoints, mounts, saving];
