/** Commands, tabs and palette entries of the apps. */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { ILayoutRestorer } from '@jupyterlab/application';
import { ICommandPalette, showErrorMessage, WidgetTracker } from '@jupyterlab/apputils';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import type { App, Instance } from '../tokens';
import { CATEGORY, CommandIDs, NAMESPACE } from '../tokens';
import { chooseFile } from './chooser';
import { appIcon } from './icon';
import type { AppsModel } from './model';
import { AppTab, tabKey } from './tab';
import type { Target } from './view';
import { stateWords } from './words';

/** Adds the commands to open and to stop apps, and what keeps their tabs. */
export function addApps(
  lab: JupyterFrontEnd,
  model: AppsModel,
  palette: ICommandPalette | null,
  restorer: ILayoutRestorer | null
): void {
  const { commands } = lab;
  const tabs = new WidgetTracker<AppTab>({ namespace: NAMESPACE });
  const appOf = (args: ReadonlyPartialJSONObject) => model.app(String(args['id'] ?? ''));

  commands.addCommand(CommandIDs.open, {
    label: args => appOf(args)?.title ?? 'Open App',
    caption: args => {
      const app = appOf(args);
      return app ? [app.summary, stateWords(app)].filter(Boolean).join('\n') : '';
    },
    icon: args => {
      const app = appOf(args);
      return app && appIcon(model, app);
    },
    isEnabled: args => (args['id'] ? appOf(args)?.state !== 'unavailable' : true),
    isVisible: args => Boolean(args['id']),
    execute: args => openApp(lab, model, tabs, args),
    describedBy: {
      args: {
        type: 'object',
        required: ['id'],
        properties: {
          id: { type: 'string', description: 'The app, as in the list of apps' },
          path: { type: 'string', description: 'A file to open in it' },
          choose: { type: 'boolean', description: 'Ask for a file, whatever runs or failed' },
          resume: { type: 'boolean', description: 'Only look whether it runs' }
        }
      }
    }
  });

  commands.addCommand(CommandIDs.stop, {
    label: args => `Stop ${appOf(args)?.title ?? 'App'}`,
    isVisible: args => Boolean(args['id']),
    execute: async args => {
      const instance = args['instance'];
      try {
        await model.stop(String(args['id']), typeof instance === 'string' ? instance : null);
      } catch (error) {
        await showErrorMessage('The app could not be stopped', String(error));
      }
    },
    describedBy: {
      args: {
        type: 'object',
        required: ['id'],
        properties: {
          id: { type: 'string', description: 'The app' },
          instance: { type: 'string', description: 'One of its instances; all when left out' }
        }
      }
    }
  });

  for (const app of palette ? model.apps : []) {
    palette?.addItem({ command: CommandIDs.open, category: CATEGORY, args: { id: app.id } });
  }

  void restorer?.restore(tabs, {
    command: CommandIDs.open,
    args: tab => ({ ...tab.content.target, resume: true }),
    name: tab => tab.key
  });
}

/** The tab of the app; undefined when nothing was opened. */
async function openApp(
  lab: JupyterFrontEnd,
  model: AppsModel,
  tabs: WidgetTracker<AppTab>,
  args: ReadonlyPartialJSONObject
): Promise<AppTab | undefined> {
  const app = model.app(String(args['id'] ?? ''));
  const resume = args['resume'] === true;
  if (!app || (app.state === 'unavailable' && !resume)) {
    return undefined;
  }
  let path = typeof args['path'] === 'string' ? args['path'] : null;
  // the tile of a failed app leads to what went wrong; from there it can be tried again
  const plain = path === null && args['choose'] !== true;
  const failed = plain && app.state === 'failed' ? failedInstance(app) : undefined;
  if (failed) {
    path = failed.path;
  } else if (app.needs_file && path === null) {
    path = await chooseFile(app, await model.api.files(app.file_types));
    if (path === null) {
      return undefined;
    }
  }
  const target: Target = { id: app.id, path };
  const open = tabs.find(tab => tab.key === tabKey(app, target));
  const tab = open ?? new AppTab(model, lab.commands, target);
  if (!open) {
    tab.id = `petrihub-${tab.key}`;
    await tabs.add(tab);
    lab.shell.add(tab, 'main');
  }
  if (resume || failed) {
    void tab.content.look(target, Boolean(failed));
  } else {
    void tab.content.start(target).then(() => tabs.save(tab));
  }
  if (!resume) {
    lab.shell.activateById(tab.id);
  }
  return tab;
}

function failedInstance(app: App): Instance | undefined {
  return app.instances.find(each => each.state === 'failed');
}
