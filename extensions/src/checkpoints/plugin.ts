/** The plugin for checkpoints: commands, the panel, and a word when a save has ended. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ILayoutRestorer } from '@jupyterlab/application';
import { Dialog, ICommandPalette, Notification, showDialog } from '@jupyterlab/apputils';
import { PageConfig } from '@jupyterlab/coreutils';
import { saveIcon } from '@jupyterlab/ui-components';

import { CommandIDs } from '../tokens';
import { CheckpointsApi } from './api';
import { CheckpointsModel } from './model';
import { CheckpointsPanel } from './panel';

const CATEGORY = 'Checkpoints';
const RANK = 650; // below what JupyterLab has at this side
const NOT_HERE =
  'This PetriHub cannot save what is installed: that needs workspaces in containers and an image ' +
  'server. Your files are kept anyway.';

export const checkpoints: JupyterFrontEndPlugin<void> = {
  id: '@petrihub/lab:checkpoints',
  description: 'Saves what is installed in this workspace, and shows what was saved.',
  autoStart: true,
  optional: [ICommandPalette, ILayoutRestorer],
  activate: (
    lab: JupyterFrontEnd,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null
  ) => {
    if (!PageConfig.getOption('hubServerUser')) {
      return; // no hub, nobody who saves
    }
    const offered = PageConfig.getOption('petrihubCheckpoints') !== '';
    const panel = offered ? addPanel(lab, restorer) : undefined;
    const show = (form: boolean): void => {
      if (panel) {
        lab.shell.activateById(panel.id);
        panel.ask(form);
      } else {
        void say();
      }
    };
    lab.commands.addCommand(CommandIDs.save, {
      label: 'Save Environment…',
      caption: 'Save what is installed in this workspace as a checkpoint',
      icon: saveIcon,
      // the menu's entry comes from our settings, wherever we are; the palette says why not
      isVisible: () => offered,
      execute: () => show(true),
      describedBy: { args: { type: 'object', properties: {} } }
    });
    lab.commands.addCommand(CommandIDs.checkpoints, {
      label: 'Show Checkpoints',
      caption: 'What was saved from this workspace',
      execute: () => show(false),
      describedBy: { args: { type: 'object', properties: {} } }
    });
    palette?.addItem({ command: CommandIDs.save, category: CATEGORY });
    palette?.addItem({ command: CommandIDs.checkpoints, category: CATEGORY });
  }
};

function addPanel(lab: JupyterFrontEnd, restorer: ILayoutRestorer | null): CheckpointsPanel {
  const guest = PageConfig.getOption('petrihubMode') !== '';
  // the host is empty where hub and workspaces share one
  const portal = `${PageConfig.getOption('hubHost')}/services/portal/`;
  const site = new URL(portal, window.location.href).href;
  const workspace = encodeURIComponent(PageConfig.getOption('hubServerName'));
  // a guest has no page about this workspace: theirs are about their own
  const page = guest ? '' : `${site}workspaces/${workspace}/checkpoints`;
  const model = new CheckpointsModel(new CheckpointsApi(lab.serviceManager.serverSettings));
  const panel = new CheckpointsPanel(model, page);
  model.ended.connect((_, each) => {
    const saved = each.state === 'done';
    Notification.emit(
      saved ? `${each.name} is saved.` : `${each.name} was not saved. ${each.reason}`,
      saved ? 'success' : 'error',
      { autoClose: saved ? 5000 : false }
    );
  });
  lab.shell.add(panel, 'left', { rank: RANK });
  restorer?.add(panel, panel.id);
  return panel;
}

async function say(): Promise<void> {
  await showDialog({
    title: 'Nothing can be saved here',
    body: NOT_HERE,
    buttons: [Dialog.okButton({ label: 'Close' })]
  });
}
