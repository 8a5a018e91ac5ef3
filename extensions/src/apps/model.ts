/** The apps of this workspace as the server last told them; asks again only while it matters. */

import { Poll } from '@lumino/polling';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { Api } from '../api';
import type { App, Instance, Opened } from '../tokens';

const WHILE_STARTING = 700; // ms
const WHILE_WATCHED = 5000; // ms

export class AppsModel {
  constructor(readonly api: Api) {
    this.poll = new Poll({
      auto: false,
      name: '@petrihub/lab:apps',
      factory: () => this.fetch(),
      frequency: { interval: WHILE_WATCHED, backoff: true, max: 60_000 },
      standby: () => document.hidden || !this.matters
    });
  }

  /** The first list; from then on it keeps itself fresh. */
  async load(): Promise<void> {
    await this.fetch();
    void this.poll.start();
  }

  get apps(): readonly App[] {
    return this._apps;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  app(id: string): App | undefined {
    return this._apps.find(app => app.id === id);
  }

  instance(id: string, instance: string): Instance | undefined {
    return this.app(id)?.instances.find(each => each.instance === instance);
  }

  /** Keeps the states fresh while `element` is on the screen; call the result to end that. */
  watch(element: Element): () => void {
    this.watched.add(element);
    return () => void this.watched.delete(element);
  }

  /** Asks the server now. */
  async refresh(): Promise<void> {
    await this.poll.refresh();
    await this.poll.tick;
  }

  async open(id: string, path: string | null): Promise<Opened> {
    const opened = await this.api.open(id, path);
    await this.fetch();
    void this.poll.refresh();
    return opened;
  }

  async stop(id: string, instance: string | null): Promise<void> {
    await this.api.stop(id, instance);
    await this.fetch();
  }

  private get starting(): boolean {
    return this._apps.some(app => app.instances.some(each => each.state === 'starting'));
  }

  private get matters(): boolean {
    return this.starting || [...this.watched].some(isOnScreen);
  }

  private async fetch(): Promise<void> {
    const apps = await this.api.apps();
    const same = JSON.stringify(apps) === JSON.stringify(this._apps);
    this._apps = apps;
    const interval = this.starting ? WHILE_STARTING : WHILE_WATCHED;
    if (this.poll.frequency.interval !== interval) {
      this.poll.frequency = { interval, backoff: true, max: 60_000 };
    }
    if (!same) {
      this._changed.emit();
    }
  }

  private _apps: readonly App[] = [];
  private readonly _changed = new Signal<this, void>(this);
  private readonly poll: Poll<void>;
  private readonly watched = new Set<Element>();
}

function isOnScreen(element: Element): boolean {
  return element.isConnected && element.getClientRects().length > 0;
}
