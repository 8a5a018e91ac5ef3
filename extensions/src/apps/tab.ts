/** An app in a tab of the main area: title, reload, browser tab, stop; below it the app. */

import { MainAreaWidget } from '@jupyterlab/apputils';
import {
  launchIcon,
  refreshIcon,
  stopIcon,
  Toolbar,
  ToolbarButton
} from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import { Widget } from '@lumino/widgets';

import type { App } from '../tokens';
import { CommandIDs, DESKTOP } from '../tokens';
import { appIcon } from './icon';
import type { AppsModel } from './model';
import type { Target } from './view';
import { AppView } from './view';
import { baseName } from './words';

/** All programs of the desktop share one tab; every other app has one for each file. */
export function tabKey(app: App | undefined, target: Target): string {
  if (app?.kind === 'desktop') {
    return DESKTOP;
  }
  return target.path ? `${target.id}:${target.path}` : target.id;
}

export class AppTab extends MainAreaWidget<AppView> {
  constructor(
    private readonly model: AppsModel,
    private readonly commands: CommandRegistry,
    target: Target
  ) {
    super({ content: new AppView(model, commands, target) });
    this.addClass('petrihub-Tab');
    this.name = document.createElement('span');
    this.name.className = 'petrihub-Tab-name';
    this.fillToolbar();
    this.refresh();
    this.content.drawn.connect(this.refresh, this);
  }

  get key(): string {
    return tabKey(this.content.app, this.content.target);
  }

  private fillToolbar(): void {
    const { content, toolbar, buttons } = this;
    toolbar.addItem('title', new Widget({ node: this.name }));
    toolbar.addItem('spacer', Toolbar.createSpacerItem());
    buttons.set(
      'reload',
      new ToolbarButton({
        icon: refreshIcon,
        tooltip: 'Reload the app in this tab',
        onClick: () => content.reload()
      })
    );
    buttons.set(
      'browser',
      new ToolbarButton({
        icon: launchIcon,
        tooltip: 'Open in a browser tab',
        onClick: () => {
          if (content.url) {
            window.open(content.url, '_blank', 'noopener');
          }
        }
      })
    );
    buttons.set(
      'stop',
      new ToolbarButton({
        icon: stopIcon,
        tooltip: 'Stop the app',
        onClick: () => {
          const { id } = content.target;
          void this.commands.execute(CommandIDs.stop, { id, instance: content.instance });
        }
      })
    );
    buttons.forEach((button, name) => toolbar.addItem(name, button));
  }

  private refresh(): void {
    const { target, app } = this.content;
    const file = target.path ? baseName(target.path) : '';
    const name = app?.title ?? target.id;
    this.title.label = file && app?.kind !== 'desktop' ? `${name}: ${file}` : name;
    this.title.caption = [name, target.path ?? '', app?.summary ?? ''].filter(Boolean).join('\n');
    this.name.textContent = file ? `${name}, ${file}` : name;
    if (app && app.id !== this.pictured) {
      this.pictured = app.id;
      // the look of a tab's icon; JupyterLab sets it only once, when the tab is added
      this.title.icon = appIcon(this.model, app).bindprops({ stylesheet: 'mainAreaTab' });
    }
    for (const name of ['reload', 'browser']) {
      this.setEnabled(name, this.content.url !== null);
    }
    this.setEnabled('stop', this.content.alive);
  }

  private setEnabled(name: string, enabled: boolean): void {
    const button = this.buttons.get(name);
    if (button && button.enabled !== enabled) {
      button.enabled = enabled;
    }
  }

  private pictured = '';
  private readonly name: HTMLSpanElement;
  private readonly buttons = new Map<string, ToolbarButton>();
}
