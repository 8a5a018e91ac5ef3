/** How the visitor is here, as the workspace itself says it. */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

export interface Guest {
  readonly name: string;
  readonly mode: 'view' | 'work';
  /** Open websockets; 0 for somebody who was here just now. */
  readonly connections: number;
}

export interface Me {
  readonly mode: 'owner' | 'work' | 'view';
  readonly owner: string;
  readonly workspace: string;
  /** Who else is inside; only the owner is told. */
  readonly guests: readonly Guest[];
}

/** Asks; undefined when the visitor may not be here any more. Throws when nobody answers. */
export async function me(settings: ServerConnection.ISettings): Promise<Me | undefined> {
  const url = URLExt.join(settings.baseUrl, 'petrihub/api/guests/me');
  const answer = await ServerConnection.makeRequest(url, {}, settings);
  if (answer.status === 401 || answer.status === 403) {
    return undefined;
  }
  if (!answer.ok) {
    throw new ServerConnection.ResponseError(answer);
  }
  return (await answer.json()) as Me;
}
