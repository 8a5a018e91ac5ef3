/** One checkpoint of the list: what it is, what was changed in it, what can be done with it. */

import { Dialog, showDialog } from '@jupyterlab/apputils';
import { Button } from '@jupyterlab/ui-components';
import * as React from 'react';

import { sizeWords } from '../apps/words';
import type { Checkpoint, Detail, Package } from './api';
import type { CheckpointsModel } from './model';
import { Path } from './path';
import { Said } from './said';
import { stateWords, useWords } from './saving';

const MOST_SHOWN = 200; // rows of a list in the panel; the portal's page has them all

export interface ItemProps {
  readonly model: CheckpointsModel;
  readonly each: Checkpoint;
  /** Whether the workspace was continued from this one. */
  readonly runs: boolean;
  /** The portal's page of checkpoints; empty for somebody who has none there. */
  readonly page: string;
}

export function Item({ model, each, runs, page }: ItemProps): JSX.Element {
  const [open, setOpen] = React.useState(false);
  const [problem, act] = useWords();
  const done = each.state === 'done';
  const remove = async (): Promise<void> => {
    if (!done || (await sure(each))) {
      await model.change(api => api.delete(each.id));
    }
  };
  return (
    <li className="petrihub-Checkpoint" data-state={each.state}>
      <h3>{each.name}</h3>
      <p className="petrihub-Checkpoints-note">
        {done ? sizeWords(each.layer_size) : stateWords(each)}
        {' · '}
        <time dateTime={each.created_at} title={new Date(each.created_at).toLocaleString()}>
          {dateWords(each.created_at)}
        </time>
        {' · '}
        {each.author}
      </p>
      {runs && <p className="petrihub-Runs">Runs now</p>}
      {each.message && <p className="petrihub-Checkpoint-message">{each.message}</p>}
      {!done && each.reason && <p className="petrihub-Checkpoint-reason">{each.reason}</p>}
      {done && (
        <p className="petrihub-Checkpoints-note">
          On {each.base_image}
          {each.parent_name && `, made from ${each.parent_name}`}
          {each.older && '. The image was built anew since; what you start goes on with the old one'}.
        </p>
      )}
      {problem && <Said problem={problem} />}
      <div className="petrihub-Checkpoint-actions">
        {done && (
          <Button
            className="petrihub-Quiet"
            aria-expanded={open}
            aria-label={`What did I change in ${each.name}`}
            onClick={() => setOpen(!open)}
          >
            What did I change
          </Button>
        )}
        {done && page && (
          <a
            className="petrihub-Quiet"
            href={`${page}#into-${each.id}`}
            target="_blank"
            rel="noopener"
            aria-label={`Start a new workspace from it: ${each.name}`}
          >
            Start a new workspace from it
          </a>
        )}
        {done && page && (
          <a
            className="petrihub-Quiet"
            href={new URL(`../../checkpoints/${each.id}/sharing`, page).href}
            target="_blank"
            rel="noopener"
            aria-label={`Share ${each.name}`}
          >
            Share
          </a>
        )}
        <Button
          className="petrihub-Quiet"
          aria-label={done ? `Delete ${each.name}` : `Remove ${each.name} from the list`}
          onClick={() => act(remove)}
        >
          {done ? 'Delete' : 'Remove'}
        </Button>
      </div>
      {open && <Changes model={model} each={each} />}
    </li>
  );
}

async function sure(each: Checkpoint): Promise<boolean> {
  const answer = await showDialog({
    title: `Delete ${each.name}?`,
    body: 'Nobody can start from it any more. Your files and this workspace stay as they are.',
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: 'Delete' })],
    defaultButton: 0
  });
  return answer.button.accept;
}

function Changes({ model, each }: { model: CheckpointsModel; each: Checkpoint }): JSX.Element {
  const [detail, setDetail] = React.useState<Detail>();
  const [problem, act] = useWords();
  React.useEffect(
    () => act(async () => setDetail(await model.api.detail(each.id))),
    [model, each.id, act]
  );
  if (!detail) {
    return problem ? <Said problem={problem} /> : <p role="status">Reading what differs</p>;
  }
  const { changes, packages } = detail;
  return (
    <div className="petrihub-Changes">
      <p className="petrihub-Checkpoints-note" role="status">
        {detail.added} new, {detail.changed} changed, {detail.deleted} gone;{' '}
        {sizeWords(detail.bytes)} before packing.
      </p>
      {packages && packages.length > 0 && (
        <>
          <h4>Packages</h4>
          <ul tabIndex={0} aria-label={`Packages that differ in ${each.name}`}>
            {packages.slice(0, MOST_SHOWN).map(one => (
              <li key={`${one.kind} ${one.name}`}>
                <Mark kind={changeOf(one)} />
                <code>
                  {[one.name, one.before, one.before && one.after && '→', one.after]
                    .filter(Boolean)
                    .join(' ')}
                </code>
                <span>{one.kind}</span>
              </li>
            ))}
          </ul>
        </>
      )}
      {changes.length > 0 && (
        <>
          <h4>Files</h4>
          <ul tabIndex={0} aria-label={`Files that differ in ${each.name}`}>
            {changes.slice(0, MOST_SHOWN).map(one => (
              <li key={one.path}>
                <Mark kind={one.kind} />
                <Path path={one.path} />
                <span>{one.size > 0 && one.kind !== 'deleted' ? sizeWords(one.size) : ''}</span>
              </li>
            ))}
          </ul>
        </>
      )}
      {detail.added + detail.changed + detail.deleted > MOST_SHOWN && (
        <p className="petrihub-Checkpoints-note">
          These are the first {Math.min(MOST_SHOWN, changes.length)} files.
        </p>
      )}
    </div>
  );
}

const MARKS: Record<string, string> = { added: '+', changed: '~', deleted: '-' };

function Mark({ kind }: { kind: string }): JSX.Element {
  return (
    <>
      <span className="petrihub-Mark" data-kind={kind} title={kind} aria-hidden="true">
        {MARKS[kind] ?? '·'}
      </span>
      <span className="petrihub-hidden">{kind}</span>
    </>
  );
}

function changeOf(one: Package): string {
  if (one.before === null) {
    return 'added';
  }
  return one.after === null ? 'deleted' : 'changed';
}

/** The day and minute in the person's own way. */
function dateWords(moment: string): string {
  return new Date(moment).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });
}
