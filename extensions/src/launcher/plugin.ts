/** The section "Apps" of the launcher: one card per app, between Notebook and Console. */

import type { ILauncher } from '@jupyterlab/launcher';

import type { AppsModel } from '../apps/model';
import { CATEGORY, CommandIDs } from '../tokens';

const CATEGORY_RANK = 10;

/** Adds the cards in the order of the list; their state is drawn by the icon. */
export function addCards(launcher: ILauncher, model: AppsModel): void {
  model.apps.forEach((app, index) => {
    launcher.add({
      command: CommandIDs.open,
      args: { id: app.id },
      category: CATEGORY,
      categoryRank: CATEGORY_RANK,
      rank: index
    });
  });
}
