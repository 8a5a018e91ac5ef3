/** The one typed way to our server extension. */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type { App, FoundFiles, Opened } from './tokens';

/** What the server refused, in words, with the next step. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly hint: string
  ) {
    super(message);
  }
}

export class Api {
  constructor(private readonly settings: ServerConnection.ISettings) {}

  async apps(): Promise<readonly App[]> {
    const answer = await this.json<{ apps: App[] }>('apps');
    return answer.apps;
  }

  open(id: string, path: string | null): Promise<Opened> {
    return this.json<Opened>(`apps/${id}/open`, { path });
  }

  stop(id: string, instance: string | null): Promise<App> {
    return this.json<App>(`apps/${id}/stop`, { instance });
  }

  async log(id: string, instance: string | null): Promise<string> {
    const query = instance ? URLExt.objectToQueryString({ instance }) : '';
    const response = await this.request(`apps/${id}/log${query}`);
    return response.text();
  }

  files(types: readonly string[]): Promise<FoundFiles> {
    const query = URLExt.objectToQueryString({ types: types.join(',') });
    return this.json<FoundFiles>(`files${query}`);
  }

  private async json<T>(path: string, body?: object): Promise<T> {
    const response = await this.request(path, body);
    return (await response.json()) as T;
  }

  private request(path: string, body?: object): Promise<Response> {
    return ask(this.settings, path, body ? { method: 'POST', body: JSON.stringify(body) } : {});
  }
}

/** One request to our server extension; throws `ApiError` in words. */
export async function ask(
  settings: ServerConnection.ISettings,
  path: string,
  init: RequestInit = {}
): Promise<Response> {
  const url = URLExt.join(settings.baseUrl, 'petrihub/api', path);
  let response: Response;
  try {
    response = await ServerConnection.makeRequest(url, init, settings);
  } catch {
    throw new ApiError('The workspace does not answer.', 'Check your network, then try again.');
  }
  if (!response.ok) {
    throw await refusal(response);
  }
  return response;
}

async function refusal(response: Response): Promise<ApiError> {
  try {
    const { message, hint } = (await response.json()) as { message?: string; hint?: string };
    if (message) {
      return new ApiError(message, hint ?? '');
    }
  } catch {
    // not our JSON: a proxy in between answered
  }
  return new ApiError(
    `The workspace answered with an error (${response.status}).`,
    'Reload the page. If it stays, restart the workspace.'
  );
}
