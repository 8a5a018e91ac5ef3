/** How things are called in the interface. */

import type { App } from '../tokens';

/** The state of an app in a few words; empty while it is simply stopped. */
export function stateWords(app: App): string {
  switch (app.state) {
    case 'unavailable':
      return `Not available: ${app.reason}`;
    case 'starting':
      return 'Starting';
    case 'ready':
      return 'Running';
    case 'failed':
      return `Failed: ${app.reason}`;
    case 'stopped':
      return '';
  }
}

/** The last part of a path. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** The folder of a path; empty at the top. */
export function folderOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

/** A file size for people, in decimal units. */
export function sizeWords(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value >= 10 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
