/** What a viewer's JupyterLab leaves out. The server refuses it in any case; this is manners. */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { Widget } from '@lumino/widgets';

/** Commands that would only end in a refusal, or change what only this browser would show. */
const REFUSED =
  /^(notebook|runmenu|kernelmenu|editmenu|console|terminal|debugger|launcher|fileeditor):|^docmanager:(save|new|rename|delete|duplicate|restore)|^filebrowser:(create|delete|rename|cut|paste|duplicate|open-browser-tab)/;
const KEPT =
  /^notebook:(move-cursor|extend|select|deselect|hide|show|expand|collapse|toggle|enter-command|copy|scroll|enable|export)|^(notebook|fileeditor):(open|find|change-font)/;

/** What is needed of a notebook here; its own package would be a dependency for these lines. */
interface NotebookLike extends Widget {
  readonly content: {
    readonly widgets: readonly { readOnly: boolean }[];
    readonly modelContentChanged: { connect(slot: () => void): boolean };
  };
  readonly sessionContext: { kernelPreference: object };
  readonly context: { readonly ready: Promise<void> };
}

/** Notebooks are shown without a kernel, and no cell takes keys. */
export function onlyLook(lab: JupyterFrontEnd): void {
  lab.docRegistry.addWidgetExtension('Notebook', {
    createNew: widget => {
      const panel = widget as unknown as NotebookLike;
      const { kernelPreference } = panel.sessionContext;
      panel.sessionContext.kernelPreference = {
        ...kernelPreference,
        shouldStart: false,
        canStart: false,
        autoStartDefault: false
      };
      void panel.context.ready.then(() => holdStill(panel));
    }
  });
  document.body.classList.add('petrihub-mod-viewing');
  const { commands } = lab;
  const enabled = commands.isEnabled.bind(commands);
  commands.isEnabled = (id, args) => (!REFUSED.test(id) || KEPT.test(id)) && enabled(id, args);
}

function holdStill(panel: NotebookLike): void {
  const still = () => {
    for (const cell of panel.content.widgets) {
      cell.readOnly = true;
    }
  };
  still();
  panel.content.modelContentChanged.connect(still);
}
