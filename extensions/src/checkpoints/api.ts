/** This workspace's checkpoints, as our server extension tells them. Sizes are bytes. */

import type { ServerConnection } from '@jupyterlab/services';

import { ask } from '../api';

/** Others may come: an unknown one is shown by its own word. */
export type State = 'asked' | 'measuring' | 'confirm' | 'saving' | 'done' | 'failed' | string;

export interface Checkpoint {
  readonly id: string;
  readonly name: string;
  readonly message: string;
  readonly author: string;
  readonly state: State;
  /** What is wanted now: measure or save. */
  readonly kind: string;
  readonly reason: string;
  /** What happens now, or why it failed. */
  readonly words: string;
  readonly parent_name: string;
  readonly base_image: string;
  readonly layer_size: number;
  readonly created_at: string;
  /** Whether the image below it was built anew since. */
  readonly older: boolean;
  readonly progress: {
    readonly stage: string;
    readonly files: number;
    readonly bytes: number;
    readonly total_bytes: number | null;
  };
}

export interface Change {
  readonly path: string;
  readonly kind: string;
  readonly size: number;
}

/** An installed package that differs, by its versions; null: it is not there. */
export interface Package {
  /** python, r, conda or debian. */
  readonly kind: string;
  readonly name: string;
  readonly before: string | null;
  readonly after: string | null;
}

export interface Detail extends Checkpoint {
  readonly added: number;
  readonly changed: number;
  readonly deleted: number;
  readonly bytes: number;
  /** At most a thousand. */
  readonly changes: readonly Change[];
  /** Files to look at before it is saved, and why. */
  readonly findings: readonly { readonly path: string; readonly words: string }[];
  /** Missing where nobody looks at packages. */
  readonly packages?: readonly Package[];
}

export interface Here {
  readonly workspace: string;
  /** Why nothing can be saved just now; empty if it can. */
  readonly problem: string;
  readonly running: {
    readonly profile: string;
    readonly base_image: string;
    readonly checkpoint: string | null;
    readonly checkpoint_name: string;
    readonly rebuilt: boolean;
  };
  readonly checkpoints: readonly Checkpoint[];
}

export class CheckpointsApi {
  constructor(private readonly settings: ServerConnection.ISettings) {}

  here(): Promise<Here> {
    return this.json<Here>('checkpoints');
  }

  detail(id: string): Promise<Detail> {
    return this.json<Detail>(`checkpoints/${id}`);
  }

  save(name: string, message: string): Promise<Checkpoint> {
    return this.json<Checkpoint>('checkpoints', post({ name, message }));
  }

  confirm(id: string): Promise<Checkpoint> {
    return this.json<Checkpoint>(`checkpoints/${id}/confirm`, post({}));
  }

  cancel(id: string): Promise<Checkpoint> {
    return this.json<Checkpoint>(`checkpoints/${id}/cancel`, post({}));
  }

  async delete(id: string): Promise<void> {
    await ask(this.settings, `checkpoints/${id}`, { method: 'DELETE' });
  }

  private async json<T>(path: string, init?: RequestInit): Promise<T> {
    const answer = await ask(this.settings, path, init);
    return (await answer.json()) as T;
  }
}

function post(body: object): RequestInit {
  return { method: 'POST', body: JSON.stringify(body) };
}
