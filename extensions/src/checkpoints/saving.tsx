/** The way of one save: name, size and warnings before anything is stored, progress. */

import { Button } from '@jupyterlab/ui-components';
import * as React from 'react';

import { sizeWords } from '../apps/words';
import type { Checkpoint, Detail } from './api';
import type { CheckpointsModel, Problem } from './model';
import { problemOf, waits } from './model';
import { Path } from './path';
import { Said } from './said';

const LONGEST_NAME = 64;
const LONGEST_MESSAGE = 1000;
const MOST_WARNED = 20;
const NOTHING =
  'Nothing differs from the image, so there is nothing to save. Your home is kept anyway.';

/** Asks for name and message. */
export function SaveForm({ model }: { model: CheckpointsModel }): JSX.Element {
  const [name, setName] = React.useState('');
  const [message, setMessage] = React.useState('');
  const [busy, setBusy] = React.useState(false);
  const [problem, setProblem] = React.useState<Problem>();
  const field = React.useRef<HTMLInputElement>(null);
  React.useEffect(() => field.current?.focus(), []);
  const measure = async (event: React.FormEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setProblem(undefined);
    try {
      await model.change(api => api.save(name, message));
      model.form = false;
    } catch (error) {
      setProblem(problemOf(error));
      setBusy(false);
    }
  };
  return (
    <form
      className="petrihub-Save"
      aria-labelledby="petrihub-save-title"
      onSubmit={event => void measure(event)}
      onKeyDown={event => {
        if (event.key === 'Escape') {
          model.form = false;
        }
      }}
    >
      <h3 id="petrihub-save-title">Save what is installed</h3>
      <label>
        Name
        <input
          ref={field}
          className="jp-mod-styled"
          value={name}
          required
          maxLength={LONGEST_NAME}
          autoComplete="off"
          placeholder="with DESeq2"
          onChange={event => setName(event.target.value)}
        />
      </label>
      <label>
        What is in it (may be empty)
        <textarea
          className="jp-mod-styled"
          value={message}
          rows={2}
          maxLength={LONGEST_MESSAGE}
          onChange={event => setMessage(event.target.value)}
        />
      </label>
      {problem && <Said problem={problem} />}
      <div className="petrihub-Checkpoints-actions">
        <Button type="submit" className="jp-mod-styled jp-mod-accept" disabled={busy}>
          {busy ? 'One moment' : 'See how large it is'}
        </Button>
        <Button
          type="button"
          className="jp-mod-styled jp-mod-reject"
          onClick={() => {
            model.form = false;
          }}
        >
          Close
        </Button>
      </div>
      <p className="petrihub-Checkpoints-note">
        You see the size before anything is stored, and can go on working meanwhile. Your home is
        kept anyway.
      </p>
    </form>
  );
}

/** An order that is open: how far it is, or what it waits for. */
export function Order(props: { model: CheckpointsModel; order: Checkpoint }): JSX.Element {
  const { model, order } = props;
  return (
    <section className="petrihub-Save" aria-label={`Saving ${order.name}`}>
      <h3>{order.name}</h3>
      {order.message && <p>{order.message}</p>}
      {waits(order) ? <Confirm model={model} order={order} /> : <Doing model={model} order={order} />}
    </section>
  );
}

function Doing({ model, order }: { model: CheckpointsModel; order: Checkpoint }): JSX.Element {
  const [problem, act] = useWords();
  const { bytes, total_bytes: whole } = order.progress;
  const percent = whole ? Math.min(100, Math.round((bytes * 100) / whole)) : undefined;
  const what = order.kind === 'measure' ? 'Measuring' : 'Saving';
  const stage = order.words.replace(/[:\d][^]*$/, '');
  return (
    <>
      <p aria-hidden="true">{order.words || stateWords(order)}</p>
      <p className="petrihub-hidden" role="status">{`${what}: ${stage || stateWords(order)}`}</p>
      <div
        className={`petrihub-Bar${percent === undefined ? ' petrihub-mod-unknown' : ''}`}
        role="progressbar"
        aria-label={what}
        {...(percent === undefined
          ? {}
          : { 'aria-valuenow': percent, 'aria-valuemin': 0, 'aria-valuemax': 100 })}
      >
        <div style={percent === undefined ? {} : { width: `${percent}%` }} />
      </div>
      <p className="petrihub-Checkpoints-note" aria-hidden="true">
        {bytes > 0 && `${sizeWords(bytes)}${whole ? ` of ${sizeWords(whole)}` : ''}. `}
        You can go on working.
      </p>
      {problem && <Said problem={problem} />}
      <div className="petrihub-Checkpoints-actions">
        <Button
          className="jp-mod-styled jp-mod-reject"
          aria-label={`Cancel the saving of ${order.name}`}
          onClick={() => act(() => model.change(api => api.cancel(order.id)))}
        >
          Cancel
        </Button>
      </div>
    </>
  );
}

