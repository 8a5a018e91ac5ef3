/** The item of the status bar about storage, and the list behind it. */

import { ReactWidget } from '@jupyterlab/apputils';
import { showPopup } from '@jupyterlab/statusbar';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';
import * as React from 'react';

export interface Mount {
  readonly path: string;
  readonly title: string;
  /** mounted, lost or refused; another word is shown as it is. */
  readonly state: string;
  readonly reason: string;
  readonly since: string;
}

export class StorageItem extends ReactWidget {
  get mounts(): readonly Mount[] {
    return this._mounts;
  }

  /** Emitted when the mounts are others than before. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  tell(mounts: readonly Mount[]): void {
    if (JSON.stringify(mounts) !== JSON.stringify(this._mounts)) {
      this._mounts = mounts;
      this.update();
      this._changed.emit();
    }
  }

  protected override render(): JSX.Element {
    const bad = this._mounts.filter(each => each.state !== 'mounted');
    const words = bad.length ? bad.map(lineOf).join('; ') : 'Storage: ok';
    return (
      <>
        <button
          type="button"
          className="petrihub-Storage"
          data-state={bad.length ? 'bad' : 'ok'}
          aria-haspopup="dialog"
          title={words}
          onClick={() => this.open()}
        >
          {words}
        </button>
        <span className="petrihub-hidden" role="status">
          {words}
        </span>
      </>
    );
  }

  private open(): void {
    const body = ReactWidget.create(
      <ul className="petrihub-Mounts" aria-label="Mounted folders" tabIndex={-1}>
        {this._mounts.map(each => (
          <li key={each.path} data-state={each.state}>
            <strong>{each.title || each.path}</strong>
            <span>{stateWords(each)}</span>
            <code>{each.path}</code>
            {each.reason && <p>{each.reason}</p>}
          </li>
        ))}
      </ul>
    );
    showPopup({ body, anchor: this, align: 'left' });
  }

  private _mounts: readonly Mount[] = [];
  private readonly _changed = new Signal<this, void>(this);
}

function lineOf(each: Mount): string {
  return [`${each.title || each.path}: ${stateWords(each)}`, each.reason].filter(Boolean).join(', ');
}

function stateWords(each: Mount): string {
  return each.state === 'mounted' ? 'ok' : each.state;
}
