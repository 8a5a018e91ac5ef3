/** The inside of an app's tab: the app itself in a frame, or the page that stands for it. */

import { ReactWidget } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { Message } from '@lumino/messaging';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';
import { PanelLayout, Widget } from '@lumino/widgets';
import * as React from 'react';

import { ApiError } from '../api';
import type { App, Instance } from '../tokens';
import { CommandIDs, DESKTOP } from '../tokens';
import { appIcon } from './icon';
import type { AppsModel } from './model';
import type { Status } from './page';
import { Page } from './page';
import { baseName } from './words';

/** Which app, with which file. */
export interface Target {
  readonly id: string;
  readonly path: string | null;
}

export class AppView extends Widget {
  constructor(
    private readonly model: AppsModel,
    private readonly commands: CommandRegistry,
    target: Target
  ) {
    super();
    this.addClass('petrihub-View');
    this._target = target;
    this.frame = new Frame(() => void this.model.refresh());
    const layout = new PanelLayout();
    layout.addWidget(this.page);
    layout.addWidget(this.frame);
    this.layout = layout;
    model.changed.connect(this.draw, this);
    this.draw();
  }

  get target(): Target {
    return this._target;
  }

  get app(): App | undefined {
    return this.model.app(this._target.id);
  }

  get instance(): string | null {
    return this._instance;
  }

  /** Whether there is something to stop. */
  get alive(): boolean {
    const own = this._instance ? this.model.instance(this._target.id, this._instance) : undefined;
    return own?.state === 'starting' || own?.state === 'ready';
  }

  /** Where the app itself is, once it is ready. */
  get url(): string | null {
    return this.frame.url;
  }

  /** Emitted after every change of what is shown. */
  get drawn(): ISignal<this, void> {
    return this._drawn;
  }

  override dispose(): void {
    this.model.changed.disconnect(this.draw, this);
    super.dispose();
  }

  /** Starts the app, or finds it running; the page tells how it goes. */
  async start(target: Target = this._target): Promise<void> {
    this._target = target;
    this.refused = null;
    this.dismissed = false;
    this.openLog = false;
    this.asked = true;
    this.since = Date.now();
    this._instance = null;
    this.draw();
    try {
      const opened = await this.model.open(target.id, target.path);
      this._instance = opened.instance;
    } catch (error) {
      const hint = error instanceof ApiError ? error.hint : '';
      this.refused = { words: error instanceof Error ? error.message : String(error), hint };
    }
    this.asked = false;
    this.draw();
  }

  /** Shows how the app is, without starting it: a tab of an older session, or a failed start. */
  async look(target: Target, openLog: boolean): Promise<void> {
    this._target = target;
    this.openLog = openLog;
    await this.model.refresh();
    const { id, path } = target;
    const running = this.model.app(id)?.instances.find(each => each.path === path);
    this._instance = running?.instance ?? null;
    this.draw();
  }

  reload(): void {
    this.frame.reload();
  }