function Confirm({ model, order }: { model: CheckpointsModel; order: Checkpoint }): JSX.Element {
  const [detail, setDetail] = React.useState<Detail>();
  const [sure, setSure] = React.useState(false);
  const [problem, act] = useWords();
  React.useEffect(
    () => act(async () => setDetail(await model.api.detail(order.id))),
    [model, order.id, act]
  );
  if (!detail) {
    return problem ? <Said problem={problem} /> : <p role="status">Reading what was measured</p>;
  }
  const warned = detail.findings;
  const held = warned.length > 0 && !sure;
  return (
    <>
      <p role="status">
        {detail.added + detail.changed + detail.deleted === 0 ? (
          NOTHING
        ) : (
          <>
            <strong>{sizeWords(detail.bytes)}</strong> would be stored, before packing:{' '}
            {detail.added} {detail.added === 1 ? 'file is' : 'files are'} new, {detail.changed}{' '}
            changed, {detail.deleted} gone.
          </>
        )}
      </p>
      {warned.length > 0 && (
        <div className="petrihub-Warned" role="alert">
          <p>
            <strong>Look at these files first.</strong> They look as if they held keys or
            passwords, or cannot be saved as they are. Whoever gets this checkpoint gets what is in it.
          </p>
          <ul>
            {warned.slice(0, MOST_WARNED).map(each => (
              <li key={each.path}>
                <Path path={each.path} />
                <span>{each.words}</span>
              </li>
            ))}
          </ul>
          {warned.length > MOST_WARNED && <p>And {warned.length - MOST_WARNED} more.</p>}
          <label>
            <input
              type="checkbox"
              checked={sure}
              onChange={event => setSure(event.target.checked)}
            />
            I have looked at {warned.length === 1 ? 'it' : 'them'}, save all the same
          </label>
        </div>
      )}
      {problem && <Said problem={problem} />}
      <div className="petrihub-Checkpoints-actions">
        <Button
          className="jp-mod-styled jp-mod-accept"
          disabled={held}
          aria-label={`Save it: ${order.name}`}
          onClick={() => act(() => model.change(api => api.confirm(order.id)))}
        >
          Save it
        </Button>
        <Button
          className="jp-mod-styled jp-mod-reject"
          aria-label={`Do not save: ${order.name}`}
          onClick={() => act(() => model.change(api => api.cancel(order.id)))}
        >
          Do not save
        </Button>
      </div>
    </>
  );
}

/** Runs something that may be refused; the refusal, and the way to run it. */
export function useWords(): [Problem | undefined, (act: () => Promise<unknown>) => void] {
  const [problem, setProblem] = React.useState<Problem>();
  const run = React.useCallback((act: () => Promise<unknown>) => {
    setProblem(undefined);
    act().catch((error: unknown) => setProblem(problemOf(error)));
  }, []);
  return [problem, run];
}

/** A state in a word; one that is newer than this panel by its own. */
export function stateWords(each: Checkpoint): string {
  switch (each.state) {
    case 'asked':
      return 'Waiting for the workspace';
    case 'measuring':
      return 'Measuring';
    case 'confirm':
      return 'Waits for your answer';
    case 'saving':
      return 'Saving';
    case 'done':
      return 'Saved';
    case 'failed':
      return 'Not saved';
    default:
      return each.state.charAt(0).toUpperCase() + each.state.slice(1);
  }
}
