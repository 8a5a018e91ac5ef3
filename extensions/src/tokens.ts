/** Ids of commands and plugins, and the shapes of the server's JSON. */

export namespace CommandIDs {
  /** Opens an app in a tab: `{ id, path?, resume? }`. */
  export const open = 'petrihub:open';
  /** Opens the file that is selected in the file browser: `{ id }`. */
  export const openSelected = 'petrihub:open-selected';
  /** Ends an app: `{ id, instance? }`. */
  export const stop = 'petrihub:stop';
  /** Opens the panel of checkpoints at the form to save. */
  export const save = 'petrihub:save-checkpoint';
  /** Opens the panel of checkpoints. */
  export const checkpoints = 'petrihub:checkpoints';
}

export const NAMESPACE = 'petrihub';
export const CATEGORY = 'Apps';
/** The descriptor id of the Linux desktop, on which all programs of kind `desktop` appear. */
export const DESKTOP = 'desktop';

export type AppState = 'unavailable' | 'stopped' | 'starting' | 'ready' | 'failed';

export interface Instance {
  readonly instance: string;
  readonly path: string | null;
  readonly state: Exclude<AppState, 'unavailable'>;
  readonly reason: string;
  readonly url: string | null;
}

export interface App {
  readonly id: string;
  readonly title: string;
  readonly summary: string;
  readonly icon_url: string;
  readonly kind: 'web' | 'desktop';
  readonly file_types: readonly string[];
  readonly needs_file: boolean;
  readonly state: AppState;
  readonly reason: string;
  readonly url: string | null;
  readonly instances: readonly Instance[];
}

/** The answer to a request to open: the app, and the instance that was meant. */
export type Opened = App & Instance;

export interface FoundFile {
  readonly path: string;
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Seconds since 1970. */
  readonly modified: number;
}

export interface FoundFiles {
  readonly files: readonly FoundFile[];
  /** False when the search stopped at its bound. */
  readonly complete: boolean;
}
