/** The running apps, beside kernels and terminals in JupyterLab's panel of running things. */

import type { IRunningSessionManagers, IRunningSessions } from '@jupyterlab/running';
import type { LabIcon } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import { Signal } from '@lumino/signaling';

import type { App, Instance } from '../tokens';
import { CATEGORY, CommandIDs } from '../tokens';
import { appIcon } from './icon';
import type { AppsModel } from './model';
import { baseName, stateWords } from './words';

/** Adds the section. */
export function addRunning(
  managers: IRunningSessionManagers,
  model: AppsModel,
  commands: CommandRegistry
): void {
  const changed = new Signal<AppsModel, void>(model);
  model.changed.connect(() => changed.emit());
  managers.add({
    name: CATEGORY,
    running: () => alive(model).map(([app, instance]) => new Row(model, commands, app, instance)),
    shutdownAll: () => {
      for (const [app, instance] of alive(model)) {
        void commands.execute(CommandIDs.stop, { id: app.id, instance: instance.instance });
      }
    },
    refreshRunning: () => void model.refresh(),
    runningChanged: changed,
    shutdownLabel: 'Stop',
    shutdownAllLabel: 'Stop All',
    shutdownAllConfirmationText: 'Stop all apps? What they have not saved is lost.'
  });
}

function alive(model: AppsModel): [App, Instance][] {
  return model.apps.flatMap(app =>
    app.instances
      .filter(each => each.state === 'starting' || each.state === 'ready')
      .map((each): [App, Instance] => [app, each])
  );
}

class Row implements IRunningSessions.IRunningItem {
  constructor(
    private readonly model: AppsModel,
    private readonly commands: CommandRegistry,
    private readonly app: App,
    private readonly instance: Instance
  ) {}

  open(): void {
    const { path } = this.instance;
    void this.commands.execute(CommandIDs.open, {
      id: this.app.id,
      ...(path ? { path } : {})
    });
  }

  shutdown(): void {
    const { instance } = this.instance;
    void this.commands.execute(CommandIDs.stop, { id: this.app.id, instance });
  }

  icon(): LabIcon {
    return appIcon(this.model, this.app);
  }

  label(): string {
    const { path } = this.instance;
    return path ? `${this.app.title}: ${baseName(path)}` : this.app.title;
  }

  labelTitle(): string {
    return [this.app.title, this.instance.path ?? '', stateWords(this.app)]
      .filter(Boolean)
      .join('\n');
  }
}
