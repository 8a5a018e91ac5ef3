/** An address may name an app to open: /lab?petrihub-app=igv, as PetriHub's home page links it. */

import type { JupyterFrontEnd } from '@jupyterlab/application';

import { CommandIDs } from '../tokens';
import type { AppsModel } from './model';

const NAME = 'petrihub-app';

/** Opens the app once the layout stands; a reload of the page shall not open it again. */
export function openFromAddress(lab: JupyterFrontEnd, model: AppsModel): void {
  const id = new URL(window.location.href).searchParams.get(NAME);
  if (!id || !model.app(id)) {
    return;
  }
  void lab.restored.then(() => {
    const address = new URL(window.location.href);
    address.searchParams.delete(NAME);
    window.history.replaceState(window.history.state, '', address);
    return lab.commands.execute(CommandIDs.open, { id });
  });
}
