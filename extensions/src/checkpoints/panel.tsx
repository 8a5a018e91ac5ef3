/** The panel at the side: what runs, the save that is under way, and what was saved. */

import { ReactWidget, Toolbar, ToolbarButton } from '@jupyterlab/apputils';
import { launchIcon, refreshIcon, saveIcon, SidePanel } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import { Panel } from '@lumino/widgets';
import * as React from 'react';

import { Item } from './item';
import type { CheckpointsModel } from './model';
import { isOpen } from './model';
import { Said } from './said';
import { Order, SaveForm } from './saving';

export class CheckpointsPanel extends SidePanel {
  /** `page` is the portal's page of this workspace's checkpoints; empty for a guest. */
  constructor(
    private readonly model: CheckpointsModel,
    page: string
  ) {
    super({ content: new Panel() });
    this.id = 'petrihub-checkpoints';
    this.addClass('petrihub-Checkpoints');
    this.title.icon = saveIcon;
    this.title.caption = 'Checkpoints: save what is installed here';
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', 'Checkpoints');
    this.toolbar.node.setAttribute('aria-label', 'Checkpoints');
    this.toolbar.addItem(
      'save',
      new ToolbarButton({
        icon: saveIcon,
        label: 'Save',
        tooltip: 'Save what is installed in this workspace',
        onClick: () => {
          model.form = true;
        }
      })
    );
    this.toolbar.addItem('spacer', Toolbar.createSpacerItem());
    if (page) {
      this.toolbar.addItem(
        'share',
        new ToolbarButton({
          icon: launchIcon,
          tooltip: 'See all checkpoints (opens the page of PetriHub)',
          onClick: () => void window.open(page, '_blank', 'noopener')
        })
      );
    }
    this.toolbar.addItem(
      'refresh',
      new ToolbarButton({
        icon: refreshIcon,
        tooltip: 'Look again',
        onClick: () => void model.refresh()
      })
    );
    const body = ReactWidget.create(<Body model={model} page={page} />);
    body.addClass('petrihub-Checkpoints-body');
    this.content.addWidget(body);
  }

  /** Shows the form to save, if asked for, and where things are now. */
  ask(form: boolean): void {
    if (form) {
      this.model.form = true;
    }
    void this.model.refresh();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.model.show(true);
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this.model.show(false);
  }
}

function Body({ model, page }: { model: CheckpointsModel; page: string }): JSX.Element {
  useChanges(model);
  const { here, lost, order } = model;
  if (!here) {
    return lost ? <Said problem={lost} /> : <p role="status">Asking PetriHub</p>;
  }
  const saved = here.checkpoints.filter(each => !isOpen(each));
  const { running } = here;
  return (
    <>
      {lost && <Said problem={lost} />}
      {here.problem && <Said problem={{ words: here.problem, hint: '' }} />}
      {model.form && !order && <SaveForm model={model} />}
      {order && <Order key={order.id} model={model} order={order} />}
      <section aria-label="What runs now">
        <h3>Now</h3>
        <p>
          {running.checkpoint_name ? (
            <>
              Continued from <strong>{running.checkpoint_name}</strong>, on {running.base_image}.
            </>
          ) : (
            <>A fresh start of {running.base_image}.</>
          )}
        </p>
        {running.rebuilt && (
          <p className="petrihub-Checkpoints-note">
            The image was built anew since this workspace was started.
          </p>
        )}
      </section>
      <section aria-label="Saved">
        <h3>Saved from this workspace</h3>
        {saved.length === 0 ? (
          <p className="petrihub-Checkpoints-note">
            Nothing yet. Install what you need, then press Save: later, or elsewhere, you start from
            where you were.
          </p>
        ) : (
          <ul className="petrihub-Checkpoints-list">
            {saved.map(each => (
              <Item
                key={each.id}
                model={model}
                each={each}
                runs={each.id === running.checkpoint}
                page={page}
              />
            ))}
          </ul>
        )}
      </section>
    </>
  );
}

/** Renders again with every change of the model. */
function useChanges(model: CheckpointsModel): void {
  const [, again] = React.useReducer((count: number) => count + 1, 0);
  React.useEffect(() => {
    model.changed.connect(again);
    return () => void model.changed.disconnect(again);
  }, [model]);
}