  protected override onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    void this.model.refresh();
  }

  private get shown(): Instance | undefined {
    const app = this.app;
    if (app?.kind === 'desktop') {
      return this.model.instance(DESKTOP, DESKTOP);
    }
    return this._instance ? this.model.instance(this._target.id, this._instance) : undefined;
  }

  private draw(): void {
    this.leaveEndedProgram();
    const app = this.app;
    const shown = this.shown;
    const ready = shown?.state === 'ready' && !this.asked;
    this.frame.url = ready ? (shown?.url ?? null) : null;
    const status = this.status();
    const strip = ready;
    const visible = status !== null && !(strip && (this.dismissed || status.phase === 'stopped'));
    this.frame.label = app?.title ?? this._target.id;
    this.frame.setHidden(!ready);
    this.page.setHidden(!visible);
    this.page.toggleClass('petrihub-mod-strip', strip);
    if (visible && status) {
      const page = (
        <Page
          status={status}
          icon={app && appIcon(this.model, app)}
          strip={strip}
          start={this.again}
          readLog={this.readLog}
          openLog={this.openLog}
          chooseOther={app?.needs_file ? this.chooseOther : undefined}
          dismiss={strip && status.phase === 'failed' ? this.dismiss : undefined}
        />
      );
      this.page.draw(page);
    }
    this._drawn.emit();
  }

  /** When a program's window was closed, the tab is the desktop's again. */
  private leaveEndedProgram(): void {
    const { id } = this._target;
    const app = this.app;
    if (app?.kind !== 'desktop' || id === DESKTOP || !this._instance || this.asked) {
      return;
    }
    const gone = !this.model.instance(id, this._instance);
    if (gone && this.shown?.state === 'ready') {
      this._target = { id: DESKTOP, path: null };
      this._instance = DESKTOP;
    }
  }

  /** What there is to say beside the app itself; null when it simply runs. */
  private status(): Status | null {
    const { id, path } = this._target;
    const app = this.app;
    const name = app?.title ?? id;
    const title = path ? `${name} with ${baseName(path)}` : name;
    const base = { title, since: this.since, hint: '' };
    if (this.asked) {
      return { ...base, phase: 'starting', words: 'Asking the workspace.' };
    }
    if (this.refused) {
      return { ...base, phase: 'failed', ...this.refused };
    }
    const own = this._instance ? this.model.instance(id, this._instance) : undefined;
    if (own?.state === 'ready') {
      return null;
    }
    if (own?.state === 'starting') {
      return { ...base, phase: 'starting', words: this.progress(app) };
    }
    if (own?.state === 'failed') {
      return { ...base, phase: 'failed', words: own.reason };
    }
    return { ...base, phase: 'stopped', words: 'It was stopped, or has ended by itself.' };
  }

  private progress(app: App | undefined): string {
    if (app?.kind !== 'desktop' || app.id === DESKTOP) {
      return 'The program is started; waiting until it answers.';
    }
    const desktop = this.model.instance(DESKTOP, DESKTOP);
    return desktop?.state === 'ready'
      ? 'The program is started; its window appears on the desktop.'
      : 'The desktop is started first.';
  }

  private readonly again = (): void => void this.start();
  private readonly readLog = (): Promise<string> =>
    this.model.api.log(this._target.id, this._instance);
  private readonly chooseOther = (): void =>
    void this.commands.execute(CommandIDs.open, { id: this._target.id, choose: true });
  private readonly dismiss = (): void => {
    this.dismissed = true;
    this.draw();
  };

  private _target: Target;
  private _instance: string | null = null;
  private refused: { words: string; hint: string } | null = null;
  private asked = false;
  private dismissed = false;
  private openLog = false;
  private readonly _drawn = new Signal<this, void>(this);
  private since = Date.now();
  private readonly page = new Drawn();
  private readonly frame: Frame;
}

/** Shows whatever it was last given. */
class Drawn extends ReactWidget {
  draw(content: JSX.Element): void {
    this.content = content;
    this.update();
  }

  protected override render(): JSX.Element | null {
    return this.content;
  }

  private content: JSX.Element | null = null;
}

/** The frame with the app; it keeps its place, and what is in it, when the tab is hidden. */
class Frame extends Widget {
  constructor(onLoad: () => void) {
    super();
    // JupyterLab lays its veil over this class while something is dragged
    this.addClass('petrihub-Frame');
    this.addClass('jp-IFrame');
    this.element.addEventListener('load', () => this._url && onLoad());
    this.element.allow = 'clipboard-read; clipboard-write; fullscreen';
    this.node.appendChild(this.element);
  }

  get url(): string | null {
    return this._url;
  }
  set url(url: string | null) {
    if (url === this._url) {
      return;
    }
    this._url = url;
    if (url) {
      this.element.src = url;
    } else {
      this.element.removeAttribute('src');
    }
  }

  set label(label: string) {
    this.element.title = label;
  }

  reload(): void {
    this.element.contentWindow?.location.reload();
  }

  private _url: string | null = null;
  private readonly element = document.createElement('iframe');
}
