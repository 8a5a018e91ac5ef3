/** "Open in ..." in the file browser, on files that an app is made for. */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { IFileBrowserFactory } from '@jupyterlab/filebrowser';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import type { App } from '../tokens';
import { CommandIDs } from '../tokens';
import { appIcon } from './icon';
import type { AppsModel } from './model';

const FILE = '.jp-DirListing-item[data-isdir="false"]';

/** Adds one entry per app that opens files. */
export function addFileMenu(
  lab: JupyterFrontEnd,
  model: AppsModel,
  browsers: IFileBrowserFactory
): void {
  const { commands, contextMenu, serviceManager } = lab;

  /** The one selected file, without the drive that JupyterLab may put in front. */
  const selected = (): string | null => {
    const items = [...(browsers.tracker.currentWidget?.selectedItems() ?? [])];
    const only = items.length === 1 ? items[0] : undefined;
    return only && only.type !== 'directory' ? serviceManager.contents.localPath(only.path) : null;
  };
  const appOf = (args: ReadonlyPartialJSONObject) => model.app(String(args['id'] ?? ''));

  commands.addCommand(CommandIDs.openSelected, {
    label: args => `Open in ${appOf(args)?.title ?? 'App'}`,
    caption: args => appOf(args)?.reason ?? '',
    icon: args => {
      const app = appOf(args);
      return app && appIcon(model, app);
    },
    isVisible: args => {
      const app = appOf(args);
      const path = selected();
      return app !== undefined && path !== null && opens(app, path);
    },
    isEnabled: args => appOf(args)?.state !== 'unavailable',
    execute: args =>
      commands.execute(CommandIDs.open, { id: String(args['id']), path: selected() }),
    describedBy: {
      args: {
        type: 'object',
        required: ['id'],
        properties: { id: { type: 'string', description: 'The app' } }
      }
    }
  });

  model.apps
    .filter(app => app.file_types.length > 0)
    .forEach((app, index) => {
      contextMenu.addItem({
        command: CommandIDs.openSelected,
        args: { id: app.id },
        selector: FILE,
        rank: 1.5 + index / 1000 // below JupyterLab's own Open and Open With
      });
    });
}

function opens(app: App, path: string): boolean {
  return app.file_types.some(type => path.toLowerCase().endsWith(type.toLowerCase()));
}
