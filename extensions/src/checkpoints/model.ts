/** The checkpoints of this workspace as last told; asked for often only while one is saved. */

import { Poll } from '@lumino/polling';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { ApiError } from '../api';
import type { Checkpoint, CheckpointsApi, Here } from './api';

const WHILE_SAVING = 1000; // ms
const OTHERWISE = 15_000;

export interface Problem {
  readonly words: string;
  readonly hint: string;
}

export class CheckpointsModel {
  constructor(readonly api: CheckpointsApi) {
    this.poll = new Poll({
      auto: false,
      name: '@petrihub/lab:checkpoints',
      factory: () => this.fetch(),
      frequency: { interval: OTHERWISE, backoff: true, max: 60_000 },
      // a save goes on being followed behind other panels: its end is told
      standby: () => document.hidden || !(this.visible || this.order)
    });
  }

  /** Undefined until it was told for the first time. */
  get here(): Here | undefined {
    return this._here;
  }

  /** Why it could not be asked the last time. */
  get lost(): Problem | undefined {
    return this._lost;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Emitted with a save that has ended, well or not. */
  get ended(): ISignal<this, Checkpoint> {
    return this._ended;
  }

  /** The order that is open, if there is one. */
  get order(): Checkpoint | undefined {
    return this._here?.checkpoints.find(each => isOpen(each));
  }

  /** Whether the form to save is shown. */
  get form(): boolean {
    return this._form;
  }
  set form(shown: boolean) {
    this._form = shown;
    this._changed.emit();
  }

  /** Begins to ask when the panel is first seen; later only wakes up. */
  show(visible: boolean): void {
    this.visible = visible;
    if (visible) {
      void this.refresh();
    }
  }

  async refresh(): Promise<void> {
    await this.poll.refresh();
    await this.poll.tick;
  }

  /** Does it, then tells the new state; throws in words. */
  async change<T>(act: (api: CheckpointsApi) => Promise<T>): Promise<T> {
    try {
      return await act(this.api);
    } finally {
      await this.refresh();
    }
  }

  private async fetch(): Promise<void> {
    const before = this.order;
    try {
      this._here = await this.api.here();
      this._lost = undefined;
    } catch (error) {
      this._lost = problemOf(error);
    }
    const interval = this.order && !waits(this.order) ? WHILE_SAVING : OTHERWISE;
    if (this.poll.frequency.interval !== interval) {
      this.poll.frequency = { interval, backoff: true, max: 60_000 };
    }
    const after = before && this._here?.checkpoints.find(each => each.id === before.id);
    if (after && !isOpen(after)) {
      this._ended.emit(after);
    }
    this._changed.emit();
  }

  private visible = false;
  private _form = false;
  private _here: Here | undefined;
  private _lost: Problem | undefined;
  private readonly _changed = new Signal<this, void>(this);
  private readonly _ended = new Signal<this, Checkpoint>(this);
  private readonly poll: Poll<void>;
}

/** Whether it is still to be saved; a state that we do not know yet is one on the way. */
export function isOpen(each: Checkpoint): boolean {
  return each.state !== 'done' && each.state !== 'failed';
}

/** Whether it waits for the person's word. */
export function waits(each: Checkpoint): boolean {
  return each.state === 'confirm';
}

export function problemOf(error: unknown): Problem {
  return error instanceof ApiError
    ? { words: error.message, hint: error.hint }
    : { words: String(error), hint: '' };
}
